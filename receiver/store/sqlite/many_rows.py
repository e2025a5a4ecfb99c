"""Statements about many rows at once, on SQLite.

Python's module gives the interpreter's lock away around each step of a statement, and under load
waits to get it back. One statement for many rows is one step: the rest of the process goes on
beside it, instead of in turns with it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

MOST = 64  # rows in a statement; each power of two up to it is prepared once

Row = tuple[Any, ...]


class ManyRows:
    """A statement with `{rows}` in it, where rows of `width` values go."""

    def __init__(self, statement: str, width: int) -> None:
        self._statement, self._row = statement, f"({', '.join('?' * width)})"
        self._texts: dict[int, str] = {}

    def change(self, db: sqlite3.Connection, rows: Sequence[Row]) -> int:
        """Do it for each row once, in their order; how many rows of the table that changed."""
        changed = start = 0
        while start < len(rows):
            n = min(MOST, 1 << (len(rows) - start).bit_length() - 1)
            changed += self._run(db, rows[start : start + n]).rowcount
            start += n
        return changed

    def find(self, db: sqlite3.Connection, rows: Sequence[Row]) -> list[Row]:
        """What a SELECT finds for the rows; it may be found more than once."""
        found: list[Row] = []
        for start in range(0, len(rows), MOST):
            part = list(rows[start : start + MOST])
            # Asked twice is no different: so there are few lengths to prepare.
            part += part[-1:] * ((1 << (len(part) - 1).bit_length()) - len(part))
            found += self._run(db, part).fetchall()
        return found

    def text(self, n: int) -> str:
        """The statement about so many rows."""
        if n not in self._texts:
            self._texts[n] = self._statement.format(rows=", ".join([self._row] * n))
        return self._texts[n]

    def _run(self, db: sqlite3.Connection, rows: Sequence[Row]) -> sqlite3.Cursor:
        return db.execute(self.text(len(rows)), [*chain.from_iterable(rows)])
