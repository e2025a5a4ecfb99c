"""A turn of a lane, in one transaction: record what is finished, and claim the next delivery."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from receiver.config.rules import Rules
from receiver.deliveries import Attempt, Claim, Outcome
from receiver.dispatch import dead_letters, retry
from receiver.routing.policy import SendPolicy
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
    """What a lane asks for: to record what is finished and, if it goes on, to claim the next.

    Times are nanoseconds; `until` is the end of the lease. The first turn of a lane tries one
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
    """What came of it: whether the claim was still ours, the next one, who is owed something.

    `ended` are deliveries that died without an attempt.
    """

    mine: bool
    claim: Claim | None
    woken: tuple[str, ...]
    ended: tuple[Claim, ...] = ()


def record_and_claim(
    transaction: Transaction, turns: Sequence[TurnRequest]
) -> Sequence[TurnResult]:
    """The act of dispatch: record, then claim."""
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
    """Owe what the end of deliveries owes to others; the destinations that are owed it."""
    told = []
    for claim in dead:
        owed = dead_letters.owed(claim, rules.routes, rules.destinations, now)
        transaction.owe(claim.delivery, owed, now)
        told += [message.destination for message in owed]
    return told
