"""Turn of a worker: one transaction that records an attempt and claims the next delivery."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from receiver.config.rules import Rules
from receiver.deliveries import Attempt, Claim, Outcome
from receiver.destinations.destination import Destination
from receiver.dispatch import dead_letters, retry
from receiver.routing.policy import SendPolicy, route_options
from receiver.store.contract import Transaction
from receiver.store.records import AttemptResult
from receiver.times import SECOND


@dataclass(frozen=True, slots=True)
class FinishedAttempt:
    """An attempt that was made, and what follows from it."""

    claim: Claim
    attempt: Attempt
    after: AttemptResult


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What a worker asks for: to record what is finished and, if it goes on, to claim the next.

    Times are nanoseconds; `until` is the end of the lease. The first turn of a worker tries one
    message though its destination waits as a whole: its address may have been mended. As long as
    it `is_untried` since, nothing is given up: what waited while nobody served has its chance. The
    first turn by these rules looks again at what quiet hours put off: they may have been changed.
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
    """What came of a turn.

    `recorded` says whether the claim of the finished attempt was still the worker's. `claim` is
    the next delivery. `destinations` are owed something now. `ended` died without an attempt.
    """

    recorded: bool
    claim: Claim | None
    destinations: tuple[str, ...]
    ended: tuple[Claim, ...] = ()


def policy_at(destination: Destination, rules: Rules, now: int) -> SendPolicy:
    """Return how the destination may be told at a time (nanoseconds)."""
    by_route, other = route_options(rules.routes, destination.quiet, now)
    overdue = now - int(destination.retry_for * SECOND)
    return SendPolicy(destination.messages_per_second, overdue, by_route, other)


def record_and_claim(
    transaction: Transaction, turns: Sequence[TurnRequest]
) -> Sequence[TurnResult]:
    """Take turns: record what is finished, then claim. This is the act of dispatch."""
    return [_record_and_claim(transaction, each) for each in turns]


def _record_and_claim(transaction: Transaction, this: TurnRequest) -> TurnResult:
    mine, woken, claim = True, list[str](), None
    ended: Sequence[Claim] = ()
    if this.is_first_by_rules:
        transaction.recheck_quiet(this.destination, this.policy, this.now)
    if (done := this.finished) is not None:
        mine = record(transaction, done)
        woken += [owed.destination for owed in done.after.owed if mine]
    if this.goes_on:
        claim = transaction.claim(
            this.destination, this.policy, this.now, this.until, anyway=this.is_first
        )
        if claim is None and not this.is_untried:
            ended = expire_overdue(transaction, this.destination, this.policy)
            woken += tell_of(transaction, ended, this.rules, this.now)
    return TurnResult(mine, claim, tuple(woken), tuple(ended))


def record(transaction: Transaction, finished: FinishedAttempt) -> bool:
    """Record an attempt, and let its destination wait as a whole if that asks for it.

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
        ended = claim.claimed_at + attempt.duration_ms * (SECOND // 1000)
        transaction.pause(claim.destination, ended, ended + int(wait * SECOND))
    return True


def expire_overdue(
    transaction: Transaction, destination: str, policy: SendPolicy
) -> Sequence[Claim]:
    """End what waits too long for a destination that fails as a whole; a bounded number."""
    failures = transaction.failures(destination)
    if not retry.fails_as_a_whole(failures):
        return []
    times = f"its destination failed {failures.in_a_row} times in a row"
    reason = f"given up after retry_for: {times}"
    return transaction.expire_overdue(destination, policy.overdue, reason)


def tell_of(transaction: Transaction, dead: Iterable[Claim], rules: Rules, now: int) -> list[str]:
    """Owe others word of deliveries that have died; return the destinations that are owed it."""
    destinations = []
    for claim in dead:
        planned = dead_letters.plan(claim, rules.routes, rules.destinations, now)
        transaction.owe(claim.delivery, planned, now)
        destinations += [delivery.destination for delivery in planned]
    return destinations
