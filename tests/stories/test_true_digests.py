"""Digests tell what is true: an execution counts once, and what is over is said to be over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.events import Status
from receiver.routing.silences import Silence
from tests.support.people import GONE, HOUR, MINUTE, SECOND, Told, Walk

AWAITS, RUNNING, DONE = Status.AWAITING_CONFIRMATION, Status.RUNNING, Status.COMPLETED
ROUTES = """\
destinations:
  team: {url: console://, rate: 1000/s}
  lead: {url: console://, rate: 1000/s, quiet: {from: "11:00", to: "16:00", tz: UTC}}
routes:
  - name: started
    match: {status: running}
    notify: team
    group: {by: agent, wait: 3s, every: 3s}
  - {name: ended, match: {status: completed}, notify: team}
  - name: conf
    match: {status: awaiting_confirmation}
    notify: team
    escalate: [{after: 1s, notify: lead}, {after: 3s, notify: lead}]
    resolved: true
"""
GROUP = "    group: {by: agent, wait: 3s, every: 3s}\n"
ALL = ROUTES + '  - {name: all, match: {status: "*"}, notify: lead}\n'


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, ROUTES)
    yield opened
    opened.store.close()


def morning(walk: Walk) -> Told:
    """Return the only message that lead gets at the end of the quiet hours."""
    walk.passes(5 * HOUR)
    (told,) = walk.gets("lead")
    return told


# An execution counts once.


def test_two_escalations_of_the_same_wait_are_one(walk: Walk) -> None:
    walk.comes(AWAITS)
    walk.passes(4 * SECOND)
    walk.gets()
    told = morning(walk)
    assert told.title == "Invoice agent: 1 to confirm or decline, since 12:00 UTC"
    assert told.message.body.count(" · x") == 1


def test_a_wait_told_by_notice_and_escalations_is_one_beside_others(walk: Walk) -> None:
    walk.reload(ALL)
    walk.comes(AWAITS, "x")
    walk.comes(AWAITS, "y")
    walk.passes(4 * SECOND)
    walk.gets()
    told = morning(walk)
    assert told.title == "Invoice agent: 2 to confirm or decline, since 12:00 UTC"
    assert [told.message.body.count(f" · {name}") for name in "xy"] == [1, 1]


def test_more_waits_than_a_digest_has_room_for_are_each_listed_once(walk: Walk) -> None:
    for n in range(14):
        walk.comes(AWAITS, f"inv-{n:02}")
    walk.passes(4 * SECOND)
    walk.gets()
    walk.passes(5 * HOUR)
    told = walk.gets("lead")
    assert len(told) == 2
    bodies = "\n".join(each.message.body for each in told)
    assert [bodies.count(f" · inv-{n:02}") for n in range(14)] == [1] * 14
    assert [each.claim.digest.total for each in told if each.claim.digest] == [10, 4]


def test_an_execution_that_moved_on_counts_as_what_it_is(walk: Walk) -> None:
    walk.reload(ALL)
    for name in "xy":
        walk.comes(RUNNING, name)
        walk.comes(DONE, name)
    walk.comes(RUNNING, "z")
    walk.gets("team")
    walk.gets("lead")
    told = morning(walk)
    assert told.title == "Invoice agent: 2 completed, 1 started since 12:00 UTC"
    assert [told.message.body.count(f" · {name}") for name in "xyz"] == [1, 1, 1]


def test_its_end_and_its_next_wait_are_one_that_waits(walk: Walk) -> None:
    walk.reload(ALL)
    walk.now -= 2 * HOUR  # not yet quiet
    walk.comes(AWAITS)
    walk.gets()
    walk.passes(90 * MINUTE)
    walk.comes(RUNNING)
    walk.comes(AWAITS)
    walk.passes(4 * SECOND)
    walk.gets()
    told = morning(walk)
    assert told.title.startswith("Invoice agent: 1 to confirm or decline")


def test_the_digest_of_a_silence_lists_what_waits_and_not_what_was_settled_before(
    walk: Walk,
) -> None:
    walk.comes(AWAITS)
    walk.gets("team")
    of = Silence({"agent": ("*",)}, "deploy", "Ann", walk.now, walk.now + HOUR)
    walk.do(lambda t: t.add_silence(of, walk.now))
    walk.comes(RUNNING)
    walk.comes(AWAITS)
    walk.passes(4 * SECOND)
    walk.gets("team")
    walk.passes(HOUR)
    (told,) = walk.gets("team")
    assert told.title == "While silenced: Invoice agent: 1 to confirm or decline, since 12:00 UTC"


# What is over is said to be over.


def test_those_that_completed_meanwhile_are_not_said_to_run(walk: Walk) -> None:
    for name in "xyz":
        walk.comes(RUNNING, name)
    for name in "xyz":
        walk.comes(DONE, name)
    assert len(walk.gets("team")) == 3
    walk.passes(3 * SECOND)
    (told,) = walk.gets("team")
    assert told.title == "Invoice agent: 3 are over by now since 12:00 UTC"
    assert told.message.body.count("over: now completed") == 3


def test_those_that_still_run_are_told_apart(walk: Walk) -> None:
    for name in "xyz":
        walk.comes(RUNNING, name)
    walk.comes(DONE, "y")
    walk.gets("team")
    walk.passes(3 * SECOND)
    (told,) = walk.gets("team")
    assert told.title == "Invoice agent: 2 started, 1 is over by now since 12:00 UTC"
    assert "· over: now completed · y" in told.message.body


def test_what_a_silence_kept_back_and_ended_is_said_to_be_over(walk: Walk) -> None:
    of = Silence({"status": ("running",)}, "deploy", "Ann", walk.now, walk.now + HOUR)
    walk.do(lambda t: t.add_silence(of, walk.now))
    for name in "xy":
        walk.comes(RUNNING, name)
    walk.passes(3 * SECOND)
    walk.gets("team")
    walk.comes(DONE, "x")
    walk.gets("team")
    walk.passes(HOUR)
    (told,) = walk.gets("team")
    assert told.title == (
        "While silenced: Invoice agent: 1 is over by now, 1 started since 12:00 UTC"
    )


def test_what_runs_again_is_said_to_have_been_over(walk: Walk) -> None:
    walk.reload(ROUTES.replace("{status: running}", "{status: paused}"))
    walk.comes(Status.PAUSED, "x")
    walk.comes(Status.PAUSED, "y")
    walk.comes(RUNNING, "y")
    walk.passes(3 * SECOND)
    (told,) = walk.gets("team")
    assert told.claim.digest is None  # what is over was left out
    assert "x" in told.message.body


@pytest.mark.parametrize("kind", ["resolved", "acknowledged"])
def test_an_end_in_place_of_another_counts_as_an_end(walk: Walk, kind: str) -> None:
    escalate = "    escalate: [{after: 1s, notify: lead}, {after: 3s, notify: lead}]\n"
    routes = ROUTES.replace("team: {url", "team: {fallback: lead, url").replace(escalate, "")
    walk.reload(routes + "    acknowledged: true\n" + GROUP)
    for name in "xy":
        walk.comes(AWAITS, name)
    walk.passes(3 * SECOND)
    walk.gets("team")
    for name in "xy":
        walk.comes(RUNNING, name) if kind == "resolved" else walk.acknowledge("Ann", name)
    walk.passes(3 * SECOND)
    walk.gets("team", GONE)
    walk.passes(5 * HOUR)
    said = "are settled" if kind == "resolved" else "are taken care of"
    assert f"2 {said}" in next(t.title for t in walk.gets("lead") if t.claim.digest)
