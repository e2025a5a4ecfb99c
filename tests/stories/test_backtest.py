"""A backtest counts by the rules in force what was really sent, and by others what would be."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from receiver.config import routes_file
from receiver.config.rules import Rules
from receiver.events import Status
from receiver.intake import backtest as backtesting
from receiver.intake.backtest import backtest
from tests.support.people import HOUR, MINUTE, SOURCES, START, Told, Walk

DESTINATIONS = """\
destinations: {ops: "console://", boss: "console://", log: "console://"}
"""
RULES = f"""\
{DESTINATIONS}
routes:
  - {{name: flaky, match: {{agent: "Flaky *"}}, notify: log, stop: true}}
  - {{name: failures, match: {{status: failed}}, notify: [ops, boss]}}
  - name: asks
    match: {{status: awaiting_confirmation}}
    notify: [boss, log]
    remind: {{every: 60m, at_most: 3}}
    escalate: [{{after: 90m, notify: ops}}, {{after: 3h, notify: [ops, log]}}]
    resolved: true
    acknowledged: true
  - {{name: pauses, match: {{status: paused}}, notify: log, remind: {{every: 2h}}, resolved: true}}
  - {{name: odd, match: {{verdict: [rejected, stale, duplicate, quarantined]}}, notify: ops}}
  - name: hangs
    match: {{agent: "*"}}
    stuck: {{status: running, after: 2h}}
    notify: log
    remind: {{every: 1h, at_most: 2}}
