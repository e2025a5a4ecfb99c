"""Worker of a destination: its threads claim, compose, send and record its deliveries.

Each destination has its own worker, so a slow or dead one delays no other. The store is the only
hand-over: a worker that dies loses nothing, and its unfinished deliveries go out again as repeats.
One transaction, a turn, records an attempt and claims the next delivery. Where attempts are quick,
a thread takes several turns in one transaction: it claims as many deliveries as it can soon send.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, tzinfo

from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.deliveries import Attempt, Claim, Message
from receiver.destinations import deadline, sending
from receiver.destinations.destination import Destination
from receiver.dispatch.retry import follow, with_others
from receiver.dispatch.turn import (
    FinishedAttempt,
    Hand,
    TurnRequest,
    TurnResult,
    log_turns,
    policy_at,
    record_and_claim,
    take_several,
    turns_of,
)
from receiver.errors import StorageClosed, StorageError
from receiver.links import NO_LINKS, Links
from receiver.messages.compose import compose, plain_message
from receiver.store.contract import Store
from receiver.times import SECOND

log = logging.getLogger("receiver.dispatch")

# An attempt at a destination; see `sending.send`.
Send = Callable[[Destination, Message], Attempt]
# The longest sleep of a worker (seconds): after it the worker sees the work of other processes.
POLL = 1.0
# The rest of a worker that met another process's turn (seconds).
MET = 0.02
# The time in which a thread begins all attempts that it has claimed (seconds): whether a message is
# still true was asked at its claim. The rest goes back. And the most that it claims at once.
SOON = 0.1
AT_ONCE = 8
# While webhooks go first, a thread rests so many times what it worked, in steps (seconds).
TIMES, STEP, LONGEST = 8, 0.004, 0.1


class IntakeFirst:
    """Webhooks go first: while `is_busy`, threads that tell people rest far longer than they work.

    Both share one interpreter. One thread rests at a time, so that all of them together take a
    small part of the processor, but never nothing.
    """

    def __init__(self, is_busy: Callable[[], bool] = lambda: False) -> None:
        self.is_busy = is_busy
        self._turn = threading.Lock()
        self._rested = threading.local()

    def rest(self, stopping: threading.Event) -> None:
        """Rest for the processor time since this thread's last rest, until intake is not busy."""
        worked = time.thread_time() - getattr(self._rested, "at", 0.0)
        with self._turn:
            end = time.monotonic() + min(TIMES * worked, LONGEST)
            while self.is_busy() and time.monotonic() < end and not stopping.wait(STEP):
                ...
        self._rested.at = time.thread_time()


