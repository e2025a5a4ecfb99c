"""A backup is the store at one moment, whole, or nothing at all."""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from receiver.errors import BackupFailed, StorageRefused
from receiver.events import Event, Status
from receiver.intake.receive import Intake, VerifiedWebhook
from receiver.store import opening
from receiver.store.sqlite import backup
from receiver.store.sqlite.connection import connect
from receiver.store.sqlite.schema import SCHEMA_VERSION, migrate
from receiver.store.sqlite.store import SqliteStore
from tests.support.commands import run
from tests.support.stores import open_store


def add(store: SqliteStore, number: int, size: int = 10) -> None:
    event = Event("s", f"e-{number}", "E", Status.RUNNING, f"x-{number}", number)
    webhook = VerifiedWebhook("s", event, b"x" * size, number)
    store.write_now(Intake(()).receive, webhook)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(open_store(tmp_path / "receiver.db")) as opened:
        for number in range(20):
            add(opened, number)
        yield opened


def back_up(folder: Path, name: str = "copy.db") -> dict[str, int] | None:
    return opening.back_up(f"sqlite:///{folder / 'receiver.db'}", folder / name)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {
        f"receiver.db{end}" for end in ("", "-wal", "-shm", ".lock")
    }


def test_a_copy_of_a_served_store_holds_all_that_was_written_and_can_be_served(
    store: SqliteStore, tmp_path: Path
) -> None:
    ledger = back_up(tmp_path)
    assert ledger == store.ledger()
    assert ledger is not None
    assert ledger["accepted"] == 20
    assert files(tmp_path) == {"copy.db"}
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    add(store, 99)  # what comes later is not in it
    with closing(SqliteStore(tmp_path / "copy.db", serve=True, thorough=True)) as copy:
        assert copy.ledger() == ledger
        add(copy, 100)


def test_writes_go_on_meanwhile_and_the_copy_is_of_one_moment(
    store: SqliteStore, tmp_path: Path
) -> None:
    is_over, written = threading.Event(), list[int]()

    def write() -> None:
        number = 1_000
        while not is_over.is_set():
            add(store, number, 20_000)
            written.append(number := number + 1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = []
        for n in range(5):
            before = len(written)
            ledger = back_up(tmp_path, f"copy-{n}.db")
            assert ledger is not None
            counts.append(ledger["accepted"])
            assert 20 + before <= ledger["accepted"] <= 22 + len(written)
    finally:
        is_over.set()
        writer.join()
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


@pytest.mark.parametrize("kind", ["file", "empty", "folder", "link", "itself"])
def test_nothing_that_exists_is_replaced(store: SqliteStore, tmp_path: Path, kind: str) -> None:
    target = tmp_path / ("receiver.db" if kind == "itself" else "copy.db")
    if kind == "folder":
        target.mkdir()
    elif kind == "link":
        target.symlink_to(tmp_path / "elsewhere")
    elif kind != "itself":
        target.write_bytes(b"" if kind == "empty" else b"ours")
    before = files(tmp_path)
    with pytest.raises(BackupFailed, match="exists already"):
        back_up(tmp_path, target.name)
    assert files(tmp_path) == before


def test_a_file_that_appears_meanwhile_is_not_replaced_either(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = backup._checked

    def slowly(made: Path, version: int) -> object:
        (tmp_path / "copy.db").write_bytes(b"ours")
        return checked(made, version)

    monkeypatch.setattr(backup, "_checked", slowly)
    with pytest.raises(BackupFailed, match="exists by now"):
        back_up(tmp_path)
    assert (tmp_path / "copy.db").read_bytes() == b"ours"
    assert files(tmp_path) == {"copy.db"}


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_said_and_no_half_file_is_left(store: SqliteStore, tmp_path: Path) -> None:
    for number in range(100, 110):
        add(store, number, 200_000)
    with at_most(500_000), pytest.raises(BackupFailed, match="Check free space"):
        back_up(tmp_path)
    assert files(tmp_path) == set()
    add(store, 500)  # the store itself goes on
    assert back_up(tmp_path) == store.ledger()


def test_a_folder_that_is_not_there_or_closed_is_said(store: SqliteStore, tmp_path: Path) -> None:
    with pytest.raises(BackupFailed, match="No such file"):
        back_up(tmp_path, "nowhere/copy.db")
    with pytest.raises(StorageRefused, match="no database to copy"):
        opening.back_up(f"sqlite:///{tmp_path / 'none.db'}", tmp_path / "copy.db")
    with pytest.raises(BackupFailed, match="pg_dump"):
        opening.back_up("postgresql://nobody@127.0.0.1:1/x", tmp_path / "copy.db")
    assert files(tmp_path) == set()


def test_what_is_out_of_balance_or_damaged_or_foreign_is_no_backup(tmp_path: Path) -> None:
    path = tmp_path / "receiver.db"
    SqliteStore(path).close()
    with closing(connect(path)) as db:
        db.execute("UPDATE promised SET n = n + 3 WHERE name = 'accepted'")
    with pytest.raises(BackupFailed, match="differ by 3 in the copy"):
        back_up(tmp_path)
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (a)")
    with pytest.raises(StorageRefused, match="another program"):
        back_up(tmp_path)
    path.write_bytes(os.urandom(9_000))
    with pytest.raises(BackupFailed, match="not a database"):
        back_up(tmp_path)
    assert files(tmp_path) == set()


def test_a_store_of_an_older_schema_is_copied_as_it_is(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "receiver.db")) as db:
        migrate(db, SCHEMA_VERSION - 1)
    assert back_up(tmp_path) is None
    with closing(connect(tmp_path / "copy.db", read_only=True)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION - 1,)


def test_the_command_says_what_was_copied_and_what_was_not(
    store: SqliteStore, tmp_path: Path
) -> None:
    done = run(tmp_path, "backup", "copy.db", RECEIVER_DATABASE_URL="sqlite:///receiver.db")
    assert done.returncode == 0
    assert b"20 accepted, 0 messages owed, imbalance 0" in done.stdout
    again = run(tmp_path, "backup", "copy.db", RECEIVER_DATABASE_URL="sqlite:///receiver.db")
    assert again.returncode == 1
    assert again.stderr == b"copy.db exists already. Name a file that is not there.\n"
