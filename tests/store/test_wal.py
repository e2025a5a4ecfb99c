"""The write-ahead log stays short, is copied back seldom, and nobody waits for who reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from receiver.store.contract import Transaction
from receiver.store.sqlite.store import SqliteStore
from receiver.store.sqlite.wal import CHECKPOINT_AT, LONG
from tests.support.people import Walk
from tests.support.stores import prepared

MIB = 2**20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(prepared(tmp_path / "receiver.db"), serve=True)
    yield opened
    opened.close()


def write(walk: Walk, events: int, size: int = 2_000) -> None:
    """Commit events one by one, each with so much to store."""
    for _ in range(events):
        walk.come([walk.event(None, agent_name="x" * size)])


def length(walk: Walk) -> int:
    return (walk.folder / "receiver.db-wal").stat().st_size


def syncs(walk: Walk) -> int:
    """How often the file itself was written: only when the log is copied back."""
    return (walk.folder / "receiver.db").stat().st_mtime_ns


def test_the_log_is_copied_back_seldom_and_stays_short(tmp_path: Path) -> None:
    walk = Walk(tmp_path, "destinations: {}\nroutes: []\n")
    longest, copied = 0, set()
    for _ in range(3_000):
        write(walk, 1)
        longest = max(longest, length(walk))
        copied.add(syncs(walk))
    walk.store.close()
    assert longest < 3 * CHECKPOINT_AT
    assert len(copied) < 100


def test_who_reads_for_long_holds_up_nobody_and_the_log_is_short_again_after_it(
    tmp_path: Path,
) -> None:
    walk = Walk(tmp_path, "destinations: {}\nroutes: []\n")
    with closing(sqlite3.connect(tmp_path / "receiver.db")) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM event").fetchone() == (0,)
        while length(walk) < LONG + CHECKPOINT_AT:
            write(walk, 50, 50_000)
        assert walk.store.is_log_long()
        assert reader.execute("SELECT count(*) FROM event").fetchone() == (0,)
        reader.execute("COMMIT")
    for _ in range(100):  # within a second or so, by the commits that it takes
        if not walk.store.is_log_long():
            break
        write(walk, 20, 50_000)
    assert not walk.store.is_log_long()
    assert length(walk) < LONG
    walk.store.close()


def test_what_others_write_is_tidied_by_who_serves(store: SqliteStore, tmp_path: Path) -> None:
    other = SqliteStore(tmp_path / "receiver.db")

    def act(transaction: Transaction, items: Sequence[int]) -> list[None]:
        transaction._database.connection.execute(  # type: ignore[attr-defined]
            "INSERT INTO silence (match, reason, by, created_at, from_at, until_at)"
            " VALUES (?, 'r', 'b', 1, 1, 1)",
            ("x" * MIB,),
        )
        return [None for _ in items]

    while not other.is_log_long():
        other.write_now(act, 1)
    other.close()
    assert store.is_log_long()
    store.check_writable()
    store.check_writable()  # begins when the first one has tidied up
    assert not store.is_log_long()
