"""Views: executions, events, deliveries and silences with the members that people see.

Times are instants (nanoseconds); the callers write them as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from receiver.store.contract import Page
from receiver.store.sql.database import Database, Row, statement
from receiver.store.sql.reads import MAX_ID
from receiver.store.sql.rows import mapping
from receiver.store.sql.silences import COLUMNS, stored_silence

View = dict[str, Any]

_EXECUTIONS = (
    "SELECT x.id, x.source, x.execution_id, x.status, x.category, x.since, x.first_seen,"
    " x.agent_id, x.agent_name, x.execution_url, x.metadata, x.gap, a.by AS taken_by,"
    " a.at AS taken_at, a.taken_from FROM execution AS x"
    " LEFT JOIN acknowledgement AS a ON a.execution = x.id AND a.version = x.version"
)
EXECUTION = statement(
    "execution", f"{_EXECUTIONS} WHERE x.source = :source AND x.execution_id = :execution"
)
_PAGE = (
    "(CAST(:status AS text) IS NULL OR x.status = :status)"
    " AND (CAST(:category AS text) IS NULL OR x.category = :category)"
    " AND (CAST(:agent AS text) IS NULL OR x.agent_id = :agent OR x.agent_name = :agent)"
    " AND (CAST(:q AS text) IS NULL OR {position}(x.execution_id || ' '"
    " || coalesce(x.agent_name, '') || ' ' || coalesce(x.agent_id, ''), CAST(:q AS text)) > 0)"
    " AND x.id < :after ORDER BY x.id DESC LIMIT :limit"
)
EXECUTIONS = statement("executions", f"{_EXECUTIONS} WHERE {_PAGE}")
EXECUTIONS_OF_SOURCE = statement(
    "executions_of_source", f"{_EXECUTIONS} WHERE x.source = :source AND {_PAGE}"
)
EVENTS = statement(
    "events",
    "SELECT seq, event_id, event, status, occurred_at, received_at, verdict, reason, flags, detail,"
    " times, missing, held_until FROM event WHERE source = :source AND execution_id = :execution"
    " AND verdict <> 'quarantined' ORDER BY seq",
)
JUDGEMENTS = statement(
    "judgements",
    "SELECT at, verdict, reason FROM judgement WHERE event = :event ORDER BY number",
)
_SHOWN = ("id", "source", "execution_id", "event_id", "verdict", "route", "destination", "kind",
          "state", "reason", "title", "body", "origin", "step", "group_key", "digest",
          "silence")  # fmt: skip
_DELIVERIES = f"SELECT {', '.join(_SHOWN)}, created_at, due_at FROM delivery"
DELIVERIES_OF_EXECUTION = statement(
    "deliveries_of_execution",
    f"{_DELIVERIES} WHERE source = :source AND execution_id = :execution ORDER BY id",
)
DELIVERIES = statement(
    "deliveries",
    f"{_DELIVERIES} WHERE (CAST(:state AS text) IS NULL OR state = :state)"
    " AND (CAST(:destination AS text) IS NULL OR destination = :destination)"
    " AND id < :after ORDER BY id DESC LIMIT :limit",
)
# The first delivery of a digest holds its message and its attempts.
ATTEMPTS = statement(
    "attempts",
    "SELECT at, outcome, detail, duration_ms FROM attempt WHERE delivery = :id"
    " OR (delivery = :digest AND at >= :created_at) ORDER BY at, number",
)
SENT_TEXT = statement("sent_text", "SELECT title, body FROM delivery WHERE id = :digest")
PAUSED_UNTIL = statement(
    "paused_until", "SELECT max(paused_until) FROM destination WHERE name = :destination"
)
_SILENCES = (
    f"SELECT {COLUMNS}, s.created_at, s.listed_at, (SELECT count(*) FROM delivery AS d"
    " WHERE d.silence = s.id AND d.state = 'superseded') FROM silence AS s"
)
SILENCE = statement("silence", f"{_SILENCES} WHERE s.id = :id")
SILENCES = statement("silences", f"{_SILENCES} WHERE s.id < :after ORDER BY s.id DESC LIMIT :limit")


def execution(db: Database, source: str, execution_id: str) -> View | None:
    """See contract.Reading.execution."""
    values = {"source": source, "execution": execution_id}
    records = db.records(EXECUTION, values)
    if not records:
        return None
    return {
        "execution": _execution(records[0]),
        "events": [_event(db, record) for record in db.records(EVENTS, values)],
        "deliveries": [
            _delivery(db, record) for record in db.records(DELIVERIES_OF_EXECUTION, values)
        ],
    }


def executions(db: Database, conditions: Mapping[str, str], limit: int, after: int | None) -> Page:
    """See contract.Reading.executions."""
    which = EXECUTIONS_OF_SOURCE if "source" in conditions else EXECUTIONS
    names = ("status", "category", "source", "agent", "q")
    records = db.records(which, _page_values(names, conditions, limit, after))
    return [_execution(record) for record in records[:limit]], _cursor_after(records, limit)


def deliveries(db: Database, conditions: Mapping[str, str], limit: int, after: int | None) -> Page:
    """See contract.Reading.deliveries."""
    values = _page_values(("state", "destination"), conditions, limit, after)
    records = db.records(DELIVERIES, values)
    return [_delivery(db, record) for record in records[:limit]], _cursor_after(records, limit)


def silences(db: Database, limit: int, after: int | None) -> Page:
    """See contract.Reading.silences."""
    rows = db.rows(SILENCES, _page_values((), {}, limit, after))
    following = int(rows[limit - 1][0]) if len(rows) > limit else None
    return [_silence(row) for row in rows[:limit]], following


def silence(db: Database, number: int) -> View | None:
    """See contract.Reading.silence."""
    row = db.row(SILENCE, {"id": number})
    return None if row is None else _silence(row)


def _page_values(
    names: tuple[str, ...], conditions: Mapping[str, str], limit: int, after: int | None
) -> dict[str, Any]:
    if unknown := set(conditions) - set(names):
        raise KeyError(f"unknown conditions: {', '.join(unknown)}")
    given = {name: conditions.get(name) for name in names}
    return {**given, "limit": limit + 1, "after": MAX_ID if after is None else after}


def _cursor_after(records: list[View], limit: int) -> int | None:
    return int(records[limit - 1]["id"]) if len(records) > limit else None


def _execution(record: View) -> View:
    taken = {
        "by": record["taken_by"],
        "at": record["taken_at"],
        "taken_from": record["taken_from"],
    }
    names = ("source", "execution_id", "status", "category", "since", "first_seen", "agent_id",
             "agent_name", "execution_url")  # fmt: skip
    return {
        **{name: record[name] for name in names},
        "metadata": mapping(record["metadata"]),
        "gap": bool(record["gap"]),
        "acknowledged": None if record["taken_by"] is None else taken,
    }


def _event(db: Database, record: View) -> View:
    first = {"at": record["received_at"], "verdict": record["verdict"], "reason": record["reason"]}
    names = ("event_id", "event", "status", "occurred_at", "received_at", "verdict", "reason")
    return {
        **{name: record[name] for name in names},
        "flags": record["flags"].split(),
        "detail": mapping(record["detail"]),
        "times": record["times"],
        "missing": (record["missing"] or "").split(),
        "held_until": record["held_until"],
        # Only events that were judged more than once have rows there.
        "steps": db.records(JUDGEMENTS, {"event": record["seq"]}) or [first],
    }


def _delivery(db: Database, record: View) -> View:
    view = {name: record[name] for name in _SHOWN}
    if record["digest"] is not None and record["digest"] != record["id"]:
        view |= db.records(SENT_TEXT, record)[0]
    return {
        **view,
        "created_at": record["created_at"],
        "due_at": _due(db, record),
        "attempts": db.records(ATTEMPTS, record),
    }


def _due(db: Database, delivery: View) -> int:
    """Return the time of the next attempt: at the earliest when its destination may be tried."""
    if delivery["state"] != "waiting":
        return int(delivery["due_at"])
    paused_until = db.value(PAUSED_UNTIL, {"destination": delivery["destination"]})
    return max(int(delivery["due_at"]), paused_until or 0)


def _silence(row: Row) -> View:
    silence, (created_at, listed_at, silenced) = stored_silence(row[:6]), row[6:]
    return {
        "id": silence.id,
        "match": {name: list(patterns) for name, patterns in silence.match.items()},
        "reason": silence.reason,
        "by": silence.by,
        "from": silence.begins,
        "until": silence.ends,
        "created_at": created_at,
        "listed_at": listed_at,
        "silenced": silenced,
    }
