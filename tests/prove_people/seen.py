"""What people see: an attempt as an outage has it, and what a message says in essence."""

from __future__ import annotations

from receiver.deliveries import Attempt, Claim, Digest, DigestItem, Kind, Outcome
from tests.prove_people.plan import Item, Outage
from tests.support.people import DELIVERED, FAILED, GONE

LOST = Attempt(Outcome.UNCERTAIN, "no answer")
WAITS = ("awaiting_confirmation", "paused_by_agent", "paused")


def answer_of(outage: Outage) -> Attempt:
    """Return the attempt that an outage leads to."""
    if outage.answer == "dies":
        return DELIVERED
    if outage.answer == "lost":
        return LOST
    if outage.answer == "404":
        return GONE
    after = float(outage.after) if outage.answer == "later" else None
    return Attempt(Outcome.FAILED, "HTTP 503", retry_after=after) if after else FAILED


def items_of(claim: Claim) -> tuple[Item, ...]:
    """Return what a message says of which executions, in essence."""
    if isinstance(claim.digest, Digest):
        found = {item for each in claim.digest.listed for item in listed(each)}
        return tuple(sorted(found))
    kind, step = (
        (claim.origin.kind, claim.origin.step) if claim.origin else (claim.kind, claim.step)
    )
    facts = claim.facts
    return ((str(facts.execution_id), said(claim, kind, step)),)


def said(claim: Claim, kind: Kind, step: int) -> str:
    """Return what a message about one execution says."""
    status = str(claim.facts.status)
    if kind is Kind.REMINDER:
        return f"reminder {step} {status}"
    if kind is Kind.ACKNOWLEDGED and claim.acknowledged is not None:
        before = claim.acknowledged.taken_from
        return f"taken by {claim.acknowledged.by}" + (f" from {before}" if before else "")
    if kind is Kind.RESOLVED:
        return f"{claim.begun.status if claim.begun else '?'} is over: {status}"
    if kind is Kind.NOTICE:
        if claim.digest is None and getattr(claim, "route", "").startswith("stuck"):
            return f"stuck {status}"
        taken = claim.acknowledged
        return status + (f", {taken.by} has it" if taken else "")
    return f"{kind} {status}"


def listed(item: DigestItem) -> list[Item]:
    """Return what a line of a digest says."""
    execution, status = str(item.facts.execution_id), str(item.facts.status)
    if item.kind is Kind.RESOLVED:
        return [(execution, f"{item.begun.status if item.begun else '?'} is over: {status}")]
    if item.kind is Kind.ACKNOWLEDGED:
        return [(execution, f"taken by {item.taken_by}")]
    if item.over:
        return [(execution, "over")] if status in WAITS else []
    if item.taken:
        return [(execution, f"{status}, {item.taken_by} has it")]
    return [(execution, status)]
