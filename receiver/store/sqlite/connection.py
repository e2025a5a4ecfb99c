"""Connections to one SQLite file: their PRAGMAs, the dialect, and the write connection.

WAL with `synchronous=FULL` makes a commit survive a loss of power (with NORMAL the log is synced
only at checkpoints).
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

from receiver.errors import StorageUnavailable
from receiver.store.sql.database import Database, Dialect, News
from receiver.store.sql.transaction import SqlTransaction
from receiver.store.sqlite.file import Lock, Misplaced, Place
from receiver.store.sqlite.many_rows import SqliteBulk
from receiver.store.sqlite.wal import Checkpointer

DIALECT = Dialect(
    name="sqlite",
    texts="(SELECT value FROM json_each({}))",
    numbers="(SELECT value FROM json_each({}))",
    as_list=lambda values: json.dumps(list(values)),
    # One transaction at a time writes.
    lock="",
    share="",
    turn="1",
    part="",
    # SQLite has no clock of its own: for leases the clock of the serving process counts.
    now=":now",
    position="instr",
    snapshot="BEGIN",
)
VERSION = sqlite3.sqlite_version
# One process at a time serves the file, so it inherits the leases of its predecessor.
HOLDER = ""
# Seconds for which a lock of another program is waited for.
PATIENCE = 5.0
# After a failed sync the system may report pages as written that are not, and SQLite still accepts
# commits. So does a damaged file.
LOST = {
    sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC, sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
}  # fmt: skip


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the file with the PRAGMAs of every connection."""
    mode = "ro" if read_only else "rwc"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=PATIENCE,
        cached_statements=256,
    )
    connection.execute("PRAGMA foreign_keys = ON")
    if not read_only:
        connection.execute("PRAGMA synchronous = FULL")
        # KiB. With 2 MB, ids at random places of a large file push each other out within a batch.
        connection.execute("PRAGMA cache_size = -16000")
        # The committer checkpoints by itself, after it has answered.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def remove_log(path: Path) -> None:
    """Remove an empty log that nobody has open; a log without its file is then a sign of loss.

    The connection that is closed last does it, unless it is one that only reads.
    """
    with contextlib.suppress(OSError, sqlite3.Error):
        if path.exists() and not path.with_name(f"{path.name}-wal").stat().st_size:
            last = connect(path)
            last.execute("SELECT 1 FROM promised").fetchall()
            last.close()


def database(connection: sqlite3.Connection) -> Database:
    """Return the database for a connection: it runs the statements."""
    return Database(connection, DIALECT, SqliteBulk(connection))


class WriteConnection:
    """The connection that the committer owns; see committer.Connection.

    The process with the `lock` serves the file: it copies the log back, and looks now and then
    whether the file is still in its place.
    """

    failures: tuple[type[Exception], ...] = (sqlite3.OperationalError,)

    def __init__(self, path: Path, place: Place, news: News, *, lock: Lock | None) -> None:
        # Only the serving process copies the log back: SQLite before 3.51.3 can corrupt a file
        # whose log two connections reset (sqlite.org, "WAL-reset bug").
        self._lock = lock
        self._lost = self._full = self._small = False
        self._connection = connect(path)
        self._connection.execute("SELECT 1 FROM promised").fetchall()  # opens the log, too
        self._place, self._news = place, news
        place.note()
        self._database = database(self._connection)
        self._log = (
            None
            if lock is None
            else Checkpointer(path, self._connection, lambda: connect(path), lock.sync)
        )

    def begin(self, *, small: bool) -> SqlTransaction:
        # Until a statement ends, SQLite keeps what it needs to undo it: from 64 KiB on in a file,
        # which costs more than the log, or in memory, however much it is.
        if small != self._small:
            self._connection.execute(f"PRAGMA temp_store = {'MEMORY' if small else 'FILE'}")
            self._small = small
        # IMMEDIATE: a deferred transaction that reads first fails at once if another one writes.
        self._connection.execute("BEGIN IMMEDIATE")
        return SqlTransaction(self._database, HOLDER)

    def commit(self) -> None:
        if self._lock is not None:
            self._place.look()
        self._connection.execute("COMMIT")
        self._news.gather(self._database.due)

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def is_lost(self, error: Exception) -> bool:
        code = getattr(error, "sqlite_errorcode", 0)
        self._lost = self._lost or code in LOST or code & 0xFF in LOST
        self._full = code == sqlite3.SQLITE_FULL
        return self._lost or isinstance(error, Misplaced)

    def met_another(self, error: Exception) -> bool:
        return False

    def kind_of(self, error: Exception) -> type[StorageUnavailable]:
        return StorageUnavailable

    def tidy(self) -> None:
        """Tell the news, then copy the log back if it is time.

        At once if the disk is full: the log may fill it.
        """
        self._news.tell()
        if (log := self._log) is not None:
            is_full, self._full = self._full, False
            self._try(lambda: log.committed(now=is_full))

    def close(self) -> None:
        try:
            if self._lock is not None:
                self._place.look(at_once=True)
        finally:
            # A storage that cannot be trusted stays as it is, for the next start to check. A file
            # that was moved gets its log: that must not lie beside another file at the next start.
            try:
                if self._lock is not None and self._log is not None:
                    is_kept = not self._lost and self._lock.has_a_file()
                    self._try(self._log.empty if is_kept else self._log.close)
            finally:
                self._connection.close()

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except sqlite3.Error as error:
            # The next batch tries again; the commits themselves are safe in the log.
            if self.is_lost(error):
                raise
