"""Messages about one execution keep their order at a destination, also while one is tried again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.deliveries import Attempt, Outcome
from receiver.events import Status
from tests.support.people import MINUTE, SECOND, Told, Walk
from tests.support.stores import only_a_file

RULES = """\
destinations:
  ops: {url: console://, rate: 1000/s}
routes:
  - name: waits
    match: {status: awaiting_confirmation}
    notify: ops
    acknowledged: true
    resolved: true
    GROUP
  - {name: runs, match: {status: running}, notify: ops}
  - {name: ends, match: {status: failed}, notify: ops}
"""
GROUP = "group: {by: [source], wait: 10s, every: 60s}"
LOST = Attempt(Outcome.UNCERTAIN, "no answer")
FAILED = Attempt(Outcome.FAILED, "HTTP 503")
WAITING, RUNNING = Status.AWAITING_CONFIRMATION, Status.RUNNING


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, RULES.replace("GROUP", GROUP))
    yield opened
    opened.store.close()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Walk]:
    """A receiver without groups."""
    opened = Walk(tmp_path, RULES.replace("    GROUP\n", ""))
    yield opened
    opened.store.close()


def fails(walk: Walk, attempt: Attempt = FAILED) -> None:
    """Let the next message to ops not arrive; it is tried again 5 s later."""
    claim = walk.claim("ops")
    assert claim is not None
    walk.record(claim, attempt, 1.0)


def about(told: list[Told]) -> list[tuple[str, str, str]]:
    """Return kind, execution and status of each message."""
    return [
        (str(each.claim.kind), str(each.claim.facts.execution_id), str(each.claim.facts.status))
        for each in told
    ]


def test_what_gathers_waits_behind_an_older_message_about_its_execution(walk: Walk) -> None:
    walk.comes(RUNNING)
    fails(walk)
    walk.passes(5 * SECOND)
    fails(walk)
    walk.comes(WAITING)
    walk.passes(10 * SECOND)
    fails(walk)  # it is due again in 20 s, and the other one has gathered
    walk.passes(SECOND)
    assert walk.gets("ops") == []
    walk.passes(19 * SECOND)
    assert about(walk.gets("ops")) == [("notice", "x", "running"), ("notice", "x", WAITING)]


def test_others_of_the_group_do_not_wait_with_it(walk: Walk) -> None:
    walk.comes(RUNNING)
    walk.comes(WAITING)
    fails(walk)
    walk.comes(WAITING, "y")
    walk.passes(4 * SECOND)
    assert walk.gets("ops") == []
    walk.passes(SECOND)
    fails(walk)
    walk.passes(5 * SECOND)
    assert about(walk.gets("ops")) == [("notice", "y", WAITING)]
    walk.passes(5 * SECOND)
    assert about(walk.gets("ops")) == [("notice", "x", "running")]
    walk.passes(MINUTE)
    assert about(walk.gets("ops")) == [("notice", "x", WAITING)]


def test_what_gathers_holds_up_nobody(walk: Walk) -> None:
    walk.comes(WAITING)
    walk.comes(Status.FAILED)
    assert about(walk.gets("ops")) == [("notice", "x", "failed")]


def test_the_end_of_a_wait_that_its_group_keeps_back_holds_up_nobody(walk: Walk) -> None:
    for execution in ("x", "y"):
        walk.comes(WAITING, execution)
    walk.passes(10 * SECOND)
    assert [told.claim.digest is not None for told in walk.gets("ops")] == [True]
    walk.comes(RUNNING, "y")
    assert ("resolved", "y", "running") in about(walk.gets("ops"))
    walk.comes(Status.FAILED)
    assert about(walk.gets("ops")) == [("notice", "x", "failed")]
    walk.passes(MINUTE)
    assert about(walk.gets("ops")) == [("resolved", "x", "failed")]


def test_word_of_who_has_it_waits_behind_what_it_is_about(alone: Walk) -> None:
    alone.comes(WAITING)
    fails(alone, LOST)
    alone.take("Ann")
    assert alone.gets("ops") == []
    alone.passes(5 * SECOND)
    assert about(alone.gets("ops")) == [("notice", "x", WAITING), ("acknowledged", "x", WAITING)]


def test_a_repeat_after_a_death_says_by_itself_who_has_it(alone: Walk) -> None:
    only_a_file("a process that is gone is noticed by its lease there, not at a start")
    alone.comes(WAITING)
    alone.take("Ann")
    assert alone.claim("ops") is not None
    alone.restart()
    (told,) = alone.gets("ops")
    assert (told.claim.kind, told.claim.repeat) == ("notice", True)
    assert "Ann" in told.message.body
