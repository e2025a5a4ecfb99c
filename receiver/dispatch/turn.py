"""Turn of a worker: one transaction that records an attempt and claims the next delivery."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from receiver.config.rules import Rules
from receiver.deliveries import Attempt, Claim, Kind, Outcome, State
from receiver.destinations.destination import Destination
from receiver.dispatch import dead_letters, retry
from receiver.dispatch.replanning import replan_after
from receiver.routing.policy import SendPolicy
from receiver.store.contract import Transaction
from receiver.store.records import AttemptResult
from receiver.times import SECOND

log = logging.getLogger("receiver.dispatch")

# Kinds of messages after which a reminder comes, even after their death.
_REMINDED_OF = (Kind.NOTICE, Kind.FALLBACK, Kind.REMINDER)


@dataclass(frozen=True, slots=True)
class FinishedAttempt:
    """An attempt that was made, and its consequences."""

    claim: Claim
    attempt: Attempt
    after: AttemptResult

    def log(self, recorded: bool) -> None:
        """Log the attempt; `recorded`: its claim was still held."""
        claim, attempt = self.claim, self.attempt
        log.log(
            logging.ERROR if self.after.state is State.DEAD else logging.INFO,
            "delivery.attempted delivery=%d destination=%s route=%r kind=%s source=%s"
            " execution_id=%r outcome=%s state=%s duration_ms=%d recorded=%s detail=%r",
            claim.delivery,
            claim.destination,
            claim.route,
            claim.kind,
            claim.facts.source,
            claim.facts.execution_id,
            attempt.outcome,
            self.after.state,
            attempt.duration_ms,
            recorded,
            attempt.detail,
        )


@dataclass(frozen=True, slots=True)
class Hand:
    """Hand of a thread: its attempts to record, and the claims that it has not begun.

    `is_held_up`: nobody is there who sends them.
    """

    finished: Sequence[FinishedAttempt] = ()
    unsent: Sequence[Claim] = ()
    is_held_up: bool = False

    def is_full(self) -> bool:
        """Return whether the next turn has something to store."""
        return bool(self.finished or self.unsent)

    def has_arrived(self) -> bool:
        """Return whether every message did that was sent."""
        return all(each.attempt.outcome is Outcome.DELIVERED for each in self.finished)

    def held_up(self, claim: Claim) -> Hand:
        """Return it with a claim whose message nobody could send now."""
        return replace(self, unsent=[claim, *self.unsent], is_held_up=True)

    def and_(self, finished: FinishedAttempt) -> Hand:
        """Return it with one more attempt."""
        return replace(self, finished=[*self.finished, finished])


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """A worker's request: record the finished attempt and, if it goes on, claim the next delivery.

    Times are nanoseconds; `until` is the end of the lease. The first turn of a worker tries one
    message even during its destination's pause: the address may have been corrected. While the
    destination `is_untried` since the start, nothing expires: deliveries that waited while no
    server ran get their chance. The first turn by new rules checks deliveries in quiet hours again,
    because those hours may have changed. A claim that is `unsent` goes back, as if it had not been
    made.
    """

    destination: str
    policy: SendPolicy
    now: int
    until: int
    rules: Rules
    finished: FinishedAttempt | None = None
    goes_on: bool = True
    is_first: bool = False
    is_untried: bool = False
    is_first_by_rules: bool = False
    unsent: Claim | None = None


@dataclass(frozen=True, slots=True)
class TurnResult:
    """The result of a turn.

    `recorded`: the worker still held the claim of the finished attempt. `claim` is the next
    delivery. The deliveries in `ended` died without an attempt.
    """

    recorded: bool
    claim: Claim | None
    ended: tuple[Claim, ...] = ()


def policy_at(destination: Destination, rules: Rules, now: int) -> SendPolicy:
    """Return the destination's policy at a time (nanoseconds)."""
    return rules.policy_at(destination, now)


def turns_of(hand: Hand, turn: TurnRequest, most: int) -> list[TurnRequest]:
    """Return turns like this one that store what is in the hand, and claim so many at most."""
    turns = [replace(turn, finished=each) for each in hand.finished]
    turns += [replace(turn, unsent=each) for each in hand.unsent]
    turns += [turn] * (max(most, 1) - len(turns))
    # The last ones claim, when all is recorded.
    first = len(turns) - most
    return [replace(each, goes_on=number >= first) for number, each in enumerate(turns)]


def record_and_claim(
    transaction: Transaction, turns: Sequence[TurnRequest]
) -> Sequence[TurnResult]:
    """Take turns: record the finished attempt, then claim. This is the act of dispatch."""
    return [_record_and_claim(transaction, turn) for turn in turns]


def take_several(
    transaction: Transaction, hands: Sequence[Sequence[TurnRequest]]
) -> Sequence[list[TurnResult]]:
    """Take several turns of a worker at once, until nothing is left for it to claim."""
    return [_take_several(transaction, turns) for turns in hands]


