"""The reference has what the program has: each name in both directions, each link, each figure."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from receiver import logs
from receiver.alarms import Alarm, AlarmKind
from receiver.cli.reference import summary, topics
from receiver.config import routes_file
from receiver.config.problems import keys_of
from receiver.config.schema import (
    ApiModel,
    DestinationModel,
    EscalationModel,
    GroupModel,
    Match,
    QuietModel,
    ReconcileModel,
    RemindModel,
    RouteModel,
    SourceModel,
    StuckModel,
    Verify,
)
from receiver.config.settings import PREFIX, Settings, load_settings
from receiver.deliveries import MessageContext
from receiver.events import Status, Verdict
from receiver.lifecycle import MAX_EVENT_AGE
from receiver.messages.variables import VARIABLES, variables
from receiver.metrics import CAUSES, REFUSALS, Counters, SendersState
from receiver.sources import keys
from receiver.store.records import Standing
from receiver.store.sql.quarantine import MAX_QUARANTINED
from receiver.times import SECOND, parse_time
from receiver.web import metrics, openapi
from receiver.web.server import limits
from receiver.web.webhooks import endpoint
from tests.support.readme_parts import HELP, README, TOP, commands, options, topic, written

ALARM = Alarm(AlarmKind.RELOAD, "", 0, 0, "an error")
TOPICS = topics()
# Everything that a user reads.
TEXTS = {
    str(path.relative_to(TOP)): path.read_text("utf-8")
    for path in (README, TOP / "CONTRIBUTING.md", TOP / "tests" / "README.md",
                 *HELP.glob("*.md"), *(TOP / "deploy").rglob("*.md"))
}  # fmt: skip


@pytest.mark.parametrize("name", ["README.md", *(f"receiver/help/{each}.md" for each in TOPICS)])
def test_its_generated_parts_are_the_program_s(name: str) -> None:
    assert written(TEXTS[name]) == TEXTS[name]


def test_every_command_and_every_option_says_what_it_does() -> None:
    silent = [name for name, command in commands() if not command.help]
    silent += [f"{name} {o.opts[-1]}" for name, c in commands() for o in options(c) if not o.help]
    assert silent == []


def test_each_page_begins_with_its_title_and_one_short_line() -> None:
    width = max(map(len, TOPICS))
    for name, text in TOPICS.items():
        title, empty, line, after = text.split("\n")[:4]
        assert (title[:2], empty, after) == ("# ", "", ""), name
        assert summary(text) == line
        assert 10 < len(line) <= 80 - width - 4, name


# Each kind of name: those of the program, and those that a reference has.


def settings() -> set[str]:
    return {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}


def settings_in(text: str) -> set[str]:
    return set(re.findall(rf"^\| `({PREFIX}\w+)` \|", text, re.M))


def file_keys() -> set[str]:
    """Every key of routes.yaml; below a source, a destination and a route, with its way there."""
    parts: dict[tuple[type[BaseModel], str], type[BaseModel]] = {
        (SourceModel, "verify"): Verify,
        (SourceModel, "api"): ApiModel,
        (SourceModel, "reconcile"): ReconcileModel,
        (RouteModel, "remind"): RemindModel,
        (RouteModel, "escalate"): EscalationModel,
        (RouteModel, "group"): GroupModel,
        (RouteModel, "quiet"): QuietModel,
        (RouteModel, "stuck"): StuckModel,
    }
    found = {f"match.{key}" for key in keys_of(Match)}
    for model in (SourceModel, DestinationModel, RouteModel):
        for key in keys_of(model):
            below = parts.get((model, key))
            mark = "[]" if below is EscalationModel else ""
            found |= {f"{key}{mark}.{each}" for each in keys_of(below)} if below else {key}
    return found - {"match"}


def file_keys_in(text: str) -> set[str]:
    rows = [row for table in re.findall(r"\| key \|.*?\n\n", text, re.S) for row in
            table.splitlines()[2:] if row]  # fmt: skip
    return {key for row in rows for key in re.findall(r"`([^`]+)`", row.split(" | ")[0])}


def command_names() -> set[str]:
    """Every command, and every option behind the command that has it."""
    return {
        " ".join([name, *option]) for name, command in commands()
        for option in [[], *([each.opts[-1]] for each in options(command))]
    }  # fmt: skip


def command_names_in(text: str) -> set[str]:
    found = set()
    for section in text.split("\n### receiver ")[1:]:
        name = re.split(r" [^a-z]|\n", section)[0]
        found |= {
            name,
            *(f"{name} {each}" for each in re.findall(r"^\| `(--[a-z-]+)", section, re.M)),
        }
    return found


def metrics_shown() -> set[str]:
    """Every metric, with its labels."""
    counters = Counters(["s"])
    counters.answered("s", 202)
    counters.judged("s", "applied", "first_seen", "1", 0.0)
    counters.asked("s", "answered")
    counters.learnt("s", 1.0)
    counters.disagreed("s")
    counters.attempted("d", "delivered", 0.1)
    counters.loaded("done", 0.0)
    stored = metrics.Stored(0, [Standing("d", None, None, "", 0, 0)], {"s": None}, imbalance=0)
    senders = SendersState(1, 1, {"died": 0})
    lines = metrics.text(counters, {"s": 0.0}, [ALARM], 0, "digest", stored, senders)
    parts = r"_(?:bucket|sum|count)(?=\{)"  # of a histogram
    shown = re.findall(r"^([a-z_]+)(?:\{(.*?)\})? ", re.sub(parts, "", lines), re.M)
    labels = {name: re.findall(r"(\w+)=", text) for name, text in shown}
    return {" ".join([name, *(each for each in labels[name] if each != "le")]) for name in labels}


def metrics_in(text: str) -> set[str]:
    rows = re.findall(r"^\| `(receiver_[a-z_]+)` \| (.*?) \|", text, re.M)
    return {" ".join([name, *re.findall(r"`(\w+)`", labels)]) for name, labels in rows}


def addresses() -> set[str]:
    described = openapi.document()["paths"]
    return {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}


def addresses_in(text: str) -> set[str]:
    rows = re.findall(r"^\| (`(?:GET|POST|PUT|PATCH|DELETE) .*?) \|", text, re.M)
    return {each for cell in rows for each in re.findall(r"`([A-Z]+ /[^`]*)`", cell)}


def variables_in(text: str) -> set[str]:
    table = re.search(r"\| variable \| meaning \|.*?\n\n", text, re.S)
    return set(re.findall(r"^\| `(\w+)` \|", table[0], re.M)) if table else set()


KINDS: dict[str, tuple[tuple[str, ...], Callable[[], set[str]], Callable[[str], set[str]]]] = {
    "settings": (("settings",), settings, settings_in),
    "keys": (("sources", "destinations", "routes"), file_keys, file_keys_in),
    "commands": (("commands",), command_names, command_names_in),
    "metrics": (("metrics",), metrics_shown, metrics_in),
    "addresses": (("http",), addresses, addresses_in),
    "variables": (("routes",), lambda: set(VARIABLES), variables_in),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_has_every_name_of_the_program_and_no_other(kind: str) -> None:
    names, of_the_program, in_text = KINDS[kind]
    assert in_text("\n".join(map(topic, names))) == of_the_program()
    assert len(of_the_program()) >= 10


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_is_left_out_and_one_too_many_are_found(kind: str) -> None:
    names, _, in_text = KINDS[kind]
    text = "\n".join(map(topic, names))
    found = in_text(text)
    row = next(line for line in text.splitlines() if line.startswith("| `") and in_text(
        text.replace(f"{line}\n", "", 1)) != found)  # fmt: skip
    assert in_text(text.replace(f"{row}\n", "", 1)) < found
    more = re.sub(r"([a-zA-Z}])(`| [A-Z]+`)", r"\1x\2", row, count=1)
    assert in_text(text.replace(row, f"{row}\n{more}", 1)) > found


SETTING = re.compile(rf"\b{PREFIX}[A-Z][A-Z_]*[A-Z]\b")
METRIC = re.compile(r"\breceiver_[a-z_]+[a-z]\b")
# A name of a setting that is none: what Kubernetes sets.
NO_SETTINGS = {"RECEIVER_SERVICE_HOST"}


@pytest.mark.parametrize("name", TEXTS)
def test_no_page_names_a_setting_metric_or_command_that_there_is_not(name: str) -> None:
    text = TEXTS[name]
    known = settings() | {f"{each}_FILE" for each in settings()} | NO_SETTINGS
    assert set(SETTING.findall(text)) <= known
    assert set(METRIC.findall(text)) <= {each.split()[0] for each in metrics_shown()}
    words = {each.split()[0] for each in command_names()}
    assert set(re.findall(r"`receiver ([a-z]+)", text)) <= words


LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(name: str, text: str) -> list[str]:
    """The links of a page that lead nowhere."""
    broken = []
    for target in LINK.findall(text):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = (TOP / name).parent / path if path else TOP / name
        if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8"))):
            broken.append(target)
    return broken


@pytest.mark.parametrize("name", [*TEXTS, "CHANGELOG.md"])
def test_each_link_leads_to_a_file_and_a_heading(name: str) -> None:
    assert broken_links(name, (TOP / name).read_text("utf-8")) == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    text = "[a](receiver/help/routes.md#no-such) [b](no-such.md) [c](#no-such) [d](LICENSE)"
    assert len(broken_links("README.md", text)) == 3


def test_every_answer_to_a_webhook_is_named() -> None:
    answers = next(line for line in topic("http").splitlines() if "`POST /webhooks/" in line)
    statuses = set(re.findall(r"\b[2-5][0-9]{2}\b", answers))
    assert statuses == set(openapi.document()["paths"]["/webhooks/{source}"]["post"]["responses"])


def test_every_cause_of_a_refusal_is_named() -> None:
    assert [cause for cause in (*CAUSES, *REFUSALS) if cause not in topic("metrics")] == []


def test_each_example_of_a_variable_is_what_a_message_has() -> None:
    at = parse_time("2026-06-01T12:00:00Z")
    facts = MessageContext(
        "asteroid", Verdict.APPLIED, "transition", at + 2 * SECOND, "event-3", "EXECUTION_FAILED",
        Status.FAILED, at, "inv-1", Status.FAILED, Status.RUNNING, at - 20 * SECOND, "agent-7",
        "Invoice agent", "https://example.org/inv-1", {"team": "payments"},
        {"reason": "No such page"},
    )  # fmt: skip
    values = variables(facts, "failures", at + 180 * SECOND)
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (?:`(.*)` )?\|$", topic("routes"), re.M))
    assert {name: str(value) for name, value in values.items()} == rows


def test_the_bounds_it_promises_are_the_program_s() -> None:
    text = " ".join(topic("security").split())
    of_settings = load_settings({})
    for promise in (
        f"{limits.MAX_HEAD // 1024} KiB and {limits.MAX_FIELDS} fields (431)",
        f"and {of_settings.headers_timeout:g} s, a body {of_settings.max_body // 1024} KiB (413)"
        f" and {of_settings.body_timeout:g} s (408)",
        f"{of_settings.max_connections} connections at a time",
        f"{endpoint.MAX_HELD // 2**20} MiB of bodies",
        f"{of_settings.backlog:,} webhooks waiting",
        f"{MAX_QUARANTINED:,} webhooks in quarantine",
        f"{logs.MAX_LINE:,} characters in a line of the log",
        f"RSA keys under {keys.MIN_RSA_BITS:,} bits",
        f"more than {limits.MAX_PIPELINED} requests waiting",
        f"too old ({MAX_EVENT_AGE // (24 * 3600 * SECOND)} days)",
        f"refused after {Verify(scheme='token').tolerance / 60:g} minutes",
    ):
        assert promise in text, promise


def test_it_says_how_to_change_a_key_and_the_example_is_read(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n( +keys:\n.*?)```", topic("security"), re.S)
    assert example is not None
    (tmp_path / "routes.yaml").write_text(
        f"sources:\n  s:\n    verify:\n      scheme: token\n      header: X\n{example[1]}"
    )
    environ = {"OLD_KEY": "o" * 16, "NEW_KEY": "n" * 16}
    rules = routes_file.load(str(tmp_path / "routes.yaml"), environ)
    assert rules.sources["s"].verification.labels == ("2025", "2026")


def test_the_signatures_of_the_senders_that_it_names_are_read(tmp_path: Path) -> None:
    table = topic("sources").split("| sender |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| ([A-Z][^|]*) \| `\{(scheme: .*?)\}`", table, re.M)
    assert len(rows) >= 10
    for sender, signed in rows:
        (tmp_path / "routes.yaml").write_text(
            f"sources:\n  s:\n    verify: {{keys: ['{'k' * 20}'], {signed}}}\n"
        )
        rules = routes_file.load(str(tmp_path / "routes.yaml"), {})
        assert rules.sources["s"].verification.keys, sender
