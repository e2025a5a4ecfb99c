"""What the README says is what the program does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from receiver import logs
from receiver.alarms import Alarm, AlarmKind
from receiver.cli.main import cli
from receiver.config import routes_file
from receiver.config.problems import keys_of
from receiver.config.schema import (
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
)
from receiver.config.settings import load_settings
from receiver.lifecycle import MAX_EVENT_AGE
from receiver.metrics import CAUSES, REFUSALS, Counters
from receiver.sources import keys
from receiver.store.spooling import SpoolState
from receiver.store.sql.quarantine import MAX_QUARANTINED
from receiver.times import SECOND
from receiver.web import metrics, openapi
from receiver.web.server import limits
from receiver.web.webhooks import endpoint
from tests.support.readme_parts import README, written

ALARM = Alarm(AlarmKind.RELOAD, "", 0, 0, "an error")
TEXT = README.read_text("utf-8")
TESTS = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"
DEMO = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/receiver demo"


def test_its_verdicts_drawing_settings_and_variables_are_the_program_s() -> None:
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
    """Every command by its whole name, a group that does something by itself among them."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, (*above, name))
        if not isinstance(command, click.Group) or command.invoke_without_command:
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
    for key in keys_of(model):
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
                 "tests/bench/intake.py", "tests/fuzz/webhooks.py",
                 "tests/fuzz/api.py", "tests/support/storm.py"):  # fmt: skip
        assert (top / name).is_file()


def section(name: str) -> str:
    return TEXT.split(f"\n## {name}\n")[1].split("\n## ")[0]


def test_every_address_and_every_answer_to_a_webhook_is_named() -> None:
    described = openapi.document()["paths"]
    table = re.findall(r"^\| (`(?:GET|POST|DELETE) .*?) \| (.*) \|$", section("HTTP"), re.M)
    named = {
        (method.lower(), path)
        for cell, _ in table
        for method, path in re.findall(r"`(GET|POST|DELETE) ([^`]+)`", cell)
    }
    assert named == {(method, path) for path, methods in described.items() for method in methods}
    answers = next(text for cell, text in table if "/webhooks/" in cell)
    statuses = set(re.findall(r"\b[2-5][0-9]{2}\b", answers))
    assert statuses == set(described["/webhooks/{source}"]["post"]["responses"])


def test_every_metric_is_named_with_its_labels() -> None:
    counters = Counters(["s"])
    counters.answered("s", 202)
    counters.judged("s", "applied", "first_seen", "1", 0.0)
    rows = dict(re.findall(r"^\| `(receiver_[a-z_]+)` \| (.*?) \|", section("HTTP"), re.M))
    lines = metrics.text(counters, {"s": 0.0}, [ALARM], SpoolState(0, 0, 1))
    shown = re.findall(r"^([a-z_]+)\{(.*?)\} ", lines, re.M)
    assert {name: ", ".join(f"`{n}`" for n in re.findall(r"(\w+)=", labels))
            for name, labels in shown} == rows  # fmt: skip
    for cause in (*CAUSES, *REFUSALS):
        assert cause in section("HTTP")


def test_the_bounds_it_promises_are_the_program_s() -> None:
    text = " ".join(section("Security").split())
    settings = load_settings({})
    for promise in (
        f"{limits.MAX_HEAD // 1024} KiB and {limits.MAX_FIELDS} fields (431)",
        f"and {settings.headers_timeout:g} s, a body {settings.max_body // 1024} KiB (413) and"
        f" {settings.body_timeout:g} s (408)",
        f"{settings.max_connections} connections at a time",
        f"{endpoint.MAX_HELD // 2**20} MiB of bodies",
        f"{settings.backlog:,} webhooks waiting",
        f"{MAX_QUARANTINED:,} webhooks in quarantine",
        f"{logs.MAX_LINE:,} characters in a line of the log",
        f"RSA keys under {keys.MIN_RSA_BITS:,} bits",
        f"more than {limits.MAX_PIPELINED} requests waiting",
        f"too old ({MAX_EVENT_AGE // (24 * 3600 * SECOND)} days)",
        f"refused after {Verify(scheme='token').tolerance / 60:g} minutes",
    ):
        assert promise in text, promise


def test_it_says_how_to_change_a_key_and_the_example_is_read(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n( +keys:\n.*?)```", section("Security"), re.S)
    assert example is not None
    (tmp_path / "routes.yaml").write_text(
        f"sources:\n  s:\n    verify:\n      scheme: token\n      header: X\n{example[1]}"
    )
    environ = {"OLD_KEY": "o" * 16, "NEW_KEY": "n" * 16}
    rules = routes_file.load(str(tmp_path / "routes.yaml"), environ)
    assert rules.sources["s"].verification.labels == ("2025", "2026")


def test_the_signatures_of_the_senders_that_it_names_are_read(tmp_path: Path) -> None:
    table = section("routes.yaml").split("| sender |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| ([A-Z][^|]*) \| `\{(scheme: .*?)\}`", table, re.M)
    assert len(rows) >= 10
    for sender, options in rows:
        (tmp_path / "routes.yaml").write_text(
            f"sources:\n  s:\n    verify: {{keys: ['{'k' * 20}'], {options}}}\n"
        )
        rules = routes_file.load(str(tmp_path / "routes.yaml"), {})
        assert rules.sources["s"].verification.keys, sender
