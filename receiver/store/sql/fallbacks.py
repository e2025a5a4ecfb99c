"""Fall-backs: the message of a dead delivery for another destination, and the reports of its death.

One destination gets one message about one thing, whether by a route or in place of another. Every
death is reported, at most with others and later.
"""

from __future__ import annotations

from collections.abc import Sequence

from receiver.deliveries import Claim, Kind, PlannedDelivery, State
from receiver.store.sql.database import Database, statement
from receiver.store.sql.facts import STUCK
from receiver.store.sql.outbox import PUT_BACK, inserted, owing, put_back
from receiver.store.sql.superseded import FELL_FROM
from receiver.times import SECOND

# The time between two reports that the same destination does not get its messages: in one outage,
# and after it got something.
REPORT_EVERY, REPORT_AT_MOST_EVERY = 3600 * SECOND, 60 * SECOND


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
    f" WHEN {_ORIGINAL} = 'resolved' THEN 1 = 1"
    # What may be told later, if nothing is heard, does not say so now.
    " WHEN s.planned_at > :now THEN 0 = 1"
    f" ELSE ({_of('s', STUCK.replace('AS s', 'AS v').replace('s.', 'v.'))}) = ({STUCK}) END)"
)
# What a destination missed during a silence, with its event.
_MISSED = "AS {0} JOIN event AS {0}e ON {0}e.seq = {0}.event WHERE {0}.state = 'superseded'"


def _is_end(alias: str) -> str:
    return f"CASE WHEN {_of(alias, _ORIGINAL)} = 'resolved' THEN 1 ELSE 0 END"


