"""Commands that only look start quickly, and import nothing of those who serve and send."""

from __future__ import annotations

from pathlib import Path

import pytest

from receiver.cli.main import LISTED, cli
from receiver.store.sqlite.store import SqliteStore
from tests.bench.startup import HEAVY, imports, seconds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    SqliteStore(tmp_path / "receiver.db").close()
    return tmp_path


@pytest.mark.parametrize(
    ("command", "bound", "needed"),
    [
        ("--help", 0.3, set()),
        ("--version", 0.3, set()),
        ("executions", 0.6, {"pydantic"}),
        ("deliveries", 0.6, {"pydantic"}),
    ],
)
def test_it_takes_little_time_and_imports_what_it_needs(
    folder: Path, command: str, bound: float, needed: set[str]
) -> None:
    assert imports(folder, command) & set(HEAVY) == needed
    assert seconds(folder, command, enough=bound) <= bound


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
