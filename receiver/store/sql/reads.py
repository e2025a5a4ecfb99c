"""What is read from SQLite for the API, the commands and messages. Only SELECTs."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from receiver.deliveries import MessageContext
from receiver.events import Status, Verdict
from receiver.routing.policy import SendPolicy
from receiver.store.contract import Tally
from receiver.store.sql.loading import mapping, statuses
from receiver.times import SECOND, format_time

_FACTS = (
    "SELECT e.source, e.verdict, e.reason, e.received_at, e.event_id, e.event, e.status,"
    " e.occurred_at, e.execution_id, x.status AS execution_status, h.previous_status,"
    " h.previous_since, coalesce(e.agent_id, x.agent_id) AS agent_id,"
    " coalesce(e.agent_name, x.agent_name) AS agent_name,"
    " coalesce(e.execution_url, x.execution_url) AS execution_url,"
    " coalesce(e.metadata, x.metadata) AS metadata, e.detail, e.flags, e.missing,"
    " coalesce(x.gap, 0) AS gap, e.version"
    " FROM event AS e"
    " LEFT JOIN execution AS x ON x.source = e.source AND x.execution_id = e.execution_id"
    " LEFT JOIN history AS h ON h.execution = x.id AND h.version = e.version"
    " WHERE e.seq = ?"
)
# The order of one execution within a destination is kept: nothing passes what is older.
UNBLOCKED = (
    "NOT EXISTS (SELECT 1 FROM delivery AS e WHERE e.destination = d.destination"
    " AND e.order_key = d.order_key AND e.id < d.id AND e.state IN ('waiting', 'sending'))"
)
MAX_ID = 2**63 - 1
# How many of the newest events say how a source is doing.
TALLIED = 10_000


def next_given_up(db: sqlite3.Connection) -> int | None:
    """See store.Store.next_given_up."""
    return _first(db.execute("SELECT min(held_until) FROM event WHERE verdict = 'held'"))


def tallies(db: sqlite3.Connection) -> list[Tally]:
    """See store.Store.tallies."""
    rows = db.execute(
        "SELECT source, verdict, reason, status, missing, count(*) FROM event"
        " WHERE seq > (SELECT coalesce(max(seq), 0) FROM event) - ? GROUP BY 1, 2, 3, 4, 5",
        (TALLIED,),
    )
    return [
        Tally(source, verdict, reason, status, tuple((missing or "").split()), n)
        for source, verdict, reason, status, missing, n in rows
    ]


def _first(cursor: sqlite3.Cursor) -> int | None:
    value = cursor.fetchone()[0]
    return None if value is None else int(value)


def facts(db: sqlite3.Connection, event: int) -> tuple[MessageContext, int | None]:
    """What a message about a stored event is made of, and the version to which it took it."""
    row = _rows(db, _FACTS, (event,))[0]
    made_of = MessageContext(
        source=row["source"],
        verdict=Verdict(row["verdict"]),
        verdict_reason=row["reason"],
        received_at=row["received_at"],
        event_id=row["event_id"],
        event=row["event"],
        # What is no status of ours (quarantined as unknown_status) stands in `event`, too.
        status=_status(row["status"]),
        occurred_at=row["occurred_at"],
        execution_id=row["execution_id"],
        execution_status=_status(row["execution_status"]),
        previous_status=_status(row["previous_status"]),
        previous_since=row["previous_since"],
        agent_id=row["agent_id"],
        agent_name=row["agent_name"],
        execution_url=row["execution_url"],
        metadata=mapping(row["metadata"]),
        detail=mapping(row["detail"]),
        flags=frozenset(row["flags"].split()),
        missing=statuses(row["missing"]),
        gap=bool(row["gap"]),
    )
    return made_of, row["version"]


def _status(text: str | None) -> Status | None:
    return Status(text) if text in _STATUSES else None


_STATUSES = frozenset(status.value for status in Status)


def execution(db: sqlite3.Connection, source: str, execution_id: str) -> dict[str, Any] | None:
    """`{"execution", "events", "deliveries"}`; None if nothing was applied to it."""
    found = _rows(
        db, f"{_EXECUTIONS} WHERE source = ? AND execution_id = ?", (source, execution_id)
    )
    if not found:
        return None
    events = _rows(
        db,
        "SELECT * FROM event WHERE source = ? AND execution_id = ? AND verdict <> 'quarantined'"
        " ORDER BY seq",
        (source, execution_id),
    )
    owed = _rows(
        db, "SELECT * FROM delivery WHERE source = ? AND execution_id = ? ORDER BY id",
        (source, execution_id),
    )  # fmt: skip
    return {
        "execution": _execution(found[0]),
        "events": [_event(db, row) for row in events],
        "deliveries": [_delivery(db, row) for row in owed],
    }


def executions(
    db: sqlite3.Connection, conditions: Mapping[str, str], limit: int, after: int | None
) -> tuple[list[dict[str, Any]], int | None]:
    """Newest first. Conditions: status, category, source, agent (id or name), q (part of either
    or of the execution's id)."""
    where, values = _where(
        conditions,
        {
            "status": "status = ?",
            "category": "category = ?",
            "source": "source = ?",
            "agent": "? IN (agent_id, agent_name)",
            "q": "instr(execution_id || ' ' || coalesce(agent_name, '') || ' '"
            " || coalesce(agent_id, ''), ?) > 0",
        },
        after,
    )
    rows = _rows(db, f"{_EXECUTIONS} {where} ORDER BY id DESC LIMIT ?", (*values, limit + 1))
    return [_execution(row) for row in rows[:limit]], _next(rows, limit)


def deliveries(
    db: sqlite3.Connection, conditions: Mapping[str, str], limit: int, after: int | None
) -> tuple[list[dict[str, Any]], int | None]:
    """Newest first. Conditions: state, destination."""
    allowed = {"state": "state = ?", "destination": "destination = ?"}
    where, values = _where(conditions, allowed, after)
    rows = _rows(
        db, f"SELECT * FROM delivery {where} ORDER BY id DESC LIMIT ?", (*values, limit + 1)
    )
    return [_delivery(db, row) for row in rows[:limit]], _next(rows, limit)


def ledger(db: sqlite3.Connection) -> dict[str, Any]:
    """What was promised, counted as it was promised, held against the rows that are there.

    Imbalance is the sum of all differences: webhooks accepted and verdicts; messages owed and
    deliveries, in all and event by event; versions of executions and steps of their histories.
    """
    db.execute("BEGIN")  # one snapshot for all the counts
    try:
        promised = dict(db.execute("SELECT name, n FROM promised").fetchall())
        verdicts = dict(
            db.execute(
                "SELECT verdict, sum(times) FROM event WHERE reason <> 'malformed' GROUP BY verdict"
            ).fetchall()
        )
        states = dict(db.execute("SELECT state, count(*) FROM delivery GROUP BY state").fetchall())
        owing = db.execute("SELECT coalesce(sum(owed), 0) FROM event").fetchone()[0]
        versions, steps = db.execute(
            "SELECT (SELECT coalesce(sum(version), 0) FROM execution),"
            " (SELECT count(*) FROM history)"
        ).fetchone()
        pruned = db.execute("SELECT what, name, n FROM pruned").fetchall()
    finally:
        db.execute("COMMIT")
    imbalance = (
        abs(owing - sum(states.values()))
        + abs(versions - steps)
        + abs(verdicts.get("applied", 0) - steps)
    )
    # What had its time counts as what it was when it went.
    gone = [("event", "quarantined", promised["evicted"]), *pruned]
    for what, name, n in gone:
        of = verdicts if what == "event" else states
        if n:
            of[name] = of.get(name, 0) + n
    imbalance += abs(promised["accepted"] - sum(verdicts.values()))
    imbalance += abs(promised["owed"] - sum(states.values()))
    return {
        "accepted": promised["accepted"],
        "verdicts": verdicts,
        "owed": promised["owed"],
        "deliveries": states,
        "imbalance": imbalance,
    }


def next_due(db: sqlite3.Connection, destination: str, policy: SendPolicy, now: int) -> int | None:
    """See store.Store.next_due."""
    found = db.execute(
        "SELECT due_at FROM delivery AS d WHERE destination = ? AND state = 'waiting'"
        f" AND {UNBLOCKED} ORDER BY due_at, id LIMIT 1",
        (destination,),
    ).fetchone()
    if found is None:
        return None
    row = db.execute(
        "SELECT tokens, counted_at, coalesce(paused_until, 0) FROM destination WHERE name = ?",
        (destination,),
    ).fetchone()
    if row is None:
        return int(found[0])
    lacking = max(1 - tokens(policy, row, now), 0.0)
    return int(max(found[0], row[2], now + int(lacking / policy.rate * SECOND)))


def waited_for(db: sqlite3.Connection) -> set[str]:
    """The destinations that something waits for, found by leaps over the index."""
    least = "(SELECT min(destination) FROM delivery WHERE state = 'waiting'"
    rows = db.execute(
        f"WITH RECURSIVE found (name) AS (SELECT {least})"
        f" UNION ALL SELECT {least} AND destination > found.name) FROM found"
        " WHERE found.name IS NOT NULL) SELECT name FROM found WHERE name IS NOT NULL"
    )
    return {name for (name,) in rows}


def tokens(policy: SendPolicy, row: Sequence[Any], now: int) -> float:
    """How many messages a destination could get now, by its row (tokens, counted_at, …)."""
    # A clock that was set back gives nothing and takes nothing.
    gained = max(now - row[1], 0) / SECOND * policy.rate
    return float(min(row[0] + gained, policy.burst))


_EXECUTIONS = (
    "SELECT x.*, (SELECT a.by || char(10) || a.at FROM acknowledgement AS a WHERE"
    " a.execution = x.id AND a.version = x.version) AS acknowledged FROM execution AS x"
)


def _rows(db: sqlite3.Connection, sql: str, values: Sequence[Any]) -> list[sqlite3.Row]:
    cursor = db.cursor()
    cursor.row_factory = sqlite3.Row
    return cursor.execute(sql, values).fetchall()


def _where(
    conditions: Mapping[str, str], allowed: Mapping[str, str], after: int | None
) -> tuple[str, list[Any]]:
    clauses = [allowed[name] for name in conditions]
    values: list[Any] = list(conditions.values())
    if after is not None:
        clauses.append("id < ?")
        values.append(after)
    return ("WHERE " + " AND ".join(clauses) if clauses else ""), values


def _next(rows: Sequence[sqlite3.Row], limit: int) -> int | None:
    return int(rows[limit - 1]["id"]) if len(rows) > limit else None


def _execution(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "source": row["source"],
        "execution_id": row["execution_id"],
        "status": row["status"],
        "category": row["category"],
        "since": format_time(row["since"]),
        "first_seen": format_time(row["first_seen"]),
        "agent_id": row["agent_id"],
        "agent_name": row["agent_name"],
        "execution_url": row["execution_url"],
        "metadata": mapping(row["metadata"]),
        "gap": bool(row["gap"]),
        "acknowledged": _acknowledged(row["acknowledged"]),
    }


def _acknowledged(told: str | None) -> dict[str, Any] | None:
    """Who has taken the present episode, and when."""
    by, _, at = (told or "").rpartition("\n")
    return {"by": by, "at": _time(int(at))} if at else None


def _event(db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
    # Only what was judged more than once has rows there.
    steps = db.execute(
        "SELECT at, verdict, reason FROM judgement WHERE event = ? ORDER BY number", (row["seq"],)
    ).fetchall() or [(row["received_at"], row["verdict"], row["reason"])]
    return {
        "event_id": row["event_id"],
        "event": row["event"],
        "status": row["status"],
        "occurred_at": _time(row["occurred_at"]),
        "received_at": _time(row["received_at"]),
        "verdict": row["verdict"],
        "reason": row["reason"],
        "flags": row["flags"].split(),
        "detail": mapping(row["detail"]),
        "times": row["times"],
        "missing": (row["missing"] or "").split(),
        "held_until": _time(row["held_until"]),
        "steps": [
            {"at": _time(at), "verdict": verdict, "reason": reason} for at, verdict, reason in steps
        ],
    }


def _delivery(db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
    names = ("id", "source", "execution_id", "event_id", "verdict", "route", "destination", "kind",
             "state", "reason", "title", "body", "origin", "step", "group_key", "digest",
             "silence")  # fmt: skip
    # A digest's message and its attempts are those of its first delivery.
    attempts = db.execute(
        "SELECT at, outcome, detail, duration_ms FROM attempt WHERE delivery = ?"
        " OR (delivery = ? AND at >= ?) ORDER BY at, number",
        (row["id"], row["digest"], row["created_at"]),
    ).fetchall()
    said = {name: row[name] for name in names}
    if row["digest"] is not None and row["digest"] != row["id"]:
        head = _rows(db, "SELECT title, body FROM delivery WHERE id = ?", (row["digest"],))[0]
        said |= dict(head)
    return {
        **said,
        "created_at": _time(row["created_at"]),
        "due_at": _time(_due(db, row)),
        "attempts": [
            {"at": _time(at), "outcome": outcome, "detail": detail, "duration_ms": took}
            for at, outcome, detail, took in attempts
        ],
    }


def _due(db: sqlite3.Connection, delivery: sqlite3.Row) -> int:
    """When it is tried next: not before its destination may be tried at all."""
    if delivery["state"] != "waiting":
        return int(delivery["due_at"])
    paused = db.execute(
        "SELECT max(paused_until) FROM destination WHERE name = ?", (delivery["destination"],)
    ).fetchone()[0]
    return max(int(delivery["due_at"]), paused or 0)


def _time(instant: int | None) -> str | None:
    return None if instant is None else format_time(instant)
