"""Ids that look like options: the error says how to write them, and then they work."""

from __future__ import annotations

from pathlib import Path

import pytest

from receiver.cli import client
from receiver.events import Event, Status
from receiver.intake.receive import Intake, VerifiedWebhook
from receiver.store.sqlite.store import SqliteStore
from receiver.times import SECOND
from tests.support.commands import run
from tests.support.live import PUBLIC, ROUTES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an execution called -abc, and one called --help, which wait."""
    (tmp_path / "routes.yaml").write_text(ROUTES, "utf-8")
    at = client.now_whole() - 100 * SECOND
    store = SqliteStore(tmp_path / "receiver.db", serve=True)
    for name in ("-abc", "--help"):
        event = Event("asteroid", f"e{name}", "E", Status("paused"), name, at)
        store.write_now(Intake([]).receive, VerifiedWebhook("asteroid", event, b"{}", at))
    store.close()
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("acknowledge", "asteroid", "-abc"),
        ("acknowledge", "asteroid", "--abc"),
        ("acknowledge", "-abc", "x"),
        ("redeliver", "-5"),
        ("silence", "expire", "-5"),
        ("explain", "-abc"),
    ],
)
def test_an_id_that_is_taken_for_an_option_says_how_to_write_it(
    folder: Path, arguments: tuple[str, ...]
) -> None:
    done = run(folder, *arguments, PUBLIC=PUBLIC)
    assert done.returncode == 2
    assert b"write -- before it" in done.stderr


def test_behind_two_dashes_every_id_is_an_id(folder: Path) -> None:
    for arguments in (
        ("acknowledge", "asteroid", "--by", "Ann", "--", "-abc"),
        ("acknowledge", "--by", "Ann", "--", "asteroid", "--help"),
    ):
        done = run(folder, *arguments, PUBLIC=PUBLIC)
        assert (done.returncode, b"Ann takes care of -" in done.stdout) == (0, True), done.stderr


def test_an_option_takes_any_value_and_a_command_without_ids_gives_no_hint(folder: Path) -> None:
    done = run(folder, "executions", "--agent", "-abc", PUBLIC=PUBLIC)
    assert (done.returncode, done.stderr) == (0, b"")
    wrong = run(folder, "executions", "-abc", PUBLIC=PUBLIC)
    assert (wrong.returncode, b"before it" in wrong.stderr) == (2, False)
