"""Reconcile timer: when which execution is asked about. One process at a time asks.

* Each `every` a round begins with the executions of which nothing was heard for `quiet_for`: first
  those that were never asked about or longest ago. It asks no more than the rate allows until the
  next one.
* An execution with a held event is asked about before that is given up, and a pause of an assumed
  kind at once.
* At the start and each `discover`, the active executions are listed, for those that nobody has told
  us of.
* A provider that is busy or fails is left alone for a while; one that refuses the key until the
  rules are read again.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.events import Execution, Status
from receiver.intake.rate_limit import TokenBucket
from receiver.intake.receive import Intake
from receiver.intake.reconcile.asker import Asked, Asker
from receiver.intake.reconcile.provider import Outcome, Provider
from receiver.lifecycle import SAME_TIME
from receiver.metrics import Counters
from receiver.sources.source import Source
from receiver.store.contract import Store
from receiver.store.periodic import Periodic
from receiver.times import SECOND

log = logging.getLogger("receiver.reconcile")

# The longest rest between two looks (seconds).
POLL = 1.0
# A held event is asked about this long (nanoseconds) before it is given up, or at half its time.
LEAD = 10 * SECOND
# The pause after a failure doubles from the first to the last (seconds).
FIRST_PAUSE, LAST_PAUSE = 5.0, 900.0
# The most executions that a round looks through.
MOST = 10_000
# The most pages of active executions; a list may shift while it is read.
MOST_PAGES = 1_000
# A provider that does not know an execution is asked about it again after so many seconds.
UNKNOWN_FOR = 3600.0
# The longest wait for the present question at the end (seconds).
STOPS_WITHIN = 2.0
_FAILURES = (Outcome.BUSY, Outcome.FAILED, Outcome.UNREADABLE, Outcome.REFUSED)


@dataclass(slots=True)
class _Schedule:
    """The questions to one source's provider; times are monotonic seconds."""

    source: Source
    provider: Provider
    asker: Asker
    bucket: TokenBucket
    queue: deque[str] = field(default_factory=deque)
    round_at: float = 0.0
    discover_at: float = 0.0
    page: int = 0
    failures: int = 0
    paused_until: float = 0.0
    refused_at: int | None = None
    asked: dict[str, float] = field(default_factory=dict)
    asked_held: dict[tuple[str, int], None] = field(default_factory=dict)
    known_pauses: dict[str, int] = field(default_factory=dict)


