"""Store in PostgreSQL: any number of processes write, each through a committer of its own."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import psycopg

from receiver.errors import StorageRefused, StorageUnavailable
from receiver.store.committer import Committed, Committer
from receiver.store.postgres.address import Address, read_address
from receiver.store.postgres.connection import (
    CHANNEL,
    DATABASE_CLOCK,
    Away,
    Readers,
    WriteConnection,
    connect,
)
from receiver.store.postgres.schema import prepare, version_of
from receiver.store.sql.database import Database
from receiver.store.sql.reader import SqlReader

Found = TypeVar("Found")

# How long a process runs a timer without asking again, and how long until another one takes it over
# when it is gone (seconds).
_RENEW, _LEAD = 4.0, 10.0
_TAKE_LEAD = (
    "INSERT INTO timer AS t (name, holder, until_at) VALUES (%(timer)s, %(holder)s, {until})"
    " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_at = excluded.until_at"
    " WHERE t.holder = excluded.holder OR t.until_at <= {now} RETURNING 1"
)
_GIVE_LEAD = "DELETE FROM timer WHERE holder = %s"
_IS_SERVED = "SELECT 1 FROM timer WHERE until_at > {now} AND holder <> %s LIMIT 1"


class PostgresStore(Committed, SqlReader):
    """contract.Store in a PostgreSQL database.

    `now` is the clock that counts for leases: the database's, unless a story passes its own time.
    """

    def __init__(self, url: str, *, backlog: int = 2_000, now: str = DATABASE_CLOCK) -> None:
        self._address = address = read_address(url)
        # No holder's name begins with another's.
        self.holder = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}/"
        try:
            prepare(address)
            self._readers = Readers(address, now)
            super().__init__(Committer(lambda: WriteConnection(address, self.holder, now), backlog))
        except psycopg.Error as error:
            raise _refused(address, error) from None
        self._leads: dict[str, tuple[bool, float]] = {}  # and until when (monotonic seconds)
        self._listener: Listener | None = None

    @staticmethod
    def exists(url: str) -> bool:
        """Return whether a database has our tables; StorageRefused without a server."""
        address = read_address(url)
        try:
            with connect(address) as connection:
                return version_of(connection) > 0
        except psycopg.Error as error:
            raise _refused(address, error) from None

    def is_in_place(self) -> bool:
        return True

    def tidy(self) -> bool:
        return True

    def leads(self, timer: str) -> bool:
        leads, until = self._leads.get(timer, (False, 0.0))
        if time.monotonic() >= until:
            leads = self._take_lead(timer)
            self._leads[timer] = leads, time.monotonic() + _RENEW / (1 if leads else 4)
        return leads

    def _take_lead(self, timer: str) -> bool:
        until = f"{DATABASE_CLOCK} + {int(_LEAD * 1e9)}"
        text = _TAKE_LEAD.format(until=until, now=DATABASE_CLOCK)
        values = {"timer": timer, "holder": self.holder}
        try:
            with self._readers.lend_to_write() as connection:
                return bool(connection.execute(text, values).fetchone())
        except psycopg.Error as error:
            raise self._unavailable(error) from None

    def is_served(self) -> bool:
        """Return whether another process serves the database."""
        text = _IS_SERVED.format(now=DATABASE_CLOCK)
        with self._readers.lend_to_write() as connection:
            return bool(connection.execute(text, (self.holder,)).fetchone())

    def engine(self) -> str:
        """Return the name and the version of the server."""
        with self._readers.lend_to_write() as connection:
            number = connection.info.server_version
        return f"PostgreSQL {number // 10_000}.{number % 10_000}"

    def on_news(self, listener: Callable[[], None]) -> None:
        self._listener = Listener(self._address, listener)
        self._listener.start()

    def close(self) -> None:
        self._committer.close()
        if self._listener is not None:
            self._listener.stop()
        if any(leads for leads, _ in self._leads.values()):
            with suppress(psycopg.Error), self._readers.lend_to_write() as connection:
                connection.execute(_GIVE_LEAD, (self.holder,))
        self._readers.close()

    def _query(self, query: Callable[[Database], Found]) -> Found:
        try:
            with self._readers.lend() as database:
                return query(database)
        except psycopg.Error as error:
            raise self._unavailable(error) from None

    def _unavailable(self, error: psycopg.Error) -> StorageUnavailable:
        reason = self._address.reason(error)
        where = "" if isinstance(error, Away) else f"{self._address.name}: "
        return StorageUnavailable(f"The database cannot be read: {where}{reason}.")


class Listener(threading.Thread):
    """A thread that hears of new deliveries from other processes, which are polled for, too."""

    def __init__(self, address: Address, listener: Callable[[], None]) -> None:
        super().__init__(name="postgres-news", daemon=True)
        self._address, self._tell = address, listener
        self._stopping = threading.Event()

    def run(self) -> None:
        """Listen until it is stopped; a lost connection is made anew."""
        while not self._stopping.is_set():
            try:
                with connect(self._address) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    while not self._stopping.is_set():
                        for _ in connection.notifies(timeout=1.0, stop_after=1):
                            self._tell()
            except psycopg.Error:
                self._stopping.wait(2.0)

    def stop(self) -> None:
        """Stop within a second or so; nobody waits for it."""
        self._stopping.set()


def _refused(address: Address, error: psycopg.Error) -> StorageRefused:
    where = "" if isinstance(error, Away) else f"{address.name}: "
    return StorageRefused(
        f"{where}{address.reason(error)}. Check RECEIVER_DATABASE_URL, the server and its network."
    )
