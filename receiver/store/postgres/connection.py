"""Connections that write and read PostgreSQL, and the dialect in which they do."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import psycopg
from psycopg import errors, pq

from receiver.errors import StorageLost, StorageUnavailable
from receiver.store.postgres.link import Away, Link, Watched
from receiver.store.postgres.many_rows import IN_THIS_STORE, PostgresBulk
from receiver.store.sql import database as sql
from receiver.store.sql.database import Database, Dialect, News
from receiver.store.sql.transaction import SqlTransaction

# The clock of the database, in nanoseconds: one instant for a whole transaction.
DATABASE_CLOCK = "CAST(extract(epoch FROM transaction_timestamp()) * 1000000000 AS bigint)"
# The name under which processes tell each other that there are new deliveries.
CHANNEL = "receiver"
# Connections that read at the same time.
_READERS = 4
# No statement waits for ever, whatever holds its rows. LOCAL: a pooler lends the session to others.
_BEGIN = "BEGIN; SET LOCAL statement_timeout = '10s'; SET LOCAL synchronous_commit = {sync}"
_BEGIN_READING = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '30s'"
)
# Two transactions met: the same acts succeed after the other one has ended. Two that add the same
# message meet at its key.
_MET = (errors.DeadlockDetected, errors.SerializationFailure, errors.UniqueViolation)


def dialect(now: str = DATABASE_CLOCK) -> Dialect:
    """Return the spelling of PostgreSQL; `now` is the clock that counts for leases."""
    name = f"'turn/' || {IN_THIS_STORE} CAST(:destination AS text)"
    return Dialect(
        name="postgresql",
        texts="(SELECT unnest(CAST({} AS text[])))",
        numbers="(SELECT unnest(CAST({} AS bigint[])))",
        as_list=list,
        # Not FOR UPDATE: rows that only refer to these may be added meanwhile.
        lock=" FOR NO KEY UPDATE",
        share=" FOR SHARE",
        # No row: the first turn of a destination comes before its row.
        turn=f"pg_try_advisory_xact_lock(hashtextextended({name}, 0))",
        part=" AND part = mod(pg_backend_pid(), 64)",
        now=now,
        position="strpos",
        snapshot="",
        spell=_spell,
    )


def _spell(text: str) -> str:
    return re.sub(r"(?<!:):([a-z_]+)", r"%(\1)s", text.replace("%", "%%"))


class WriteConnection:
    """The connection that the committer owns; see committer.Connection."""

    failures: tuple[type[Exception], ...] = (
        psycopg.OperationalError, psycopg.InterfaceError, errors.ReadOnlySqlTransaction,
    )  # fmt: skip

    def __init__(self, link: Link, what: str, holder: str, now: str, news: News) -> None:
        self._link, self._what, self._holder, self._dialect = link, what, holder, dialect(now)
        self._connection: Watched | None = None
        self._begin = ""
        self._news = news

    def begin(self, *, small: bool = False) -> SqlTransaction:
        for is_last in (False, True):
            connection = self._link.take(self._what)
            if connection.is_doubtful:
                connection.close()
                connection = self._link.take(self._what)
            if connection is not self._connection:
                self._use(connection)
            try:
                connection.execute(cast(Any, self._begin))
                break
            except psycopg.OperationalError:
                # A connection that died while nobody used it; nothing is lost with it.
                connection.close()
                if is_last:
                    raise
        return SqlTransaction(self._database, self._holder)

    def _use(self, connection: Watched) -> None:
        self._connection = connection
        bulk = PostgresBulk(connection)
        self._database = Database(cast(sql.Connection, connection), self._dialect, bulk)
        row = connection.execute("SHOW synchronous_commit").fetchone()
        # An answered write is on disk, whatever the server's file says.
        sync = "on" if row is None or row[0] in ("off", "local") else str(row[0])
        self._begin = _BEGIN.format(sync=sync)

    def commit(self) -> None:
        assert self._connection is not None
        self._connection.execute("COMMIT")
        self._news.gather(self._database.due)

    def rollback(self) -> None:
        connection = self._connection
        if connection is None or connection.closed:
            return
        connection.forget()
        try:
            if connection.info.transaction_status != pq.TransactionStatus.IDLE:
                connection.execute("ROLLBACK")
        except psycopg.Error:
            connection.close()

    def is_lost(self, error: Exception) -> bool:
        """Return whether the database is refused for good.

        A server that fails comes back, and knows what it has committed.
        """
        if isinstance(error, errors.ReadOnlySqlTransaction) and self._connection is not None:
            self._connection.close()  # another server is the one to write to now
        return self._link.is_refused

    def kind_of(self, error: Exception) -> type[StorageUnavailable]:
        is_there = self._connection is not None and not self._connection.closed
        return StorageUnavailable if is_there and not isinstance(error, Away) else StorageLost

    def met_another(self, error: Exception) -> bool:
        return isinstance(error, _MET)

    def tidy(self) -> None:
        """Tell this process and the others of due deliveries: one word for a whole batch.

        After the answers, and in no transaction: at a COMMIT with such a word all others wait.
        """
        if self._news.tell() and self._connection is not None:
            with suppress(psycopg.Error):  # they look by themselves now and then
                self._connection.execute(f"NOTIFY {CHANNEL}")

    def close(self) -> None:
        self._link.close(self._what)


class Readers:
    """A few connections for reading; one that died is replaced."""

    def __init__(self, link: Link, now: str) -> None:
        self._link, self._dialect = link, dialect(now)
        self._idle: list[Watched] = []
        self._free = threading.BoundedSemaphore(_READERS)

    @contextmanager
    def lend(self) -> Iterator[Database]:
        """Lend a database in a transaction that only reads and sees one state throughout."""
        with self._borrowed(_BEGIN_READING) as connection:
            yield Database(
                cast(sql.Connection, connection), self._dialect, PostgresBulk(connection)
            )
            connection.execute("COMMIT")

    @contextmanager
    def lend_to_write(self) -> Iterator[Watched]:
        """Lend a connection for a statement that is a transaction of its own."""
        with self._borrowed("SELECT 1") as connection:
            yield connection

    @contextmanager
    def _borrowed(self, first: str) -> Iterator[Watched]:
        with self._free:
            connection = self._begun(first)
            try:
                yield connection
            finally:
                if connection.info.transaction_status == pq.TransactionStatus.IDLE:
                    self._idle.append(connection)
                else:
                    connection.close()

    def _begun(self, first: str) -> Watched:
        """Return a connection after a first statement, which shows whether it lives."""
        while self._idle:
            connection = self._idle.pop()
            with suppress(psycopg.OperationalError):
                connection.execute(cast(Any, first))
                return connection
            connection.close()
        connection = self._link.open()
        connection.execute(cast(Any, first))
        return connection

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()
