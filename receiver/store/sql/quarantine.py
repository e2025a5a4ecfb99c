"""Quarantine: it is bounded, and a destination is told of its kind once a day.

A day counts from the last message that was sent, or from a message that waits. One that died counts
for nothing. The times stand beside those of groups.
"""

from __future__ import annotations

from receiver.deliveries import Claim, Kind, PlannedDelivery, State
from receiver.events import Verdict
from receiver.store.sql.database import Database, statement
from receiver.times import SECOND

MAX_QUARANTINED = 1_000
DAY = 24 * 3600 * SECOND
# The oldest events go, except those with a delivery.
EVICT = statement(
    "evict",
    "DELETE FROM event WHERE owed = 0 AND verdict = 'quarantined' AND seq <= (SELECT seq FROM event"
    " WHERE verdict = 'quarantined' ORDER BY seq DESC LIMIT 1 OFFSET :kept) RETURNING reason",
)
TOLD = statement(
    "quarantine_told",
    "SELECT 1 FROM digest_group WHERE destination = :destination AND key = :key"
    " AND told_at > :since UNION ALL SELECT 1 FROM delivery WHERE destination = :destination"
    " AND order_key = :key AND state IN ('waiting', 'sending') LIMIT 1",
)
TELL = statement(
    "tell_quarantine",
    "INSERT INTO digest_group (destination, key, told_at) VALUES (:destination, :key, :now)"
    " ON CONFLICT (destination, key) DO UPDATE SET told_at = excluded.told_at",
)
UNTOLD = statement(
    "quarantine_untold",
    "DELETE FROM digest_group WHERE destination = :destination AND key = :key",
)


def evict(db: Database) -> list[str]:
    """Remove the events that are too many; return their reasons."""
    return [reason for (reason,) in db.rows(EVICT, {"kept": MAX_QUARANTINED})]


def begins_a_day(db: Database, message: PlannedDelivery, now: int) -> bool:
    """Return whether a notice about the quarantine is the first of a day; then it counts."""
    values = {"destination": message.destination, "key": message.order_key, "now": now}
    if db.row(TOLD, {**values, "since": now - DAY}) is not None:
        return False
    db.change(TELL, values)
    return True


def settle(db: Database, claim: Claim, state: State) -> None:
    """Let the day of a notice about the quarantine count from its end; none, if it died."""
    facts = claim.facts
    if facts.verdict is not Verdict.QUARANTINED or claim.alarm is not None:
        return
    is_report = claim.kind is Kind.NOTICE and claim.origin is not None
    if is_report or claim.kind is Kind.DIGEST or state not in (State.SENT, State.DEAD):
        return
    key = f"quarantine/{facts.source}/{facts.verdict_reason}"
    instead_of = claim.origin.destination if claim.origin is not None else claim.destination
    for name in {claim.destination, instead_of}:
        values = {"destination": name, "key": key, "now": claim.claimed_at}
        db.change(TELL if state is State.SENT else UNTOLD, values)
