"""The store in one SQLite file: one committer that writes, one connection that reads beside it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from receiver.errors import StorageRefused, StorageUnavailable
from receiver.events import Event
from receiver.retention import Limits
from receiver.routing.conditions import Subject
from receiver.routing.policy import SendPolicy
from receiver.routing.silences import Silence, first
from receiver.store.committer import Committer
from receiver.store.contract import Act, Item, Loaded, Result, Tally, Transaction
from receiver.store.sql import loading, pruning, reads
from receiver.store.sql.silences import active, next_end, one, page
from receiver.store.sql.transaction import WriteConnection
from receiver.store.sqlite.connection import connect, lock, prepare
from receiver.store.sqlite.wal import LONG

Found = TypeVar("Found")


class SqliteStore:
    """store.Store on one SQLite file.

    `serve` takes the right to serve the file, which one process at a time can have. Without it the
    store may still write now and then (`receiver redeliver` beside a running server).
    """

    def __init__(
        self, path: Path, *, backlog: int = 2_000, serve: bool = False, thorough: bool = False
    ) -> None:
        self._lock = lock(path) if serve else None
        self._log = path.with_name(f"{path.name}-wal")
        try:
            prepare(path, thorough=serve or thorough, checkpoint=serve)
            self._committer = Committer(lambda: WriteConnection(path, checkpoints=serve), backlog)
            self._reading = threading.Lock()
            self._reader = connect(path, read_only=True)
        except BaseException:
            if self._lock is not None:
                self._lock.close()
            raise

    async def write(self, act: Act[Item, Result], item: Item) -> Result:
        result: Result = await self._committer.write(act, item)
        return result

    def write_all(
        self, act: Act[Item, Result], asked: Sequence[tuple[Item, asyncio.Future[Result]]]
    ) -> None:
        self._committer.write_all(act, asked)

    def write_now(self, act: Act[Item, Result], item: Item) -> Result:
        result: Result = self._committer.write_now(act, item)
        return result

    def on_failure(self, listener: Callable[[str], None]) -> None:
        self._committer.on_failure(listener)

    def probe(self) -> None:
        self.write_now(_touch, None)

    def execution(self, source: str, execution_id: str) -> dict[str, Any] | None:
        return self._read(lambda db: reads.execution(db, source, execution_id))

    def executions(
        self, conditions: Mapping[str, str], limit: int, after: int | None
    ) -> tuple[list[dict[str, Any]], int | None]:
        return self._read(lambda db: reads.executions(db, conditions, limit, after))

    def deliveries(
        self, conditions: Mapping[str, str], limit: int, after: int | None
    ) -> tuple[list[dict[str, Any]], int | None]:
        return self._read(lambda db: reads.deliveries(db, conditions, limit, after))

    def ledger(self) -> dict[str, Any]:
        return self._read(reads.ledger)

    def next_given_up(self) -> int | None:
        return self._read(reads.next_given_up)

    def waits_for_others(self, destinations: Sequence[str]) -> bool:
        return not self._read(reads.waited_for) <= set(destinations)

    def tallies(self) -> list[Tally]:
        return self._read(reads.tallies)

    def next_silence_end(self) -> int | None:
        return self._read(next_end)

    def silences(
        self, conditions: Mapping[str, str], limit: int, after: int | None
    ) -> tuple[list[dict[str, Any]], int | None]:
        return self._read(lambda db: page(db, limit, after))

    def silence(self, number: int) -> dict[str, Any] | None:
        return self._read(lambda db: one(db, number))

    def silenced(self, subject: Subject, now: int) -> Silence | None:
        return self._read(lambda db: first(active(db, now), subject))

    def next_due(self, destination: str, policy: SendPolicy, now: int) -> int | None:
        return self._read(lambda db: reads.next_due(db, destination, policy, now))

    def prunable(self, limits: Limits) -> dict[str, int]:
        return self._read(lambda db: pruning.prunable(db, limits))

    def is_log_long(self) -> bool:
        try:
            return self._log.stat().st_size > LONG
        except FileNotFoundError:
            return False

    def known(self, event: Event) -> Loaded:
        return self._read(lambda db: loading.load(db, [event]))

    def close(self) -> None:
        self._committer.close()
        with self._reading:
            self._reader.close()
        if self._lock is not None:
            self._lock.close()

    def _read(self, query: Callable[[sqlite3.Connection], Found]) -> Found:
        try:
            with self._reading:
                return query(self._reader)
        except sqlite3.Error as error:
            raise StorageUnavailable(f"The database cannot be read: {error}.") from error


def _touch(transaction: Transaction, items: Sequence[None]) -> Sequence[None]:
    transaction.heartbeat()
    return [None] * len(items)


def open_existing(path: Path, *, thorough: bool = False) -> SqliteStore:
    """The store of a server that runs or ran here; a command that only looks creates none.

    `thorough` reads all of the file to find damage.
    """
    if not path.exists():
        raise StorageRefused(
            f"There is no database at {path}. Start `receiver serve` first, or set"
            " RECEIVER_DATABASE_URL to where it is."
        )
    return SqliteStore(path, thorough=thorough)
