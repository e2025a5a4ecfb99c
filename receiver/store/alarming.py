"""Alarming: the part of the store's contract about troubles with telling people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from receiver.alarms import Alarm
from receiver.store.records import Watched


class Alarming(Protocol):
    """A transaction as the dispatch uses it to report that telling fails."""

    def watched(self, now: int, since: int) -> Watched:
        """Return what may begin or end an alarm now; of the quarantine, what came after `since`."""

    def starve(self, destination: str, since: int | None) -> None:
        """Remember since when something waits for a failing destination; None: nothing does."""

    def served(self, source: str, quiet_from: int, now: int) -> None:
        """Remember that a process serves a source now, and from when on its silence counts."""

    def absent(self, source: str, statuses: Sequence[str], since: int, now: int) -> None:
        """Let an absence of ours not count for what was heard of executions in these statuses.

        No process served the source from `since` to `now` (nanoseconds). What was heard last of
        each of its executions counts as heard later by the time that was not served since then.
        """

    def raise_alarm(self, alarm: Alarm, routes: Mapping[str, str]) -> Alarm | None:
        """Store an alarm and add its deliveries: destinations, each with the route that tells it.

        None: one of its kind about the same name is open already.
        """

    def tell_alarm(self, alarm: Alarm, routes: Mapping[str, str], now: int) -> None:
        """Add deliveries about an open alarm, except those that are owed already."""

    def end_alarm(self, alarm: Alarm, cause: str, now: int) -> Sequence[str] | None:
        """End an alarm. Whoever was told of it, or may have been, is owed a message about its end.

        Messages about it that still wait are superseded. `cause` says how it ended, if not by
        itself. Returns the destinations; None: it was over before.
        """
