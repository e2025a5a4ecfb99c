"""Spool in a SQLite file: synced before each answer, bounded, and served by one process."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, cast

from receiver.errors import StorageRefused, StorageUnavailable
from receiver.store.committer import Committer
from receiver.store.contract import Transaction
from receiver.store.spooling import SpooledWebhook, SpoolState
from receiver.store.sqlite.connection import LOST, connect
from receiver.store.sqlite.file import Lock, Misplaced, Place, is_served, real_path

APPLICATION_ID = 0x72637673  # "rcvs"
# AUTOINCREMENT: no number is given twice, so nobody removes another webhook than was stored.
_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = 1;
CREATE TABLE webhook (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    source      TEXT NOT NULL,
    format      TEXT NOT NULL,
    key         TEXT NOT NULL,
    message_id  TEXT,
    received_at INTEGER NOT NULL,
    body        BLOB NOT NULL,
    problem     TEXT NOT NULL
);
"""
_COLUMNS = "source, format, key, message_id, received_at, body, problem"
_KEEP = f"INSERT INTO webhook ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
_REMOVE = "DELETE FROM webhook WHERE seq = ? RETURNING length(body)"
_COUNT = "SELECT count(*), coalesce(sum(length(body)), 0) FROM webhook"
_FIRST = (
    f"SELECT seq, {_COLUMNS} FROM webhook"
    " WHERE seq NOT IN (SELECT value FROM json_each(?)) ORDER BY seq"
)
_OLDEST = "SELECT received_at FROM webhook ORDER BY seq LIMIT 1"
# What a webhook takes besides its body, roughly (bytes).
_BESIDES = 512
# The most bytes of bodies that are handed out at once.
_AT_ONCE = 4 * 2**20
_SETTING = "RECEIVER_SPOOL_FILE"
# Writes that may wait, and the pages of the log that are copied back at once.
_BACKLOG, _CHECKPOINT_AT = 20_000, 1_000


class SqliteSpool:
    """spooling.Spool in a file of its own; it holds at most `most` bytes."""

    def __init__(self, path: Path, most: int) -> None:
        self._path = path = real_path(path)
        self._most = most
        self._lock = Lock(path, _SETTING)
        place = Place(path)
        with ExitStack() as undo, _saying(path):
            undo.callback(self._lock.close)
            if not path.exists():
                _make(path)
            self._lock.take()
            _look_through(path)
            self._committer = Committer(lambda: self._opened(place), _BACKLOG)
            self._reading = threading.Lock()
            self._reader = connect(path, read_only=True)
            undo.pop_all()

    def _opened(self, place: Place) -> _Writes:
        self._writes = _Writes(self._path, place)
        return self._writes

    def keep(self, webhook: SpooledWebhook) -> asyncio.Future[bool]:
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._committer.write_all(self._keep, [(webhook, future)])
        return future

    async def remove(self, numbers: Sequence[int]) -> None:
        await self._committer.write(_remove, numbers)

    def first(self, n: int, *, without: Sequence[int] = ()) -> Sequence[tuple[int, SpooledWebhook]]:
        found: list[tuple[int, SpooledWebhook]] = []
        size = 0
        with self._reading, closing(self._reader.execute(_FIRST, (json.dumps(without),))) as rows:
            while len(found) < n and size < _AT_ONCE and (row := rows.fetchone()) is not None:
                found.append((row[0], SpooledWebhook(*row[1:])))
                size += len(found[-1][1].body)
        return found

    def state(self) -> SpoolState:
        if self._committer.failure:
            raise StorageUnavailable(f"{self._path}: {self._committer.failure}.")
        waiting, size = self._writes.held
        with self._reading:
            oldest = self._reader.execute(_OLDEST).fetchone()
        return SpoolState(waiting, size, self._most, oldest[0] if oldest else None)

    def close(self) -> None:
        self._committer.close()
        with self._reading:
            self._reader.close()
        self._lock.close()

    def _keep(self, transaction: Any, webhooks: Sequence[SpooledWebhook]) -> Sequence[bool]:
        writes: _Writes = transaction
        return [writes.keep(webhook, self._most) for webhook in webhooks]


def _remove(transaction: Any, items: Sequence[Sequence[int]]) -> Sequence[None]:
    writes: _Writes = transaction
    for numbers in items:
        writes.remove(numbers)
    return [None] * len(items)


