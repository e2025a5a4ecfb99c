"""The reading side of the store's contract: lists for people, checks, and times for timers.

Reads see committed data only and never wait for a write. Times are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from receiver.events import Execution, Status
from receiver.retention import Limits
from receiver.routing.planned import Episode
from receiver.routing.policy import SendPolicy
from receiver.store.names import Orphan
from receiver.store.records import Delays, Happened, JudgedWebhook, Standing, Tally, Waited, Watched


@dataclass(frozen=True, slots=True)
class Learnt:
    """A status of an execution that was learnt by asking alone, at a time (nanoseconds)."""

    source: str
    status: Status
    at: int


Page = tuple[list[dict[str, Any]], int | None]


@dataclass(frozen=True, slots=True)
class PastEvent:
    """A stored event, with an entry for each of its verdicts, the last one at the end.

    The stay that it began was over at `ended_at`, and somebody took it at `taken_at` (ns; None: not
    so far, or it began none).
    """

    number: int
    entries: tuple[JudgedWebhook, ...]
    ended_at: int | None
    taken_at: int | None


@dataclass(frozen=True, slots=True)
class Node:
    """A process that serves the database: its host and number, its version, its rules' digest."""

    name: str
    version: str
    rules: str


class Listing(Protocol):
    """The side of a store that lists what is kept, for people. Times are nanoseconds.

    A page is newest first, with the cursor of the next one. With `most`, a page that has to be
    searched for looks at so many rows at most: it may be short, even empty, and the cursor goes on
    below what it looked at. But for lists, the view of an event has `judged`: its entry as it was
    judged last, with the execution of that time. That of a delivery that waits has `obstacles`
    (records.Obstacles).
    """

    def execution(
        self, source: str, execution_id: str, newest: int | None = None
    ) -> Mapping[str, Any] | None:
        """Return `{"execution", "events", "deliveries", "acts", "path", "n"}`, or None.

        With `newest`, `events` are only so many, the last ones; `n` is the number of all. `path`
        has version, status and time of each event that was applied, in their order.
        Its quarantined events stand apart: see `events`. `acts` are what people did with it at the
        provider, as in the audit.
        """

    def executions(
        self, conditions: Mapping[str, str], limit: int, after: int | None, most: int | None = None
    ) -> Page:
        """Return a page of executions.

        Conditions: status, category, source, agent (a pattern for its id or name, as in a route),
        q (part of either or of the execution's id), execution_id.
        """

    def events(
        self, conditions: Mapping[str, str], limit: int, after: int | None, most: int | None = None
    ) -> Page:
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
        after: int | None = None,
        most: int | None = None,
        planned: tuple[bool, int] | None = None,
    ) -> Page:
        """Return a page of deliveries.

        Conditions: state, destination, execution_id, kind, and done (any text: those that neither
        wait nor are being sent). `planned` is (True, now) for those that
        are planned for later than now if their executions stay where they are, and (False, now) for
        all others.
        """

    def silences(self, conditions: Mapping[str, str], limit: int, after: int | None) -> Page:
        """Return a page of silences. No conditions."""

    def silence(self, number: int) -> Mapping[str, Any] | None:
        """Return one silence, or None."""

    def audit(self, conditions: Mapping[str, str], limit: int, after: int | None) -> Page:
        """Return a page of what people did.

        Conditions: act, door, who, source, execution_id.
        """

    def names(self) -> Mapping[str, Sequence[str]]:
        """Return each `source` and `destination` of which something is stored."""


class Reading(Protocol):
    """The side of a store that checks."""

    def ledger(self) -> dict[str, Any]:
        """Compare the promised numbers with the stored rows; `imbalance` must be 0."""

    def tallies(self) -> Sequence[Tally]:
        """Count the newest events by source, verdict, reason and status."""

    def delays(self) -> Sequence[Delays]:
        """Return how long after their times the newest events of each source were received."""

    def prunable(self, limits: Limits) -> Mapping[str, int]:
        """Return the most rows that pruning by these limits may remove, by the names of Pruned."""


