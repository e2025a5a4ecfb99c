"""What is read from SQLite for judging: in sets, because many events are judged at once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from receiver.events import Event, Execution, Held, Status, Verdict
from receiver.store.contract import ExecutionKey, Loaded
from receiver.store.sqlite.many_rows import ManyRows

# How many of the events that were rejected for a gap are looked at when their execution moves: the
# earliest that are not overtaken. Of those that are held, none may be left out.
MAX_HEALABLE = 200
_HELD = (
    "SELECT source, execution_id, event_id, event, status, occurred_at, agent_id, agent_name,"
    " execution_url, metadata, detail, flags, received_at, verdict, missing, held_until, seq"
    " FROM event"
)
_OCCURRED_AT, _SEQ = 5, 16
_OF_EXECUTION = f"{_HELD} WHERE source = ? AND execution_id = ? AND reason = 'gap'"
_STILL_HELD = f"{_OF_EXECUTION} AND verdict <> 'applied' AND verdict = 'held'"
_HEALABLE = (
    f"{_OF_EXECUTION} AND verdict <> 'applied' AND verdict = 'rejected' AND occurred_at >= ?"
    " ORDER BY occurred_at, seq LIMIT ?"
)
_GIVEN_UP = f"{_HELD} WHERE verdict = 'held' AND held_until <= ? ORDER BY held_until, seq LIMIT 256"
STORED_IDS = ManyRows(
    "WITH asked (source, event_id) AS (VALUES {rows})"
    " SELECT e.source, e.event_id FROM asked AS a CROSS JOIN event AS e"
    " ON e.source = a.source AND e.event_id = a.event_id AND e.verdict <> 'quarantined'",
    2,
)
STORED_CHANGES = ManyRows(
    "WITH asked (source, execution_id, status, occurred_at) AS (VALUES {rows})"
    " SELECT a.* FROM asked AS a CROSS JOIN event AS e ON e.source = a.source"
    " AND e.execution_id = a.execution_id AND e.occurred_at = a.occurred_at"
    " AND e.status = a.status AND e.verdict <> 'quarantined' AND e.repeated = 0",
    4,
)
STORED = ManyRows(
    "WITH asked (source, execution_id) AS (VALUES {rows})"
    " SELECT x.source, x.execution_id, x.id, EXISTS (SELECT 1 FROM event AS e"
    " WHERE e.source = a.source AND e.execution_id = a.execution_id AND e.reason = 'gap'"
    " AND e.verdict <> 'applied'), x.status, x.since, x.mark, x.version, x.first_seen, x.agent_id,"
    " x.agent_name, x.execution_url, x.metadata, x.gap, x.assumed"
    " FROM asked AS a CROSS JOIN execution AS x ON x.source = a.source"
    " AND x.execution_id = a.execution_id",
    2,
)


def load(
    db: sqlite3.Connection, events: Sequence[Event], numbers: dict[ExecutionKey, int] | None = None
) -> Loaded:
    """See store.Transaction.load. `numbers` is given the executions' ids."""
    loaded = Loaded()
    loaded.event_ids.update(STORED_IDS.find(db, [(e.source, e.event_id) for e in events]))
    told = [e for e in events if e.execution_id is not None]
    keys = list({(e.source, e.execution_id): None for e in told})
    for source, execution_id, number, has_gaps, *row in STORED.find(db, keys):
        key = source, execution_id
        if key in loaded.executions:
            continue
        found = loaded.executions[key] = _stored(key, row)
        if numbers is not None:
            numbers[key] = number
        loaded.held[key] = _healable(db, key, found.mark) if has_gaps else []
    changes = [
        (e.source, e.execution_id, str(e.status), e.occurred_at)
        for e in told
        if e.status is not None and e.occurred_at is not None
    ]
    for source, execution_id, status, occurred_at in STORED_CHANGES.find(db, changes):
        loaded.changes.add((source, execution_id, Status(status), occurred_at))
    return loaded


def _healable(db: sqlite3.Connection, key: ExecutionKey, mark: int) -> list[Held]:
    """The events of an execution that were held, or rejected for a gap, and are not overtaken."""
    rows = db.execute(_STILL_HELD, key).fetchall()
    rows += db.execute(_HEALABLE, (*key, mark, MAX_HEALABLE)).fetchall()
    rows.sort(key=lambda row: (row[_OCCURRED_AT], row[_SEQ]))
    return [_held(row) for row in rows]


def expired_held(db: sqlite3.Connection, now: int) -> list[Held]:
    """See store.Transaction.expired_held."""
    return [_held(row) for row in db.execute(_GIVEN_UP, (now,))]


def _held(row: Sequence[Any]) -> Held:
    source, execution_id, event_id, name, status, occurred_at, *told = row
    agent_id, agent_name, url, metadata, detail, flags, received_at, verdict, missing, until, _ = (
        told
    )
    event = Event(
        source, event_id, name, Status(status), execution_id, occurred_at, agent_id, agent_name,
        url, mapping(metadata) or None, mapping(detail), flags=frozenset(flags.split()),
    )  # fmt: skip
    return Held(event, received_at, Verdict(verdict), statuses(missing), until)


def statuses(text: str | None) -> tuple[Status, ...]:
    """Statuses that are kept as words."""
    return tuple(map(Status, (text or "").split()))


def _stored(key: ExecutionKey, row: Sequence[Any]) -> Execution:
    status, since, mark, version, first_seen, agent_id, agent_name, url, metadata, gap, assumed = (
        row
    )
    return Execution(
        *key, Status(status), since, mark, version, first_seen, agent_id, agent_name, url,
        mapping(metadata) or None, bool(gap), bool(assumed),
    )  # fmt: skip


def mapping(text: str | None) -> dict[str, Any]:
    """An object that is kept as JSON; empty for none."""
    return json.loads(text) if text else {}
