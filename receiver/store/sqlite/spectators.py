"""Spectators: read connections for what people look at, which may take long.

Neither a commit nor a worker of the dispatch waits for them, nor one that looks for another.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from receiver.store.sql.database import Database
from receiver.store.sqlite.connection import connect, database

Found = TypeVar("Found")

# More than reads in the background there are, so that a list always finds one free.
MOST = 6


class Spectators:
    """The connections: each is opened once it is needed, at most MOST of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._free: list[sqlite3.Connection] = []
        self._all: list[sqlite3.Connection] = []
        self._changed = threading.Condition()
        self._is_closed = False

    def look(self, query: Callable[[Database], Found]) -> Found:
        """Run the query on a connection that is free; sqlite3.Error if it cannot be read."""
        connection = self._take()
        try:
            return query(database(connection))
        finally:
            with self._changed:
                self._free.append(connection)
                self._changed.notify_all()

    def close(self) -> None:
        """End what is being looked at, and close the connections."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            while len(self._free) < len(self._all):
                for connection in self._all:
                    connection.interrupt()  # an end does not wait for somebody who looks
                self._changed.wait(0.05)
            for connection in self._all:
                connection.close()

    def _take(self) -> sqlite3.Connection:
        with self._changed:
            while not self._is_closed and not self._free and len(self._all) >= MOST:
                self._changed.wait()
            if self._is_closed:
                raise sqlite3.ProgrammingError("the store is closed")
            if not self._free:
                self._free.append(connect(self._path, read_only=True))
                self._all += self._free
            return self._free.pop()