class Surveying(Protocol):
    """The side of a store that shows people how things stand.

    `happened`, `waited` and `needing_people` look at many rows: call them where nobody waits.
    """

    def needing_people(self, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return the executions that wait for a person, the longest first.

        Each is a view of an execution with the `detail` of the event that began its episode, and
        the messages about that in `told`: their destination, kind and state, and whether they were
        only printed; a list of what a silence kept back is one of them once it names the execution.
        """

    def failed(self, since: int, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return the executions that failed since then, newest first, as in `needing_people`."""

    def told_of(self, executions: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], bool]:
        """Return those of these executions (source and id) of which somebody was told.

        Only messages and lists about their present stays count, and only those that were sent. The
        value is whether all of them were only printed.
        """

    def taking(self, delivery: int) -> Mapping[str, Any] | None:
        """Return what a message is about, for somebody who wants to take that; or None.

        Its `destination`; the `source`, `execution_id`, `version`, `status`, `occurred_at` and
        `detail` of the episode; `is_over`; whoever `acknowledged` it; when each destination was
        `told` (first, last, n); and the `execution` as it stands now.
        """

    def happened(self, since: int, length: int) -> Sequence[Happened]:
        """Count the events since then, in parts of this length."""

    def waited(self, since: int, length: int) -> Sequence[Waited]:
        """Measure the waits for a confirmation that ended since then, in parts of this length."""

    def past(self, since: int, after: int, limit: int) -> Sequence[PastEvent]:
        """Return the next events received since then, in that order, behind a number (0: none)."""

    def heard_after(self, source: str, execution_id: str, seq: int, limit: int) -> Sequence[int]:
        """Return when the next events of an execution came, behind the event of a number."""

    def held(self) -> int:
        """Count the events that wait for an earlier one."""

    def backlog(self) -> int:
        """Return how many writes wait for their commit, about."""

    def nodes(self) -> Sequence[Node]:
        """Return the processes that serve the database, if several may."""

    def standings(self, now: int) -> Mapping[str, Standing]:
        """Return how each destination stands that was ever told something, by its name."""


class Asking(Protocol):
    """The side of a store for asking the provider. Times are nanoseconds."""

    def unheard(self, source: str, before: int, limit: int) -> Sequence[tuple[Execution, int]]:
        """Return executions of a source that have not ended and did not move since `before`.

        Without those that the provider does not know any more. Each comes with the time of its last
        move by our clock. Pauses of an assumed kind are among
        them at once. They come in the order of their first events.
        """

    def standing(self, source: str, ids: Sequence[str]) -> Mapping[str, Execution]:
        """Return those of these executions that are stored, by their ids."""

    def held_until(self, source: str, until: int) -> Sequence[tuple[str, int]]:
        """Return executions with an event that is held until a time before that; with the time."""

    def learnt(self, since: int, near: int) -> Sequence[Learnt]:
        """Return what was learnt by asking since then and by no webhook, about known executions.

        A webhook of the same status is about the same change if it is dated at most `near` away.
        """

    def abandoned(self, now: int) -> Sequence[tuple[str, str]]:
        """Return the executions (source, id) with an act that was begun and whose turn is over."""


class Waiting(Protocol):
    """The side of a store for timers and workers: the time of their next work."""

    def next_due(self, destination: str, policy: SendPolicy, now: int) -> int | None:
        """Return the time at which the next delivery may be claimed; None: none waits.

        It respects order, due time, rate and pause.
        """

    def waits_for_others(self, destinations: Sequence[str]) -> bool:
        """Return whether a delivery waits for any destination except these."""

    def orphans(
        self, sources: Sequence[str], routes: Sequence[str], destinations: Sequence[str]
    ) -> Sequence[Orphan]:
        """Return the names besides these on which something hangs that has not ended."""

    def is_unsettled(self, sources: Sequence[str]) -> bool:
        """Return whether Transaction.settle_sources has something to do."""

    def next_given_up(self) -> int | None:
        """Return the time at which the next held event expires; None: no event is held."""

    def next_silence_end(self) -> int | None:
        """Return the end of the next silence that is not listed yet; None: there is none."""

    def watched(self, now: int, since: int) -> Watched:
        """Return the same as Transaction.watched, without a transaction."""

    def waiting_for(self, destination: str, now: int) -> int:
        """Count the deliveries to a destination that are owed by now and not sent yet."""

    def open_episodes(
        self,
        which: str,
        sources: Sequence[str],
        statuses: Sequence[str],
        after: int,
        limit: int,
        now: int,
    ) -> tuple[Sequence[Episode], int | None]:
        """Return the next episodes that last, behind a place, and the place of the following ones.

        They are of these sources. `which`: those `of_statuses`, or the others that are
        `waited_for`, because a message waits about them.
        """
