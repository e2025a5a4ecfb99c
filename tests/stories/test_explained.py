"""What is said of a stored event's routes is what was decided when it came."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest

from receiver.events import Status
from tests.support.people import HOUR, Walk

RULES = """\
destinations: {ops: "console://", boss: "console://", log: "console://"}
routes:
  - {name: flaky, match: {agent: "Flaky *"}, notify: log, stop: true}
  - {name: failures, match: {status: failed, metadata: {team: pay}}, notify: [ops, boss]}
  - {name: all failures, match: {status: failed}, notify: [boss, log]}
  - {name: asks, match: {status: awaiting_confirmation}, notify: boss, remind: {every: 15m}}
  - {name: odd, match: {verdict: [rejected, stale, duplicate, held]}, notify: ops}
  - {name: hangs, match: {agent: "*"}, stuck: {status: running, after: 2h}, notify: log}
  - {name: dead, match: {dead_letter: true}, notify: ops}
"""


@pytest.fixture
def walk(tmp_path: Path) -> Walk:
    return Walk(tmp_path, RULES)


def routes_of(walk: Walk, event_id: str, execution: str = "x") -> dict[str, dict[str, Any]]:
    events = walk.shown(execution)["events"]
    (event,) = [each for each in events if each["event_id"] == event_id]
    return {route["name"]: route for route in event["routes"]}


@pytest.mark.parametrize("seed", range(8))
def test_of_any_history_the_routes_that_match_are_those_that_planned_a_message(
    walk: Walk, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(40):
        name = chance.choice(["Invoice agent", "Flaky agent", None])
        metadata = chance.choice([{"team": "pay"}, {"team": "ops"}, None])
        walk.comes(
            chance.choice(list(Status)), chance.choice("xyz"), agent_name=name,
            agent_id=chance.choice(["a-1", None]), metadata=metadata,
        )  # fmt: skip
        walk.now += chance.choice([0, HOUR])
        if chance.random() < 0.3:
            walk.gets()
    seen = 0
    for execution in "xyz":
        story = walk.shown(execution)
        for event in story["events"]:
            own = {
                each["id"]
                for each in story["deliveries"]
                if each["event_seq"] == event["seq"] and each["kind"] == "notice"
                and each["verdict"] == event["verdict"]
            }  # fmt: skip
            destinations = [d for r in event["routes"] for d in r["destinations"]]
            assert {d["delivery"] for d in destinations if d["delivery"]} == own
            # Whoever gets none is told by a route above, or of an earlier one that says the same.
            for each in destinations:
                assert each["delivery"] or re.search(
                    "above it tells|only the first of its kind in an episode is told, by message",
                    each["why"],
                )
            assert [r["name"] for r in event["routes"]] == [r.name for r in walk.rules.routes]
            assert all(bool(r["why_not"]) != bool(r["destinations"]) for r in event["routes"])
            seen += len(own)
    assert seen > 10


def test_the_execution_counts_as_it_was_known_then(walk: Walk) -> None:
    walk.comes(Status.RUNNING, agent_name="Invoice agent")
    walk.comes(Status.FAILED, agent_name=None, agent_id=None)
    assert routes_of(walk, "e-2")["flaky"]["why_not"] == (
        "agent is agent-1 / Invoice agent, not Flaky *"
    )
    walk.comes(Status.RUNNING, agent_name="Flaky agent")
    assert routes_of(walk, "e-1")["flaky"]["why_not"].startswith("agent is agent-1 / Invoice")


def test_a_message_that_other_rules_planned_is_told_so(walk: Walk) -> None:
    walk.comes(Status.FAILED)
    walk.reload(RULES.replace("all failures", "failing"))
    assert routes_of(walk, "e-1")["failing"]["destinations"][0]["why"] == (
        "route 'all failures' told boss by the rules of then"
    )
    walk.reload(
        RULES.replace("{status: failed}, notify: [boss, log]", "{status: failed}, notify: ops")
    )
    assert routes_of(walk, "e-1")["all failures"]["destinations"] == [
        {"destination": "ops", "delivery": None, "state": None,
         "why": "the rules were others when it came"}
    ]  # fmt: skip


def test_a_quarantined_event_is_found_and_only_the_first_of_a_day_is_told(walk: Walk) -> None:
    walk.reload(RULES.replace("[rejected,", "[quarantined, rejected,"))
    for _ in range(2):
        future = walk.event(Status.FAILED)
        walk.come([type(future)("s", future.event_id, "E", Status.FAILED, "x", walk.now + HOUR)])
    found, following = walk.store.events({"verdict": "quarantined", "execution_id": "x"}, 9, None)
    assert ([each["seq"] for each in found], following) == ([2, 1], None)
    first, second = walk.store.event(1), walk.store.event(2)
    assert first is not None
    assert second is not None
    assert (len(first["deliveries"]), len(second["deliveries"])) == (1, 0)
