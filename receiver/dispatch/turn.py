"""Turn of a worker: one transaction that records an attempt and claims the next delivery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from receiver.config.rules import Rules
from receiver.deliveries import Attempt, Claim, Kind, Outcome
from receiver.destinations.destination import Destination
from receiver.dispatch import dead_letters, retry
from receiver.dispatch.replanning import replan_after
from receiver.routing.policy import SendPolicy
from receiver.store.contract import Transaction
from receiver.store.records import AttemptResult
from receiver.times import SECOND

# Kinds of messages after which a reminder comes, even after their death.
_REMINDED_OF = (Kind.NOTICE, Kind.FALLBACK, Kind.REMINDER)


@dataclass(frozen=True, slots=True)
class FinishedAttempt:
    """An attempt that was made, and its consequences."""

    claim: Claim
    attempt: Attempt
    after: AttemptResult


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """A worker's request: record the finished attempt and, if it goes on, claim the next delivery.

    Times are nanoseconds; `until` is the end of the lease. The first turn of a worker tries one
    message even during its destination's pause: the address may have been corrected. While the
    destination `is_untried` since the start, nothing expires: deliveries that waited while no
    server ran get their chance. The first turn by new rules checks deliveries in quiet hours again,
    because those hours may have changed.
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


def record_and_claim(
    transaction: Transaction, turns: Sequence[TurnRequest]
) -> Sequence[TurnResult]:
    """Take turns: record the finished attempt, then claim. This is the act of dispatch."""
    return [_record_and_claim(transaction, turn) for turn in turns]


def _record_and_claim(transaction: Transaction, turn: TurnRequest) -> TurnResult:
    recorded = True
    claim: Claim | None = None
    ended: Sequence[Claim] = ()
    if turn.is_first_by_rules:
        transaction.recheck_quiet(turn.destination, turn.policy, turn.now)
    if (finished := turn.finished) is not None:
        recorded = record(transaction, finished)
        if recorded:
            _replan_episode(transaction, turn, finished.claim)
    if turn.goes_on:
        claim = transaction.claim(
            turn.destination, turn.policy, turn.now, turn.until, anyway=turn.is_first
        )
        if claim is None and not turn.is_untried:
            ended = expire_overdue(transaction, turn.destination, turn.policy, turn.now)
            tell_of(transaction, ended, turn.rules, turn.now)
    return TurnResult(recorded, claim, tuple(ended))


def _replan_episode(transaction: Transaction, turn: TurnRequest, claim: Claim) -> None:
    """Replan an episode if the rules may have changed while a message about it was sent."""
    if turn.rules.route(claim.route) is None or turn.is_first_by_rules:
        replan_after(transaction, [claim], turn.rules, turn.now)


def record(transaction: Transaction, finished: FinishedAttempt) -> bool:
    """Record an attempt, and pause its destination if the failures call for it.

    False: the claim was lost meanwhile.
    """
    claim, attempt = finished.claim, finished.attempt
    if not transaction.record(claim, attempt, finished.after):
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
    return transaction.expire_overdue(destination, policy.overdue, reason, now)


def tell_of(transaction: Transaction, dead: Sequence[Claim], rules: Rules, now: int) -> None:
    """Plan messages to others about dead deliveries."""
    for claim in dead:
        planned = dead_letters.plan(claim, rules.routes, rules.destinations)
        transaction.owe(claim.delivery, planned, now)
    replan_after(transaction, [each for each in dead if each.kind in _REMINDED_OF], rules, now)
