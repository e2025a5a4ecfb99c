"""Whoever waits for a message in place of another hears of it when `retry_for` is over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.deliveries import Attempt, Outcome
from receiver.events import Status
from tests.support.people import FAILED, MINUTE, SECOND, Walk

ROUTES = """\
destinations:
  ops: {url: console://, rate: 1000/s, retry_for: 3s, fallback: mail}
  mail: {url: console://, rate: 1000/s, retry_for: 3s, fallback: pager}
  pager: {url: console://, rate: 1000/s}
routes:
  - name: failures
    match: {status: failed}
    notify: ops
"""
BUSY = Attempt(Outcome.FAILED, "HTTP 503", retry_after=4.0)
LATER = Attempt(Outcome.FAILED, "HTTP 429", retry_after=3600.0)


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, ROUTES)
    yield opened
    opened.store.close()


def hears(walk: Walk, seconds: int, *, fail: dict[str, Attempt]) -> dict[str, list[int]]:
    """Return at which second who got a message, if these destinations answer so."""
    begin, found = walk.now, dict[str, list[int]]()
    while walk.now < begin + seconds * SECOND:
        for name in walk.rules.destinations:
            while (claim := walk.claim(name)) is not None:
                walk.record(claim, fail[name]) if name in fail else walk.record(claim)
                if name not in fail:
                    found.setdefault(name, []).append((walk.now - begin) // SECOND)
        walk.now += SECOND // 2
    return found


@pytest.mark.parametrize("answer", [BUSY, LATER], ids=["503", "429"])
def test_what_a_destination_asks_for_does_not_hold_back_giving_up(
    walk: Walk, answer: Attempt
) -> None:
    for n in range(5):
        walk.comes(Status.FAILED, f"x-{n}")
    assert hears(walk, 25, fail={"ops": answer}) == {"mail": [3, 3, 3, 3, 3]}
    reasons = {state[3] for state in walk.states(state="dead")}
    assert reasons == {"given up after retry_for: its destination asks for more time"}


def test_each_is_given_up_by_its_own_time(walk: Walk) -> None:
    walk.comes(Status.FAILED, "x")
    assert hears(walk, 2, fail={"ops": LATER}) == {}
    walk.comes(Status.FAILED, "y")
    assert hears(walk, 9, fail={"ops": LATER}) == {"mail": [1, 3]}


def test_a_chain_of_busy_destinations_takes_the_sum_of_their_times(walk: Walk) -> None:
    for n in range(3):
        walk.comes(Status.FAILED, f"x-{n}")
    found = hears(walk, 30, fail={"ops": LATER, "mail": LATER})
    assert set(found) == {"pager"}
    assert len(found["pager"]) == 3
    assert all(6 <= at <= 8 for at in found["pager"])


def test_what_waits_in_a_group_for_a_busy_destination_is_given_up_together(walk: Walk) -> None:
    walk.reload(ROUTES + "    group: {by: agent, wait: 1s, every: 1s}\n")
    walk.come([walk.event(Status.FAILED, f"x-{n}") for n in range(3)])
    found = hears(walk, 20, fail={"ops": LATER})
    assert found["mail"] == [found["mail"][0]]
    assert found["mail"][0] <= 6


def test_who_is_not_asked_to_wait_waits_for_its_turn(walk: Walk) -> None:
    walk.reload(
        ROUTES.replace("ops: {url: console://, rate: 1000/s", "ops: {url: console://, rate: 6/m")
    )
    for n in range(4):
        walk.comes(Status.FAILED, f"x-{n}")
    found = hears(walk, 60, fail={})
    assert list(found) == ["ops"]
    assert len(found["ops"]) == 4


def test_a_start_tries_first_what_waited_while_nobody_served(walk: Walk) -> None:
    walk.comes(Status.FAILED, "x")
    assert hears(walk, 1, fail={"ops": LATER}) == {}
    walk.passes(MINUTE)
    walk.restart()
    assert hears(walk, 1, fail={}) == {"ops": [0]}
    walk.comes(Status.FAILED, "y")
    assert hears(walk, 2, fail={"ops": FAILED}) == {}
