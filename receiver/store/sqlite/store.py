"""Store in one SQLite file: one committer writes, others read beside it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

from receiver.errors import StorageRefused, StorageUnavailable
from receiver.store.committer import Committed, Committer
from receiver.store.sql.database import Database, News
from receiver.store.sql.reader import SqlReader
from receiver.store.sqlite.connection import WriteConnection, connect, database, remove_log
from receiver.store.sqlite.file import Lock, Place, real_path
from receiver.store.sqlite.schema import create_missing, prepare
from receiver.store.sqlite.spectators import Spectators
from receiver.store.sqlite.wal import LONG

Found = TypeVar("Found")


class SqliteStore(Committed, SqlReader):
    """contract.Store on one SQLite file.

    With `serve` it takes the right to serve the file, which one process at a time can have. Without
    it the store may still write now and then (`receiver redeliver` beside a running server).
    """

    def __init__(
        self, path: Path, *, backlog: int = 2_000, serve: bool = False, thorough: bool = False
    ) -> None:
        self._path = path = real_path(path)
        self._lock = Lock(path) if serve else None
        self._place = Place(path)
        self._log = path.with_name(f"{path.name}-wal")
        try:
            create_missing(path)
            if self._lock is not None:
                self._lock.take()
                if self._log.exists():
                    # A process that died may have copied it back, and not synced the file.
                    self._lock.sync()
                self._lock.read_ahead()
            prepare(path, thorough=serve or thorough, checkpoint=serve)
            self._news = news = News()
            super().__init__(
                Committer(
                    lambda: WriteConnection(path, self._place, news, lock=self._lock), backlog
                )
            )
            self._reading = threading.Lock()
            # What people look at may take long.
            self._spectators = Spectators(path)
            self._reader = connect(path, read_only=True)
            self._database = database(self._reader)
        except BaseException:
            if self._lock is not None:
                self._lock.close()
            raise

    def is_in_place(self) -> bool:
        return self._place.is_kept()

    def tidy(self) -> bool:
        if self._lock is not None and self.is_log_long():
            self.check_writable()  # others wrote; a commit by this process copies the log back
        return not self.is_log_long()

    def is_log_long(self) -> bool:
        """Return whether the log is too long and has to be made empty."""
        try:
            return self._log.stat().st_size > LONG
        except FileNotFoundError:
            return False

    def leads(self, timer: str) -> bool:
        return self._lock is not None

    def on_news(self, listener: Callable[[Collection[str] | None], None]) -> None:
        self._news.listener = listener

    def close(self) -> None:
        self._committer.close()
        with self._reading:
            self._reader.close()
        self._spectators.close()
        if not self._committer.failure:
            remove_log(self._path)
        if self._lock is not None:
            self._lock.close()

    def _query(self, query: Callable[[Database], Found]) -> Found:
        try:
            with self._reading:
                return query(self._database)
        except sqlite3.Error as error:
            raise StorageUnavailable(f"The database cannot be read: {error}.") from error

    def _look(self, query: Callable[[Database], Found]) -> Found:
        try:
            return self._spectators.look(query)
        except sqlite3.Error as error:
            raise StorageUnavailable(f"The database cannot be read: {error}.") from error


def open_existing(path: Path, *, thorough: bool = False) -> SqliteStore:
    """Open the store of a running or stopped server; StorageRefused if there is none.

    With `thorough` it reads the whole file to find damage.
    """
    if not real_path(path).exists():
        raise StorageRefused(
            f"There is no database at {path}. Start `receiver serve` first, or set"
            " RECEIVER_DATABASE_URL to where it is."
        )
    return SqliteStore(path, thorough=thorough)
