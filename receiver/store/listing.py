"""Listing: the part of the store's contract about what people look at. See `contract`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Page = tuple[list[dict[str, Any]], int | None]


class Listing(Protocol):
    """The side of a store that lists what is kept, for people. Times are nanoseconds.

    A page is newest first, with the cursor of the next one. The view of an event has `judged`: its
    entry as it was judged last, with the execution of that time. That of a delivery that waits has
    `obstacles` (records.Obstacles).
    """

    def execution(self, source: str, execution_id: str) -> Mapping[str, Any] | None:
        """Return `{"execution", "events", "deliveries"}` of one execution, or None.

        Its quarantined events stand apart: see `events`.
        """

    def executions(self, conditions: Mapping[str, str], limit: int, after: int | None) -> Page:
        """Return a page of executions.

        Conditions: status, category, source, agent (a pattern for its id or name, as in a route),
        q (part of either or of the execution's id).
        """

    def events(self, conditions: Mapping[str, str], limit: int, after: int | None) -> Page:
        """Return a page of all authentic events, the quarantined included.

        Conditions: verdict, source, execution_id, event, event_id.
        """

    def event(self, seq: int) -> Mapping[str, Any] | None:
        """Return `{"event", "body", "deliveries"}` of one event, or None.

        `body` is the webhook's raw body, None once it is no longer kept.
        """

    def deliveries(
        self,
        conditions: Mapping[str, str],
        limit: int,
        after: int | None,
        planned: tuple[bool, int] | None = None,
    ) -> Page:
        """Return a page of deliveries.

        Conditions: state, destination, execution_id, kind. `planned` is (True, now) for those that
        are planned for later than now if their executions stay where they are, and (False, now) for
        all others.
        """

    def silences(self, conditions: Mapping[str, str], limit: int, after: int | None) -> Page:
        """Return a page of silences. No conditions."""

    def silence(self, number: int) -> Mapping[str, Any] | None:
        """Return one silence, or None."""

    def names(self) -> Mapping[str, Sequence[str]]:
        """Return each `source` and `destination` of which something is stored."""