# The event that ends one episode begins the next.
_SAME_EVENT = f"n.event = m.event AND {_is_end('n')} = {_is_end('m')}"
# The digest says of an episode that it is over.
_SAME_EPISODE = (
    "n.source = m.source AND n.execution_id = m.execution_id"
    f" AND ne.version - {_is_end('n')} = me.version - {_is_end('m')}"
)
# The same for the digest of a silence (`r`): another one tells of all episodes of which it tells.
_LISTED_BY_ANOTHER = (
    "EXISTS (SELECT 1 FROM (WITH RECURSIVE o (id, kind, origin) AS (SELECT d.id, d.kind, d.origin"
    " UNION ALL SELECT f.id, f.kind, f.origin FROM o JOIN delivery AS f ON f.id = o.origin"
    " WHERE o.kind = 'fallback') SELECT o.id FROM o WHERE o.kind = 'digest') AS root"
    " JOIN delivery AS r ON r.id = root.id JOIN delivery AS l ON l.silence = r.silence"
    " AND l.kind = 'digest' AND l.step = r.step AND l.id <> r.id"
    f" WHERE ((l.destination = CAST(:destination AS text) AND l.{_OWED})"
    " OR EXISTS (SELECT 1 FROM delivery AS f WHERE f.origin = l.id AND f.kind = 'fallback'"
    f" AND f.destination = CAST(:destination AS text) AND f.{_OWED}))"
    f" AND NOT EXISTS (SELECT 1 FROM delivery {_MISSED.format('m')}"
    " AND m.destination = r.destination AND m.silence = r.silence"
    + "".join(
        f" AND NOT EXISTS (SELECT 1 FROM delivery {_MISSED.format('n')}"
        f" AND n.destination = l.destination AND coalesce(n.silence, 0) = r.silence AND {same})"
        for same in (_SAME_EVENT, _SAME_EPISODE)
    )
    + "))"
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

OWE = statement(
    "owe",
    owing(
        "FROM delivery WHERE id = :delivery",
        dedup_key=":dedup_key", event="event", alarm="alarm", source="source",
        execution_id="execution_id", event_id="event_id", verdict="verdict", route=":route",
        destination=":destination", kind=":kind", order_key=":order_key",
        guard_version=":guard_version", origin=":origin",
        step=":step", group_key=":group_key", created_at=":now", owed_at=":due", due_at=":due",
    ),
)  # fmt: skip
_REPORTS = (
    "d.destination = :destination AND d.order_key = :order_key AND d.kind = 'notice'"
    " AND d.origin IS NOT NULL"
)
# The last report to a destination that was sent, and when the one that fails last got something.
LAST_REPORT = statement(
    "last_report",
    "SELECT d.due_at, (SELECT p.succeeded_at FROM destination AS p"
    " WHERE p.name = (SELECT o.destination FROM delivery AS o WHERE o.id = d.origin))"
    f" FROM delivery AS d WHERE {_REPORTS} AND d.state = 'sent' ORDER BY d.id DESC LIMIT 1",
)
NEXT_REPORT = statement(
    "next_report",
    f"SELECT d.id, d.state, d.planned_at FROM delivery AS d WHERE {_REPORTS}"
    " AND d.state IN ('waiting', 'sending') ORDER BY d.id DESC LIMIT 1",
)
# A destination does not get a message about an execution, and got nothing since: a report about the
# same execution would not arrive either.
FAILS_TOO = statement(
    "fails_too",
    "SELECT 1 FROM delivery AS d JOIN delivery AS s ON s.source = d.source"
    " AND s.execution_id = d.execution_id WHERE d.id = :delivery AND s.state = 'dead'"
    " AND s.destination = :destination AND NOT EXISTS (SELECT 1 FROM destination AS p"
    " WHERE p.name = s.destination AND p.succeeded_at >= s.due_at) LIMIT 1",
)
# The same for reports that wait when it dies, if others are told.
END_REPORTS = statement(
    "end_reports",
    "UPDATE delivery SET state = 'superseded',"
    " reason = destination || ' does not get its messages either' WHERE state = 'waiting'"
    " AND kind = 'notice' AND origin IS NOT NULL AND id IN (SELECT r.id FROM delivery AS d"
    " JOIN delivery AS r ON r.source = d.source AND r.execution_id = d.execution_id"
    " AND r.destination = d.destination WHERE d.id = :delivery AND d.state = 'dead'"
    " AND EXISTS (SELECT 1 FROM delivery AS t WHERE t.origin = r.origin AND t.kind = 'notice'"
    " AND t.destination <> r.destination AND t.state IN ('waiting', 'sending', 'sent')))",
)
BRING_FORWARD = statement(
    "bring_report_forward",
    "UPDATE delivery SET planned_at = :due, owed_at = :due, due_at = :due, begun_at = :now"
    f" WHERE id = :report {PUT_BACK}",
)


def has_it(db: Database, delivery: int, message: PlannedDelivery, now: int) -> bool:
    """Return whether the destination of a fall-back has the message of a dead delivery already."""
    if message.kind is not Kind.FALLBACK:
        return False
    values = {"delivery": delivery, "destination": message.destination, "now": now}
    return db.row(HAS_IT, values) is not None


def fall_back(db: Database, claim: Claim, destination: str) -> int:
    """Add the dead deliveries of a digest for another destination, as a group; return how many."""
    values = {"destination": destination, "now": claim.claimed_at, "head": claim.delivery}
    return inserted(db, OWE_FALLBACK, values)


def owe(db: Database, delivery: int, messages: Sequence[PlannedDelivery], now: int) -> int:
    """See contract.Sending.owe; return the number of new deliveries."""
    values = {"delivery": delivery, "now": now}
    db.change(END_REPORTS, values)
    reports = [m for m in messages if m.kind is Kind.NOTICE and m.origin is not None]
    deaf = [m for m in reports if db.row(FAILS_TOO, {**values, "destination": m.destination})]
    # Somebody has to be told.
    left_out = deaf if len(deaf) < len(reports) else []
    return sum(_owe(db, delivery, message, now) for message in messages if message not in left_out)


def _owe(db: Database, delivery: int, message: PlannedDelivery, now: int) -> int:
    due: int | None = now + message.due_in
    if message.kind is Kind.NOTICE and message.origin is not None:
        due = _report_at(db, message, now)
    if due is None:
        return 0
    return inserted(
        db,
        OWE,
        {
            "delivery": delivery, "dedup_key": message.dedup_key, "route": message.route,
            "destination": message.destination, "kind": str(message.kind),
            "order_key": message.order_key, "guard_version": message.guard_version,
            "origin": message.origin, "step": message.step, "group_key": message.group_key,
            "now": now, "due": due,
        },
    )  # fmt: skip


def _report_at(db: Database, message: PlannedDelivery, now: int) -> int | None:
    """Return when a destination hears of a dead delivery; None: one that waits tells of it.

    One that waits for its time comes sooner if this is another outage. See contract.Sending.owe.
    """
    values = {"destination": message.destination, "order_key": message.order_key}
    due = now
    if (last := db.row(LAST_REPORT, values)) is not None:
        at, succeeded_at = last
        is_same_outage = succeeded_at is None or succeeded_at <= at
        due = max(at + (REPORT_EVERY if is_same_outage else REPORT_AT_MOST_EVERY), now)
    if (waiting := db.row(NEXT_REPORT, values)) is None:
        return due
    report, state, planned_at = waiting
    if state == State.WAITING and planned_at > due:
        put_back(db, BRING_FORWARD, {"report": report, "due": due, "now": now})
    return None
