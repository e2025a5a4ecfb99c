"""A store for one scenario after another: real SQL on a real connection, and nothing is kept.

A scenario is one transaction that is rolled back at its end. So no store is made or copied, and
statements stay prepared. (What a commit promises is proven elsewhere.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

from receiver.store.contract import Act, Item, Result
from receiver.store.sql.database import Database
from receiver.store.sql.reader import SqlReader
from receiver.store.sql.transaction import SqlTransaction
from receiver.store.sqlite.connection import HOLDER, connect, database
from tests.support.stores import prepared

Found = TypeVar("Found")
FIRST_OWED = (
    "SELECT min(owed_at) FROM delivery"
    " WHERE destination = ? AND state = 'waiting' AND owed_at > ? AND planned_at <= owed_at"
)


class Within(SqlReader):
    """A store whose writes are parts of one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.writes = 0

    def write_now(self, act: Act[Item, Result], item: Item) -> Result:
        """Do the act on the item."""
        self.writes += 1
        return act(SqlTransaction(self._database, HOLDER), [item])[0]

    def _query(self, query: Callable[[Database], Found]) -> Found:
        return query(self._database)

    def first_owed(self, destination: str, after: int) -> int:
        """Return since when the first message waits that is owed since then; 0: there is none."""
        found = self._database.connection.execute(FIRST_OWED, (destination, after)).fetchall()
        return found[0][0] or 0


@cache
def _connected(path: Path) -> Database:
    return database(connect(prepared(path)))


@contextmanager
def emptied(folder: Path) -> Iterator[Within]:
    """Lend a store in which nothing is, and empty it afterwards."""
    of = _connected(folder / "receiver.db")
    of.connection.execute("BEGIN IMMEDIATE")
    try:
        yield Within(of)
    finally:
        of.connection.execute("ROLLBACK")
