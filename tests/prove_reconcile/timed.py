"""The poller itself, over hours of passed time: what it learns, when, and how often it asks.

The clock is an argument: each second webhooks come, what is held expires, and the poller does what
is due. Its requests go to a real stand-in over HTTP, and are counted by the passed time.
"""

from __future__ import annotations

import heapq
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.events import Category, Status, Verdict
from receiver.intake.receive import Intake, read_webhook
from receiver.intake.reconcile.asker import Asker
from receiver.intake.reconcile.pacing import Clock
from receiver.intake.reconcile.provider import Provider
from receiver.intake.reconcile.source_asker import AskingNotes, SourceAsker
from receiver.metrics import Counters
from receiver.sources.access import ApiAccess, Reconciliation
from receiver.store.contract import Store
from receiver.times import SECOND
from tests.prove_reconcile.histories import History, history
from tests.support.provider import KEY, StandIn

QUIET_FOR, EVERY, DISCOVER = 600, 60, 3_600
RATE = 20.0
# Executions start within so many seconds.
STARTS_WITHIN = 3_600


@dataclass
class Time:
    """The passed time (nanoseconds)."""

    now: int
    requests: list[int] = field(default_factory=list)

    def clock(self) -> Clock:
        """Return the clocks that show it; to rest is to let it pass."""
        return Clock(lambda: self.now / SECOND, lambda: self.now, self._rest)

    def _rest(self, ending: threading.Event, seconds: float) -> bool:
        self.now += round(seconds * SECOND)
        return ending.is_set()


@dataclass
class Passed:
    """The result of a run: the delays of what was learnt by asking (seconds), and the requests."""

    histories: list[History]
    told: set[str]
    figures: Counter[str]
    delays: list[float] = field(default_factory=list)
    delays_of_ends: list[float] = field(default_factory=list)
    over_rate: int = 0


def pass_time(
    store: Store, rules: Rules, provider: StandIn, histories: int, chance: random.Random,
    lost: float,
) -> Passed:  # fmt: skip
    """Let hours pass; each part of a history happens at its time."""
    begin = time.time_ns() // SECOND * SECOND
    passed = Time(begin)
    made = [
        _shifted(history(chance, number, begin), begin + chance.randrange(STARTS_WITHIN) * SECOND)
        for number in range(histories)
    ]
    result = Passed(made, set(), Counter())
    happens = [
        (at, number, str(status)) for number, each in enumerate(made) for at, status in each.changes
    ]
    heapq.heapify(happens)
    arrives = list(_webhooks(made, chance, lost, result))
    heapq.heapify(arrives)
    source = rules.sources["asteroid"]
    times = Reconciliation(EVERY * SECOND, QUIET_FOR * SECOND, DISCOVER * SECOND)
    source = replace(
        source, reconcile=times, api=ApiAccess(provider.url, KEY, provider.header, rate=RATE)
    )
    rules = replace(rules, sources={"asteroid": source})
    assert source.api is not None
    to_it = Provider(source.api)
    live_rules = LiveRules(rules, Intake.by, lambda: rules)
    asker = Asker(store, live_rules, source, to_it, Counters(()), passed.clock())
    poller = SourceAsker(store, source, asker, to_it, AskingNotes(), passed.clock())
    provider.fault = lambda method, path: passed.requests.append(passed.now)
    intake = live_rules.derived
    end = max(at for at, _, _ in happens) + (QUIET_FOR + 3 * EVERY) * SECOND
    while passed.now < end:
        while happens and happens[0][0] <= passed.now:
            at, number, status = heapq.heappop(happens)
            provider.moves(made[number].execution_id, status, at)
        while arrives and arrives[0][0] <= passed.now:
            at, body = heapq.heappop(arrives)
            store.write_now(intake.receive, read_webhook(source, body, None, passed.now))
        if (due := store.next_given_up()) is not None and due <= passed.now:
            store.write_now(intake.expire, passed.now)
        provider.clock_ahead = (passed.now - time.time_ns()) / SECOND
        second = passed.now
        while poller.step() == 0.0:
            pass
        passed.now = max(passed.now, second + SECOND)
    poller.stop()
    _count(store, passed, result)
    return result


def _shifted(each: History, to: int) -> History:
    by = to - each.changes[0][0]
    return History(each.execution_id, [(at + by, status) for at, status in each.changes])


def _webhooks(
    made: Sequence[History], chance: random.Random, lost: float, result: Passed
) -> Iterator[tuple[int, bytes]]:
    """Yield when each webhook arrives: soon, minutes late, twice, or never."""
    for each in made:
        for at, body in each.webhooks():
            result.figures["webhooks"] += 1
            if chance.random() < lost:
                result.figures["lost"] += 1
                continue
            result.told.add(each.execution_id)
            late = chance.random() < 0.1
            for _ in range(2 if chance.random() < 0.1 else 1):
                yield at + round(chance.uniform(0, 300 if late else 3) * SECOND), body


def _count(store: Store, passed: Time, result: Passed) -> None:
    """Count the requests, and how long after its time each change was learnt by asking."""
    result.figures["requests"] = len(passed.requests)
    result.over_rate = over_rate(passed.requests, RATE)
    for each in result.histories:
        story = store.execution("asteroid", each.execution_id)
        for event in story["events"] if story else ():
            if event["verdict"] != Verdict.APPLIED or "polled" not in event["flags"]:
                continue
            delay = (event["received_at"] - event["occurred_at"]) / SECOND
            result.delays.append(delay)
            if Status(event["status"]).category is Category.TERMINAL:
                result.delays_of_ends.append(delay)


def over_rate(requests: Sequence[int], rate: float) -> int:
    """Count the requests beyond a rate, of which a second's worth may go at once."""
    left, over = rate, 0
    for before, at in pairwise([requests[0], *requests] if requests else []):
        left = min(left + (at - before) / SECOND * rate, rate) - 1.0
        if left < -1e-6:
            over, left = over + 1, 0.0
    return over


def summary(delays: Sequence[float]) -> str:
    """Describe delays: the median, and the longest."""
    if not delays:
        return "none"
    return f"median {statistics.median(delays):.0f} s, longest {max(delays):.0f} s"
