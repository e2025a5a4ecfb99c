"""Files that a start must refuse, saying what to do, and leave as they are; and older ones."""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import sqlite_utils

from receiver.store.sqlite import schema
from receiver.store.sqlite.connection import connect
from tests.prove_durability.driver import Receiver
from tests.prove_durability.storage import Running
from tests.support.proving import Report

PAGE = 4096


def empty(path: Path) -> None:
    """No byte of it is left."""
    path.write_bytes(b"")


def cut(parts: float) -> Callable[[Path], None]:
    """Only its first part is there."""

    def damage(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * parts)])

    return damage


def foreign(path: Path) -> None:
    """Another program's database."""
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE photo (name TEXT)")


def text(path: Path) -> None:
    """No database at all."""
    path.write_bytes(b"Dear diary, today I was not a database.\n" * 300)


def newer(path: Path) -> None:
    """Of a later version of the program."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA user_version = 9999")


def page_of(name: str) -> Callable[[Path], None]:
    """A page of a table or index with its cell pointers gone astray."""

    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database:
            (root,) = database.execute(
                "SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)
            ).fetchone()
        with path.open("r+b") as file:
            file.seek((root - 1) * PAGE + 8)
            file.write(b"\xff\x01" * 20)

    return damage


def zeroed(path: Path) -> None:
    """Its second half was written by nobody."""
    with path.open("r+b") as file:
        half = path.stat().st_size // PAGE // 2 * PAGE
        file.seek(half)
        file.write(bytes(path.stat().st_size - half))


def without(path: Path) -> None:
    """Its log is there, and itself is gone."""
    path.with_name(f"{path.name}-wal").write_bytes(bytes(32) + path.read_bytes())
    path.unlink()


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (empty, "restore a backup"),
    "cut within a page": (cut(0.37), "restore a backup"),
    "cut to two thirds": (cut(0.66), "restore a backup"),
    "cut within the header": (lambda path: path.write_bytes(path.read_bytes()[:60]), "backup"),
    "another program's": (foreign, "another program's database. Set RECEIVER_DATABASE_URL"),
    "no database": (text, "restore a backup"),
    "of a newer schema": (newer, "Run the newer receiver, or restore the backup"),
    "damaged in an index": (page_of("event_id"), "restore a backup"),
    "damaged in a table": (page_of("delivery"), "restore a backup"),
    "half of it zeroed": (zeroed, "restore a backup"),
    "gone, its log left": (without, "Put the file back"),
}


def older(path: Path, events: int) -> None:
    """A file of the first schema, with events in it."""
    with closing(connect(path)) as database:
        script = Path(schema.__file__).parent / "migrations" / "sqlite.sql"
        migrations = sqlite_utils.Migrations("receiver")

        @migrations()
        def schema_1(db: sqlite_utils.Database) -> None:
            for statement in schema.statements(script.read_text("utf-8")):
                db.conn.execute(statement)

        database.execute("PRAGMA journal_mode = WAL").fetchall()
        migrations.apply(sqlite_utils.Database(database, execute_plugins=False))
        database.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        database.execute("PRAGMA user_version = 1")
        for number in range(events):
            database.execute(
                "INSERT INTO event (source, event_id, execution_id, event, status, occurred_at,"
                " received_at, verdict, reason) VALUES ('s', ?, ?, 'E', 'running', 1, 1,"
                " 'rejected', 'illegal')",
                (f"old{number}", f"old{number}"),
            )
        database.execute("UPDATE promised SET n = ? WHERE name = 'accepted'", (events,))


async def files(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """Damage a good file in many ways: each start ends with 1, says what to do, changes nothing."""
    async with Receiver(folder, given.tree, http=given.http) as receiver:
        running = Running(receiver, report)
        await receiver.start()
        await running.sender.load(8, 120)
        await running.end()
        good = receiver.path.read_bytes()
        starts = []
        for number, (name, (damage, says)) in enumerate(DAMAGES.items()):
            place = folder / f"damage-{number}"
            place.mkdir()
            path = place / "receiver.db"
            path.write_bytes(good)
            damage(path)
            damaged = Receiver(place, given.tree, http=given.http)
            starts.append(_refused(name, says, damaged, report))
            report.add("refused")
        await asyncio.gather(*starts)
        older(folder / "older.db", 30)
        receiver.path = folder / "older.db"
        running.acks.verdicts = {f"old{number}": "rejected" for number in range(30)}
        await receiver.start()
        await running.healed()


async def _refused(name: str, says: str, receiver: Receiver, report: Report) -> None:
    before = {path.name: path.read_bytes() for path in receiver.folder.glob("receiver.db*")}
    async with receiver:
        receiver.launch()
        serves = await receiver.serves()
        report.must(not serves, f"{name}: it is refused")
        if serves:
            return
        code, said = await receiver.ended(), receiver.log()
    report.must(code == 1, f"{name}: it ends with exit code {code}: {said[-500:]}")
    report.must(says in said and "Traceback" not in said, f"{name}: it says what to do: {said}")
    after = {path.name: path.read_bytes() for path in receiver.folder.glob("receiver.db*")}
    changed = [each for each in before if after.get(each) != before[each]]
    report.must(not changed, f"{name}: nothing is changed or replaced: {changed}")
