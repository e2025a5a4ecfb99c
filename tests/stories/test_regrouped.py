"""What gathers, or waits for the next digest, follows the groups of the rules in force."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.events import Status
from tests.support.people import MINUTE, Walk

FAILS = Status.FAILED


def rules(group: str = "wait: 10m, every: 30m") -> str:
    """Return rules with such a group, or without any."""
    inner = f", group: {{by: [agent], {group}}}" if group else ""
    return (
        "destinations:\n  ops: {url: console://, rate: 1000/s}\nroutes:\n"
        f"  - {{name: f, match: {{status: failed}}, notify: ops{inner}}}\n"
    )


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, rules())
    yield opened
    assert opened.replan() == 0
    opened.store.close()


def comes_out(walk: Walk) -> list[int]:
    """Return the minutes from now at which something goes out within two hours."""
    now = [0] if walk.gets() else []
    return now + [at for at, _ in walk.until_quiet(120 * MINUTE)]


@pytest.mark.parametrize(
    ("group", "minutes"),
    [
        ("wait: 10m, every: 30m", [6]),
        ("wait: 5m, every: 30m", [1]),
        ("wait: 2m, every: 30m", [0]),
        ("wait: 1h, every: 1h", [56]),
        ("", [0]),
    ],
)
def test_what_gathers_waits_as_long_as_the_present_group_says(
    walk: Walk, group: str, minutes: list[int]
) -> None:
    for name in "ab":
        walk.comes(FAILS, name)
    assert walk.until_quiet(4 * MINUTE) == []
    walk.reload(rules(group))
    assert comes_out(walk) == minutes


@pytest.mark.parametrize(
    ("group", "minutes"),
    [
        ("wait: 10m, every: 30m", [15]),
        ("wait: 10m, every: 20m", [5]),
        ("wait: 10m, every: 10m", [0]),
        ("wait: 10m, every: 1h", [45]),
        ("wait: 30m, every: 30m", [17]),
        ("", [0]),
    ],
)
def test_what_waits_for_the_next_digest_waits_as_long_as_the_present_group_says(
    walk: Walk, group: str, minutes: list[int]
) -> None:
    walk.comes(FAILS, "a")
    assert [at for at, _ in walk.until_quiet(12 * MINUTE)] == [10]
    walk.comes(FAILS, "b")
    assert walk.until_quiet(13 * MINUTE) == []
    walk.reload(rules(group))
    assert comes_out(walk) == minutes


def test_what_is_stuck_gathers_as_long_as_the_present_group_says(walk: Walk) -> None:
    stuck = "  - {name: s, stuck: {status: running, after: 1h}, notify: ops, group: GROUP}\n"
    walk.reload(rules() + stuck.replace("GROUP", "{by: [agent], wait: 20m, every: 30m}"))
    walk.comes(Status.RUNNING, "a")
    assert walk.until_quiet(65 * MINUTE) == []
    walk.reload(rules() + stuck.replace("GROUP", "{by: [agent], wait: 10m, every: 30m}"))
    assert comes_out(walk) == [5]


def test_a_start_with_other_groups_does_the_same(walk: Walk) -> None:
    walk.comes(FAILS, "a")
    walk.reload(rules("wait: 3m, every: 30m"))
    walk.restart()
    assert comes_out(walk) == [3]


def told_together(walk: Walk) -> list[list[str | None]]:
    """Return the executions of each message within half an hour."""
    messages = [told.claim for _, told in walk.until_quiet(30 * MINUTE)]
    return sorted(
        [each.facts.execution_id for each in (claim.digest.listed if claim.digest else [claim])]
        for claim in messages
    )


def test_what_gathers_is_grouped_by_the_present_fields(walk: Walk) -> None:
    for name, agent in ("a", "Anna"), ("b", "Bert"), ("c", "Anna"):
        walk.comes(FAILS, name, agent_id=agent)
    walk.reload(rules().replace("[agent]", "[status]"))
    assert told_together(walk) == [["a", "b", "c"]]


def test_what_gathers_is_told_in_parts_if_it_has_less_in_common_now(walk: Walk) -> None:
    walk.reload(rules().replace("[agent]", "[status]"))
    for name, agent in ("a", "Anna"), ("b", "Bert"), ("c", "Anna"):
        walk.comes(FAILS, name, agent_id=agent)
    assert walk.gets() == []
    walk.reload(rules())
    assert told_together(walk) == [["a", "c"], ["b"]]
