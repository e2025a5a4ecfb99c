"""What the README says is what the program does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from receiver.cli import cli
from receiver.file_shape import (
    DestinationModel,
    EscalationModel,
    GroupModel,
    Match,
    QuietModel,
    RemindModel,
    RouteModel,
    SourceModel,
    StuckModel,
    Verify,
    keys,
)
from tests.readme_parts import README, written

TEXT = README.read_text("utf-8")
TESTS = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"
DEMO = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/receiver demo"


def test_its_drawing_settings_and_variables_are_the_program_s() -> None:
    assert written(TEXT) == TEXT


def test_its_two_commands_stand_word_for_word_and_ci_runs_the_second() -> None:
    assert f"\n{DEMO}\n" in TEXT
    assert f"\n{TESTS}\n" in TEXT
    assert f"\n{TESTS}\n" in (README.parent / ".ci" / "run").read_text("utf-8")


def test_every_command_and_option_is_named_and_no_other() -> None:
    section = TEXT.split("## Commands")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `receiver ([a-z ]+?)(?: [A-Z][^`]*)?` \|(.*)\|$", section, re.M)
    commands = dict(_commands(cli, ()))
    lines = {
        name: next(r for r in section.splitlines() if r.startswith(f"| `receiver {name}"))
        for name, _ in rows
    }
    assert set(lines) == set(commands)
    for name, command in commands.items():
        options = {o.opts[-1] for o in command.params if isinstance(o, click.Option)}
        assert set(re.findall(r"--[a-z-]+", lines[name])) == options


def _commands(group: click.Group, above: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    """Every command by its whole name."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, (*above, name))
        else:
            yield " ".join((*above, name)), command


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        (SourceModel, ""),
        (Verify, "verify."),
        (DestinationModel, ""),
        (RouteModel, ""),
        (RemindModel, "remind."),
        (EscalationModel, "escalate[]."),
        (GroupModel, "group."),
        (QuietModel, "quiet."),
        (StuckModel, "stuck."),
        (Match, None),
    ],
)
def test_every_key_of_routes_yaml_is_named(model: type[BaseModel], prefix: str | None) -> None:
    section = TEXT.split("## routes.yaml")[1].split("\n## ")[0]
    for key in keys(model):
        if prefix is None:
            assert re.search(rf"\b{key}\b", section)
        elif _is_nested(model, key):
            assert re.search(rf"`{key}(\[\])?[.`]", section)
        else:
            assert f"`{prefix}{key}`" in section


def _is_nested(model: type[BaseModel], key: str) -> bool:
    """Whether the keys below it have rows of their own."""
    return (model is SourceModel and key == "verify") or (
        model is RouteModel and key in ("remind", "escalate", "group", "quiet", "stuck")
    )


def test_every_file_it_names_is_there() -> None:
    top = Path(README).parent
    for name in ("deploy/Dockerfile", "deploy/receiver.service", "LICENSE", "routes.yaml",
                 "tests/bench_intake.py"):  # fmt: skip
        assert (top / name).is_file()