"""


@pytest.fixture
def walk(tmp_path: Path) -> Walk:
    return Walk(tmp_path, RULES)


def others(walk: Walk, text: str) -> Rules:
    path = walk.folder / "new.yaml"
    path.write_text(text if "sources:" in text else SOURCES + text, "utf-8")
    return routes_file.load(str(path), {})


def tried(walk: Walk, text: str, since: int = START, most: int = 10_000) -> dict[str, Any]:
    return backtest(walk.store, walk.rules, others(walk, text), since, walk.now, most)


def by_kind(found: dict[str, Any], which: str) -> Counter[tuple[str, str]]:
    counts = Counter[tuple[str, str]]()
    for each in found["routes"]:
        counts[each["destination"], each["kind"]] += each[which]
    return +counts


def sent(told: list[Told]) -> Counter[tuple[str, str]]:
    return Counter((each.destination, str(each.claim.kind)) for each in told)


@pytest.mark.parametrize("seed", range(10))
def test_of_any_history_the_rules_in_force_count_what_was_sent(walk: Walk, seed: int) -> None:
    chance, told = random.Random(seed), list[Told]()
    for _ in range(30):
        execution = chance.choice("wxyz")
        if chance.random() < 0.15:
            walk.take("Ann", execution)  # of several people only the last one is stored
        else:
            name = chance.choice(["Invoice agent", "Flaky agent"])
            walk.comes(chance.choice(list(Status)), execution, agent_name=name)
        told += walk.gets()
        # Half past: what is due each hour is not due while something comes.
        for _, each in walk.until_quiet(chance.choice([0, 0, 1, 3]) * 30 * MINUTE + 7 * MINUTE):
            told.append(each)
    found = tried(walk, RULES)
    assert by_kind(found, "before") == by_kind(found, "after")
    assert by_kind(found, "before") == sent(told)
    assert (found["examples"], found["is_whole"]) == ([], True)
    assert found["events"] > 20


def test_follow_ups_count_for_as_long_as_the_wait_really_lasted(walk: Walk) -> None:
    for execution, lasts in (("a", 10 * MINUTE), ("b", 65 * MINUTE), ("c", 5 * HOUR)):
        walk.comes(Status.RUNNING, execution)
        walk.comes(Status.AWAITING_CONFIRMATION, execution)
        walk.until_quiet(lasts)
        walk.comes(Status.COMPLETED, execution)
    quick = DESTINATIONS + (
        "routes: [{name: asks, match: {status: awaiting_confirmation}, notify: boss,"
        " remind: {every: 30m}, escalate: [{after: 1h, notify: log}]}]"
    )
    found = tried(walk, quick)
    assert by_kind(found, "after") == {
        ("boss", "notice"): 3, ("boss", "reminder"): 0 + 2 + 10, ("log", "escalation"): 2,
    }  # fmt: skip
    example = next(e for e in found["examples"] if e["destination"] == "boss" and e["is_more"])
    assert (example["execution_id"], example["agent"]) == ("c", "Invoice agent")
    assert example["before"] == {"notice": 1, "reminder": 3, "resolved": 1}
    assert example["after"] == {"notice": 1, "reminder": 10}
    assert example["why"] == "what follows in route 'asks' differs"


def test_what_goes_on_counts_until_now(walk: Walk) -> None:
    walk.comes(Status.AWAITING_CONFIRMATION)
    walk.until_quiet(150 * MINUTE)
    assert by_kind(tried(walk, RULES), "after")["boss", "reminder"] == 2
    walk.take("Ann")
    walk.until_quiet(10 * HOUR)
    assert by_kind(tried(walk, RULES), "after")["boss", "reminder"] == 2


@pytest.mark.parametrize(
    ("routes", "destination", "is_more", "why"),
    [
        ("[]", "ops", False, "there is no route 'failures'"),
        ("[{name: failures, match: {agent: other}, notify: [ops, boss]}]", "ops", False,
         "agent is agent-1 / Invoice agent, not other"),
        ("[{name: failures, match: {status: failed}, notify: boss}]", "ops", False,
         "route 'failures' does not name ops"),
        ("[{name: failures, match: {status: failed}, notify: [ops, boss]},"
         " {name: all, match: {status: failed}, notify: [log, ops]}]", "log", True,
         "there is no route 'all'"),
    ],
    ids=["gone", "condition", "destination", "new"],
)  # fmt: skip
def test_an_example_says_which_event_and_why(
    walk: Walk, routes: str, destination: str, is_more: bool, why: str
) -> None:
    walk.comes(Status.RUNNING)
    walk.comes(Status.FAILED)
    found = tried(walk, f"{DESTINATIONS}routes: {routes}")
    (example,) = [e for e in found["examples"] if e["destination"] == destination]
    assert (example["event_id"], example["verdict"]) == ("e-2", "applied")
    assert (example["is_more"], example["why"]) == (is_more, why)


def test_a_route_with_another_name_is_no_difference_for_people(walk: Walk) -> None:
    walk.comes(Status.FAILED)
    found = tried(walk, RULES.replace("name: failures", "name: broken"))
    assert found["examples"] == []
    assert [(r["route"], r["before"], r["after"]) for r in found["routes"]] == [
        ("broken", 0, 1), ("broken", 0, 1), ("failures", 1, 0), ("failures", 1, 0),
    ]  # fmt: skip


def test_a_source_that_is_gone_tells_nobody(walk: Walk) -> None:
    walk.comes(Status.FAILED)
    found = tried(walk, SOURCES.replace("  s:", "  t:") + RULES)
    assert (found["before"], found["after"]) == (2, 0)
    assert {each["why"] for each in found["examples"]} == {"there is no source 's'"}


def test_only_what_came_since_then_counts_and_only_so_much(walk: Walk) -> None:
    for _ in range(5):
        walk.comes(Status.FAILED, f"x-{walk.now}")
        walk.passes(HOUR)
    late = tried(walk, RULES, since=START + 3 * HOUR - MINUTE)
    assert (late["events"], late["before"]) == (2, 4)
    some = tried(walk, RULES, most=2)
    assert (some["events"], some["is_whole"], some["before"]) == (2, False, 4)
    # The newest ones: of five that came hour by hour since noon.
    assert some["since"].startswith("2026-06-01T15:00:00")
    whole = tried(walk, RULES, since=START + 3 * HOUR - MINUTE, most=2)
    assert (whole["events"], whole["is_whole"]) == (2, True)


def test_it_ends_early_when_time_is_over(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtesting, "PORTION", 2)
    for n in range(7):
        walk.comes(Status.FAILED, f"x-{n}")
    found = backtest(walk.store, walk.rules, walk.rules, START, walk.now, 100, lambda: True)
    assert (found["events"], found["is_whole"]) == (2, False)


def test_it_changes_nothing_in_the_store(walk: Walk) -> None:
    walk.comes(Status.AWAITING_CONFIRMATION)
    before = (walk.states(), walk.store.ledger(), walk.shown())
    tried(walk, f"{DESTINATIONS}routes: []")
    assert (walk.states(), walk.store.ledger(), walk.shown()) == before
