"""Whether a store that was moved has the same rows at both places."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from receiver.store.postgres.copying import TABLES


def is_same(path: Path, url: str) -> bool:
    """Return whether a file and a PostgreSQL have the same rows in every table that is copied."""
    with (
        closing(sqlite3.connect(path)) as file,
        psycopg.connect(url, autocommit=True) as database,
    ):
        return all(_rows(file, table) == _rows(database, table) for table in TABLES)


def has_all_or_none(path: Path, url: str) -> bool:
    """Return whether the PostgreSQL has either no rows or all rows of the file."""
    with psycopg.connect(url, autocommit=True) as database:
        has_none = all(not _rows(database, table) for table in TABLES)
    return has_none or is_same(path, url)


def _rows(db: Any, table: str) -> list[str]:
    """Return every row by the names of its columns: the engines have them in different orders.

    Without the line of the audit that says that it was moved.
    """
    where = " WHERE act <> 'migrate'" if table == "audit" else ""
    cursor = db.execute(f"SELECT * FROM {table}{where}")
    columns = [column[0] for column in cursor.description]
    rows = [sorted(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    return sorted(map(repr, rows))
