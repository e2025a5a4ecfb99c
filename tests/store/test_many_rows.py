"""One statement about many rows does what the same statement about each of them would do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from receiver.store.sqlite.many_rows import MOST, ManyRows

ADD = ManyRows(
    "INSERT INTO seen (name, first) VALUES {rows}"
    " ON CONFLICT (name) DO UPDATE SET times = times + 1 WHERE name <> 'once'",
    2,
)
MOVE = ManyRows(
    "UPDATE seen SET first = m.column2 FROM (VALUES {rows}) AS m WHERE seen.name = m.column1", 2
)
FIND = ManyRows(
    "WITH asked (name) AS (VALUES {rows})"
    " SELECT s.name, s.first FROM asked AS a CROSS JOIN seen AS s ON s.name = a.name",
    1,
)
SIZES = [0, 1, 2, 3, MOST - 1, MOST, MOST + 1, 2 * MOST, 3 * MOST + 7]


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as opened:
        opened.execute("CREATE TABLE seen (name TEXT UNIQUE, first, times INTEGER DEFAULT 1)")
        yield opened


@pytest.mark.parametrize("size", SIZES)
def test_every_row_is_done_once_and_in_its_order(db: sqlite3.Connection, size: int) -> None:
    rows = [(f"n-{number}", bytes([number % 256])) for number in range(size)]
    assert ADD.change(db, rows) == size
    assert db.execute("SELECT name, first FROM seen ORDER BY rowid").fetchall() == rows
    assert MOVE.change(db, [(name, number) for number, (name, _) in enumerate(rows)]) == size
    assert MOVE.change(db, [("nobody", 1)] * size) == 0
    firsts = db.execute("SELECT first FROM seen ORDER BY rowid").fetchall()
    assert firsts == [(number,) for number in range(size)]


@pytest.mark.parametrize("size", SIZES)
def test_what_is_there_is_found_and_nothing_else(db: sqlite3.Connection, size: int) -> None:
    ADD.change(db, [(f"n-{number}", number) for number in range(0, size, 2)])
    found = FIND.find(db, [(f"n-{number}",) for number in range(size)])
    assert set(found) == {(f"n-{number}", number) for number in range(0, size, 2)}


def test_a_later_row_meets_what_an_earlier_one_of_the_same_statement_did(
    db: sqlite3.Connection,
) -> None:
    assert ADD.change(db, [("a", 1), ("once", 1), ("a", 2), ("once", 2), ("a", 3)]) == 4
    rows = db.execute("SELECT name, first, times FROM seen ORDER BY name").fetchall()
    assert rows == [("a", 1, 3), ("once", 1, 1)]


def test_an_error_in_one_row_is_an_error(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE some (n INTEGER CHECK (n < 3))")
    with pytest.raises(sqlite3.IntegrityError):
        ManyRows("INSERT INTO some VALUES {rows}", 1).change(db, [(1,), (2,), (3,), (1,)])
