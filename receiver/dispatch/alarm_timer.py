"""Alarm timer: looks every second whether telling works, and plans messages if it does not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from receiver.alarms import Alarm
from receiver.config.live_rules import LiveRules
from receiver.dispatch.alarms import DAY, REFUSALS_IN, Change, Ended, Raised, Starving, changes
from receiver.dispatch.presence import Missed, Observation, Refused, Serving, serving
from receiver.metrics import Counters
from receiver.store.contract import Store, Transaction
from receiver.store.periodic import Periodic
from receiver.times import SECOND, format_time

# The rest between two looks (seconds).
EVERY = 1.0
# After so long without a look (nanoseconds) this process may have been stopped.
_STOPPED_FOR = 3 * SECOND


@dataclass(frozen=True, slots=True)
class Noted:
    """An alarm that began or ended, with the destinations that are told."""

    alarm: Alarm
    destinations: tuple[str, ...]
    is_over: bool = False


class AlarmTimer(Periodic):
    """A thread that raises and ends alarms.

    `missed` returns the sources whose webhooks did not come lately, at a time (nanoseconds).
    """

    def __init__(
        self,
        store: Store,
        live_rules: LiveRules[object],
        counters: Counters,
        missed: Callable[[int], Mapping[str, Missed]] = lambda now: {},
    ) -> None:
        super().__init__("alarms", first_rest=EVERY, rest_after_failure=EVERY)
        self._store = store
        self._live_rules = live_rules
        self._counters = counters
        self._missed = missed
        self._refusals = RecentRefusals()
        self._since: int | None = None
        self._looked_at = 0

    def attend(self) -> None:
        """Note our own absence, at a start or after a stop; it does not count as a silence.

        Call it before anything is claimed: else people would hear of a silence that was ours.
        """
        now = time.time_ns()
        if abs(now - self._looked_at) < _STOPPED_FOR or not self._store.leads("alarms"):
            return
        seen = self._observe(now)
        if any(serving(self._store.watched(seen.now, seen.now - DAY), seen)):
            self._store.write_now(attend, seen)

    def step(self) -> float:
        """Raise and end alarms; return how long to rest (seconds)."""
        if not self._store.leads("alarms"):
            self._since = None
            return EVERY
        seen = self._observe(time.time_ns())
        if changes(self._store.watched(seen.now, seen.now - DAY), seen):
            for noted in self._store.write_now(look, seen):
                self._report(noted)
        return EVERY

    def _observe(self, now: int) -> Observation:
        self._looked_at = now
        # Neither a start nor a refusal lies ahead: the clock was set back.
        self._since = now if self._since is None else min(self._since, now)
        refused = self._refusals.count(dict(self._counters.counts("untrusted")), now)
        rules, failed = self._live_rules.rules, self._live_rules.failed
        return Observation(rules, now, self._since, refused, failed, self._missed(now))

    def _report(self, noted: Noted) -> None:
        alarm = noted.alarm
        if not noted.is_over:
            self._counters.alarm_raised(alarm.kind)
        self._log.warning(
            "alarm.%s alarm=%s about=%s since=%s cause=%r told=%s",
            "ended" if noted.is_over else "raised",
            alarm.kind,
            alarm.about or "none",
            format_time(alarm.began_at),
            alarm.end_cause if noted.is_over else alarm.cause,
            ",".join(noted.destinations) or "none",
        )


class RecentRefusals:
    """The refused webhooks of the last five minutes, from counters that only grow."""

    def __init__(self) -> None:
        self._seen: Mapping[tuple[str, ...], int] = {}
        self._recent: list[tuple[int, str, str, int]] = []

    def count(self, counts: Mapping[tuple[str, ...], int], now: int) -> dict[str, Refused]:
        """Add the counts by source and cause at a time (nanoseconds); sum up those that are recent.

        A time that the clock has left again counts as the present.
        """
        for (source, cause), n in counts.items():
            if (more := n - self._seen.get((source, cause), 0)) > 0:
                self._recent.append((now, source, cause, more))
        self._seen = counts
        self._recent = [
            (min(at, now), source, cause, n)
            for at, source, cause, n in self._recent
            if now - at < REFUSALS_IN
        ]
        causes: dict[str, Counter[str]] = {}
        since: dict[str, int] = {}
        for at, source, cause, n in self._recent:
            causes.setdefault(source, Counter())[cause] += n
            since.setdefault(source, at)
        return {
            source: Refused(count.total(), since[source], count.most_common(1)[0][0])
            for source, count in causes.items()
        }


def look(transaction: Transaction, items: Sequence[Observation]) -> Sequence[Sequence[Noted]]:
    """Raise and end the alarms that each observation calls for. This is an act."""
    return [
        [
            noted
            for change in changes(transaction.watched(seen.now, seen.now - DAY), seen)
            if (noted := _change(transaction, change, seen)) is not None
        ]
        for seen in items
    ]


def attend(transaction: Transaction, items: Sequence[Observation]) -> Sequence[None]:
    """Note for each observation which sources are served, and since when they were not."""
    for seen in items:
        for change in serving(transaction.watched(seen.now, seen.now - DAY), seen):
            _serve(transaction, change, seen)
    return [None] * len(items)


def _serve(transaction: Transaction, change: Serving, seen: Observation) -> None:
    transaction.served(change.source, change.quiet_from, seen.now)
    if change.absent_since is not None:
        stuck = {status for r in seen.rules.routes if r.stuck for status in r.stuck.statuses}
        statuses = sorted(map(str, stuck))
        transaction.absent(change.source, statuses, change.absent_since, seen.now)


def _change(transaction: Transaction, change: Change, seen: Observation) -> Noted | None:
    """Make a change; return what people and the log are told of it."""
    now = seen.now
    if isinstance(change, Starving):
        transaction.starve(change.destination, change.since)
    elif isinstance(change, Serving):
        _serve(transaction, change, seen)
    elif isinstance(change, Ended):
        return _end(transaction, change, now)
    else:
        return _raise(transaction, change, now)
    return None


def _raise(transaction: Transaction, change: Raised, now: int) -> Noted | None:
    alarm: Alarm | None = change.alarm
    if change.alarm.id:
        transaction.tell_alarm(change.alarm, change.routes, now)
    else:
        alarm = transaction.raise_alarm(change.alarm, change.routes)
    return None if alarm is None else Noted(alarm, tuple(change.routes))


def _end(transaction: Transaction, change: Ended, now: int) -> Noted | None:
    told = transaction.end_alarm(change.alarm, change.cause, now)
    return None if told is None else Noted(change.alarm, tuple(told), is_over=True)
