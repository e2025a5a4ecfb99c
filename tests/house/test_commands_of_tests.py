"""The list of proofs, fuzzers and benches: each command is in it, and each that is named exists."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.prove_deliveries.planted import BUGS as OF_DELIVERIES
from tests.prove_deliveries.proofs import PROOFS as DELIVERIES
from tests.prove_durability.planted import BUGS as OF_DURABILITY
from tests.prove_durability.proofs import PROOFS as DURABILITY
from tests.prove_nodes.planted import BUGS as OF_NODES
from tests.prove_nodes.proofs import PROOFS as NODES
from tests.prove_people.planted import BUGS as OF_PEOPLE
from tests.prove_state.proofs import PROOFS as STATE
from tests.support.readme_parts import README

TESTS = Path(__file__).parents[1]
LIST = (TESTS / "README.md").read_text("utf-8")
COMMAND = re.compile(r"python -m (tests\.[a-z_.]+[a-z])")


def doors() -> set[str]:
    """The commands that there are: modules that end in two lines, and packages with `__main__`."""
    modules = {path.stem for path in TESTS.glob("*.py") if "__main__" in path.read_text("utf-8")}
    return modules | {path.parent.name for path in TESTS.glob("*/__main__.py")}


def test_every_command_is_listed_and_no_other() -> None:
    assert {name.removeprefix("tests.") for name in COMMAND.findall(LIST)} == doors()


def test_of_every_command_it_is_said_how_long_it_takes_and_what_was_seen() -> None:
    table = LIST.split("| command | what it shows | how long | seen |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", table, re.M)
    assert {name for name, *_ in rows} == doors()


def test_every_command_that_is_named_anywhere_exists() -> None:
    files = [README, TESTS / "README.md", *TESTS.rglob("*.py")]
    named = {name for path in files for name in COMMAND.findall(path.read_text("utf-8"))}
    assert {name for name in named if find_spec(name) is None} == set()
    assert len(named) >= len(doors())


@pytest.mark.parametrize(
    ("command", "proofs"),
    [
        ("prove_deliveries", set(DELIVERIES)),
        ("prove_durability", set(DURABILITY)),
        ("prove_nodes", set(NODES)),
        ("prove_state", set(STATE)),
    ],
)
def test_every_proof_is_listed_and_no_other(command: str, proofs: set[str]) -> None:
    section = LIST.split(f"### `python -m tests.{command} NAME`")[1].split("\n##")[0]
    assert set(re.findall(r"^\| `([a-z]+)` \|", section, re.M)) == proofs


def test_every_folder_is_listed() -> None:
    folders = {path.parent.name for path in TESTS.glob("*/__init__.py")}
    rows = LIST.split("| folder |")[1].split("\n\n")[0].splitlines()
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)/`", row.split(" | ")[0])}
    assert named == folders


def test_the_numbers_of_planted_bugs_are_theirs() -> None:
    assert f"| {len(OF_DELIVERIES)} bugs |" in LIST
    assert f"| {len(OF_DURABILITY)} of {len(OF_DURABILITY)} found |" in LIST
    assert f"{len(OF_NODES)} bugs of several nodes" in LIST
    assert f"`--planted` plants {len(OF_PEOPLE)} bugs" in LIST
