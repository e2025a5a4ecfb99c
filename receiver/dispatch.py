"""What is owed, out: claim, render, send, record; one lane per destination.

A lane is a thread, so a destination that is slow or dead delays no other. The store is the only
hand-over: a lane that dies loses nothing, and what it was sending goes out again as a repeat.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterable, Mapping, Sequence

from receiver import notify
from receiver.backoff import delay
from receiver.config import Rules
from receiver.deliveries import Attempt, Claim, Destination, Message, Outcome, State
from receiver.errors import StorageError
from receiver.events import SECOND
from receiver.message import render
from receiver.routing import Route
from receiver.store import Recorded, Store, Transaction

log = logging.getLogger("receiver.dispatch")

# The longest a lane sleeps without looking: what other processes did reaches it by then.
POLL = 1.0


class Lane:
    """Sends what one destination is owed, in order, at its rate. `lease` is in seconds."""

    def __init__(
        self, store: Store, destination: Destination, routes: Mapping[str, Route], lease: float
    ) -> None:
        self.destination = destination
        self._store = store
        self._routes = routes
        # A lease must outlive the attempt, or a second claimant would send it meanwhile.
        self._lease = int(max(lease, destination.timeout + 10) * SECOND)
        self._pause = 1 / notify.rate(destination)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"lane-{destination.name}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                if self._step():
                    self._stopping.wait(self._pause)
                    continue
                rest = self._idle()
            except StorageError as error:
                log.warning("lane.storage destination=%s error=%s", self.destination.name, error)
                rest = POLL
            except Exception:
                # The one broad except: a lane that ended would be silent about all that follows.
                log.exception("lane.failed destination=%s", self.destination.name)
                rest = POLL
            self._wake.wait(rest)

    def _idle(self) -> float:
        due = self._store.next_due(self.destination.name)
        return POLL if due is None else min(max((due - time.time_ns()) / SECOND, 0.01), POLL)

    def _step(self) -> bool:
        """Send one delivery; False if none is due."""
        now = time.time_ns()
        claim = self._store.write_now(_claim, (self.destination.name, now, now + self._lease))
        if claim is None:
            return False
        message = _render(claim, self._routes.get(claim.route), now)
        attempt = notify.send(self.destination, message)
        now = time.time_ns()
        after = follow(claim, attempt, self.destination, message, now, random.random())
        mine = self._store.write_now(_record, (claim, attempt, after, now))
        log.info(
            "delivery.attempted delivery=%d destination=%s route=%r source=%s execution_id=%r"
            " outcome=%s state=%s duration_ms=%d recorded=%s detail=%r",
            claim.delivery,
            claim.destination,
            claim.route,
            claim.facts.source,
            claim.facts.execution_id,
            attempt.outcome,
            after.state,
            attempt.duration_ms,
            mine,
            attempt.detail,
        )
        return True


class Dispatch:
    """All lanes. Deliveries to destinations that are gone die with that reason."""

    def __init__(self, store: Store, rules: Rules, lease: float) -> None:
        self._store = store
        routes = {route.name: route for route in rules.routes}
        self._lanes = {
            name: Lane(store, destination, routes, lease)
            for name, destination in rules.destinations.items()
        }

    def start(self) -> None:
        """Take back what a dead process was sending, then start the lanes."""
        now = time.time_ns()
        back = self._store.write_now(_release, (now, True))
        buried = self._store.write_now(_bury, tuple(self._lanes))
        log.info(
            "dispatch.started lanes=%d taken_back=%d buried=%d", len(self._lanes), back, buried
        )
        for lane in self._lanes.values():
            lane.start()

    def wake(self, destinations: Iterable[str]) -> None:
        """Say that these have something to send."""
        for name in destinations:
            if (lane := self._lanes.get(name)) is not None:
                lane.wake()

    def is_alive(self) -> bool:
        return all(lane.is_alive() for lane in self._lanes.values())

    def stop(self, drain: float) -> None:
        """Finish what is being sent, for at most `drain` seconds in all."""
        for lane in self._lanes.values():
            lane.stop()
        end = time.monotonic() + drain
        for lane in self._lanes.values():
            lane.join(max(end - time.monotonic(), 0))


def follow(
    claim: Claim,
    attempt: Attempt,
    destination: Destination,
    message: Message,
    now: int,
    chance: float,
) -> Recorded:
    """What follows from an attempt: sent, another try at a time, or dead with the reason."""
    sent = (message.title, message.body)
    if attempt.outcome is Outcome.DELIVERED:
        return Recorded(State.SENT, "", now, *sent)
    if attempt.permanent:
        return Recorded(State.DEAD, f"no retry can mend it: {attempt.detail}", now, *sent)
    wait = max(delay(claim.attempts + 1, chance), attempt.retry_after or 0)
    due_at = now + int(wait * SECOND)
    if due_at > claim.owed_at + int(destination.retry_for * SECOND):
        return Recorded(State.DEAD, f"given up after retry_for: {attempt.detail}", now, *sent)
    return Recorded(State.WAITING, attempt.detail, due_at, *sent)


def _render(claim: Claim, route: Route | None, now: int) -> Message:
    title, body = (route.title, route.body) if route else (None, None)
    return render(claim.facts, claim.route, title, body, repeat=claim.repeat, now=now)


def _claim(
    transaction: Transaction, items: Sequence[tuple[str, int, int]]
) -> Sequence[Claim | None]:
    return [transaction.claim(*item) for item in items]


def _record(
    transaction: Transaction, items: Sequence[tuple[Claim, Attempt, Recorded, int]]
) -> Sequence[bool]:
    return [transaction.record(*item) for item in items]


def _release(transaction: Transaction, items: Sequence[tuple[int, bool]]) -> Sequence[int]:
    return [transaction.release(now, all_leases=every) for now, every in items]


def _bury(transaction: Transaction, items: Sequence[Sequence[str]]) -> Sequence[int]:
    return [transaction.bury(item) for item in items]


def redeliver(transaction: Transaction, items: Sequence[tuple[int, int]]) -> Sequence[bool | None]:
    """The act of giving dead deliveries a new chance; see Transaction.redeliver."""
    return [transaction.redeliver(*item) for item in items]