class _Writes:
    """The connection that writes; see committer.Connection. It is its own transaction, too.

    `held` are the webhooks in the file and their bytes, by the last commit.
    """

    failures: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, path: Path, place: Place) -> None:
        self._connection = connect(path)
        self._connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_AT}")
        waiting, size = self._connection.execute(_COUNT).fetchone()  # opens the log, too
        self.held = self._changed = (waiting, size + waiting * _BESIDES)
        self._place = place
        place.note()

    def keep(self, webhook: SpooledWebhook, most: int) -> bool:
        """Add a webhook; False if there is no room for it."""
        waiting, size = self._changed
        size += len(webhook.body) + _BESIDES
        if size > most:
            return False
        self._connection.execute(_KEEP, (
            webhook.source, webhook.format, webhook.key, webhook.message_id, webhook.received_at,
            webhook.body, webhook.problem,
        ))  # fmt: skip
        self._changed = (waiting + 1, size)
        return True

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove those of these numbers that are there."""
        for number in numbers:
            for (length,) in self._connection.execute(_REMOVE, (number,)).fetchall():
                waiting, size = self._changed
                self._changed = (waiting - 1, size - length - _BESIDES)

    def begin(self, *, small: bool) -> Transaction:
        self._changed = self.held
        self._connection.execute("BEGIN IMMEDIATE")
        return cast(Transaction, self)

    def commit(self) -> None:
        self._place.look()
        self._connection.execute("COMMIT")
        self.held = self._changed

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def is_lost(self, error: Exception) -> bool:
        code = getattr(error, "sqlite_errorcode", 0)
        return code in LOST or code & 0xFF in LOST or isinstance(error, Misplaced)

    def met_another(self, error: Exception) -> bool:
        return False

    def kind_of(self, error: Exception) -> type[StorageUnavailable]:
        return StorageUnavailable

    def tidy(self) -> None:
        """Do nothing: SQLite copies its log back by itself."""

    def close(self) -> None:
        self._connection.close()


def look(path: Path, most: int) -> tuple[SpoolState, bool] | None:
    """Return how much waits in a file, and whether a process has it; None: there is no file.

    StorageRefused if it is no spool.
    """
    if not path.exists():
        return None
    with _saying(path), closing(connect(path, read_only=True)) as db:
        _check(db, path)
        waiting, size = db.execute(_COUNT).fetchone()
        oldest = db.execute(_OLDEST).fetchone()
    state = SpoolState(waiting, size + waiting * _BESIDES, most, oldest[0] if oldest else None)
    return state, is_served(path)


def _make(path: Path) -> None:
    """Make the file under another name, then give it its own: no start finds an unfinished one."""
    if path.with_name(f"{path.name}-wal").exists():
        raise StorageRefused(
            f"{path} is gone, but its log {path}-wal is there, and may hold webhooks. Put the file"
            " back, or move the log away as well to begin anew."
        )
    made = path.with_name(f"{path.name}.new")
    for end in ("", "-journal", "-wal", "-shm"):
        made.with_name(made.name + end).unlink(missing_ok=True)
    with closing(connect(made)) as db:
        db.executescript(_SCHEMA)
        db.execute("PRAGMA journal_mode = WAL").fetchall()
    made.rename(path)
    folder = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # else a loss of power could take the name, and the webhooks with it
    finally:
        os.close(folder)


def _look_through(path: Path) -> None:
    """Refuse a file that is damaged or no spool; read the log of a process that died."""
    with closing(connect(path)) as db:
        _check(db, path)
        damage = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
        # After a failed sync the log may hold pages that can be read and are not on disk.
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _check(db: sqlite3.Connection, path: Path) -> None:
    found = [
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    ]
    if found != [APPLICATION_ID, 1]:
        raise StorageRefused(
            f"{path} is no spool of this version. Set RECEIVER_SPOOL_FILE to a file of its own, or"
            " run the version that wrote it until nothing waits there."
        )


@contextmanager
def _saying(path: Path) -> Iterator[None]:
    """Turn what goes wrong while the file is made or opened into StorageRefused."""
    try:
        yield
    except OSError as error:
        raise StorageRefused(
            f"The spool {path} cannot be made ({error.strerror}). Check the folder, its permissions"
            " and free space, or set RECEIVER_SPOOL_FILE to another place."
        ) from error
    except sqlite3.Error as error:
        raise StorageRefused(
            f"The spool {path} cannot be used ({error}). Check the folder, its permissions and free"
            " space. If the file is damaged, keep it (it may hold webhooks) under another name, and"
            " start again."
        ) from error
