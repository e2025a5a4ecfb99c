"""The files of `deploy/routes` and the examples of the reference, read and walked through."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from receiver.config import routes_file
from receiver.events import Status
from receiver.sources.formats import asteroid
from receiver.times import parse_time
from tests.support.commands import run
from tests.support.live import PUBLIC
from tests.support.people import GONE, HOUR, MINUTE, SECOND, SOURCES, Told, Walk
from tests.support.readme_parts import HELP, README, TOP, topic

AWAITS, RUNNING = Status.AWAITING_CONFIRMATION, Status.RUNNING
FILES = {path.stem: path.read_text("utf-8") for path in (TOP / "deploy/routes").glob("*.yaml")}
EXAMPLES = ("ops", "approvers", "night", "many-teams")


def environ(text: str) -> Mapping[str, str]:
    """The variables that a file asks for in its second line."""
    names = re.findall(r"[A-Z_]*_URL", text.splitlines()[1])
    return {"ASTEROID_PUBLIC_KEY": PUBLIC, **dict.fromkeys(names, "console://")}


@contextmanager
def walked(folder: Path, name: str, at: str) -> Iterator[Walk]:
    folder.mkdir(exist_ok=True)
    walk = Walk(folder, FILES[name], environ(FILES[name]), parse_time(at))
    try:
        yield walk
    finally:
        walk.store.close()


def titles(found: list[tuple[int, Told]]) -> list[tuple[int, str]]:
    return [(at, f"{told.destination}: {told.title}") for at, told in found]


def test_there_is_one_for_each_kind_of_team_and_the_readme_names_it() -> None:
    assert set(FILES) == set(EXAMPLES)
    readme = README.read_text("utf-8")
    assert [name for name in EXAMPLES if f"(deploy/routes/{name}.yaml)" not in readme] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_surprises_nobody_and_asks_for_no_variable_that_it_does_not_name(
    tmp_path: Path, name: str
) -> None:
    with walked(tmp_path, name, "2026-06-01T12:00:00Z") as walk:
        assert not [w for w in walk.rules.warnings if "secret_header" not in w]


@pytest.mark.parametrize("name", EXAMPLES)
def test_check_takes_it(tmp_path: Path, name: str) -> None:
    path, variables = TOP / "deploy/routes" / f"{name}.yaml", environ(FILES[name])
    done = run(tmp_path, "check", str(path), stdin=b"", **variables)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert done.stdout.count(b"prints only") >= 2


def test_the_ops_team_gets_one_message_for_an_incident_and_hears_of_what_hangs(
    tmp_path: Path,
) -> None:
    with walked(tmp_path, "ops", "2026-06-01T12:00:00Z") as walk:
        walk.comes(RUNNING, "hangs")
        for number in range(60):
            walk.comes(Status.FAILED, f"x-{number}", detail={"reason": "log-in refused"})
            walk.passes(SECOND)
        walk.comes(Status.COMPLETED, "y", detail={"outcome": "failure"})
        walk.comes(Status.CANCELLED, "z", detail={"reason": "user_requested"})
        walk.comes(Status.COMPLETED, "z2", detail={"outcome": "success"})
        first = walk.gets()
        walk.restart()
        found = walk.until_quiet(7 * HOUR)
        assert [f"{told.destination}: {told.title}" for told in first] == [
            "ops: Invoice agent: 60 failed since 12:00 UTC: log-in refused",
        ]  # fmt: skip
        assert titles(found) == [
            (1, "ops: Invoice agent completed without success"),
            (119, "ops: Stuck? Invoice agent: no news for 2 h, last known as running"),
            (359, "ops: Reminder 1: Stuck? Invoice agent: no news for 6 h, last known as running"),
        ]
        walk.comes(Status.FAILED, "hangs", detail={"reason": "worker_lost"})
        walk.passes(MINUTE)
        assert walk.titles() == [
            "ops: Invoice agent: failed after running for 7 h 1 min",
            "ops: Invoice agent failed: worker_lost",
        ]  # fmt: skip


def test_the_approvers_are_reminded_until_somebody_takes_it(tmp_path: Path) -> None:
    with walked(tmp_path, "approvers", "2026-06-01T12:00:00Z") as walk:
        walk.comes(RUNNING, metadata={"team": "payments"})
        walk.comes(AWAITS, metadata={"team": "payments"}, detail={"reason": "Pay 4,200 EUR"})
        assert walk.titles() == ["approvers: Invoice agent asks: Pay 4,200 EUR"]
        found = walk.until_quiet(20 * MINUTE)
        walk.restart()
        found += walk.until_quiet(20 * MINUTE)
        assert titles(found) == [
            (15, "approvers: Reminder 1: Invoice agent asks: Pay 4,200 EUR"),
            (10, "approvers: Reminder 2: Invoice agent asks: Pay 4,200 EUR"),
            (10, "lead: Escalated: Invoice agent asks: Pay 4,200 EUR"),
        ]
        assert walk.acknowledge("Ann") is True
        assert sorted(walk.titles()) == [
            "approvers: Invoice agent: Ann takes care of it: Pay 4,200 EUR",
            "lead: Invoice agent: Ann takes care of it: Pay 4,200 EUR",
        ]
        assert walk.until_quiet(3 * HOUR) == []
        walk.comes(RUNNING)
        assert sorted(walk.titles()) == [
            "approvers: Invoice agent: confirmed after 3 h 40 min, it continues",
            "lead: Invoice agent: confirmed after 3 h 40 min, it continues",
        ]


def test_confirmations_of_other_teams_gather_and_are_each_listed(tmp_path: Path) -> None:
    with walked(tmp_path, "approvers", "2026-06-01T12:00:00Z") as walk:
        for number in range(12):
            walk.comes(AWAITS, f"x-{number}")
        walk.passes(MINUTE)
        told = walk.gets()
        assert [each.title for each in told] == [
            "Invoice agent: 10 to confirm or decline, since 12:00 UTC",
            "Invoice agent: 2 to confirm or decline, since 12:00 UTC",
        ]
        bodies = "\n".join(each.message.body for each in told)
        assert all(re.search(rf"· x-{number}$", bodies, re.M) for number in range(12))
        for number in range(12):
            walk.comes(RUNNING, f"x-{number}")
        assert walk.titles() == ["approvers: Invoice agent: 12 are settled"]
        assert walk.until_quiet(3 * HOUR) == []


def test_the_team_that_sleeps_wakes_only_for_what_is_urgent(tmp_path: Path) -> None:
    with walked(tmp_path, "night", "2026-06-05T21:30:00Z") as walk:  # Friday, 23:30 in Berlin
        walk.comes(AWAITS, "inv")
        walk.comes(Status.FAILED, "f-1")
        walk.comes(Status.COMPLETED, "report", agent_name="Report agent", agent_id=None)
        walk.comes(Status.FAILED, "f-2", detail={"reason": "budget_exceeded"})
        assert sorted(walk.titles()) == [
            "pager: Invoice agent failed: budget_exceeded",
            "team: Invoice agent failed: budget_exceeded",
        ]
        found = walk.until_quiet(5 * HOUR)
        assert titles(found) == [(240, "pager: Escalated: Invoice agent waits for confirmation")]
        walk.restart()
        found = walk.until_quiet(3 * HOUR)  # until 07:30
        assert titles(found) == [
            (150, "team: Invoice agent: 1 to confirm or decline, 1 failed, since 5 Jun 21:30 UTC"),
            (180, "team: Reminder 1: Invoice agent waits for confirmation"),
        ]
        walk.comes(Status.CANCELLED, "inv")
        assert sorted(walk.titles()) == [
            "pager: Invoice agent: cancelled after waiting for confirmation for 8 h",
            "team: Invoice agent: cancelled after waiting for confirmation for 8 h",
        ]
        found = walk.until_quiet(50 * HOUR, 30 * MINUTE)
        # The report waits for Monday, 07:00 in Berlin.
        assert titles(found) == [(47 * 60 + 30, "team: Report agent completed")]


def test_each_team_hears_of_its_own_and_ops_of_what_is_nobody_s(tmp_path: Path) -> None:
    with walked(tmp_path, "many-teams", "2026-06-01T12:00:00Z") as walk:
        payments = {"metadata": {"team": "payments", "priority": "urgent"}}
        walk.comes(Status.FAILED, "p", detail={"reason": "no such page"}, **payments)
        walk.comes(AWAITS, "s", agent_name="Lead finder", agent_id="agent-2")
        walk.comes(Status.FAILED, "n", agent_name="Night agent", agent_id="agent-3")
        walk.comes(Status.COMPLETED, "c", detail={"outcome": "success"}, **payments)
        assert sorted(walk.titles()) == [
            "ops: Invoice agent failed: no such page",
            "payments: Invoice agent failed: no such page",
            "sales: Lead finder waits for confirmation",
        ]
        assert titles(walk.until_quiet(MINUTE)) == [(1, "ops: Night agent failed")]
        found = walk.until_quiet(3 * HOUR)
        assert titles(found) == [(119, "sales-lead: Escalated: Lead finder waits for confirmation")]
        assert walk.acknowledge("Bob", "s") is True
        assert {told.destination for told in walk.gets()} == {"sales", "sales-lead"}
        # What a team's place refuses for good reaches ops, with the reason.
        walk.comes(Status.FAILED, "p-2", metadata={"team": "payments"})
        walk.gets("payments", GONE)
        assert [(told.destination, told.claim.kind) for told in walk.gets()] == [
            ("ops", "fallback")
        ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_nobody_answers_is_told_of_until_it_moves_and_never_after(
    tmp_path: Path, name: str
) -> None:
    with walked(tmp_path, name, "2026-06-01T12:00:00Z") as walk:
        walk.comes(RUNNING)
        walk.comes(AWAITS)
        walk.until_quiet(30 * HOUR, 5 * MINUTE)
        walk.comes(Status.FAILED)
        last = walk.until_quiet(30 * HOUR, 5 * MINUTE)
        kinds = {told.claim.kind for _, told in last}
        assert kinds <= {"notice", "resolved"}
        assert walk.pending() == 0


# The pages of the reference show parts of a file: what they leave out is added.
VALUES = {"ASTEROID_PUBLIC_KEY": PUBLIC, "ASTEROID_SECRET": "s" * 24, "LOGIN": "user:word",
          "INTEGRATION_KEY": "i" * 32, "API_KEY": "a" * 32}  # fmt: skip
SNIPPETS = [
    (path.stem, text)
    for path in (README, *sorted(HELP.glob("*.md")))
    for text in re.findall(r"^```yaml\n(\S.*?)^```", path.read_text("utf-8"), re.M | re.S)
]


@pytest.mark.parametrize(("page", "text"), SNIPPETS, ids=[page for page, _ in SNIPPETS])
def test_each_example_of_the_reference_is_read_without_a_warning(
    tmp_path: Path, page: str, text: str
) -> None:
    content = yaml.safe_load(text)
    named = {
        name
        for notify in re.findall(r"notify: (\[.*?\]|[\w-]+)", text)
        for name in re.findall(r"[\w-]+", notify)
    }
    if "destinations" not in content:
        text += "destinations: {" + ", ".join(f"{name}: 'console://'" for name in named) + "}\n"
    path = tmp_path / "routes.yaml"
    path.write_text(text if "sources" in content else f"{SOURCES}{text}", "utf-8")
    names = re.findall(r"\$\{(\w+)\}", text)
    rules = routes_file.load(str(path), {name: VALUES.get(name, "console://") for name in names})
    assert set(rules.destinations) >= named
    # A part need not tell of everything.
    is_whole = "sources" in content and "routes" in content
    of_parts = ("nobody is told of rejected events", "no route names", "nobody can be told when")
    usual = ("secret_header", *(() if is_whole else of_parts))
    assert [each for each in rules.warnings if not any(word in each for word in usual)] == []


def test_the_story_of_the_page_about_order_is_what_happens(tmp_path: Path) -> None:
    table = topic("order").split("| happened at |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| ([\d:]+) \| `(\w+)` \| (\w+)", table, re.M)
    routes = """\
destinations: {ops: "console://"}
routes:
  - {name: ends, match: {category: terminal}, notify: ops}
  - {name: not accepted, match: {verdict: rejected}, notify: ops}
"""
    walk = Walk(tmp_path, routes, now=parse_time("2026-06-01T10:13:00Z"))
    verdicts = []
    for at, name, _ in rows:
        happened = parse_time(f"2026-06-01T{at}:00Z")
        event = replace(walk.event(asteroid.EVENT_STATUS[name]), event=name, occurred_at=happened)
        verdicts.append(walk.come([event])[0].judgement.verdict.value)
    assert verdicts == [verdict for _, _, verdict in rows]
    assert walk.shown()["execution"]["status"] == "completed"
    assert walk.titles() == [
        "ops: Invoice agent completed",
        "ops: Invoice agent already completed; a later update that says running does not count",
    ]
    walk.store.close()
