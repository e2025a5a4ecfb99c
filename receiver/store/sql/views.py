"""Views: executions, events, deliveries and silences with the members that people see.

Times are instants (nanoseconds); the callers write them as text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from receiver.events import Verdict
from receiver.routing.conditions import Condition, Subject
from receiver.store.reading import Page
from receiver.store.records import KeptBy, Obstacles
from receiver.store.sql.audit import AT_PROVIDER
from receiver.store.sql.database import Database, Statement, statement, variants
from receiver.store.sql.facts import as_judged
from receiver.store.sql.reads import BEFORE, MAX_ID
from receiver.store.sql.rows import mapping

View = dict[str, Any]

EXECUTIONS_SHOWN = (
    "SELECT x.id, x.source, x.execution_id, x.status, x.category, x.since, x.first_seen,"
    " x.agent_id, x.agent_name, x.execution_url, x.metadata, x.gap, a.by AS taken_by,"
    " a.at AS taken_at, a.taken_from FROM execution AS x"
    " LEFT JOIN acknowledgement AS a ON a.execution = x.id AND a.version = x.version"
)
EXECUTION = statement(
    "execution", f"{EXECUTIONS_SHOWN} WHERE x.source = :source AND x.execution_id = :execution"
)
_PAGE = (
    "(CAST(:source AS text) IS NULL OR x.source = :source)"
    " AND (CAST(:status AS text) IS NULL OR x.status = :status)"
    " AND (CAST(:category AS text) IS NULL OR x.category = :category)"
    " AND (CAST(:agent AS text) IS NULL OR x.agent_id LIKE :agent ESCAPE '!'"
    " OR x.agent_name LIKE :agent ESCAPE '!')"
    " AND (CAST(:q AS text) IS NULL OR {position}(x.execution_id || ' '"
    " || coalesce(x.agent_name, '') || ' ' || coalesce(x.agent_id, ''), CAST(:q AS text)) > 0)"
    " AND x.id < :after ORDER BY x.id DESC LIMIT :limit"
)
EXECUTIONS = statement("executions", f"{EXECUTIONS_SHOWN} WHERE {_PAGE}")
_EVENTS = (
    "SELECT e.seq, e.source, e.execution_id, e.event_id, e.event, e.status, e.occurred_at,"
    " e.received_at, e.verdict, e.reason, e.flags, e.agent_id, e.agent_name, e.execution_url,"
    " e.metadata, e.detail, e.times, e.missing, e.held_until, e.version FROM event AS e"
)
EVENTS_OF_EXECUTION = statement(
    "events_of_execution",
    f"{_EVENTS} WHERE e.source = :source AND e.execution_id = :execution"
    " AND e.verdict <> 'quarantined' ORDER BY e.seq",
)
_LATEST = " AND e.seq < :after ORDER BY e.seq DESC LIMIT :limit"
_OF_EVENTS = {
    name: f"(CAST(:{name} AS text) IS NULL OR e.{name} = :{name})"
    for name in ("source", "execution_id", "event", "event_id")
}
# Those in quarantine and those held are few, and have indexes of their own.
_OF_ANY = " AND ".join(_OF_EVENTS.values())
EVENTS = statement(
    "events",
    f"{_EVENTS} WHERE (CAST(:verdict AS text) IS NULL OR e.verdict = :verdict)"
    f" AND {_OF_ANY}{_LATEST}",
)
EVENTS_IN_QUARANTINE = statement(
    "events_in_quarantine",
    f"{_EVENTS} WHERE e.verdict = 'quarantined' AND {_OF_ANY}{_LATEST}",
)
EVENTS_HELD = statement(
    "events_held",
    f"{_EVENTS} WHERE e.seq IN (SELECT seq FROM event WHERE verdict = 'held')"
    f" AND {_OF_ANY}{_LATEST}",
)
EVENTS_OF_ONE = statement(
    "events_of_one",
    f"{_EVENTS} WHERE e.source = :source AND e.execution_id = :execution_id"
    " AND (CAST(:verdict AS text) IS NULL OR e.verdict = :verdict)"
    f" AND {_OF_EVENTS['event']} AND {_OF_EVENTS['event_id']}{_LATEST}",
)
EVENTS_BY_ID = statement(
    "events_by_id",
    f"{_EVENTS} WHERE e.source = :source AND e.event_id = :event_id AND e.verdict <> 'quarantined'"
    " AND (CAST(:verdict AS text) IS NULL OR e.verdict = :verdict)"
    f" AND {_OF_EVENTS['event']} AND {_OF_EVENTS['execution_id']}{_LATEST}",
)
EVENT = statement("event", f"{_EVENTS} WHERE e.seq = :seq")
BODY = statement("event_body", "SELECT body FROM event WHERE seq = :seq")
JUDGEMENTS = statement(
    "judgements",
    "SELECT at, verdict, reason FROM judgement WHERE event = :event ORDER BY number",
)
_SHOWN = ("id", "source", "execution_id", "event_id", "verdict", "route", "destination", "kind",
          "state", "reason", "title", "body", "origin", "step", "group_key", "digest",
          "silence")  # fmt: skip
_DELIVERIES = (
    f"SELECT {', '.join(_SHOWN)}, event AS event_seq, created_at, planned_at, due_at FROM delivery"
)
DELIVERIES_OF_EXECUTION = statement(
    "deliveries_of_execution",
    f"{_DELIVERIES} WHERE source = :source AND execution_id = :execution ORDER BY id",
)
DELIVERIES_OF_EVENT = statement(
    "deliveries_of_event", f"{_DELIVERIES} WHERE event = :seq ORDER BY id"
)
# A rule asks for it later, and only if the execution stays where it is.
PLANNED = "(state = 'waiting' AND planned_at > :now)"
_OF_DELIVERIES = (
    " AND (CAST(:destination AS text) IS NULL OR destination = :destination)"
    " AND (CAST(:execution_id AS text) IS NULL OR execution_id = :execution_id)"
    " AND (CAST(:kind AS text) IS NULL OR kind = :kind)"
    " AND (CAST(:planned AS integer) IS NULL"
    f" OR CASE WHEN {PLANNED} THEN 1 ELSE 0 END = CAST(:planned AS integer))"
    " AND id < :after ORDER BY id DESC LIMIT :limit"
)
DELIVERIES = statement(
    "deliveries",
    f"{_DELIVERIES} WHERE (CAST(:state AS text) IS NULL OR state = :state){_OF_DELIVERIES}",
)
# Those that are not done are few, and have indexes of their own.
DELIVERIES_OPEN = variants(
    "deliveries",
    f"{_DELIVERIES} WHERE id IN (SELECT id FROM delivery WHERE {{where}}){_OF_DELIVERIES}",
    {state: f"state = '{state}'" for state in ("waiting", "sending", "dead")},
)
# The conditions of a claim, one by one; see `claims`.
OBSTACLES = statement(
    "obstacles",
    "SELECT d.planned_at, d.due_at, d.kept_by,"
    " substr(d.dedup_key, 1, 6) = 'stuck/' AS stuck,"
    f" (SELECT min(e.id) FROM delivery AS e WHERE {BEFORE}),"
    " coalesce(s.paused_until, 0), s.tokens, coalesce(s.counted_at, 0)"
    " FROM delivery AS d LEFT JOIN destination AS s ON s.name = d.destination WHERE d.id = :id",
)
# The first delivery of a digest holds its message and its attempts.
ATTEMPTS = statement(
    "attempts",
    "SELECT at, outcome, detail, duration_ms FROM attempt WHERE delivery = :id"
    " OR (delivery = :digest AND at >= :created_at) ORDER BY at, number",
)
SENT_TEXT = statement("sent_text", "SELECT title, body FROM delivery WHERE id = :digest")


def execution(db: Database, source: str, execution_id: str) -> View | None:
    """See contract.Listing.execution."""
    values = {"source": source, "execution": execution_id}
    records = db.records(EXECUTION, values)
    if not records:
        return None
    return {
        "execution": execution_view(records[0]),
        "events": [_event(db, record) for record in db.records(EVENTS_OF_EXECUTION, values)],
        "deliveries": [
            _delivery(db, record) for record in db.records(DELIVERIES_OF_EXECUTION, values)
        ],
        "acts": db.records(AT_PROVIDER, values),
    }


def executions(db: Database, conditions: Mapping[str, str], limit: int, after: int | None) -> Page:
    """See contract.Listing.executions."""
    names = ("status", "category", "source", "agent", "q")
    values = _page_values(names, conditions, limit, after)
    if (pattern := conditions.get("agent")) is None:
        records = db.records(EXECUTIONS, values)
    else:
        records = _of_agents(db, EXECUTIONS, values, Condition("agent", (pattern,)))
    return [execution_view(record) for record in records[:limit]], _cursor_after(records, limit)


def _of_agents(db: Database, which: Statement, values: View, agents: Condition) -> list[View]:
    """Return as many executions as the limit whose agent fits, as in `match` of a route.

    SQL leaves out most of the others: it does not know all that `routing.conditions` knows.
    """
    found: list[View] = []
    (pattern,) = agents.patterns
    values = {**values, "agent": None if pattern.startswith("!") else _like(pattern)}
    while len(found) < values["limit"]:
        records = db.records(which, values)
        found += [record for record in records if not agents.why_not(_agent(record))]
        if len(records) < values["limit"]:
            break
        values["after"] = records[-1]["id"]
    return found[: values["limit"]]


def _like(pattern: str) -> str:
    """Write a glob for LIKE. Letters beyond ASCII have several spellings: any text stands there."""
    texts = {"*": "%", "?": "_", "%": "!%", "_": "!_", "!": "!!"}
    normal = unicodedata.normalize("NFC", pattern)
    return "".join(texts.get(c, c) if c.isascii() and c != "?" else "%" for c in normal)


def _agent(record: View) -> Subject:
    return Subject(
        "", Verdict.APPLIED, agent_id=record["agent_id"], agent_name=record["agent_name"]
    )


def events(db: Database, conditions: Mapping[str, str], limit: int, after: int | None) -> Page:
    """See contract.Listing.events."""
    names = ("verdict", "source", "execution_id", "event", "event_id")
    if conditions.get("verdict") == Verdict.QUARANTINED:
        which = EVENTS_IN_QUARANTINE
    elif conditions.get("verdict") == Verdict.HELD:
        which = EVENTS_HELD
    elif {"source", "event_id"} <= set(conditions):
        which = EVENTS_BY_ID
    elif {"source", "execution_id"} <= set(conditions):
        which = EVENTS_OF_ONE
    else:
        which = EVENTS
    records = db.records(which, _page_values(names, conditions, limit, after))
    views = [_listed_event(db, record) for record in records[:limit]]
    return views, _cursor_after(records, limit, number="seq")


def event(db: Database, seq: int) -> View | None:
    """See contract.Listing.event."""
    records = db.records(EVENT, {"seq": seq})
    if not records:
        return None
    return {
        "event": _event(db, records[0]),
        "body": db.value(BODY, {"seq": seq}),
        "deliveries": [
            _delivery(db, record) for record in db.records(DELIVERIES_OF_EVENT, {"seq": seq})
        ],
    }


def deliveries(
    db: Database,
    conditions: Mapping[str, str],
    limit: int,
    after: int | None,
    planned: tuple[bool, int] | None,
) -> Page:
    """See contract.Listing.deliveries."""
    names = ("state", "destination", "execution_id", "kind")
    values = _page_values(names, conditions, limit, after)
    is_planned, now = planned if planned is not None else (None, 0)
    more = {"planned": None if is_planned is None else int(is_planned), "now": now}
    which = DELIVERIES_OPEN.get(conditions.get("state", ""), DELIVERIES)
    records = db.records(which, {**values, **more})
    return [_delivery(db, record) for record in records[:limit]], _cursor_after(records, limit)


def _page_values(
    names: tuple[str, ...], conditions: Mapping[str, str], limit: int, after: int | None
) -> dict[str, Any]:
    if unknown := set(conditions) - set(names):
        raise KeyError(f"unknown conditions: {', '.join(unknown)}")
    given = {name: conditions.get(name) for name in names}
    return {**given, "limit": limit + 1, "after": MAX_ID if after is None else after}


def _cursor_after(records: list[View], limit: int, *, number: str = "id") -> int | None:
    return int(records[limit - 1][number]) if len(records) > limit else None


def execution_view(record: View) -> View:
    """Return the view of an execution from a row of EXECUTIONS_SHOWN."""
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
    view = _listed_event(db, record)
    return {**view, "judged": as_judged(db, record, view["steps"][-1]["at"])}


def _listed_event(db: Database, record: View) -> View:
    first = {"at": record["received_at"], "verdict": record["verdict"], "reason": record["reason"]}
    # Only events that were judged more than once have rows there.
    steps = db.records(JUDGEMENTS, {"event": record["seq"]}) or [first]
    names = ("seq", "source", "execution_id", "event_id", "event", "status", "occurred_at",
             "received_at", "verdict", "reason")  # fmt: skip
    return {
        **{name: record[name] for name in names},
        "flags": record["flags"].split(),
        "agent_id": record["agent_id"],
        "agent_name": record["agent_name"],
        "detail": mapping(record["detail"]),
        "times": record["times"],
        "missing": (record["missing"] or "").split(),
        "held_until": record["held_until"],
        "steps": steps,
    }


def _delivery(db: Database, record: View) -> View:
    view = {name: record[name] for name in _SHOWN}
    if record["digest"] is not None and record["digest"] != record["id"]:
        view |= db.records(SENT_TEXT, record)[0]
    waits = _obstacles(db, record["id"]) if record["state"] == "waiting" else None
    return {
        **view,
        "event_seq": record["event_seq"],
        "created_at": record["created_at"],
        "planned_at": record["planned_at"],
        "due_at": record["due_at"] if waits is None else waits.may_go_at,
        "attempts": db.records(ATTEMPTS, record),
        "obstacles": waits,
    }


def _obstacles(db: Database, delivery: int) -> Obstacles:
    ((planned_at, due_at, kept_by, stuck, *more),) = db.rows(OBSTACLES, {"id": delivery})
    keeps = None if kept_by is None else KeptBy(kept_by)
    return Obstacles(planned_at, due_at, keeps, bool(stuck), *more)