def _take_several(transaction: Transaction, turns: Sequence[TurnRequest]) -> list[TurnResult]:
    finished = [turn.finished.claim for turn in turns if turn.finished is not None]
    results = [TurnResult(_store(transaction, turn, finished), None) for turn in turns]
    again = False
    for number, turn in enumerate(turns):
        if turn.goes_on:
            claim, ended = _claim(transaction, turn, again=again)
            results[number] = replace(results[number], claim=claim, ended=ended)
            if claim is None:
                break
            again = True
    return results


def _record_and_claim(transaction: Transaction, turn: TurnRequest) -> TurnResult:
    recorded = _store(transaction, turn)
    return TurnResult(recorded, *(_claim(transaction, turn) if turn.goes_on else (None,)))


def _store(transaction: Transaction, turn: TurnRequest, beside: Sequence[Claim] = ()) -> bool:
    """Store what a turn brings; return whether it still held the claim of its attempt."""
    recorded = True
    if turn.is_first_by_rules:
        transaction.recheck_quiet(turn.destination, turn.policy, turn.now)
    if (finished := turn.finished) is not None:
        recorded = record(transaction, finished, beside)
        if recorded:
            _replan_episode(transaction, turn, finished.claim)
    if turn.unsent is not None:
        transaction.release(turn.now, unsent=turn.unsent)
    return recorded


def _claim(
    transaction: Transaction, turn: TurnRequest, *, again: bool = False
) -> tuple[Claim | None, tuple[Claim, ...]]:
    """Claim the next delivery, and end those that are overdue if there is none."""
    claim = transaction.claim(
        turn.destination, turn.policy, turn.now, turn.until, anyway=turn.is_first, again=again
    )
    if claim is not None or turn.is_untried:
        return claim, ()
    ended = expire_overdue(transaction, turn.destination, turn.policy, turn.now)
    tell_of(transaction, ended, turn.rules, turn.now)
    return None, tuple(ended)


def _replan_episode(transaction: Transaction, turn: TurnRequest, claim: Claim) -> None:
    """Replan an episode if the rules may have changed while a message about it was sent."""
    if turn.rules.route(claim.route) is None or turn.is_first_by_rules:
        replan_after(transaction, [claim], turn.rules, turn.now)


def record(
    transaction: Transaction, finished: FinishedAttempt, beside: Sequence[Claim] = ()
) -> bool:
    """Record an attempt, and pause its destination if the failures call for it.

    False: the claim was lost meanwhile. `beside`: see contract.Sending.record.
    """
    claim, attempt = finished.claim, finished.attempt
    if not transaction.record(claim, attempt, finished.after, beside):
        return False
    if attempt.outcome is Outcome.DELIVERED:
        return True
    failures = transaction.failures(claim.destination)
    wait = retry.pause_after(attempt, failures, finished.after.chance)
    if wait > 0:
        ended = finished.after.at
        if ended is None:
            ended = claim.claimed_at + attempt.duration_ms * (SECOND // 1000)
        transaction.pause(claim.destination, ended, ended + int(wait * SECOND))
    return True


def expire_overdue(
    transaction: Transaction, destination: str, policy: SendPolicy, now: int
) -> Sequence[Claim]:
    """End overdue deliveries to a destination that fails as a whole; a bounded number.

    The pause that a destination asks for does not keep the message from those who get it instead.
    """
    failures = transaction.failures(destination)
    if retry.fails_as_a_whole(failures):
        why = f"its destination failed {failures.in_a_row} times in a row"
    elif failures.paused_until > now:
        why = "its destination asks for more time"
    else:
        return []
    reason = f"given up after retry_for: {why}"
    return transaction.expire_overdue(destination, policy, reason, now)


def tell_of(transaction: Transaction, dead: Sequence[Claim], rules: Rules, now: int) -> None:
    """Plan messages to others about dead deliveries."""
    for claim in dead:
        planned = dead_letters.plan(claim, rules.routes, rules.destinations)
        transaction.owe(claim.delivery, planned, now)
    replan_after(transaction, [each for each in dead if each.kind in _REMINDED_OF], rules, now)


def log_turns(turns: Sequence[TurnRequest], results: Sequence[TurnResult]) -> None:
    """Log the attempts that turns have recorded, and the deliveries that they ended."""
    for turn, result in zip(turns, results, strict=True):
        if turn.finished is not None:
            turn.finished.log(result.recorded)
        for dead in result.ended:
            log_dead(dead)


def log_dead(dead: Claim) -> None:
    """Log a delivery that died without an attempt."""
    log.error(
        "delivery.dead delivery=%d destination=%s route=%r execution_id=%r reason=%r",
        dead.delivery,
        dead.destination,
        dead.route,
        dead.facts.execution_id,
        dead.origin.reason if dead.origin else "",
    )
