"""A turn of a lane, in one transaction: record what is finished, and claim the next delivery."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from receiver.config.rules import Rules
from receiver.deliveries import Attempt, Claim
from receiver.dispatch import dead_letters
from receiver.routing.policy import SendPolicy
from receiver.store.contract import AttemptResult, Transaction


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
        mine = transaction.record(done.claim, done.attempt, done.after)
        woken += [owed.destination for owed in done.after.owed if mine]
    if this.goes_on:
        claim = transaction.claim(
            this.destination, this.policy, this.now, this.until, anyway=this.is_first
        )
        if claim is None and not this.is_untried:
            ended = transaction.expire_overdue(this.destination, this.policy, this.now)
            woken += tell_of(transaction, ended, this.rules, this.now)
    return TurnResult(mine, claim, tuple(woken), tuple(ended))


def tell_of(transaction: Transaction, dead: Iterable[Claim], rules: Rules, now: int) -> list[str]:
    """Owe what the end of deliveries owes to others; the destinations that are owed it."""
    told = []
    for claim in dead:
        owed = dead_letters.owed(claim, rules.routes, rules.destinations, now)
        transaction.owe(claim.delivery, owed, now)
        told += [message.destination for message in owed]
    return told
