"""Processes that share a database: each says which rules and which version it has."""

from __future__ import annotations

import logging
import urllib.request
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from receiver import __version__
from receiver.errors import StorageRefused
from receiver.store import opening
from receiver.store.postgres import schema
from receiver.store.postgres.address import read_address
from receiver.store.postgres.store import PostgresStore
from tests.support.commands import run
from tests.support.live import PUBLIC, ROUTES, Live, live, until
from tests.support.postgres import Server

OTHER = ROUTES.replace("failures", "other failures")


def digest(node: Live) -> str:
    return str(node.ask("/readyz")[1]["rules"])


def series(node: Live) -> list[str]:
    with urllib.request.urlopen(f"{node.url}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return [line for line in lines if line.startswith("receiver_rules_info{")]


def test_nodes_with_different_rules_are_seen_everywhere(
    postgres: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "receiver")
    url = postgres.emptied()
    for name in "ab":
        (tmp_path / name).mkdir()
    environ = {"RECEIVER_DATABASE_URL": url, "PUBLIC": PUBLIC}
    with (
        live(tmp_path / "a", ROUTES, None, database_url=url) as one,
        live(tmp_path / "b", OTHER, None, database_url=url) as two,
    ):
        assert digest(one) != digest(two)
        assert series(one) == [f'receiver_rules_info{{digest="{digest(one)}"}} 1']

        def known() -> set[str]:
            return {each.rules for each in one.store.nodes()}

        until(lambda: known() == {digest(one), digest(two)})
        done = run(tmp_path / "a", "doctor", stdin=b"", **environ)
        assert (done.returncode, b"their rules differ" in done.stdout) == (0, True), done
        assert f"version {__version__}, rules {digest(two)}".encode() in done.stdout
        (tmp_path / "b" / "routes.yaml").write_text(f"# The same now.\n{ROUTES}")
        two.in_force.reload()
        assert digest(one) == digest(two)
        assert series(two) == series(one)
        until(lambda: known() == {digest(one)})
        assert len(one.store.nodes()) == 2
        done = run(tmp_path / "a", "doctor", stdin=b"", **environ)
        assert b"differ" not in done.stdout
        (tmp_path / "a" / "routes.yaml").write_text(OTHER)
        done = run(tmp_path / "a", "check", stdin=b"", **environ)
        assert b"is not what they have: reload it there" in done.stdout
    # Who has ended is no longer there.
    with closing(PostgresStore(url)) as store:
        assert store.nodes() == []
    assert f"rules.reloaded digest={digest_of(tmp_path / 'b')}" in caplog.text


def digest_of(folder: Path) -> str:
    from receiver.config import routes_file

    return routes_file.load(str(folder / "routes.yaml"), {"PUBLIC": PUBLIC}).digest()


def test_a_node_that_is_gone_is_forgotten_and_one_of_another_version_is_named(
    postgres: Server, tmp_path: Path
) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    url = postgres.emptied()
    far = 2**62
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("INSERT INTO timer VALUES ('node 0.0.9 abc far/7/x/', 'far/7/x/', %s)", (far,))
        db.execute("INSERT INTO timer VALUES ('node 0.1.0 def gone/8/y/', 'gone/8/y/', 5)")
    environ = {"RECEIVER_DATABASE_URL": url, "PUBLIC": PUBLIC}
    done = run(tmp_path, "check", stdin=b"", **environ)
    assert b"serves: far/7, version 0.0.9, rules abc" in done.stdout, done
    assert b"gone" not in done.stdout
    with closing(PostgresStore(url)) as store:
        store.announce("def")
        store.leads("expiry")
        assert {each.version for each in store.nodes()} == {"0.0.9", __version__}
    with psycopg.connect(url, autocommit=True) as db:
        assert db.execute("SELECT count(*) FROM timer WHERE name LIKE 'node%'").fetchone() == (1,)


@pytest.fixture
def older(postgres: Server) -> str:
    """The URL of a database as the version before left it."""
    url = postgres.schema()
    with psycopg.connect(url, autocommit=True) as db:
        for script in schema.SCRIPTS[:-1]:
            db.execute(schema._script_text(script))
        db.execute("UPDATE schema_version SET version = %s", (schema.SCHEMA_VERSION - 1,))
    return url


def test_a_command_of_a_newer_version_changes_nothing_and_says_what_the_first_start_does(
    older: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    environ = {"RECEIVER_DATABASE_URL": older, "PUBLIC": PUBLIC}
    now, before = schema.SCHEMA_VERSION, schema.SCHEMA_VERSION - 1
    done = run(tmp_path, "check", stdin=b"", **environ)
    said = f"The database has schema {before}, this receiver brings {now}"
    assert (done.returncode, said in done.stdout.decode()) == (0, True), done
    wanted = "go on meanwhile" if schema.goes_on(before) else "stop all of them first"
    assert wanted in done.stdout.decode()
    done = run(tmp_path, "executions", stdin=b"", **environ)
    assert (done.returncode, b"use the version that serves it" in done.stderr) == (1, True), done
    found = opening.schema_of(older)
    assert found is not None
    assert found.found == before  # neither of them brought it up to date
    with live(tmp_path, ROUTES, None, database_url=older) as node:
        assert node.ask("/readyz")[0] == 200
    done = run(tmp_path, "check", stdin=b"", **environ)
    assert f"schema {now}, which is this receiver's".encode() in done.stdout
    assert f"schema.changes from={before} to={now}" in caplog.text


def test_a_running_receiver_says_that_a_newer_one_changed_the_schema(
    postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.schema()
    with closing(PostgresStore(url)) as store:
        store.announce("abc")
        with psycopg.connect(url, autocommit=True) as db:
            db.execute("UPDATE schema_version SET version = 99")
        store.leads("expiry")
        store.check_writable()
        assert "the database has schema 99" in caplog.text
        with pytest.raises(StorageRefused, match="newer than this receiver's"):
            PostgresStore(url)
        found = opening.schema_of(url)
        assert found is not None
        assert "Run the newer receiver" in found.text()


@pytest.mark.parametrize("script", schema.SCRIPTS[1:])
def test_a_script_with_which_older_receivers_go_on_only_adds(script: str) -> None:
    """New tables, indexes that are not unique, and columns that may stay empty."""
    text = schema._script_text(script)
    if schema.GOES_ON not in text:
        assert not schema.goes_on(schema.SCRIPTS.index(script))
        return
    assert added_only(text), script


def added_only(text: str) -> bool:
    lines = [line.partition("--")[0] for line in text.splitlines()]
    statements = filter(None, (each.strip() for each in "\n".join(lines).split(";")))
    return all(
        each.startswith(("CREATE TABLE ", "CREATE INDEX "))
        or (
            each.startswith("ALTER TABLE ")
            and " ADD COLUMN " in each
            and ("NOT NULL" not in each or " DEFAULT " in each)
        )
        for each in statements
    )


def test_what_takes_something_from_older_receivers_is_seen() -> None:
    assert added_only("-- New.\nCREATE TABLE x (a text NOT NULL);\nCREATE INDEX y ON x (a);")
    assert added_only("ALTER TABLE x ADD COLUMN b bigint")
    for text in (
        "ALTER TABLE x ADD COLUMN b bigint NOT NULL", "DROP TABLE x",
        "CREATE UNIQUE INDEX y ON x (a)",
        "ALTER TABLE x DROP COLUMN a", "UPDATE x SET a = 1",
    ):  # fmt: skip
        assert not added_only(text)


def test_the_server_knows_each_process_by_its_version(postgres: Server) -> None:
    url = postgres.emptied()
    address = read_address(url)
    with closing(PostgresStore(url)) as store:
        store.check_writable()
        names = postgres.do("SELECT DISTINCT application_name FROM pg_stat_activity")
    assert (f"receiver {__version__}",) in names
    assert "application_name" in address.conninfo
