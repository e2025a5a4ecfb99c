"""`receiver migrate`: a store moves to PostgreSQL in parts, and goes on where it was killed."""

from __future__ import annotations

import os
import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from receiver.cli.main import cli
from receiver.errors import StorageRefused, StorageServed
from receiver.events import Status
from receiver.store.postgres import copying
from receiver.store.postgres.address import read_address
from receiver.store.postgres.schema import prepare
from receiver.store.postgres.store import PostgresStore
from receiver.store.sqlite.connection import connect
from receiver.store.sqlite.schema import SCHEMA_VERSION
from receiver.store.sqlite.schema import migrate as bring_up_to_date
from receiver.store.sqlite.store import SqliteStore
from tests.support import moved, warm
from tests.support.grown import grow
from tests.support.live import until
from tests.support.people import HOUR, Walk
from tests.support.postgres import Server
from tests.support.stores import prepared

RULES = """\
destinations: {ops: "console://", lead: "console://"}
routes:
  - {name: asks, match: {status: awaiting_confirmation}, notify: ops, remind: {every: 1h}}
  - {name: ends, match: {status: [failed, completed]}, notify: [ops, lead]}
  - {name: odd, match: {verdict: rejected}, notify: ops}
"""


@pytest.fixture
def walk(tmp_path: Path) -> Walk:
    """A walk over a file with a bit of everything in it; each test closes its store."""
    opened = Walk(tmp_path, RULES)
    for number in range(3):
        opened.comes(Status.AWAITING_CONFIRMATION, f"x{number}", agent_name="Zoë \U0001f600")
    opened.gets("ops")
    opened.take("Ann", "x0")
    opened.passes(HOUR)
    opened.gets("ops")
    opened.comes(Status.RUNNING, "x1")
    opened.comes(Status.FAILED, "x1")
    opened.comes(Status.RUNNING, "x1")  # rejected
    opened.claim("ops")  # is being sent
    return opened


def command(walk: Walk, target: str) -> list[str]:
    return ["migrate", "--from", f"sqlite:///{walk.folder / 'receiver.db'}", "--to", target]


def migrate(walk: Walk, target: str, **environ: str) -> Result:
    return CliRunner(env=environ).invoke(cli, command(walk, target))


def is_same(walk: Walk, url: str) -> bool:
    """Whether both have the same rows in every table."""
    return moved.is_same(walk.folder / "receiver.db", url)


def test_all_of_it_is_there_and_goes_on(walk: Walk, postgres: Server) -> None:
    url = postgres.schema()
    walk.store.close()
    file = (walk.folder / "receiver.db").read_bytes()
    done = migrate(walk, "$TARGET", TARGET=url)
    assert (done.exit_code, "6 event" in done.output) == (0, True), done.output
    assert (walk.folder / "receiver.db").read_bytes() == file
    assert is_same(walk, url)
    with (
        closing(SqliteStore(walk.folder / "receiver.db")) as before,
        closing(PostgresStore(url, now=":now")) as after,
    ):
        assert after.ledger() == before.ledger()
        for number in range(3):
            assert after.execution("s", f"x{number}") == before.execution("s", f"x{number}")
        assert after.deliveries({}, 100, None) == before.deliveries({}, 100, None)
        walk.store = after
        walk.comes(Status.COMPLETED, "x2")  # the numbers go on
        walk.passes(HOUR)
        assert "lead: " in " ".join(walk.titles())
        assert after.ledger()["imbalance"] == 0


def test_every_table_of_both_engines_is_copied(walk: Walk, postgres: Server) -> None:
    walk.store.close()
    url = postgres.schema()
    prepare(read_address(url))
    with closing(sqlite3.connect(walk.folder / "receiver.db")) as file:
        names = file.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
    assert {name for (name,) in names} - {"_sqlite_migrations"} == {*copying.TABLES, "promised"}
    with psycopg.connect(url) as database:
        names = database.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        ).fetchall()
    of_its_own = {"promised", "timer", "schema_version"}
    assert {name for (name,) in names} == {*copying.TABLES} | of_its_own


