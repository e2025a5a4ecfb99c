"""Copying out of a file: all rows of its tables, for another engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from receiver.store.sql.database import Row
from receiver.store.sqlite.connection import connect


def read_table(path: Path, table: str) -> tuple[list[str], Iterator[Row]]:
    """Return the columns of a table, and its rows in the order of its key."""
    with closing(connect(path, read_only=True)) as db:
        info = db.execute(f"PRAGMA table_info({table})").fetchall()
    columns = [name for _, name, *_ in info]
    keys = [name for _, name, _, _, _, place in info if place]
    return columns, _rows(path, f"SELECT * FROM {table} ORDER BY {', '.join(keys)}")


def _rows(path: Path, query: str) -> Iterator[Row]:
    with closing(connect(path, read_only=True)) as db:
        yield from db.execute(query)
