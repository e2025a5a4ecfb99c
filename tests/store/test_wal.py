"""The write-ahead log stays short, is copied back seldom, and nobody waits for who reads."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest

from receiver.store.contract import Transaction
from receiver.store.sqlite.connection import connect
from receiver.store.sqlite.store import SqliteStore
from receiver.store.sqlite.wal import CHECKPOINT_AT, LONG, Checkpointer
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
    assert isinstance(walk.store, SqliteStore)
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


class Log:
    """A file with a log, whose sync beside the commits ends only when the test says so."""

    def __init__(self, folder: Path) -> None:
        path = prepared(folder / "receiver.db")
        self.go = threading.Event()
        self.fails = False
        self._path = path.with_name("receiver.db-wal")
        self._db = connect(path)
        self._log = Checkpointer(path, self._db, lambda: connect(path), self._sync)

    def _sync(self) -> None:
        self.go.wait()
        if self.fails:
            raise sqlite3.OperationalError("disk I/O error")

    def commit(self, times: int = 1, *, now: bool = False) -> None:
        for _ in range(times):
            self._db.execute(
                "INSERT INTO silence (match, reason, by, created_at, from_at, until_at)"
                " VALUES (?, 'r', 'b', 1, 1, 1)",
                ("x" * MIB,),
            )
            self._log.committed(now=now)

    def begin(self) -> bytes:
        """Return the beginning of the log: it is another one once the log is written anew."""
        with self._path.open("rb") as log:
            return log.read(32)

    def close(self) -> None:
        self.go.set()
        with suppress(sqlite3.Error):
            self._log.close()
        self._db.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    opened = Log(tmp_path)
    yield opened
    opened.close()


def test_commits_go_on_while_the_file_is_synced_and_the_log_keeps_all_of_them(log: Log) -> None:
    log.commit()
    begin = log.begin()
    log.commit(2 * CHECKPOINT_AT // MIB - 4)
    # The file has most of it by now, but not surely: after a loss of power the log must have it.
    assert log.begin() == begin
    log.go.set()
    log.commit(now=True)  # waits for it
    assert log.begin() == b""


def test_a_sync_beside_the_commits_that_fails_is_told_to_the_next_one(log: Log) -> None:
    log.fails = True
    log.commit(CHECKPOINT_AT // MIB + 2)
    log.go.set()
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        log.commit(now=True)