class ReconcileTimer(Periodic):
    """A thread that asks the providers of all sources with `reconcile`."""

    def __init__(
        self,
        store: Store,
        live_rules: LiveRules[Intake],
        counters: Counters,
    ) -> None:
        super().__init__("reconcile", first_rest=0.0, rest_after_failure=POLL)
        self._store = store
        self._live_rules = live_rules
        self._counters = counters
        self._rules: Rules | None = None
        self._schedules: list[_Schedule] = []
        self._ending = threading.Event()

    def step(self) -> float:
        """Ask about at most one execution of each source; return how long to rest (seconds)."""
        self._follow_rules()
        if not self._schedules or not self._store.leads("alarms"):
            return POLL
        return max(min(self._turn(schedule) for schedule in self._schedules), 0.0)

    def missed(self, now: int, within: int) -> dict[str, tuple[int, int, bool]]:
        """Return by source how much was learnt by asking alone within a time, and since when.

        Times are nanoseconds. The third value: the provider refuses the key, since the time.
        """
        rules = self._live_rules.rules
        if not any(source.reconcile for source in rules.sources.values()):
            return {}
        found = {
            name: (n, since, False)
            for name, (n, since) in missed(self._store, rules, now, within).items()
        }
        for each in tuple(self._schedules):
            if each.refused_at is not None:
                found[each.source.name] = (0, each.refused_at, True)
        return found

    def stop(self, timeout: float | None = None) -> None:
        """Stop after the present question, or soon: the provider may hang."""
        self._ending.set()
        super().stop(STOPS_WITHIN if timeout is None else timeout)
        for schedule in self._schedules:
            schedule.provider.close()

    def _follow_rules(self) -> None:
        """Begin anew with the rules of a reload. What was asked stays known."""
        rules = self._live_rules.rules
        if rules is self._rules:
            return
        before = {schedule.source.name: schedule for schedule in self._schedules}
        self._rules = rules
        self._schedules = []
        for source in rules.sources.values():
            if source.api is None or source.reconcile is None:
                continue
            old = before.get(source.name)
            self._schedules.append(self._schedule(source, old))
        for schedule in before.values():
            schedule.provider.close()

    def _schedule(self, source: Source, old: _Schedule | None) -> _Schedule:
        assert source.api is not None
        provider = Provider(source.api)
        asker = Asker(self._store, self._live_rules, source, provider, self._counters)
        bucket = TokenBucket(source.api.rate, time.monotonic())
        made = _Schedule(source, provider, asker, bucket)
        if old is not None:
            made.asked, made.known_pauses = old.asked, old.known_pauses
            made.asked_held, made.discover_at = old.asked_held, old.discover_at
            made.paused_until, made.failures = old.paused_until, old.failures
        return made

    def _turn(self, schedule: _Schedule) -> float:
        """Ask one question if its time has come; return how long to rest."""
        now = time.monotonic()
        if schedule.refused_at is not None or now < schedule.paused_until:
            return POLL
        self._queue_held(schedule)
        if not schedule.queue and now >= schedule.discover_at:
            return self._discover(schedule, now)
        if not schedule.queue and now >= schedule.round_at:
            self._begin_round(schedule, now)
        if not schedule.queue:
            return POLL
        if wait := schedule.bucket.take(now):
            return min(wait, POLL)
        execution_id = schedule.queue.popleft()
        schedule.asked[execution_id] = now
        asked = schedule.asker.ask(execution_id, lambda: self._wait_for_token(schedule.bucket))
        self._note(schedule, execution_id, asked)
        return 0.0

    def _wait_for_token(self, bucket: TokenBucket) -> bool:
        """Wait until the next request may go; return False if the process ends meanwhile."""
        while wait := bucket.take(time.monotonic()):
            if self._ending.wait(wait):
                return False
        return True

    def _queue_held(self, schedule: _Schedule) -> None:
        lead = min(LEAD, schedule.source.ordering.gap_timeout // 2)
        held = self._store.held_until(schedule.source.name, time.time_ns() + lead)
        for execution_id, until in held:
            if (execution_id, until) not in schedule.asked_held:
                schedule.asked_held[execution_id, until] = None
                schedule.queue.appendleft(execution_id)
        if len(schedule.asked_held) > MOST:
            schedule.asked_held = dict.fromkeys(held)

    def _begin_round(self, schedule: _Schedule, now: float) -> None:
        """Queue the most overdue executions, as many as the rate allows until the next round."""
        source = schedule.source
        assert source.api is not None
        assert source.reconcile is not None
        every = source.reconcile.every / SECOND
        schedule.round_at = now + every
        before = time.time_ns() - source.reconcile.quiet_for
        found = self._store.unheard(source.name, before, MOST)
        candidates = [each for each in found if self._is_asked(schedule, each, before, now)]
        candidates.sort(key=lambda each: (schedule.asked.get(each.execution_id, 0.0), each.mark))
        most = max(int(source.api.rate * every), 1)
        schedule.queue.extend(each.execution_id for each in candidates[:most])
        ids = {each.execution_id for each in found}
        schedule.asked = {name: at for name, at in schedule.asked.items() if name in ids}
        schedule.known_pauses = {
            name: version for name, version in schedule.known_pauses.items() if name in ids
        }

    @staticmethod
    def _is_asked(schedule: _Schedule, execution: Execution, before: int, now: float) -> bool:
        name = execution.execution_id
        if schedule.asked.get(name, 0.0) > now:
            return False  # the provider does not know it: later
        is_known_pause = schedule.known_pauses.get(name) == execution.version
        return execution.mark < before or not is_known_pause

    def _discover(self, schedule: _Schedule, now: float) -> float:
        """List a page of active executions, and queue those that nobody has told us of."""
        if wait := schedule.bucket.take(now):
            return min(wait, POLL)
        assert schedule.source.reconcile is not None
        page = schedule.page + 1
        found, reply = schedule.asker.active(page)
        if found is None:
            self._note(schedule, "", Asked(reply.outcome, None, None, (), reply.retry_after,
                                           reply.detail))  # fmt: skip
            return 0.0
        schedule.failures = 0
        schedule.queue.extend(schedule.asker.unknown(found.executions))
        schedule.page = page
        if found.is_last or page >= MOST_PAGES:
            schedule.page = 0
            schedule.discover_at = now + schedule.source.reconcile.discover / SECOND
        return 0.0

    def _note(self, schedule: _Schedule, execution_id: str, asked: Asked) -> None:
        """Note what came of a question: when to ask next."""
        name = schedule.source.name
        now = time.monotonic()
        if asked.outcome is Outcome.KEY_REFUSED:
            schedule.refused_at = time.time_ns()
            schedule.queue.clear()
            log.error("reconcile.stopped source=%s reason=%r", name, asked.detail)
        elif asked.outcome in _FAILURES:
            schedule.failures += 1
            longest = min(FIRST_PAUSE * 2 ** (schedule.failures - 1), LAST_PAUSE)
            pause = asked.retry_after or longest * (0.5 + random.random() / 2)
            schedule.paused_until = now + pause
            log.warning(
                "reconcile.failed source=%s outcome=%s reason=%r pause=%.0f",
                name, asked.outcome, asked.detail, pause,
            )  # fmt: skip
        else:
            schedule.failures = 0
        if asked.outcome is Outcome.NOT_FOUND:
            schedule.asked[execution_id] = now + UNKNOWN_FOR
            log.warning("reconcile.unknown source=%s execution_id=%r", name, execution_id)
        answer, before = asked.answer, asked.before
        if answer and before and before.assumed and answer.status is Status.PAUSED:
            schedule.known_pauses[execution_id] = before.version


def missed(store: Store, rules: Rules, now: int, within: int) -> dict[str, tuple[int, int]]:
    """Count by source what was learnt by asking alone within a time, with the earliest time.

    A status whose events a source is not subscribed to comes by no webhook: it is not missed.
    """
    counts: dict[str, tuple[int, int]] = {}
    for learnt in store.learnt(now - within, SAME_TIME):
        source = rules.sources.get(learnt.source)
        if source is None or learnt.status is Status.STARTING:
            continue
        observes = source.ordering.observes
        if observes is not None and learnt.status not in observes:
            continue
        n, since = counts.get(learnt.source, (0, learnt.at))
        counts[learnt.source] = n + 1, min(since, learnt.at)
    return counts
