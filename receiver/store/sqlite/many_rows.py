"""Statements about many rows at once, on SQLite.

Python's module releases the interpreter's lock around each step of a statement, and under load has
to wait to get it back. One statement for many rows is one step, so the rest of the process runs
beside it instead of in turns with it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain

from receiver.store.sql.database import Row
from receiver.store.sql.outbox import INSERT_DELIVERY
from receiver.store.sql.rows import (
    DELIVERY_COLUMNS,
    EVENT_COLUMNS,
    EXECUTION_COLUMNS,
    HISTORY_COLUMNS,
    MOVED_COLUMNS,
)

MOST = 64  # rows in a statement; each power of two up to it is prepared once


class ManyRows:
    """A statement in which `{rows}` stands for rows of `width` values."""

    def __init__(self, statement: str, width: int) -> None:
        self._statement, self._row = statement, f"({', '.join('?' * width)})"
        self._texts: dict[int, str] = {}

    def change(self, db: sqlite3.Connection, rows: Sequence[Row]) -> int:
        """Execute it once for each row, in order; return how many rows of the table changed."""
        changed = start = 0
        while start < len(rows):
            n = min(MOST, 1 << (len(rows) - start).bit_length() - 1)
            changed += self._run(db, rows[start : start + n]).rowcount
            start += n
        return changed

    def find(self, db: sqlite3.Connection, rows: Sequence[Row]) -> list[Row]:
        """Return the results of a SELECT for the rows; a result may come more than once."""
        rows_found: list[Row] = []
        for start in range(0, len(rows), MOST):
            part = list(rows[start : start + MOST])
            # Repeating the last row changes nothing, and leaves few lengths to prepare.
            part += part[-1:] * ((1 << (len(part) - 1).bit_length()) - len(part))
            rows_found += self._run(db, part).fetchall()
        return rows_found

    def text(self, n: int) -> str:
        """Return the statement for `n` rows."""
        if n not in self._texts:
            self._texts[n] = self._statement.format(rows=", ".join([self._row] * n))
        return self._texts[n]

    def _run(self, db: sqlite3.Connection, rows: Sequence[Row]) -> sqlite3.Cursor:
        return db.execute(self.text(len(rows)), [*chain.from_iterable(rows)])


EVENT = ManyRows(
    f"INSERT INTO event ({', '.join(EVENT_COLUMNS)}) VALUES {{rows}}"
    " ON CONFLICT (source, event_id, repeated) WHERE verdict <> 'quarantined'"
    " DO UPDATE SET times = times + 1, received_at = excluded.received_at"
    " WHERE event.repeated = 1",
    len(EVENT_COLUMNS),
)
EXECUTION = ManyRows(
    f"INSERT INTO execution ({', '.join(EXECUTION_COLUMNS)}) VALUES {{rows}}",
    len(EXECUTION_COLUMNS),
)
EXECUTION_MOVES = ManyRows(
    # VALUES without column names: with a list of names, SQLite would not count the changed rows.
    "UPDATE execution SET status = m.column3, category = m.column4, since = m.column5,"
    " mark = m.column6, version = m.column7, agent_id = m.column8, agent_name = m.column9,"
    " execution_url = m.column10, metadata = m.column11, gap = m.column12, assumed = m.column13,"
    " polled = m.column14"
    " FROM (VALUES {rows}) AS m WHERE execution.id = m.column1 AND execution.version = m.column2",
    len(MOVED_COLUMNS),
)
HISTORY = ManyRows(
    f"INSERT INTO history ({', '.join(HISTORY_COLUMNS)}) VALUES {{rows}}", len(HISTORY_COLUMNS)
)
DELIVERY = ManyRows(f"{INSERT_DELIVERY} VALUES {{rows}}", len(DELIVERY_COLUMNS))
NUMBERS = ManyRows(
    "WITH wanted (source, execution_id) AS (VALUES {rows})"
    " SELECT x.source, x.execution_id, x.id FROM wanted AS a CROSS JOIN execution AS x"
    " ON x.source = a.source AND x.execution_id = a.execution_id",
    2,
)
STORED_IDS = ManyRows(
    "WITH wanted (source, event_id) AS (VALUES {rows})"
    " SELECT e.source, e.event_id FROM wanted AS a CROSS JOIN event AS e"
    " ON e.source = a.source AND e.event_id = a.event_id AND e.verdict <> 'quarantined'",
    2,
)
STORED_CHANGES = ManyRows(
    "WITH wanted (source, execution_id, event, status, occurred_at) AS (VALUES {rows})"
    " SELECT a.* FROM wanted AS a CROSS JOIN event AS e ON e.source = a.source"
    " AND e.execution_id = a.execution_id AND e.occurred_at = a.occurred_at"
    " AND e.event = a.event AND e.status = a.status"
    " AND e.verdict <> 'applied' AND e.verdict <> 'quarantined'"
    " AND e.repeated = 0 UNION ALL"
    # What was applied has moved the mark up to its time, or it stood there before.
    " SELECT a.* FROM wanted AS a CROSS JOIN execution AS x ON x.source = a.source"
    " AND x.execution_id = a.execution_id AND x.mark >= a.occurred_at"
    " CROSS JOIN history AS h ON h.execution = x.id AND h.status = a.status"
    " CROSS JOIN event AS e ON e.seq = h.event AND e.occurred_at = a.occurred_at"
    " AND e.event = a.event",
    5,
)
STORED = ManyRows(
    "WITH wanted (source, execution_id) AS (VALUES {rows})"
    # The planner cannot tell that the other index may hold far more.
    " SELECT x.source, x.execution_id, x.id, EXISTS (SELECT 1 FROM event AS e INDEXED BY event_gap"
    " WHERE e.source = a.source AND e.execution_id = a.execution_id AND e.reason = 'gap'"
    " AND e.verdict <> 'applied'), x.status, x.since, x.mark, x.version, x.first_seen, x.agent_id,"
    " x.agent_name, x.execution_url, x.metadata, x.gap, x.assumed, x.polled"
    " FROM wanted AS a CROSS JOIN execution AS x ON x.source = a.source"
    " AND x.execution_id = a.execution_id",
    2,
)


class SqliteBulk:
    """database.Bulk on SQLite.

    Only one transaction at a time writes. So new numbers continue from the highest one, and rows
    that were read need no lock.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self.later = connection.execute

    def new_events(self, n: int) -> Sequence[int]:
        return self._count_on("SELECT max(seq) FROM event", n)

    def hold(self, events: Sequence[Row], executions: Sequence[Row]) -> None:
        """Do nothing: nobody else judges."""

    def new_executions(self, n: int) -> Sequence[int]:
        return self._count_on("SELECT max(id) FROM execution", n)

    def stored_event_ids(self, keys: Sequence[Row]) -> list[Row]:
        return STORED_IDS.find(self._db, keys)

    def stored_changes(self, keys: Sequence[Row]) -> list[Row]:
        return STORED_CHANGES.find(self._db, keys)

    def stored_executions(self, keys: Sequence[Row], *, lock: bool) -> list[Row]:
        return STORED.find(self._db, keys)

    def execution_numbers(self, keys: Sequence[Row]) -> list[Row]:
        return NUMBERS.find(self._db, keys)

    def add_events(self, rows: Sequence[Row]) -> None:
        EVENT.change(self._db, rows)

    def add_executions(self, rows: Sequence[Row]) -> None:
        EXECUTION.change(self._db, rows)

    def move_executions(self, rows: Sequence[Row]) -> int:
        return EXECUTION_MOVES.change(self._db, rows)

    def add_history(self, rows: Sequence[Row]) -> None:
        HISTORY.change(self._db, rows)

    def add_deliveries(self, rows: Sequence[Row]) -> None:
        DELIVERY.change(self._db, rows)

    def _count_on(self, highest: str, n: int) -> Sequence[int]:
        if not n:
            return ()
        first = int(self._db.execute(highest).fetchone()[0] or 0) + 1
        return range(first, first + n)
