"""`receiver migrate`: a store moves from its file to PostgreSQL, all of it or nothing."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from receiver.cli.main import cli
from receiver.errors import StorageRefused, StorageServed
from receiver.events import Status
from receiver.store.postgres import copying
from receiver.store.postgres.store import PostgresStore
from receiver.store.sqlite.store import SqliteStore
from tests.support.people import HOUR, Walk
from tests.support.postgres import Server

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


def migrate(walk: Walk, target: str, **environ: str) -> Result:
    source = f"sqlite:///{walk.folder / 'receiver.db'}"
    return CliRunner(env=environ).invoke(cli, ["migrate", "--from", source, "--to", target])


def test_all_of_it_is_there_and_goes_on(walk: Walk, postgres: Server) -> None:
    url = postgres.schema()
    walk.store.close()
    file = (walk.folder / "receiver.db").read_bytes()
    done = migrate(walk, "$TARGET", TARGET=url)
    assert (done.exit_code, "6 event" in done.output) == (0, True), done.output
    assert (walk.folder / "receiver.db").read_bytes() == file
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


def test_a_target_with_rows_and_a_served_file_are_refused(walk: Walk, postgres: Server) -> None:
    url = postgres.schema()
    assert isinstance(migrate(walk, url).exception, StorageServed)  # the walk serves it
    walk.store.close()
    assert migrate(walk, url).exit_code == 0
    again = migrate(walk, url)
    assert isinstance(again.exception, StorageRefused)
    assert "has rows already" in str(again.exception)
    with closing(PostgresStore(url)) as kept:
        assert kept.ledger()["imbalance"] == 0


def test_an_interruption_leaves_nothing_and_it_can_begin_again(
    walk: Walk, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.schema()
    walk.store.close()
    with monkeypatch.context() as patch:
        patch.setattr(copying, "_go_on", lambda table, key: "SELECT 1 / 0")
        failed = migrate(walk, url)
    assert "Nothing was copied" in str(failed.exception)
    with closing(PostgresStore(url)) as empty:
        assert empty.ledger()["accepted"] == 0
    assert migrate(walk, url).exit_code == 0
