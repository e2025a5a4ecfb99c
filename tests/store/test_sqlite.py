"""The store's contract on SQLite, and what only a file can get wrong: refused files, PRAGMAs."""

from __future__ import annotations

import ctypes
import mmap
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import sqlite_utils

from receiver.errors import StorageRefused, StorageUnavailable
from receiver.events import Status
from receiver.store.contract import Transaction
from receiver.store.opening import exists, open_existing, open_to_serve
from receiver.store.sql.database import Database, Statement
from receiver.store.sql.transaction import SqlTransaction
from receiver.store.sqlite.connection import connect
from receiver.store.sqlite.file import Lock
from receiver.store.sqlite.schema import APPLICATION_ID, statements
from receiver.store.sqlite.store import SqliteStore
from receiver.times import SECOND
from tests.store.conformance import NOW, PACE, Engine, StoreContract, applied, claim, owed, save
from tests.support.live import until
from tests.support.stores import prepared


class TestSqlite(StoreContract):
    """Every test of the contract, on a file."""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Engine:
        return lambda *, backlog=2_000: SqliteStore(
            prepared(tmp_path / "r.db"), backlog=backlog, serve=True
        )


def test_a_commit_that_storage_refuses_is_not_answered_as_done(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = SqliteStore(path, serve=True)
    other = connect(path)
    other.execute("PRAGMA busy_timeout = 0")
    other.execute("BEGIN IMMEDIATE")  # somebody else holds the file, longer than we wait
    with pytest.raises(StorageUnavailable, match="send it again"):
        store.check_writable()
    other.execute("ROLLBACK")
    store.check_writable()
    other.close()
    store.close()


def test_one_process_serves_a_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db", serve=True)
    with pytest.raises(StorageRefused, match="being served"):
        SqliteStore(tmp_path / "r.db", serve=True)
    store.close()
    SqliteStore(tmp_path / "r.db", serve=True).close()


def in_memory(file: int) -> float:
    """The part of a file that the system has in memory."""
    with closing(mmap.mmap(file, 0, access=mmap.ACCESS_COPY)) as mapped:
        pages = (ctypes.c_ubyte * -(-len(mapped) // mmap.PAGESIZE))()
        place = ctypes.c_char.from_buffer(mapped)
        length = ctypes.c_size_t(len(mapped))
        assert ctypes.CDLL(None).mincore(ctypes.byref(place), length, pages) == 0
        del place
    return sum(page & 1 for page in pages) / len(pages)


def test_a_start_reads_a_file_ahead_of_its_check() -> None:
    # What the system keeps in memory anyway cannot be read ahead.
    with TemporaryDirectory(dir="/var/tmp") as folder:
        path = Path(folder) / "r.db"
        path.write_bytes(bytes(1 << 22))
        with closing(Lock(path)) as lock, path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            if in_memory(file.fileno()) > 0.5:
                pytest.skip("this file system keeps it in memory")
            lock.take()
            lock.read_ahead()
            until(lambda: in_memory(file.fileno()) == 1)


def test_nobody_who_sends_waits_for_somebody_who_looks(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db", serve=True)
    looks, may_end = threading.Event(), threading.Event()

    def look(_: Database) -> None:
        looks.set()
        may_end.wait(20)

    looking = threading.Thread(target=store._look, args=(look,))
    looking.start()
    assert looks.wait(20)
    assert store.next_due("ops", PACE, NOW) is None
    save(store, applied(1, Status.RUNNING, None))
    found = store.execution("s", "x-1")  # nor somebody else who looks
    assert found is not None
    may_end.set()
    looking.join()
    store.close()
    with pytest.raises(StorageUnavailable):
        store.executions({}, 1, None)


def test_an_end_does_not_wait_for_somebody_who_looks(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db", serve=True)
    store.executions({}, 1, None)
    looks = threading.Event()
    store._spectators._all[0].set_progress_handler(looks.set, 1_000)
    endless = Statement(
        "endless",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT max(i) FROM n",
    )
    ended: list[StorageUnavailable] = []

    def look() -> None:
        try:
            store._look(lambda db: db.value(endless))
        except StorageUnavailable as error:
            ended.append(error)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    assert looks.wait(20)
    store.close()
    looking.join(20)
    assert len(ended) == 1


def test_every_commit_is_synced_and_the_log_is_write_ahead(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "r.db").close()
    connection = connect(tmp_path / "r.db")
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    connection.close()


def test_a_database_that_is_not_ours_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    empty, foreign, newer, broken = (tmp_path / f"{n}.db" for n in "efnb")
    empty.touch()
    sqlite3.connect(foreign).execute("CREATE TABLE t (x)").connection.close()
    SqliteStore(newer).close()
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    broken.write_bytes(b"no database at all, but long enough to look" * 100)
    for path, says in [
        (empty, "is empty"), (foreign, "another program"), (newer, "newer"), (broken, "backup"),
    ]:  # fmt: skip
        before = path.read_bytes()
        with pytest.raises(StorageRefused, match=says):
            SqliteStore(path, serve=True)
        assert path.read_bytes() == before


def test_a_database_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    connection = connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    migrations = sqlite_utils.Migrations("receiver")

    @migrations()
    def schema_1(db: sqlite_utils.Database) -> None:
        text = (resources.files("receiver.store.sqlite") / "migrations" / "sqlite.sql").read_text(
            "utf-8"
        )
        for statement in statements(text):
            db.conn.execute(statement)

    migrations.apply(sqlite_utils.Database(connection, execute_plugins=False))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    connection.execute(
        "INSERT INTO event (seq, source, event_id, execution_id, event, status, occurred_at,"
        " received_at, verdict, reason, owed) VALUES (1, 's', 'e-1', 'x-1', 'E', 'running', ?, ?,"
        " 'rejected', 'illegal', 1)",
        (NOW, NOW),
    )
    connection.execute(
        "INSERT INTO delivery (dedup_key, event, source, route, destination, kind, order_key,"
        " created_at, owed_at, due_at) VALUES ('k', 1, 's', 'r', 'ops', 'notice', 'o', ?, ?, ?)",
        (NOW, NOW, NOW),
    )
    connection.execute("UPDATE promised SET n = 1")
    connection.close()
    store = SqliteStore(path, serve=True)
    assert store.deliveries({}, 10, None)[0][0]["verdict"] == "rejected"
    assert claim(store) is not None
    save(store, applied(2, Status.RUNNING, None))
    found = store.execution("s", "x-1")
    assert found is not None
    assert [e["steps"][0]["reason"] for e in found["events"]] == ["illegal", "first_seen"]
    store.close()


def test_a_backup_without_write_ahead_log_is_one_to_start_on(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db", serve=True)
    save(store, applied(1, Status.RUNNING, None))
    with sqlite3.connect(tmp_path / "r.db") as connection:
        connection.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
    connection.close()
    store.close()
    for serve in (False, True):
        copy = SqliteStore(tmp_path / "copy.db", serve=serve, thorough=True)
        assert copy.execution("s", "x-1") is not None
        copy.close()
        with sqlite3.connect(tmp_path / "copy.db") as connection:
            connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        connection.close()


def test_a_command_that_looks_creates_no_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'none.db'}"
    assert not exists(url)
    with pytest.raises(StorageRefused, match="receiver serve"):
        open_existing(url)
    assert not (tmp_path / "none.db").exists()


def test_a_store_is_opened_by_its_url(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'r.db'}"
    store = open_to_serve(url)
    assert exists(url)
    assert store.leads("pruning")
    beside = open_existing(url)
    assert not beside.leads("pruning")  # who serves the file does what is done by the clock
    beside.close()
    store.close()
    with pytest.raises(StorageRefused, match="sqlite:///FILE"):
        open_existing("mysql://somewhere")


def test_what_another_holder_sends_is_taken_back_when_its_lease_is_over(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db", serve=True)
    save(store, applied(1, Status.RUNNING, None, owed("ops", "k-1")))

    def as_holder(name: str, act: Callable[[SqlTransaction], object]) -> object:
        def run(transaction: Transaction, items: Sequence[None]) -> list[object]:
            assert isinstance(transaction, SqlTransaction)
            return [act(SqlTransaction(transaction._database, name)) for _ in items]

        return store.write_now(run, None)

    assert as_holder("a/", lambda t: t.claim("ops", PACE, NOW, NOW + 60 * SECOND)) is not None
    assert as_holder("b/", lambda t: t.release(NOW, own=True)) == 0
    assert as_holder("a/", lambda t: t.release(NOW, own=True)) == 1
    assert as_holder("a/", lambda t: t.claim("ops", PACE, NOW, NOW + 60 * SECOND)) is not None
    assert as_holder("b/", lambda t: t.release(NOW + 61 * SECOND, own=True)) == 1
    store.close()