def test_a_served_file_a_served_database_and_one_with_rows_are_refused(
    walk: Walk, postgres: Server
) -> None:
    url = postgres.schema()
    assert isinstance(migrate(walk, url).exception, StorageServed)  # the walk serves it
    walk.store.close()
    with closing(PostgresStore(url)) as server:
        assert server.leads("pruning")
        refused = migrate(walk, url)
        assert "is being served" in str(refused.exception)
    assert migrate(walk, url).exit_code == 0
    again = migrate(walk, url)
    assert (again.exit_code, "before" in again.output) == (0, True)  # the same file
    with closing(PostgresStore(url)) as kept:
        assert kept.ledger()["imbalance"] == 0
    with closing(SqliteStore(walk.folder / "receiver.db", serve=True)) as file:
        walk.store = file
        walk.comes(Status.COMPLETED, "x2")
    other = migrate(walk, url)
    assert isinstance(other.exception, StorageRefused)
    assert "has rows already" in str(other.exception)


def test_a_file_of_an_older_schema_is_refused_and_stays_as_it_is(
    tmp_path: Path, postgres: Server
) -> None:
    path = tmp_path / "receiver.db"
    with closing(connect(path)) as old:
        bring_up_to_date(old, SCHEMA_VERSION - 1)
    before = path.read_bytes()
    done = CliRunner().invoke(
        cli, ["migrate", "--from", f"sqlite:///{path}", "--to", postgres.schema()]
    )
    assert "older than this receiver's" in str(done.exception)
    assert path.read_bytes() == before


# Where it is killed: the table whose rows it copies, and what happens to one of them.
MOMENTS = {
    "before its first row": "BEFORE INSERT ON event",
    "among the events": "BEFORE INSERT ON event FOR EACH ROW WHEN (NEW.seq = 4)",
    "among the deliveries": "BEFORE INSERT ON delivery FOR EACH ROW WHEN (NEW.id = 3)",
    "at its last table": "BEFORE INSERT ON acknowledgement",
    "in its last step": "BEFORE UPDATE ON promised",
}
# The lock that it waits for; those who run beside us have another one.
KEY = os.getpid()
WAITS = f"""\
CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock({KEY}); RETURN NEW; END $$;
"""
HOLDERS = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 0 AND objid = {KEY}"


