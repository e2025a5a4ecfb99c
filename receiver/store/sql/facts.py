"""Facts: the content of messages, read for a stored event and a claimed delivery; their truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from receiver.alarms import Alarm
from receiver.contexts import message_context
from receiver.deliveries import (
    Acknowledgement,
    Claim,
    DeadOriginal,
    HeardBefore,
    Kind,
    MessageContext,
    State,
)
from receiver.events import Category, Execution, Status, Verdict
from receiver.store.records import JudgedWebhook
from receiver.store.sql import rows
from receiver.store.sql.database import Database, Row, statement, variants
from receiver.times import LATEST

EVENT_FACTS = statement(
    "event_facts",
    "SELECT e.source, e.verdict, e.reason, e.received_at, e.event_id, e.event, e.status,"
    " e.occurred_at, e.execution_id, e.agent_id, e.agent_name, e.execution_url, e.metadata,"
    " e.detail, e.flags, e.missing, e.version AS applied_version, h.previous_status,"
    " h.previous_since, x.status AS x_status, x.since AS x_since, x.mark AS x_mark,"
    " x.version AS x_version, x.first_seen AS x_first_seen, x.agent_id AS x_agent_id,"
    " x.agent_name AS x_agent_name, x.execution_url AS x_url, x.metadata AS x_metadata,"
    " x.gap AS x_gap, x.assumed AS x_assumed, x.polled AS x_polled"
    " FROM event AS e"
    " LEFT JOIN execution AS x ON x.source = e.source AND x.execution_id = e.execution_id"
    " LEFT JOIN history AS h ON h.execution = x.id AND h.version = e.version"
    " WHERE e.seq = :event",
)
_EXECUTION = ("x_status", "x_since", "x_mark", "x_version", "x_first_seen", "x_agent_id",
              "x_agent_name", "x_url", "x_metadata", "x_gap", "x_assumed", "x_polled")  # fmt: skip
# The columns of a delivery for `claimed`.
COLUMNS = (
    "id, route, tries, repeat, owed_at, guard_version, event, kind, order_key, origin,"
    " destination, step, group_key, alarm"
)
DELIVERY = f"SELECT {COLUMNS} FROM delivery AS d"
# A confirmation, which waits unless it is over or taken. A digest lists it, never only counts it.
WAITS = (
    "(e.status = 'awaiting_confirmation' AND d.guard_version IS NOT NULL"
    " AND d.kind <> 'acknowledged')"
)
# A delivery that comes from a route about stuck executions, directly or as a follow-up.
STUCK = (
    "EXISTS (SELECT 1 FROM delivery AS s WHERE s.event = d.event AND s.route = d.route"
    " AND s.source = d.source AND s.execution_id = d.execution_id"
    " AND substr(s.dedup_key, 1, 6) = 'stuck/')"
)
# When the last event of an execution (of `d`) came. One beyond `:ahead` does not count: it came
# before the clock was set back.
HEARD = (
    "(SELECT max(coalesce(e.begun_at, e.received_at)) FROM event AS e"
    f" WHERE e.seq IN {rows.events_of('= d.source', '= d.execution_id')}"
    " AND coalesce(e.begun_at, e.received_at) <= :ahead)"
)
LAST_HEARD = statement(
    "last_heard", f"SELECT {HEARD} FROM delivery AS d WHERE d.id = :delivery AND {STUCK}"
)
DEAD_ORIGINAL = statement(
    "dead_original",
    "SELECT destination, reason, state, kind, step, origin FROM delivery WHERE id = :delivery",
)
ALARM = statement("alarm", f"SELECT {', '.join(rows.ALARM_COLUMNS)} FROM alarm WHERE id = :alarm")
DEAD_COUNT = statement(
    "dead_count",
    "SELECT count(*), max(id) FROM delivery WHERE state = 'dead' AND destination = :destination",
)
ACKNOWLEDGED = statement(
    "acknowledged",
    "SELECT a.by, a.at, a.taken_from FROM acknowledgement AS a"
    " JOIN execution AS x ON x.id = a.execution"
    " WHERE x.source = :source AND x.execution_id = :execution AND a.version = :version",
)
BEGUN = statement(
    "episode_begun",
    "SELECT h.event FROM history AS h JOIN execution AS x ON x.id = h.execution"
    " WHERE x.source = :source AND x.execution_id = :execution AND h.version = :version",
)
# The title of the first message of its own about an episode that a route sent a destination. The
# event that ends an episode begins the next one, so its message about the end is none of that one.
THREAD_TITLE = statement(
    "thread_title",
    "SELECT d.title FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    " WHERE d.source = :source AND d.execution_id = :execution AND d.destination = :destination"
    " AND d.route = :route AND d.state = 'sent' AND d.digest IS NULL AND d.title IS NOT NULL"
    " AND d.kind <> 'resolved' AND e.version = :version AND d.id <> :delivery"
    " ORDER BY d.id LIMIT 1",
)
# Who got a message about an episode, or may have, and when: by itself, in the digest of a silence,
# or in such a digest in place of another destination.
_OF_EPISODE = (
    "d.source = :source AND d.execution_id = :execution AND e.version = :version"
    " AND d.kind IN ('notice', 'reminder', 'escalation', 'fallback')"
    # Others that are told at the same time were not told before.
    " AND (d.kind <> 'escalation' OR d.planned_at < (SELECT w.planned_at FROM delivery AS w"
    " WHERE w.id = :delivery))"
)
_DELIVERY = "FROM delivery AS d JOIN event AS e ON e.seq = d.event"
_LISTED = f"{_OF_EPISODE} AND d.state = 'superseded' AND d.silence IS NOT NULL"
_ARRIVED = "({0}.state = 'sent' OR {0}.repeat = 1)"
_AT = "CASE WHEN {0}.state = 'sent' THEN {0}.due_at ELSE {0}.begun_at END"
HEARD_BEFORE = statement(
    "heard_before",
    "SELECT u.destination, u.route, min(u.at) FROM ("
    f"SELECT d.destination, d.route, {_AT.format('d')} AS at {_DELIVERY}"
    f" LEFT JOIN delivery AS o ON o.id = d.origin WHERE {_OF_EPISODE}"
    f" AND {_ARRIVED.format('d')} AND (d.kind = 'fallback') = (d.origin IS NOT NULL)"
    " AND coalesce(o.kind, '') NOT IN ('acknowledged', 'resolved', 'digest')"
    f" UNION ALL SELECT l.destination, d.route, {_AT.format('l')} {_DELIVERY}"
    " JOIN delivery AS l ON l.id = d.digest OR (l.origin = d.digest AND l.kind = 'fallback')"
    f" WHERE {_LISTED} AND {_ARRIVED.format('l')}"
    ") AS u GROUP BY u.destination, u.route ORDER BY 3, 1, 2",
)
# The execution as it stood after its version, or at a time, with what was known then.
_THEN = (
    "(SELECT a.{0} FROM history AS k JOIN event AS a ON a.seq = k.event WHERE k.execution = x.id"
    " AND k.version <= h.version AND a.{0} IS NOT NULL ORDER BY k.version DESC LIMIT 1)"
)
STOOD = variants(
    "execution_stood",
    "SELECT h.status, e.occurred_at, e.occurred_at, h.version, x.first_seen,"
    f" {_THEN.format('agent_id')}, {_THEN.format('agent_name')},"
    f" {_THEN.format('execution_url')}, {_THEN.format('metadata')}, x.gap, 0, 0"
    " FROM execution AS x JOIN history AS h ON h.execution = x.id"
    " JOIN event AS e ON e.seq = h.event"
    " WHERE x.source = :source AND x.execution_id = :execution AND {where}"
    " ORDER BY h.version DESC LIMIT 1",
    {"after": "h.version = :applied", "at": "h.applied_at <= :at"},
)
# The executions that claims are about: while one moves, nobody records that it was told of.
HOLD_EXECUTIONS = statement(
    "hold_executions",
    "SELECT x.id FROM execution AS x WHERE (x.source, x.execution_id) IN"
    " (SELECT d.source, d.execution_id FROM delivery AS d WHERE d.token IN {texts:tokens})"
    " ORDER BY x.id{lock}",
)


def as_judged(db: Database, record: Mapping[str, Any], at: int) -> JudgedWebhook:
    """Return a stored event as it was judged at `at` (ns), with the execution of that time."""
    source, execution_id, applied = record["source"], record["execution_id"], record["version"]
    values = {"source": source, "execution": execution_id, "applied": applied, "at": at}
    which = STOOD["at" if applied is None else "after"]
    row = None if execution_id is None else db.row(which, values)
    stood = None if row is None else rows.stored_execution((source, execution_id), row)
    return JudgedWebhook(
        source, rows.event(record), rows.judgement(record), at, b"",
        before=stood if applied is None else None,
        after=None if applied is None else stood,
    )  # fmt: skip


def context(db: Database, event: int) -> tuple[MessageContext, int | None]:
    """Return the facts of a message about a stored event, and the version that the event led to."""
    (record,) = db.records(EVENT_FACTS, {"event": event})
    judgement, stored = rows.judgement(record), rows.event(record)
    execution, previous = _execution(record), _previous(record)
    received_at = record["received_at"]
    made = message_context(record["source"], judgement, received_at, stored, execution, previous)
    if stored is None:
        made = replace(made, detail=rows.mapping(record["detail"]))
    return made, record["applied_version"]


def _execution(record: Mapping[str, Any]) -> Execution | None:
    if record["x_status"] is None:
        return None
    key = record["source"], record["execution_id"]
    return rows.stored_execution(key, [record[name] for name in _EXECUTION])


def _previous(record: Mapping[str, Any]) -> tuple[Status, int] | None:
    if record["previous_status"] is None:
        return None
    return Status(record["previous_status"]), record["previous_since"]


def claimed(db: Database, row: Row) -> Claim:
    """Build a claim, still without its token, from a row of DELIVERY."""
    (delivery, route, tries, repeat, owed_at, guard, event, kind, order_key, origin, destination,
     step, group_key, number) = row  # fmt: skip
    alarm = None if number is None else rows.alarm(db.rows(ALARM, {"alarm": number})[0])
    facts, version = context(db, event) if alarm is None else (_alarm_facts(alarm), None)
    died = _origin(db, origin)
    claim = Claim(
        delivery, "", destination, route, tries, bool(repeat), owed_at, facts, Kind(kind),
        order_key, guard, 0, died, step, group_key, alarm=alarm,
    )  # fmt: skip
    message_kind = died.kind if died is not None and claim.kind is Kind.FALLBACK else claim.kind
    # The event that ends an episode is the first of the next one.
    is_end = message_kind is Kind.RESOLVED
    episode = version - 1 if version is not None and is_end else version
    if episode is None or (_is_ended(facts) and not is_end):
        return replace(claim, version=episode)  # the first message, and the only one
    if message_kind is Kind.ESCALATION:
        claim = replace(claim, heard=_heard_before(db, claim, episode))
    if guard is None and not is_end:
        return replace(claim, version=episode, acknowledged=acknowledgement(db, facts, episode))
    return replace(
        claim,
        version=episode,
        acknowledged=acknowledgement(db, facts, episode),
        begun=begun(db, facts, episode) if is_end else None,
        thread_title=_thread_title(db, claim, episode),
        heard_at=db.value(LAST_HEARD, {"delivery": delivery, "ahead": LATEST}),
    )


def _heard_before(db: Database, claim: Claim, version: int) -> tuple[HeardBefore, ...]:
    facts = claim.facts
    values = {
        "source": facts.source, "execution": facts.execution_id, "version": version,
        "delivery": claim.delivery,
    }  # fmt: skip
    return tuple(HeardBefore(*row) for row in db.rows(HEARD_BEFORE, values))


def _is_ended(facts: MessageContext) -> bool:
    return facts.status is not None and facts.status.category is Category.TERMINAL


def _alarm_facts(alarm: Alarm) -> MessageContext:
    """Return the facts of a message that no event has caused."""
    return MessageContext(alarm.source, Verdict.APPLIED, "", alarm.raised_at)


def _origin(db: Database, origin: int | None) -> DeadOriginal | None:
    row = None if origin is None else db.row(DEAD_ORIGINAL, {"delivery": origin})
    if origin is None or row is None:
        return None
    destination, reason, state, kind, step, before = row
    is_alarm = kind == Kind.NOTICE and before is not None
    while kind == Kind.FALLBACK and before is not None:
        ((_, _, _, kind, step, before),) = db.rows(DEAD_ORIGINAL, {"delivery": before})
    ((dead, last),) = db.rows(DEAD_COUNT, {"destination": destination})
    is_dead = state == State.DEAD
    if not is_dead and dead:
        ((_, reason, *_),) = db.rows(DEAD_ORIGINAL, {"delivery": last})
    return DeadOriginal(destination, reason, dead, is_dead, Kind(kind), step, origin, is_alarm)


def acknowledgement(
    db: Database, facts: MessageContext, version: int | None
) -> Acknowledgement | None:
    """Return the acknowledgement of an episode of the execution that a message is about."""
    values = {"source": facts.source, "execution": facts.execution_id, "version": version}
    row = db.row(ACKNOWLEDGED, values)
    return None if row is None else Acknowledgement(*row)


def begun(db: Database, facts: MessageContext, version: int) -> MessageContext | None:
    """Return the facts of the event that began an episode of the same execution."""
    values = {"source": facts.source, "execution": facts.execution_id, "version": version}
    row = db.row(BEGUN, values)
    return None if row is None else context(db, row[0])[0]


def _thread_title(db: Database, claim: Claim, version: int) -> str | None:
    values = {
        "source": claim.facts.source, "execution": claim.facts.execution_id, "version": version,
        "destination": claim.destination, "route": claim.route, "delivery": claim.delivery,
    }  # fmt: skip
    row = db.row(THREAD_TITLE, values)
    return None if row is None else str(row[0])
