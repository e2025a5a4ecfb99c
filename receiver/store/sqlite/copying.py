"""Copying out of a file: all rows of its tables, for another engine."""

from __future__ import annotations

import hashlib
import socket
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from receiver.errors import StorageRefused
from receiver.store.sql.database import Row
from receiver.store.sqlite.connection import connect
from receiver.store.sqlite.file import real_path
from receiver.store.sqlite.schema import SCHEMA_VERSION
from receiver.store.sqlite.store import SqliteStore


class Original:
    """A file whose rows are copied, in the state in which it was opened.

    `content` is the same for the same bytes, wherever they lie; `place` is where they lie.
    """

    def __init__(
        self, path: Path, file: BufferedReader, store: SqliteStore, connection: sqlite3.Connection
    ) -> None:
        self.place = f"{socket.gethostname()}:{path}"
        self.content = hashlib.file_digest(file, "sha256").hexdigest()
        self._log = path.with_name(f"{path.name}-wal")
        self._ledger, self._connection = store.ledger(), connection

    def ledger(self) -> dict[str, Any]:
        """Return what the ledger said of it."""
        return self._ledger

    def columns(self, table: str) -> tuple[list[str], list[str]]:
        """Return the names of a table's columns, and of those that are its key."""
        info = self._connection.execute(f"PRAGMA table_info({table})").fetchall()
        keys = {place: name for _, name, _, _, _, place in info if place}
        return [name for _, name, *_ in info], [keys[place] for place in sorted(keys)]

    def count(self, table: str) -> int:
        """Return how many rows a table has."""
        return int(self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def rows(self, table: str, after: Sequence[Any] | None = None) -> Iterator[Row]:
        """Return the rows of a table in the order of its key, from behind a key on."""
        keys = ", ".join(self.columns(table)[1])
        where = f" WHERE ({keys}) > ({', '.join('?' * len(after))})" if after else ""
        query = f"SELECT * FROM {table}{where} ORDER BY {keys}"
        return iter(self._connection.execute(query, after or ()))

    def is_unchanged(self) -> bool:
        """Return whether nobody has written since it was opened."""
        # Only the serving process, which is this one, copies the log back.
        return self._log.stat().st_size == 0


@contextmanager
def open_original(path: Path) -> Iterator[Original]:
    """Open a file for copying; it stays as it is.

    StorageServed if a process serves it, StorageRefused if it cannot be used, or if it would have
    to be changed first.
    """
    path = real_path(path)
    _refuse_older(path)
    with (
        ExitStack() as last,
        closing(SqliteStore(path, serve=True)) as store,
        closing(connect(path, read_only=True)) as connection,
    ):
        # It is closed last: to close it would also drop SQLite's own locks.
        file = last.enter_context(path.open("rb"))
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM promised").fetchall()  # the state that is copied
        yield Original(path, file, store, connection)


def _refuse_older(path: Path) -> None:
    """Raise StorageRefused for a schema of the past: bringing it up to date changes the file."""
    version = SCHEMA_VERSION
    with suppress(sqlite3.Error), closing(connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version < SCHEMA_VERSION:
        raise StorageRefused(
            f"{path} has schema {version}, older than this receiver's {SCHEMA_VERSION}, and moving"
            " changes nothing in it. Make a copy of it if you want to keep it as it is, start this"
            " version's `receiver serve` on it once, stop it, and begin again."
        )