@contextmanager
def stopped(walk: Walk, url: str, moment: str) -> Iterator[warm.Process]:
    """A run that has come to this moment and cannot go on."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("RECEIVER_")}
    with (
        psycopg.connect(url, autocommit=True) as db,
        (walk.folder / "migrate.log").open("ab") as log,
        (walk.folder / "nothing").open("w+b") as nothing,
    ):
        db.execute(f"DROP FUNCTION IF EXISTS waits CASCADE; {WAITS}")
        db.execute(f"CREATE TRIGGER waits {moment} EXECUTE FUNCTION waits()")
        db.execute("SELECT pg_advisory_lock(%s)", (KEY,))
        process = warm.warm().start(
            command(walk, url), walk.folder, environ,
            nothing.fileno(), log.fileno(), log.fileno(),
        )  # fmt: skip
        waits = f"{HOLDERS} AND NOT granted"
        until(lambda: db.execute(waits).fetchone() or process.poll() is not None)
        assert process.poll() is None, (walk.folder / "migrate.log").read_text()
        yield process


def killed(walk: Walk, url: str, moment: str) -> None:
    """Kill a run at a moment. Its transaction ends with it."""
    with stopped(walk, url, moment) as process:
        process.kill()
        process.wait(20)
    with psycopg.connect(url, autocommit=True) as db:
        until(lambda: not db.execute(HOLDERS).fetchone())
        db.execute("DROP FUNCTION waits CASCADE")


def test_killed_at_any_moment_it_goes_on_and_ends_with_the_same_rows(
    walk: Walk, postgres: Server
) -> None:
    url = postgres.schema()
    prepare(read_address(url))
    walk.store.close()
    file = (walk.folder / "receiver.db").read_bytes()
    for moment in MOMENTS.values():
        killed(walk, url, moment)
        with pytest.raises(StorageRefused, match="only a part of the rows"):
            PostgresStore(url)
    done = migrate(walk, url)
    assert (done.exit_code, "Goes on behind" in done.output) == (0, True), done.output
    assert is_same(walk, url)
    assert (walk.folder / "receiver.db").read_bytes() == file
    with closing(PostgresStore(url)) as store:
        assert store.ledger()["imbalance"] == 0
    with psycopg.connect(url, autocommit=True) as db:
        rules = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = %s"
        schema = "CAST(current_schema() AS regnamespace)"
        assert db.execute(rules.replace("%s", schema)).fetchone() == (11,)


def test_what_was_copied_is_looked_at_before_it_goes_on(walk: Walk, postgres: Server) -> None:
    url = postgres.schema()
    prepare(read_address(url))
    walk.store.close()
    killed(walk, url, MOMENTS["in its last step"])
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("UPDATE delivery SET title = 'another' WHERE id = 1")
        differs = migrate(walk, url)
        assert "other rows in delivery" in str(differs.exception)
        db.execute("DELETE FROM event WHERE seq = 1")
    missing = migrate(walk, url)
    assert "other rows in event" in str(missing.exception)


def test_a_file_that_changed_between_the_runs_is_copied_anew(walk: Walk, postgres: Server) -> None:
    url = postgres.schema()
    prepare(read_address(url))
    walk.store.close()
    killed(walk, url, MOMENTS["at its last table"])
    with closing(SqliteStore(walk.folder / "receiver.db", serve=True)) as walk.store:
        walk.comes(Status.COMPLETED, "x2")
    done = migrate(walk, url)
    assert (done.exit_code, "copied anew" in done.output) == (0, True), done.output
    assert is_same(walk, url)


def test_another_file_does_not_go_on_with_what_the_first_one_began(
    walk: Walk, postgres: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    url = postgres.schema()
    prepare(read_address(url))
    walk.store.close()
    killed(walk, url, MOMENTS["at its last table"])
    folder = tmp_path_factory.mktemp("other")
    other = CliRunner().invoke(
        cli, ["migrate", "--from", f"sqlite:///{prepared(folder / 'receiver.db')}", "--to", url]
    )
    assert "first rows of another file" in str(other.exception)
    assert str(walk.folder) in str(other.exception)
    # The same bytes at another place are the same file.
    elsewhere = folder / "elsewhere.db"
    elsewhere.write_bytes((walk.folder / "receiver.db").read_bytes())
    done = CliRunner().invoke(cli, ["migrate", "--from", f"sqlite:///{elsewhere}", "--to", url])
    assert (done.exit_code, "Goes on behind" in done.output) == (0, True), done.output
    assert is_same(walk, url)


def test_a_command_that_writes_into_the_file_meanwhile_is_noticed(
    walk: Walk, postgres: Server
) -> None:
    url = postgres.schema()
    prepare(read_address(url))
    walk.store.close()
    with (
        stopped(walk, url, MOMENTS["at its last table"]) as process,
        closing(SqliteStore(walk.folder / "receiver.db")) as walk.store,
    ):
        walk.take("Bob", "x2")
    assert process.wait(20) != 0
    assert "wrote into the file" in (walk.folder / "migrate.log").read_text()
    assert migrate(walk, url).exit_code == 0
    assert is_same(walk, url)


def test_a_lost_server_says_that_it_goes_on(walk: Walk, postgres: Server) -> None:
    url = postgres.schema()
    prepare(read_address(url))
    walk.store.close()
    with stopped(walk, url, MOMENTS["among the deliveries"]) as process:
        postgres.do(f"SELECT pg_terminate_backend(pid) FROM ({HOLDERS} AND NOT granted) AS waits")
        assert process.wait(20) != 0
    said = (walk.folder / "migrate.log").read_text()
    assert "What was copied stays there" in said
    assert "run the same command again" in said
    assert migrate(walk, url).exit_code == 0
    assert is_same(walk, url)


def test_a_large_store_goes_in_parts_and_takes_little_memory(
    tmp_path: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, url = prepared(tmp_path / "receiver.db"), postgres.schema()
    grow(path, 40, days=(2, 1))
    with closing(connect(path)) as file:
        file.execute("UPDATE event SET body = randomblob(100000)")
        events = file.execute("SELECT count(*) FROM event").fetchone()[0]
    assert events > 90  # 9 MB
    monkeypatch.setattr(copying, "PART", 7)
    parts = []
    copy_part = copying.Copying._copy_part

    def counted(self: copying.Copying, table: str, progress: copying.Progress) -> copying.Progress:
        parts.append(table)
        return copy_part(self, table, progress)

    monkeypatch.setattr(copying.Copying, "_copy_part", counted)
    tracemalloc.start()
    done = CliRunner().invoke(cli, ["migrate", "--from", f"sqlite:///{path}", "--to", url])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert done.exit_code == 0, done.output
    assert parts.count("event") > events // 7
    assert peak < 4 * 2**20
    with closing(PostgresStore(url)) as store:
        assert store.ledger()["imbalance"] == 0
