"""Executions that are stuck: nothing was heard of them for too long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.events import Status
from tests.people import HOUR, MINUTE, Walk

RUNNING = Status.RUNNING
ROUTES = """\
destinations:
  ops: {url: console://, rate: 1000/s}
routes:
  - {name: everything, match: {status: "*"}, notify: ops}
  - name: stuck
    match: {agent: "Invoice *"}
    stuck: {status: [running, paused], after: 2h}
    notify: ops
    resolved: true
"""


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, ROUTES)
    yield opened
    opened.store.close()


def test_a_silent_execution_is_told_about_once(walk: Walk) -> None:
    walk.comes(RUNNING)
    walk.gets()
    walk.restart()
    ((at, told),) = walk.until_quiet(10 * HOUR)
    assert (at, told.title) == (120, "Stuck? Invoice agent started running")
    assert told.message.body.startswith(
        "Nothing was heard of it for more than 2 h; it has been running for 2 h by now."
    )
    walk.comes(Status.COMPLETED)
    assert walk.titles() == [
        "ops: Invoice agent completed", "ops: Invoice agent: completed while running, after 10 h",
    ]  # fmt: skip


def test_whatever_is_heard_of_it_puts_it_off(walk: Walk) -> None:
    walk.comes(RUNNING)
    walk.gets()
    walk.passes(HOUR)
    walk.comes(None, detail={"step": 3})  # announces no status
    walk.passes(HOUR)
    assert walk.gets() == []
    walk.restart()
    walk.passes(30 * MINUTE)
    # The same webhook once more is a sign of life, too.
    again = walk.event(RUNNING)
    walk.come([again])
    walk.passes(30 * MINUTE)
    assert walk.gets() == []
    walk.come([again])
    assert [at for at, _ in walk.until_quiet(5 * HOUR)] == [120]


def test_an_execution_that_moves_on_begins_anew(walk: Walk) -> None:
    walk.comes(RUNNING)
    walk.passes(HOUR)
    walk.comes(Status.PAUSED)
    walk.passes(HOUR)
    walk.gets()
    ((at, told),) = walk.until_quiet(5 * HOUR)
    assert (at, told.title) == (60, "Stuck? Invoice agent was paused")
    assert walk.states(state="superseded") == [
        ("ops", "notice", "superseded", "no longer running: now paused")
    ]


def test_its_conditions_and_statuses_decide_and_other_routes_tell_all_the_same(walk: Walk) -> None:
    walk.comes(RUNNING, "a", agent_name="Mail agent")
    walk.comes(Status.AWAITING_CONFIRMATION, "b")
    walk.comes(Status.COMPLETED, "c")
    assert len(walk.gets()) == 3
    assert walk.until_quiet(5 * HOUR) == []


def test_many_that_are_stuck_can_be_one_digest(walk: Walk) -> None:
    walk.reload(ROUTES + "    group: {by: [agent], wait: 10m, every: 1h}\n")
    for number in range(6):
        walk.comes(RUNNING, f"x-{number}")
        walk.passes(MINUTE)
    walk.gets()
    walk.passes(HOUR)
    walk.comes(None, "x-2")
    found = walk.until_quiet(4 * HOUR)
    assert [(at, told.title) for at, told in found] == [
        (54, "Invoice agent: 5 running"), (120, "Stuck? Invoice agent started running"),
    ]  # fmt: skip
