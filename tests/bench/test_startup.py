"""Commands that only look start quickly, and import nothing of those who serve and send."""

from __future__ import annotations

from pathlib import Path

import pytest

from receiver.cli.main import LISTED, cli
from receiver.store.sqlite.store import SqliteStore
from tests.bench.startup import HEAVY, imports, times_as_long


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    SqliteStore(tmp_path / "receiver.db").close()
    return tmp_path


LOOKS = "asyncio, click, pydantic, sqlite3"


@pytest.mark.parametrize(
    ("command", "libraries", "bound", "needed"),
    [
        ("--help", "click", 2.5, set()),
        ("--version", "click", 2.5, set()),
        ("executions", LOOKS, 4.2, {"pydantic"}),
        ("deliveries", LOOKS, 4.2, {"pydantic"}),
    ],
)
def test_it_takes_little_more_time_than_the_libraries_it_needs(
    folder: Path, command: str, libraries: str, bound: float, needed: set[str]
) -> None:
    assert imports(folder, command) & set(HEAVY) == needed
    assert times_as_long(folder, command, libraries=libraries) <= bound


def test_the_list_of_commands_is_that_of_their_modules() -> None:
    for name, (module, said) in LISTED.items():
        command = cli.commands[name]
        assert command.name == name
        assert command.callback is not None
        assert command.callback.__module__ == f"receiver.cli.{module}"
        # The list says it as the command does, if in fewer words.
        first = said.split()[0].strip(",.")
        assert command.help is not None
        assert command.help.split()[0].strip(",.") == first
    assert list(LISTED) == sorted(LISTED)
