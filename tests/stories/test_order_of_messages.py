"""What people hear first, and how often they hear it, when an execution repeats itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from receiver.events import Status
from tests.support.people import HOUR, MINUTE, SECOND, Walk

RULES = """\
sources:
  s:
    verify: {scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}
    OBSERVES
destinations:
  ops: {url: console://, rate: 1000/s}
  audit: {url: console://, rate: 1000/s}
routes:
  - {name: waits, match: {category: [awaiting, paused]}, notify: ops, resolved: true}
  - {name: ends, match: {category: terminal}, notify: ops}
  - {name: odd, match: {verdict: [held, stale, rejected]}, notify: [ops, audit]}
"""
UNSEEN = "observes: [awaiting_confirmation, paused, paused_by_agent, completed, failed, cancelled]"
WAITING, PAUSED = Status.AWAITING_CONFIRMATION, Status.PAUSED


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, RULES.replace("    OBSERVES\n", ""))
    yield opened
    opened.store.close()


@pytest.fixture
def unseen(tmp_path: Path) -> Iterator[Walk]:
    """A receiver that never hears of `running`."""
    opened = Walk(tmp_path, RULES.replace("OBSERVES", UNSEEN))
    yield opened
    opened.store.close()


def kinds(walk: Walk) -> list[str]:
    return [str(told.claim.kind) for told in walk.gets("ops")]


def test_the_end_of_a_wait_is_told_before_the_next_wait(unseen: Walk) -> None:
    unseen.comes(WAITING)
    assert kinds(unseen) == ["notice"]
    unseen.comes(WAITING)
    over, waits = unseen.gets("ops")
    assert (over.claim.kind, waits.claim.kind) == ("resolved", "notice")
    assert over.claim.facts.event_id == waits.claim.facts.event_id == "e-2"


def test_it_is_told_first_also_if_it_ended_while_its_notice_was_being_sent(unseen: Walk) -> None:
    unseen.comes(WAITING)
    claim = unseen.claim("ops")
    assert claim is not None
    unseen.passes(SECOND)
    unseen.comes(WAITING)
    assert unseen.gets("ops") == []
    unseen.record(claim)
    assert kinds(unseen) == ["resolved", "notice"]


def test_the_end_of_a_wait_is_told_before_the_end_of_its_execution(walk: Walk) -> None:
    walk.comes(WAITING)
    walk.gets()
    walk.comes(Status.FAILED)
    assert kinds(walk) == ["resolved", "notice"]


def test_waits_that_follow_each_other_in_one_batch_are_told_in_their_order(unseen: Walk) -> None:
    unseen.comes(WAITING)
    unseen.gets()
    unseen.come([unseen.event(PAUSED), unseen.event(WAITING)])
    assert [(told.claim.kind, told.claim.facts.status) for told in unseen.gets("ops")] == [
        ("resolved", PAUSED), ("notice", WAITING),
    ]  # fmt: skip


def expire(walk: Walk) -> None:
    walk.passes(MINUTE)
    walk.do(lambda transaction: walk.intake.expire(transaction, [walk.now]))


def rejected(walk: Walk, destination: str) -> list[str | None]:
    return [
        str(told.claim.facts.status)
        for told in walk.gets(destination)
        if told.claim.facts.verdict == "rejected"
    ]


def test_a_hundred_repeats_that_are_rejected_for_a_gap_are_one_message_an_episode(
    walk: Walk,
) -> None:
    walk.comes(PAUSED)
    for _ in range(105):
        walk.comes(WAITING)
    expire(walk)
    for _ in range(5):
        walk.comes(WAITING)
    expire(walk)
    assert rejected(walk, "ops") == ["awaiting_confirmation"]
    assert rejected(walk, "audit") == ["awaiting_confirmation"]
    verdicts = [event["verdict"] for event in walk.shown("x")["events"]]
    assert verdicts == ["applied"] + ["rejected"] * 110


def test_the_next_episode_and_another_execution_have_messages_of_their_own(walk: Walk) -> None:
    for execution in ("x", "y"):
        walk.comes(PAUSED, execution)
        walk.comes(WAITING, execution)
    expire(walk)
    assert rejected(walk, "ops") == ["awaiting_confirmation"] * 2
    walk.passes(HOUR)
    walk.comes(Status.RUNNING)
    walk.comes(PAUSED)
    walk.comes(WAITING)
    expire(walk)
    assert rejected(walk, "ops") == ["awaiting_confirmation"]


def test_an_end_that_is_rejected_is_told_although_a_wait_was(walk: Walk) -> None:
    walk.comes(PAUSED)
    walk.comes(WAITING)
    expire(walk)
    walk.comes(Status.COMPLETED)
    walk.comes(Status.COMPLETED)
    expire(walk)
    assert rejected(walk, "ops") == ["awaiting_confirmation", "completed"]


def test_what_comes_after_the_end_again_and_again_is_told_once(walk: Walk) -> None:
    walk.comes(Status.COMPLETED)
    walk.come([walk.event(Status.RUNNING) for _ in range(20)])
    walk.come([walk.event(Status.RUNNING) for _ in range(20)])
    assert rejected(walk, "ops") == ["running"]


@pytest.mark.parametrize(("earlier", "verdict"), [(0, "held"), (HOUR, "stale")])
def test_repeats_that_are_held_or_stale_are_one_message_an_episode_too(
    walk: Walk, earlier: int, verdict: str
) -> None:
    walk.comes(PAUSED)
    walk.gets()
    for _ in range(10):
        event = walk.event(WAITING)
        walk.come([replace(event, occurred_at=walk.now - earlier)])
    assert [told.claim.facts.verdict for told in walk.gets("audit")] == [verdict]
