"""Link to a PostgreSQL server: connections that notice its loss, and come back by themselves."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import pq
from psycopg.types.string import StrDumper

from receiver.errors import StorageRefused
from receiver.store.postgres.address import Address

log = logging.getLogger("receiver.postgres")

# Seconds between two tries to get a lost database back.
_AGAIN = 0.5
# After so many seconds of a statement it is looked whether its server is still there. One that does
# not even end a statement in its time is as good as gone.
_SLOW, _PATIENCE = 1.5, 12.0


class Away(psycopg.OperationalError):
    """A database that cannot be reached; the text names it."""


class _TextDumper(StrDumper):
    """Text for PostgreSQL, which stores every character but one."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\ufffd"))


class Watched(psycopg.Connection[Any]):
    """A connection that knows since when (monotonic seconds) it waits for its server, or 0.

    Statements without a result that is of interest go together with the next one. After an error it
    `is_doubtful`: it ends with its transaction.
    """

    busy_since = 0.0
    is_doubtful = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._later: list[tuple[Any, Any]] = []

    def execute(self, *arguments: Any, **options: Any) -> psycopg.Cursor[Any]:
        self.busy_since = time.monotonic()
        try:
            if not self._later:
                return super().execute(*arguments, **options)
            later, self._later = self._later, []
            with self.pipeline():
                for text, values in later:
                    super().execute(text, values)
                return super().execute(*arguments, **options)
        except psycopg.Error:
            # After an error the server passes over the rest, also over what prepares a statement,
            # and the driver does not notice.
            self.is_doubtful = True
            raise
        finally:
            self.busy_since = 0.0

    def later(self, text: str, values: Any) -> None:
        """Execute a statement together with the next one, which raises its error."""
        self._later.append((text, values))

    def forget(self) -> None:
        """Execute no statement that waits for the next one."""
        self._later = []

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
        # A pooler takes connections without its server, and says so at the first statement.
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
    except psycopg.Error as error:
        raise Away(f"{address.name}, cannot be reached: {address.reason(error)}") from None
    connection.adapters.register_dumper(str, _TextDumper)
    if row != (connection.info.backend_pid,):
        # A pooler stands between: the next transaction may meet a server that prepared nothing.
        connection.prepare_threshold = None
    return connection


class Link:
    """The way to a server: its connections, of which some write and are made anew when lost.

    Whoever needs the server while it is away gets Away at once; a thread tries to get it back.
    Another one looks for statements that take long. If no new connection reaches the server
    meanwhile, all are cut, so that nobody waits for answers that never come.

    `prepare` is called before the first connection: it brings the schema up to date. The server
    `may_be_away` then; otherwise that raises Away.
    """

    def __init__(
        self, address: Address, prepare: Callable[[], None], *, may_be_away: bool = False
    ) -> None:
        self._address = address
        self._prepare = prepare
        self._is_prepared = False
        self._changing = threading.Lock()
        self._all: list[Watched] = []
        self._returning: threading.Thread | None = None
        self._closed = threading.Event()
        self._reason = ""
        self.is_refused = False  # for good: its schema is none for this process
        self._writers: dict[str, Watched] = {}  # by what they write
        try:
            self._reach()
        except Away as error:
            if not may_be_away:
                raise
            self._lose(error)
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

    def _reach(self) -> None:
        """Connect once, or raise Away; the first time that brings the schema up to date."""
        if self._is_prepared:
            self._open().close()
        else:
            self._prepare()
            self._is_prepared = True

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
                self._reach()
            except psycopg.Error as error:
                reason = self._address.reason(error)
                if reason != self._reason:
                    log.error("database.lost: %s", reason)
                self._reason = reason
                continue
            except StorageRefused as error:
                self._reason, self.is_refused = str(error), True
                return
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
