"""The file under our feet: links, other names, and a file that goes away while it is served."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from receiver.errors import StorageRefused, StorageServed
from receiver.store import opening
from receiver.store.sqlite.store import SqliteStore
from tests.support import commands
from tests.support.served import CUT, HERE, SECRET, SOURCE, Served, event, own_port

# Nothing is sent, so that only webhooks and /readyz make commits.
RULES = "destinations:\n  ops: console://\nroutes:\n  - {{name: all, match: {{}}, notify: ops}}\n"
QUIET = ("--no-dispatch",)


def served(folder: Path) -> Served:
    return Served(folder, (), RULES, HERE, QUIET, log_level="info")


def refused(
    folder: Path, database: Path, *command: str, code: int = 1
) -> subprocess.CompletedProcess[bytes]:
    """Run a command that must end by itself, in a folder with routes."""
    (folder / "routes.yaml").write_text(SOURCE % SECRET + RULES.format(), "utf-8")
    url = f"sqlite:///{database}"
    done = commands.run(folder, *command, RECEIVER_DATABASE_URL=url, RECEIVER_PORT=str(own_port()))
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr
    return done


@pytest.mark.parametrize("command", [("serve",), ("executions",), ("check",), ("doctor",)])
def test_a_link_to_a_volume_that_is_away_is_refused_and_stays(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    link, away = tmp_path / "receiver.db", tmp_path / "volume" / "receiver.db"
    link.symlink_to(away)
    done = refused(tmp_path, link, *command)
    assert b"Is its volume mounted?" in done.stderr
    assert link.readlink() == away
    assert not [path for path in tmp_path.iterdir() if "receiver.db" in path.name and path != link]


def test_a_link_to_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    for name, to in (("a.db", "b.db"), ("b.db", "c.db"), ("round.db", "round.db")):
        (tmp_path / name).symlink_to(tmp_path / to)
    for name in ("a.db", "b.db", "round.db"):
        with pytest.raises(StorageRefused, match="link"):
            opening.open_to_serve(f"sqlite:///{tmp_path / name}")
        assert (tmp_path / name).is_symlink()


def test_a_store_behind_a_link_has_its_log_beside_the_file(tmp_path: Path) -> None:
    real, link = tmp_path / "volume" / "real.db", tmp_path / "receiver.db"
    real.parent.mkdir()
    opening.open_to_serve(f"sqlite:///{real}").close()
    link.symlink_to(real)
    store = SqliteStore(link, serve=True)
    assert store._log == real.with_name("real.db-wal")  # whose length decides when to copy it back
    assert store._log.exists()
    store.close()
    assert sorted(path.name for path in real.parent.iterdir()) == ["real.db", "real.db.lock"]


@pytest.mark.parametrize("name", ["symbolic", "hard", "folder", "lock removed"])
def test_a_second_server_is_refused_by_whatever_name(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        async with served(tmp_path) as first:
            await first.post(event("STARTED", "x-1", "e-1"))
            elsewhere = tmp_path / "elsewhere"
            elsewhere.mkdir()
            other = elsewhere / "other.db"
            if name == "symbolic":
                other.symlink_to(first.path)
            elif name == "hard":
                other.hardlink_to(first.path)
            elif name == "folder":
                (elsewhere / "data").symlink_to(tmp_path, target_is_directory=True)
                other = elsewhere / "data" / "receiver.db"
            else:
                first.path.with_name("receiver.db.lock").unlink()
                other = first.path
            done = await asyncio.to_thread(refused, elsewhere, other, "serve")
            assert b"is being served by another process" in done.stderr
            await first.post(event("COMPLETED", "x-1", "e-2"))
            assert (await first.request("GET", "/readyz"))[0] == 200
            first.kill(signal.SIGTERM)
            assert await first.ended(20) == 0

    asyncio.run(run())


def test_another_name_of_the_file_is_refused_while_the_log_may_stand_beside_the_first(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with served(tmp_path) as first:
            await first.post(event("STARTED", "x-1", "e-1"))
            first.kill()
            await first.ended(10)
        other = tmp_path / "other" / "receiver.db"
        other.parent.mkdir()
        other.hardlink_to(first.path)
        for command in (("serve",), ("executions",)):
            done = await asyncio.to_thread(refused, other.parent, other, *command)
            assert b"names (hard links)" in done.stderr
        # By its own name, beside which the log stands, nothing is missing.
        done = await asyncio.to_thread(refused, tmp_path, first.path, "executions", code=0)
        assert b"x-1" in done.stdout

    asyncio.run(run())


def moved(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def removed(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    other = path.with_name("backup.db")
    opening.open_to_serve(f"sqlite:///{other}").close()
    other.replace(path)


def log_moved(path: Path) -> None:
    path.with_name("receiver.db-wal").rename(path.with_name("moved.db-wal"))


def index_removed(path: Path) -> None:
    path.with_name("receiver.db-shm").unlink()


def folder_moved(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


WAYS = (moved, removed, replaced, log_moved, index_removed, folder_moved)


class Data(Served):
    """A receiver whose database stands in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "data" / "receiver.db"
        self.path.parent.mkdir()
        url = f"sqlite:///{self.path}"
        super().__init__(folder, (), RULES, HERE, QUIET, log_level="info", database_url=url)
        self.path = folder / "data" / "receiver.db"


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_goes_away_under_a_running_server_ends_it(
    tmp_path: Path, way: Callable[[Path], None]
) -> None:
    async def run() -> None:
        async with Data(tmp_path) as one:
            for n in range(5):
                await one.post(event("STARTED", f"x-{n}", f"before-{n}"))
            way(one.path)
            gone, statuses = time.monotonic(), []
            process = one.process
            assert process is not None
            n = 0
            while process.poll() is None and time.monotonic() < gone + 10:
                with suppress(*CUT):
                    status = await one.post_once(event("STARTED", f"y-{n}", f"after-{n}"))
                    statuses.append((status, time.monotonic() - gone))
                n += 1
            assert await one.ended(1) == 1, one.log()
            late = [after for status, after in statuses if status == 202 and after > 1.0]
            assert late == []  # no more than a second's look lets through
            assert {status for status, _ in statuses} <= {202, 503, None}
            log = one.log()
            assert "moved, removed or replaced under the running server" in log
            assert "storage.failed" in log
            assert "Traceback" not in log
            if way is removed:
                with pytest.raises(StorageRefused, match="Put the file back"):
                    opening.open_to_serve(f"sqlite:///{one.path}")
            else:
                acknowledged = {f"before-{n}" for n in range(5)}
                acknowledged |= {f"after-{n}" for n, (s, _) in enumerate(statuses) if s == 202}
                assert acknowledged <= kept(tmp_path, way)

    asyncio.run(run())


