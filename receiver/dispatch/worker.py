"""A lane sends what one destination is owed: claim, render, send, record.

It has threads of its own, so a destination that is slow or dead delays no other. The store is the
only hand-over: a lane that dies loses nothing, and what it was sending goes out again as a repeat.
Recording an attempt and claiming the next delivery are one transaction, a turn.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.deliveries import Attempt, Claim, Kind, Message, Outcome, State
from receiver.destinations import deadline, sending
from receiver.destinations.destination import Destination
from receiver.dispatch import dead_letters
from receiver.dispatch.retry import LONGEST, delay
from receiver.dispatch.turn import FinishedAttempt, TurnRequest, TurnResult, record_and_claim
from receiver.errors import StorageError
from receiver.messages import digests, follow_ups
from receiver.messages.notice import alarm
from receiver.routing.policy import SendPolicy, route_options
from receiver.store.contract import Store
from receiver.store.records import AttemptResult
from receiver.times import SECOND

log = logging.getLogger("receiver.dispatch")

# The longest a lane sleeps without looking: what other processes did reaches it by then.
POLL = 1.0


class DestinationWorker:
    """Sends what one destination is owed, in order, at its rate. `lease` is in seconds."""

    def __init__(
        self,
        store: Store,
        destination: Destination,
        in_force: LiveRules,
        lease: float,
        public_url: str = "",
    ) -> None:
        self.destination = destination
        self._public_url = public_url
        self.others: Iterable[DestinationWorker] = ()
        self._store, self._in_force, self._lease = store, in_force, lease
        self._waking = threading.Condition()
        self._wakes = 0
        self._is_first = self._is_untried = True
        self._by: Rules | None = None
        self._stopping = threading.Event()
        self._at_work = 0

    def start(self) -> None:
        self._at_work = self.destination.parallel
        for n in range(self.destination.parallel):
            name = f"lane-{self.destination.name}-{n}"
            threading.Thread(target=self._run, name=name, daemon=True).start()

    def wake(self) -> None:
        with self._waking:
            self._wakes += 1
            self._waking.notify_all()

    def stop(self) -> None:
        self._stopping.set()
        self.wake()

    def join(self, until: float) -> bool:
        """Wait until `until` (monotonic seconds); whether all threads have ended."""
        with self._waking:
            return self._waking.wait_for(
                lambda: not self._at_work, max(until - time.monotonic(), 0)
            )

    def is_alive(self) -> bool:
        return self._at_work == self.destination.parallel

    def _run(self, begin: Callable[[], FinishedAttempt | None] = lambda: None) -> None:
        """One of its threads. It may begin with an attempt in which another one was given up."""
        given_up = False
        try:
            self._send_on(begin)
        except deadline.GivenUp:
            given_up = True  # another one has gone on long since, and counts in its place
        finally:
            with self._waking:
                self._at_work -= not given_up
                self._waking.notify_all()

    def _send_on(self, begin: Callable[[], FinishedAttempt | None]) -> None:
        finished: FinishedAttempt | None = None
        begun = False
        while not begun or finished is not None or not self._stopping.is_set():
            seen = self._wakes
            try:
                if not begun:
                    begun = True
                    finished = begin()
                turned = self._turn(finished)
                finished = None
                if turned.claim is not None:
                    finished = self._attempt(turned.claim)
                    continue
                rest = 0.0 if turned.ended else self._idle()
            except StorageError as error:
                # What is finished is recorded as soon as the storage can, or it would go out again.
                log.warning("lane.storage destination=%s error=%s", self.destination.name, error)
                rest = POLL
            except Exception:
                # The one broad except: a lane that ended would be silent about all that follows.
                log.exception("lane.failed destination=%s", self.destination.name)
                finished, rest = None, POLL
            if not self._rest(seen, rest):
                sending.rest()

    def _rest(self, seen: int, seconds: float) -> bool:
        """Wait, but not if somebody woke it since `seen`; whether somebody did."""
        with self._waking:
            return self._waking.wait_for(lambda: self._wakes != seen, seconds)

    def _turn(self, finished: FinishedAttempt | None) -> TurnResult:
        now, of = time.time_ns(), self.destination
        # A lease must outlive the attempt, or a second claimant would send it meanwhile.
        until = now + int(max(self._lease, of.timeout + 10) * SECOND)
        goes_on = not self._stopping.is_set()
        rules = self._in_force.rules
        with self._waking:  # one of its threads tries first, the others see what came of it
            first, self._is_first = self._is_first, False
        self._is_untried = untried = self._is_untried and finished is None
        policy, anew = policy_at(of, rules, now), self._by is not rules
        asked = TurnRequest(
            of.name, policy, now, until, rules, finished, goes_on, first, untried, anew
        )
        turned = self._store.write_now(record_and_claim, asked)
        self._by = rules
        if finished is not None:
            _log(finished, turned.mine)
        for dead in turned.ended:
            log_dead(dead)
        for lane in self.others:
            if lane.destination.name in turned.woken:
                lane.wake()
        return turned

    def _idle(self) -> float:
        now = time.time_ns()
        policy = policy_at(self.destination, self._in_force.rules, now)
        due = self._store.next_due(self.destination.name, policy, now)
        return POLL if due is None else min(max((due - now) / SECOND, 0.0), POLL)

    def _attempt(self, claim: Claim) -> FinishedAttempt:
        message = rendered(claim, self._in_force.rules, time.time_ns(), self._public_url)
        deadline.hand_over_to(
            lambda attempt: self._run(lambda: self._finished(claim, message, attempt))
        )
        attempt = sending.send(self.destination, message)
        return self._finished(claim, message, attempt)

    def _finished(self, claim: Claim, message: Message, attempt: Attempt) -> FinishedAttempt:
        now, rules = time.time_ns(), self._in_force.rules
        after = follow(claim, attempt, self.destination, message, now, random.random())
        return FinishedAttempt(claim, attempt, with_others(after, claim, rules, now))


def policy_at(destination: Destination, rules: Rules, now: int) -> SendPolicy:
    """How the destination may be told at a time (nanoseconds)."""
    by_route, other = route_options(rules.routes, destination.quiet, now)
    overdue = now - int(destination.retry_for * SECOND)
    return SendPolicy(sending.rate(destination), overdue, by_route, other)


def with_others(after: AttemptResult, claim: Claim, rules: Rules, now: int) -> AttemptResult:
    """What follows from an attempt for others than its destination, by the rules as they are."""
    if after.state is State.DEAD:
        owed = dead_letters.owed(claim, rules.routes, rules.destinations, now)
        return replace(after, owed=owed)
    if after.state is State.SENT:
        return replace(after, options=route_options(rules.routes, None, now)[0])
    return after


def follow(
    claim: Claim,
    attempt: Attempt,
    destination: Destination,
    message: Message,
    now: int,
    chance: float,
) -> AttemptResult:
    """What follows from an attempt: sent, another try at a time, or dead with the reason."""
    sent = (message.title, message.body)
    if attempt.outcome is Outcome.DELIVERED:
        return AttemptResult(State.SENT, "", now, *sent)
    if attempt.permanent:
        return AttemptResult(State.DEAD, f"no retry can mend it: {attempt.detail}", now, *sent)
    # A destination that asks for longer than we ever wait is asked again after that.
    wait = max(delay(claim.attempts + 1, chance), min(attempt.retry_after or 0, LONGEST))
    retry_for = int(destination.retry_for * SECOND)
    due_at, last = now + int(wait * SECOND), claim.owed_at + retry_for
    if attempt.retry_after and now < last:
        due_at = min(due_at, last)  # asked to wait longer than we try: tried at the very end
    if due_at > last:
        reason = f"given up after retry_for: {attempt.detail}"
        # What joined a digest later than its first messages has time left.
        spared = due_at - retry_for
        return AttemptResult(State.DEAD, reason, due_at, *sent, chance=chance, spared=spared)
    return AttemptResult(State.WAITING, attempt.detail, due_at, *sent, chance=chance)


def rendered(claim: Claim, rules: Rules, now: int, public_url: str = "") -> Message:
    """The message of a claimed delivery, by its route as it is now."""
    if claim.digest is not None:
        return digests.told(claim, claim.digest, public_url, now)
    route = next((route for route in rules.routes if route.name == claim.route), None)
    message = replace(follow_ups.told(claim, route, now), thread=follow_ups.thread(claim))
    if claim.origin is None or claim.kind is not Kind.NOTICE:
        return message
    return alarm(claim.origin, message.title, repeat=claim.repeat)


def log_dead(dead: Claim) -> None:
    """The line about a delivery that died without an attempt."""
    log.error(
        "delivery.dead delivery=%d destination=%s route=%r execution_id=%r reason=%r",
        dead.delivery,
        dead.destination,
        dead.route,
        dead.facts.execution_id,
        dead.origin.reason if dead.origin else "",
    )


def _log(finished: FinishedAttempt, mine: bool) -> None:
    claim, attempt = finished.claim, finished.attempt
    log.log(
        logging.ERROR if finished.after.state is State.DEAD else logging.INFO,
        "delivery.attempted delivery=%d destination=%s route=%r kind=%s source=%s execution_id=%r"
        " outcome=%s state=%s duration_ms=%d recorded=%s detail=%r",
        claim.delivery,
        claim.destination,
        claim.route,
        claim.kind,
        claim.facts.source,
        claim.facts.execution_id,
        attempt.outcome,
        finished.after.state,
        attempt.duration_ms,
        mine,
        attempt.detail,
    )
