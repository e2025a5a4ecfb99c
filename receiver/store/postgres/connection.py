"""Connections to PostgreSQL: the dialect, a link that comes back by itself, and the write side."""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import psycopg
from psycopg import errors, pq
from psycopg.types.string import StrDumper

from receiver.store.postgres.address import Address
from receiver.store.postgres.many_rows import IN_THIS_STORE, PostgresBulk
from receiver.store.sql import database as sql
from receiver.store.sql.database import Database, Dialect, News
from receiver.store.sql.transaction import SqlTransaction

log = logging.getLogger("receiver.postgres")

# The clock of the database, in nanoseconds: one instant for a whole transaction.
DATABASE_CLOCK = "CAST(extract(epoch FROM transaction_timestamp()) * 1000000000 AS bigint)"
# The name under which processes tell each other that there are new deliveries.
CHANNEL = "receiver"
# Seconds between two tries to get a lost database back.
_AGAIN = 0.5
# Connections that read at the same time.
_READERS = 4
# No statement waits for ever, whatever holds its rows. LOCAL: a pooler lends the session to others.
_BEGIN = "BEGIN; SET LOCAL statement_timeout = '10s'; SET LOCAL synchronous_commit = {sync}"
_BEGIN_READING = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '30s'"
)
# After so many seconds of a statement it is looked whether its server is still there. One that does
# not even end a statement in its time is as good as gone.
_SLOW, _PATIENCE = 1.5, 12.0
# Two transactions met: the same acts succeed after the other one has ended. Two that add the same
# message meet at its key.
_MET = (errors.DeadlockDetected, errors.SerializationFailure, errors.UniqueViolation)


class Away(psycopg.OperationalError):
    """A database that cannot be reached; the text names it."""


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


class _TextDumper(StrDumper):
    """Text for PostgreSQL, which stores every character but one."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\ufffd"))


class Watched(psycopg.Connection[Any]):
    """A connection that knows since when (monotonic seconds) it waits for its server, or 0."""

    busy_since = 0.0

    def execute(self, *arguments: Any, **options: Any) -> psycopg.Cursor[Any]:
        self.busy_since = time.monotonic()
        try:
            return super().execute(*arguments, **options)
        finally:
            self.busy_since = 0.0

    def has_waited(self, seconds: float) -> bool:
        """Return whether a statement waits for longer."""
        return bool(self.busy_since) and time.monotonic() > self.busy_since + seconds

    def cut(self) -> None:
        """End the connection; a call that waits gets an error."""
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.fileno())) as s:
            s.shutdown(socket.SHUT_RDWR)


def connect(address: Address) -> Watched:
    """Connect; Away, which names the database and the reason, if that fails."""
    try:
        connection = Watched.connect(address.conninfo, autocommit=True)
    except psycopg.Error as error:
        raise Away(f"{address.name}, cannot be reached: {address.reason(error)}") from None
    connection.adapters.register_dumper(str, _TextDumper)
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    if row != (connection.info.backend_pid,):
        # A pooler stands between: the next transaction may meet a server that prepared nothing.
        connection.prepare_threshold = None
    return connection


class Link:
    """The way to a server: its connections, of which some write and are made anew when lost.

    Whoever needs the server while it is away gets Away at once; a thread tries to get it back.
    Another one looks for statements that take long. If no new connection reaches the server
    meanwhile, all are cut, so that nobody waits for answers that never come.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._changing = threading.Lock()
        self._all: list[Watched] = []
        self._returning: threading.Thread | None = None
        self._closed = threading.Event()
        self._reason = ""
        self._writers: dict[str, Watched] = {}  # by what they write
        self.open().close()
        threading.Thread(target=self._watch, name="postgres-watch", daemon=True).start()

    def open(self) -> Watched:
        """Connect, or raise Away: at once while the server is known to be away."""
        if self._returning is not None:
            raise Away(self._reason)
        return self._open()

    def _open(self) -> Watched:
        connection = connect(self._address)
        self._all = [*(each for each in self._all if not each.closed), connection]
        return connection

    def take(self, what: str) -> Watched:
        """Return the connection that writes this; Away while there is none."""
        with self._changing:
            connection = self._writers.get(what)
            if connection is not None and not connection.closed:
                return connection
            if self._returning is None:
                try:
                    self._writers[what] = self._open()
                    return self._writers[what]
                except Away as error:
                    self._lose(error)
            raise Away(self._reason)

    def _watch(self) -> None:
        while not self._closed.wait(1.0):
            if any(each.has_waited(_SLOW) for each in self._all):
                self._look_at_server()

    def _look_at_server(self) -> None:
        """Cut what waits too long, and everything if the server is not reached any more."""
        if pq.PGconn.ping(self._address.conninfo.encode()) == pq.Ping.NO_RESPONSE:
            with self._changing:
                self._lose(Away(f"{self._address.name}, cannot be reached: it does not answer"))
        for each in self._all:
            if self._returning is not None or each.has_waited(_PATIENCE):
                each.cut()

    def _lose(self, error: Away) -> None:
        self._writers.clear()
        self._reason = str(error)
        if self._returning is None:
            log.error("database.lost: %s", error)
            self._returning = threading.Thread(target=self._return, name="postgres", daemon=True)
            self._returning.start()

    def _return(self) -> None:
        while not self._closed.wait(_AGAIN):
            try:
                self._open().close()
            except Away as error:
                self._reason = str(error)
                continue
            with self._changing:
                self._returning = None
            log.warning("database.back: %s", self._address.name)
            return

    def close(self, what: str) -> None:
        """Close the connection that writes this; after the last one, try no more."""
        with self._changing:
            connection = self._writers.pop(what, None)
            if connection is not None:
                connection.close()
            if not self._writers:
                self._closed.set()


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

    def begin(self) -> SqlTransaction:
        for is_last in (False, True):
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
        try:
            if connection.info.transaction_status != pq.TransactionStatus.IDLE:
                connection.execute("ROLLBACK")
        except psycopg.Error:
            connection.close()

    def is_lost(self, error: Exception) -> bool:
        """Return False: a server that fails comes back, and knows what it has committed."""
        if isinstance(error, errors.ReadOnlySqlTransaction) and self._connection is not None:
            self._connection.close()  # another server is the one to write to now
        return False

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