class DestinationWorker:
    """Threads that send one destination its deliveries, in order, at its rate.

    `lease` is in seconds. `attend` notes before each turn that this process may have been stopped.
    `count` gets the destination, the outcome and the seconds of each attempt, which `send` makes.
    """

    def __init__(
        self,
        store: Store,
        destination: Destination,
        live_rules: LiveRules[object],
        lease: float,
        links: Links = NO_LINKS,
        zone: tzinfo = UTC,
        attend: Callable[[], None] = lambda: None,
        count: Callable[[str, str, float], None] = lambda name, outcome, seconds: None,
        send: Send = sending.send,
        intake_first: IntakeFirst | None = None,
    ) -> None:
        self.destination = destination
        self._store = store
        self._live_rules = live_rules
        self._lease = lease
        self._links = links
        self._zone = zone
        self._attend = attend
        self._count = count
        self._send = send
        self._intake_first = intake_first or IntakeFirst()
        self._waking = threading.Condition()
        self._wakes = 0
        self._is_first = True
        self._is_untried = True
        self._last_rules: Rules | None = None
        self._at_once = 1
        self._stopping = threading.Event()
        self._at_work = 0

    def start(self) -> None:
        """Start one thread for each attempt that may run at once."""
        self._at_work = self.destination.parallel
        for n in range(self.destination.parallel):
            name = f"lane-{self.destination.name}-{n}"
            threading.Thread(target=self._run, name=name, daemon=True).start()

    def wake(self) -> None:
        """End the sleep of its threads: there may be a delivery to send."""
        with self._waking:
            self._wakes += 1
            self._waking.notify_all()

    def stop(self) -> None:
        """Claim no more deliveries; attempts in progress are still recorded."""
        self._stopping.set()
        self.wake()

    def join(self, until: float) -> bool:
        """Wait until `until` (monotonic seconds); return whether all threads have ended."""
        with self._waking:
            return self._waking.wait_for(
                lambda: not self._at_work, max(until - time.monotonic(), 0)
            )

    def is_alive(self) -> bool:
        """Return whether all its threads run."""
        return self._at_work == self.destination.parallel

    def _run(self, begin: Callable[[], Hand] = Hand) -> None:
        """Run one of its threads. It may begin with the attempts of a thread that hangs."""
        given_up = False
        try:
            self._send_on(begin)
        except deadline.ThreadReplaced:
            given_up = True  # its successor has gone on, and counts in its place
        finally:
            with self._waking:
                self._at_work -= not given_up
                self._waking.notify_all()

    def _send_on(self, begin: Callable[[], Hand]) -> None:
        hand = Hand()
        begun = False
        while not begun or hand.is_full() or not self._stopping.is_set():
            wakes = self._wakes
            try:
                if not begun:
                    begun = True
                    hand = begin()
                if self._intake_first.is_busy():
                    if hand.is_full():
                        self._turns(hand, most=0)
                        hand = Hand()
                    self._intake_first.rest(self._stopping)
                is_held_up, results = hand.is_held_up, self._turns(hand)
                hand = Hand()
                if claims := [each.claim for each in results if each.claim is not None]:
                    hand = self._attempt_all(claims)
                    continue
                ended = any(each.ended for each in results)
                rest = POLL if is_held_up else 0.0 if ended else self._seconds_to_rest()
            except StorageClosed as error:
                # Nothing can record it: after the next start the message goes out again.
                log.warning("lane.ended destination=%s error=%s", self.destination.name, error)
                return
            except StorageError as error:
                # The next turn records the finished attempts: else their messages went out again.
                log.warning("lane.storage destination=%s error=%s", self.destination.name, error)
                rest = POLL
            except Exception:
                # Whatever it is: a thread that ended would send nothing more.
                log.exception("lane.failed destination=%s", self.destination.name)
                hand, rest = Hand(), POLL
            if not self._rest(wakes, rest):
                sending.rest()

    def _rest(self, wakes: int, seconds: float) -> bool:
        """Sleep until the worker is woken, at most these seconds; return whether it was.

        It returns at once if the number of wake-ups is not `wakes` any more.
        """
        with self._waking:
            return self._waking.wait_for(lambda: self._wakes != wakes, seconds)

    def _turns(self, hand: Hand, most: int = AT_ONCE) -> Sequence[TurnResult]:
        """Record what the thread has in its hand, and claim as much as it can soon send."""
        self._attend()
        requests = self._requests(hand, most)
        is_small = not any(each.is_first_by_rules for each in requests)
        if len(requests) == 1:
            results = [self._store.write_now(record_and_claim, requests[0], small=is_small)]
        else:
            results = self._store.write_now(take_several, requests, small=is_small)
        self._last_rules = requests[0].rules
        log_turns(requests, results)
        return results

    def _requests(self, hand: Hand, most: int) -> list[TurnRequest]:
        """Return a turn for each thing in the hand, and for each delivery that it may claim."""
        with self._waking:  # one thread tries first, the others see its result
            is_first, self._is_first = self._is_first, False
        self._is_untried = self._is_untried and not hand.finished
        most = 0 if hand.is_held_up else most
        if not hand.has_arrived():
            self._at_once = 1  # the record of a failure may pause the destination
        most = 0 if self._stopping.is_set() else min(most, 1 if is_first else self._at_once)
        return turns_of(hand, self._request(is_first), most)

    def _request(self, is_first: bool) -> TurnRequest:
        now, rules = time.time_ns(), self._live_rules.rules
        # A lease must outlive the attempt, or a second claimant would send the message, too.
        lease = max(self._lease, self.destination.timeout + 10)
        return TurnRequest(
            self.destination.name,
            policy_at(self.destination, rules, now),
            now,
            now + int(lease * SECOND),
            rules,
            is_first=is_first,
            is_untried=self._is_untried,
            is_first_by_rules=self._last_rules is not rules,
        )

    def _seconds_to_rest(self) -> float:
        now = time.time_ns()
        policy = policy_at(self.destination, self._live_rules.rules, now)
        due = self._store.next_due(self.destination.name, policy, now)
        # What is due and was not claimed is being claimed by another process.
        return POLL if due is None else min(max((due - now) / SECOND, MET), POLL)

    def _attempt_all(self, claims: Sequence[Claim]) -> Hand:
        """Send claimed messages, one after the other, as long as they arrive and it is soon."""
        began = time.monotonic()
        hand = Hand(unsent=claims)
        while hand.unsent and not hand.is_held_up:
            is_late = time.monotonic() - began > SOON or self._stopping.is_set()
            if hand.finished and (is_late or not hand.has_arrived()):
                self._at_once = len(hand.finished)
                return hand
            claim, rest = hand.unsent[0], hand.unsent[1:]
            try:
                hand = self._attempt(claim, replace(hand, unsent=rest))
            except Exception:
                log.exception("lane.failed destination=%s", self.destination.name)
                return replace(hand, unsent=rest)
        if self.destination.parallel == 1:  # else the other threads take what this one cannot
            self._at_once = min(2 * len(claims), AT_ONCE)
        return hand

    def _attempt(self, claim: Claim, others: Hand) -> Hand:
        """Send a message; return it with the others in the hand."""
        message = self._compose(claim)
        deadline.hand_over_to(
            lambda attempt: self._run(lambda: others.and_(self._finished(claim, message, attempt)))
        )
        attempt = self._send(self.destination, message)
        if attempt.is_none:
            return others.held_up(claim)
        self._count(self.destination.name, attempt.outcome, attempt.duration_ms / 1000)
        return others.and_(self._finished(claim, message, attempt))

    def _compose(self, claim: Claim) -> Message:
        """Compose the message; if that fails, say at least which execution it is about."""
        try:
            route = self._live_rules.rules.route(claim.route)
            return compose(claim, route, time.time_ns(), self._links, self._zone)
        except Exception:
            log.exception(
                "message.failed delivery=%d destination=%s", claim.delivery, claim.destination
            )
            return plain_message(claim)

    def _finished(self, claim: Claim, message: Message, attempt: Attempt) -> FinishedAttempt:
        now, rules = time.time_ns(), self._live_rules.rules
        result = follow(claim, attempt, self.destination, message, now, random.random())
        try:
            result = with_others(result, claim, rules, now)
        except Exception:
            # Without a record this message would go out again and again.
            log.exception("delivery.unfollowed delivery=%d", claim.delivery)
        return FinishedAttempt(claim, attempt, result)
