"""Store in PostgreSQL: any number of processes write, each through a committer of its own."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import psycopg

from receiver.errors import StorageAway, StorageRefused, StorageUnavailable
from receiver.store.committer import Committed, Committer
from receiver.store.contract import Act, Item, Result
from receiver.store.postgres import peers
from receiver.store.postgres.address import Address, read_address
from receiver.store.postgres.connection import (
    CHANNEL,
    DATABASE_CLOCK,
    Readers,
    WriteConnection,
)
from receiver.store.postgres.link import Away, Link, connect
from receiver.store.postgres.peers import Peers
from receiver.store.postgres.schema import SCHEMA_VERSION, goes_on, prepare, version_of
from receiver.store.reading import Node
from receiver.store.sql.database import Database, News
from receiver.store.sql.reader import SqlReader

if TYPE_CHECKING:
    import asyncio

Found = TypeVar("Found")


class PostgresStore(Committed, SqlReader):
    """contract.Store in a PostgreSQL database.

    `now` is the clock that counts for leases: the database's, unless a story passes its own time.
    If the server `may_be_away`, everything is StorageUnavailable until it is reached.
    """

    def __init__(
        self, url: str, *, backlog: int = 2_000, now: str = DATABASE_CLOCK,
        may_be_away: bool = False,
    ) -> None:  # fmt: skip
        self._address = address = read_address(url)
        # No holder's name begins with another's.
        self.holder = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}/"
        try:
            link = Link(address, lambda: prepare(address), may_be_away=may_be_away)
            # A turn locks its destination, and other processes have its turns, too: nothing else
            # is in its transaction, and webhooks wait for none.
            self._readers = Readers(link, now)
            self._news = News(), News()

            def writing(what: str, news: News) -> Callable[[], WriteConnection]:
                return lambda: WriteConnection(link, what, self.holder, now, news)

            super().__init__(Committer(writing("turns", self._news[0]), backlog, most=1))
            self._batches = Committed(Committer(writing("batches", self._news[1]), backlog))
        except psycopg.Error as error:
            raise _refused(address, error) from None
        self._peers = Peers(self.holder)
        self._listener: Listener | None = None

    @staticmethod
    def exists(url: str) -> bool:
        """Return whether a database has our tables; StorageRefused without a server."""
        return PostgresStore.state_of(url)[0] > 0

    @staticmethod
    def state_of(url: str) -> tuple[int, int, bool, Sequence[Node]]:
        """Return the database's schema, ours, whether older receivers go on with ours, and who is.

        StorageRefused without a server. Nothing is changed.
        """
        address = read_address(url)
        try:
            with connect(address) as connection:
                found = version_of(connection)
                nodes = peers.alive(connection) if found else ()
        except psycopg.Error as error:
            raise _refused(address, error) from None
        return found, SCHEMA_VERSION, goes_on(found), nodes

    async def write(self, act: Act[Item, Result], item: Item) -> Result:
        return await self._batches.write(act, item)

    def write_all(
        self, act: Act[Item, Result], items: Sequence[tuple[Item, asyncio.Future[Result]]]
    ) -> None:
        self._batches.write_all(act, items)

    def backlog(self) -> int:
        return super().backlog() + self._batches.backlog()

    def on_failure(self, listener: Callable[[str], None]) -> None:
        super().on_failure(listener)
        self._batches.on_failure(listener)

    def check_writable(self) -> None:
        super().check_writable()
        self._batches.check_writable()

    def is_in_place(self) -> bool:
        return True

    def tidy(self) -> bool:
        return True

    def leads(self, timer: str) -> bool:
        known = self._peers.known_to_lead(timer)
        if known is not None:
            return known
        try:
            with self._readers.lend_to_write() as connection:
                return self._peers.take(connection, timer)
        except psycopg.Error as error:
            raise self._unavailable(error) from None

    def announce(self, rules: str) -> None:
        self._peers.announce(rules)

    def nodes(self) -> Sequence[Node]:
        try:
            with self._readers.lend_to_write() as connection:
                return peers.alive(connection)
        except psycopg.Error as error:
            raise self._unavailable(error) from None

    def is_served(self) -> bool:
        """Return whether another process serves the database."""
        with self._readers.lend_to_write() as connection:
            return peers.is_served(connection, self.holder)

    def engine(self) -> str:
        """Return the name and the version of the server."""
        with self._readers.lend_to_write() as connection:
            number = connection.info.server_version
        return f"PostgreSQL {number // 10_000}.{number % 10_000}"

    def on_news(self, listener: Callable[[Collection[str] | None], None]) -> None:
        for news in self._news:
            news.listener = listener
        self._listener = Listener(self._address, listener)
        self._listener.start()

    def close(self) -> None:
        self._batches.close()
        super().close()
        if self._listener is not None:
            self._listener.stop()
        if self._peers.has_anything:
            with suppress(psycopg.Error), self._readers.lend_to_write() as connection:
                self._peers.leave(connection)
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

    def __init__(self, address: Address, listener: Callable[[None], None]) -> None:
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
                            self._tell(None)
            except psycopg.Error:
                self._stopping.wait(2.0)

    def stop(self) -> None:
        """Stop within a second or so; nobody waits for it."""
        self._stopping.set()


def _refused(address: Address, error: psycopg.Error) -> StorageRefused:
    is_away = isinstance(error, Away)
    where = "" if is_away else f"{address.name}: "
    return (StorageAway if is_away else StorageRefused)(
        f"{where}{address.reason(error)}. Check RECEIVER_DATABASE_URL, the server and its network."
    )
