"""Statements about many rows at once, on PostgreSQL.

The rows of a statement go as one JSON text: one round trip and one parameter, which C writes and
reads.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from receiver.store.postgres.link import Watched
from receiver.store.sql.database import Row
from receiver.store.sql.rows import (
    DELIVERY_COLUMNS,
    EVENT_COLUMNS,
    EXECUTION_COLUMNS,
    HISTORY_COLUMNS,
    MOVED_COLUMNS,
    STORED_COLUMNS,
)

_NUMBERS = frozenset({
    "seq", "id", "repeated", "times", "occurred_at", "received_at", "held_until", "version", "owed",
    "since", "mark", "first_seen", "gap", "assumed", "polled", "before", "previous_since",
    "applied_at", "guard_version", "origin", "step", "silence", "created_at", "planned_at",
    "owed_at", "due_at", "alarm",
})  # fmt: skip
_TWO, _CHANGE = (
    ("source", "execution_id"),
    ("source", "execution_id", "event", "status", "occurred_at"),
)
_IDS = ("source", "event_id")


class ManyRows:
    """A statement in which `{rows}` stands for rows; those columns in `numbers` are no text."""

    def __init__(self, statement: str, columns: Sequence[str], *numbers: str) -> None:
        self._columns = columns
        types = ((name, _type(name, numbers)) for name in columns)
        record = ", ".join(f"{name} {type_}" for name, type_ in types)
        self.text = statement.format(
            rows=f"json_to_recordset(CAST(%s AS json)) AS r ({record})", columns=", ".join(columns)
        )

    def values(self, rows: Sequence[Row]) -> tuple[str]:
        """Return its values for these rows."""
        text = self._as_text(rows)
        if "\\u0000" in text:  # the one character that no text of PostgreSQL may hold
            text = self._as_text([[_storable(value) for value in row] for row in rows])
        return (text,)

    def _as_text(self, rows: Sequence[Sequence[Any]]) -> str:
        return json.dumps(
            [dict(zip(self._columns, row, strict=True)) for row in rows],
            separators=(",", ":"),
            default=_bytes_as_text,
        )


def _type(name: str, numbers: Sequence[str]) -> str:
    if name == "body":
        return "bytea"
    return "bigint" if name in _NUMBERS or name in numbers else "text"


def _bytes_as_text(value: bytes) -> str:
    return f"\\x{value.hex()}"


def _storable(value: Any) -> Any:
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


EVENT = ManyRows("INSERT INTO event ({columns}) SELECT {columns} FROM {rows}", EVENT_COLUMNS)
# One row counts all repeats of an id.
REPEATED = ManyRows(
    "INSERT INTO event ({columns}) SELECT {columns} FROM {rows}"
    " ON CONFLICT (source, event_id, repeated) WHERE verdict <> 'quarantined'"
    " DO UPDATE SET times = event.times + excluded.times, received_at = excluded.received_at",
    (*EVENT_COLUMNS, "times"),
)
EXECUTION = ManyRows(
    "INSERT INTO execution ({columns}) SELECT {columns} FROM {rows}", EXECUTION_COLUMNS
)
EXECUTION_MOVES = ManyRows(
    f"UPDATE execution SET {', '.join(f'{name} = r.{name}' for name in MOVED_COLUMNS[2:])}"
    " FROM {rows} WHERE execution.id = r.id AND execution.version = r.before",
    MOVED_COLUMNS,
)
HISTORY = ManyRows(
    "INSERT INTO history ({columns}) SELECT {columns} FROM {rows}",
    HISTORY_COLUMNS, "execution", "event",
)  # fmt: skip
DELIVERY = ManyRows(
    "INSERT INTO delivery ({columns}) SELECT {columns} FROM {rows}", DELIVERY_COLUMNS, "event"
)
NUMBERS = ManyRows(
    "SELECT x.source, x.execution_id, x.id FROM {rows} JOIN execution AS x"
    " ON x.source = r.source AND x.execution_id = r.execution_id",
    _TWO,
)
STORED_IDS = ManyRows(
    "SELECT e.source, e.event_id FROM {rows} JOIN event AS e"
    " ON e.source = r.source AND e.event_id = r.event_id AND e.verdict <> 'quarantined'",
    _IDS,
)
STORED_CHANGES = ManyRows(
    "SELECT r.* FROM {rows} JOIN event AS e ON e.source = r.source"
    " AND e.execution_id = r.execution_id AND e.occurred_at = r.occurred_at"
    " AND e.event = r.event AND e.status = r.status"
    " AND e.verdict <> 'quarantined' AND e.repeated = 0",
    _CHANGE,
)
_STORED = (
    f"SELECT x.source, x.execution_id, x.id, EXISTS (SELECT 1 FROM event AS e"
    " WHERE e.source = x.source AND e.execution_id = x.execution_id AND e.reason = 'gap'"
    f" AND e.verdict <> 'applied'), {', '.join(f'x.{name}' for name in STORED_COLUMNS[4:])}"
    " FROM {rows} JOIN execution AS x ON x.source = r.source"
    " AND x.execution_id = r.execution_id"
)
STORED = ManyRows(_STORED, _TWO)
STORED_TO_MOVE = ManyRows(f"{_STORED} ORDER BY x.id FOR NO KEY UPDATE OF x", _TWO)
# Advisory locks are those of a database, and a store is a schema of it.
IN_THIS_STORE = "CAST(current_schema() AS text) || '/' ||"
_HOLD = (
    "SELECT pg_advisory_xact_lock(k.key) FROM (SELECT DISTINCT"
    f" hashtextextended({IN_THIS_STORE} name, 0) AS key"
    " FROM unnest(CAST(%s AS text[])) AS name ORDER BY 1) AS k"
)


class PostgresBulk:
    """database.Bulk on PostgreSQL."""

    def __init__(self, connection: Watched) -> None:
        self._db = connection
        self.later = connection.later

    def hold(self, events: Sequence[Row], executions: Sequence[Row]) -> None:
        # In the order of the keys, so that two transactions never wait for each other.
        names = [f"event/{source}/{event_id}" for source, event_id in events]
        names += [f"execution/{source}/{execution_id}" for source, execution_id in executions]
        if names:
            self._db.later(_HOLD, (names,))

    def new_events(self, n: int) -> Sequence[int]:
        return self._numbers("event", "seq", n)

    def new_executions(self, n: int) -> Sequence[int]:
        return self._numbers("execution", "id", n)

    def stored_event_ids(self, keys: Sequence[Row]) -> list[Row]:
        return self._find(STORED_IDS, keys)

    def stored_changes(self, keys: Sequence[Row]) -> list[Row]:
        return self._find(STORED_CHANGES, keys)

    def stored_executions(self, keys: Sequence[Row], *, lock: bool) -> list[Row]:
        return self._find(STORED_TO_MOVE if lock else STORED, keys)

    def execution_numbers(self, keys: Sequence[Row]) -> list[Row]:
        return self._find(NUMBERS, keys)

    def add_events(self, rows: Sequence[Row]) -> None:
        self._add(EVENT, [row for row in rows if not row[_REPEATED]])
        self._add(REPEATED, _together([row for row in rows if row[_REPEATED]]))

    def add_executions(self, rows: Sequence[Row]) -> None:
        self._add(EXECUTION, rows)

    def move_executions(self, rows: Sequence[Row]) -> int:
        if not rows:
            return 0
        return self._db.execute(EXECUTION_MOVES.text, EXECUTION_MOVES.values(rows)).rowcount

    def add_history(self, rows: Sequence[Row]) -> None:
        self._add(HISTORY, rows)

    def add_deliveries(self, rows: Sequence[Row]) -> None:
        self._add(DELIVERY, rows)

    def _find(self, many: ManyRows, keys: Sequence[Row]) -> list[Row]:
        return self._db.execute(many.text, many.values(keys)).fetchall() if keys else []

    def _add(self, many: ManyRows, rows: Sequence[Row]) -> None:
        if rows:
            self._db.later(many.text, many.values(rows))

    def _numbers(self, table: str, column: str, n: int) -> Sequence[int]:
        if not n:
            return ()
        numbers = "SELECT nextval(pg_get_serial_sequence(%s, %s)) FROM generate_series(1, %s)"
        return [number for (number,) in self._db.execute(numbers, (table, column, n))]


_REPEATED = EVENT_COLUMNS.index("repeated")
_RECEIVED_AT = EVENT_COLUMNS.index("received_at")


def _together(rows: Sequence[Row]) -> list[Row]:
    """Make one row of all repeats of an id: the first, the time of the last, and their number."""
    found: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        first = found.setdefault((row[1], row[2]), [*row, 0])
        first[_RECEIVED_AT], first[-1] = row[_RECEIVED_AT], first[-1] + 1
    return [tuple(row) for row in found.values()]
