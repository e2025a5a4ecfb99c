"""Fall-backs: the message of a dead delivery for another destination, unless that has it already.

One destination gets one message about one thing, whether by a route or in place of another.
"""

from __future__ import annotations

from receiver.deliveries import Claim, Kind, PlannedDelivery
from receiver.store.sql.database import Database, statement
from receiver.store.sql.facts import STUCK
from receiver.store.sql.outbox import inserted, owing
from receiver.store.sql.superseded import FELL_FROM


def _of(alias: str, fragment: str) -> str:
    """Return a fragment about the delivery `d` as one about another delivery."""
    return fragment.replace("d.", f"{alias}.")


_ORIGINAL = f"CASE WHEN d.kind = 'fallback' THEN {FELL_FROM} ELSE d.kind END"
# Whatever route asks for it, at one time it is the same escalation.
_SINCE = (
    "(WITH RECURSIVE o (kind, origin, at) AS (SELECT d.kind, d.origin, d.planned_at UNION ALL"
    " SELECT f.kind, f.origin, f.planned_at FROM o JOIN delivery AS f ON f.id = o.origin"
    " WHERE o.kind = 'fallback') SELECT o.at FROM o WHERE o.kind <> 'fallback')"
)
_OWED = "state IN ('waiting', 'sending', 'sent')"
# A report about dead deliveries is another thing than the message that died.
_IS_REPORT = "substr(d.order_key, 1, 5) = 'dead/'"
# Another delivery to the destination says the same as the dead one (`d`). The same message may fall
# back again: it was sent, got another chance and died once more.
_SAID_BY_ANOTHER = (
    f"EXISTS (SELECT 1 FROM delivery AS s WHERE s.event = d.event AND s.id <> d.id AND s.{_OWED}"
    " AND s.destination = CAST(:destination AS text) AND s.verdict = d.verdict"
    " AND NOT (s.kind = 'fallback' AND s.origin = d.id AND s.state = 'sent')"
    f" AND {_of('s', _ORIGINAL)} = {_ORIGINAL} AND {_ORIGINAL} <> 'digest'"
    f" AND CASE WHEN {_ORIGINAL} = 'escalation' THEN {_SINCE} = {_of('s', _SINCE)}"
    f" WHEN s.step <> d.step THEN 0 = 1 WHEN {_ORIGINAL} = 'reminder' THEN s.route = d.route"
    f" WHEN {_IS_REPORT} OR {_of('s', _IS_REPORT)} THEN s.order_key = d.order_key"
    f" ELSE ({_of('s', STUCK.replace('AS s', 'AS v').replace('s.', 'v.'))}) = ({STUCK}) END)"
)
_MISSED = "AS {0} WHERE {0}.state = 'superseded' AND {0}.destination"
# The same for the digest of a silence (`r`): another one lists all that it lists.
_LISTED_BY_ANOTHER = (
    "EXISTS (SELECT 1 FROM (WITH RECURSIVE o (id, kind, origin) AS (SELECT d.id, d.kind, d.origin"
    " UNION ALL SELECT f.id, f.kind, f.origin FROM o JOIN delivery AS f ON f.id = o.origin"
    " WHERE o.kind = 'fallback') SELECT o.id FROM o WHERE o.kind = 'digest') AS root"
    " JOIN delivery AS r ON r.id = root.id JOIN delivery AS l ON l.silence = r.silence"
    " AND l.kind = 'digest' AND l.step = r.step AND l.id <> r.id"
    f" WHERE ((l.destination = CAST(:destination AS text) AND l.{_OWED})"
    " OR EXISTS (SELECT 1 FROM delivery AS f WHERE f.origin = l.id AND f.kind = 'fallback'"
    f" AND f.destination = CAST(:destination AS text) AND f.{_OWED}))"
    f" AND NOT EXISTS (SELECT 1 FROM delivery {_MISSED.format('m')} = r.destination"
    " AND m.silence = r.silence AND NOT EXISTS (SELECT 1"
    f" FROM delivery {_MISSED.format('n')} = l.destination"
    " AND coalesce(n.silence, 0) = r.silence AND n.event = m.event)))"
)
_HAS_IT = f"({_SAID_BY_ANOTHER} OR {_LISTED_BY_ANOTHER})"
HAS_IT = statement(
    "has_it_already", f"SELECT 1 FROM delivery AS d WHERE d.id = :delivery AND {_HAS_IT}"
)
OWE_FALLBACK = statement(
    "owe_fallback",
    owing(
        f"FROM delivery AS d WHERE d.digest = :head AND d.state = 'dead' AND NOT {_HAS_IT}",
        dedup_key="'fallback/' || d.id || '/' || d.owed_at || '/' || CAST(:destination AS text)",
        event="d.event", alarm="d.alarm", source="d.source", execution_id="d.execution_id",
        event_id="d.event_id", verdict="d.verdict", route="d.route", destination=":destination",
        kind="'fallback'",
        order_key="d.order_key", guard_version="d.guard_version", origin="d.id", step="d.step",
        group_key="d.group_key", created_at=":now", owed_at=":now", due_at=":now",
    ),
)  # fmt: skip


def has_it(db: Database, delivery: int, message: PlannedDelivery) -> bool:
    """Return whether the destination of a fall-back has the message of a dead delivery already."""
    if message.kind is not Kind.FALLBACK:
        return False
    return db.row(HAS_IT, {"delivery": delivery, "destination": message.destination}) is not None


def fall_back(db: Database, claim: Claim, destination: str) -> int:
    """Add the dead deliveries of a digest for another destination, as a group; return how many."""
    values = {"destination": destination, "now": claim.claimed_at, "head": claim.delivery}
    return inserted(db, OWE_FALLBACK, values)