def kept(folder: Path, way: Callable[[Path], None]) -> set[str]:
    """Return the events in the file, wherever it is now; "replaced" has none any more."""
    if way is replaced:
        other = opening.open_to_serve(f"sqlite:///{folder}/data/receiver.db")
        assert other.ledger()["accepted"] == 0  # nothing of the old log got into it
        assert other.ledger()["imbalance"] == 0
        other.close()
        return {f"{when}-{n}" for when in ("before", "after") for n in range(10_000)}
    places = {"moved": "data/moved.db", "folder_moved": "moved/receiver.db"}
    path = folder / places.get(way.__name__, "data/receiver.db")
    copy = folder / "copy.db"
    shutil.copyfile(path, copy)  # alone: its log is in it
    with suppress(FileNotFoundError):
        copy.with_name("copy.db-wal").unlink()
    one = SqliteStore(copy, serve=True)
    rows = one._query(lambda db: db.connection.execute("SELECT event_id FROM event").fetchall())
    assert one.ledger()["imbalance"] == 0
    one.close()
    return {event_id for (event_id,) in rows}


def test_readyz_sees_that_the_file_is_gone_though_nothing_is_written(tmp_path: Path) -> None:
    async def run() -> None:
        async with Data(tmp_path) as one:
            assert (await one.request("GET", "/readyz"))[0] == 200
            moved(one.path)
            # At once, not when its last answer is a second old.
            status, _ = await one.request("GET", "/readyz")
            assert status == 503
            assert await one.ended(10) == 1

    asyncio.run(run())


def test_a_stop_says_that_the_file_is_gone_even_if_nobody_looked(tmp_path: Path) -> None:
    async def run() -> None:
        async with Data(tmp_path) as one:
            await one.post(event("STARTED", "x-1", "e-1"))
            moved(one.path)
            one.kill(signal.SIGTERM)
            assert await one.ended(20) == 1
            assert "moved, removed or replaced" in one.log()

    asyncio.run(run())


def test_a_file_that_was_moved_away_and_put_back_has_everything(tmp_path: Path) -> None:
    async def run() -> None:
        async with Data(tmp_path) as one:
            await one.post(event("STARTED", "x-1", "e-1"))
            moved(one.path)
            with suppress(*CUT):
                await one.request("GET", "/readyz")
            assert await one.ended(10) == 1
            one.launch()  # as systemd would
            assert await one.ended(20) == 1
            assert "Put the file back" in one.log()
            assert not one.path.exists()
            one.path.with_name("moved.db").rename(one.path)
            await one.start()
            await one.post(event("COMPLETED", "x-1", "e-2"))
            assert one.rows("SELECT status FROM execution") == [("completed",)]
            one.kill(signal.SIGTERM)
            assert await one.ended(20) == 0

    asyncio.run(run())


def test_a_clean_stop_leaves_the_file_alone_without_log(tmp_path: Path) -> None:
    async def run() -> None:
        async with Data(tmp_path) as one:
            await one.post(event("STARTED", "x-1", "e-1"))
            await one.request("GET", "/api/executions")  # a connection that only reads was used
            one.kill(signal.SIGTERM)
            assert await one.ended(20) == 0
        names = {path.name for path in one.path.parent.iterdir()}
        assert names == {"receiver.db", "receiver.db.lock"}
        done = await asyncio.to_thread(refused, tmp_path, one.path, "executions", code=0)
        assert b"x-1" in done.stdout
        assert {path.name for path in one.path.parent.iterdir()} == names

    asyncio.run(run())


def test_a_store_that_was_refused_frees_the_file(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    SqliteStore(path).close()
    good = path.read_bytes()
    path.write_bytes(good[:5000])
    with pytest.raises(StorageRefused):
        SqliteStore(path, serve=True)
    path.write_bytes(good)
    first = SqliteStore(path, serve=True)
    with pytest.raises(StorageServed):
        SqliteStore(path, serve=True)
    first.close()


def test_the_wait_for_a_look_is_over_within_a_second(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db", serve=True)
    failed: list[str] = []
    store.on_failure(failed.append)
    store.check_writable()
    assert store.is_in_place()
    (tmp_path / "r.db").rename(tmp_path / "elsewhere.db")
    end = time.monotonic() + 1.0
    while not failed and time.monotonic() < end:
        with suppress(Exception):
            store.check_writable()
    assert len(failed) == 1
    assert "moved" in failed[0]
    assert not store.is_in_place()
    (tmp_path / "elsewhere.db").rename(tmp_path / "r.db")
    assert not store.is_in_place()  # what was lost once stays lost
    store.close()
