"""Executions that are stuck: nothing was heard of them for too long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.events import Status
from tests.support.people import HOUR, MINUTE, Walk

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
    assert (at, told.title) == (120, "Stuck? Invoice agent: no news for 2 h, last known as running")
    assert told.message.body.startswith("See whether the agent still works: it may have ended")
    walk.comes(Status.COMPLETED)
    assert walk.titles() == [
        "ops: Invoice agent: completed after running for 10 h", "ops: Invoice agent completed",
    ]  # fmt: skip


def test_an_e_mail_says_in_its_subject_that_something_may_be_stuck(walk: Walk) -> None:
    walk.comes(RUNNING)
    walk.gets()
    (_, told), *_ = walk.until_quiet(3 * HOUR)
    assert told.message.as_mail()[0].startswith("Stuck? Invoice agent: no news for 2 h")
    walk.comes(Status.COMPLETED)
    ends = [told for told in walk.gets() if told.claim.kind == "resolved"]
    assert [told.message.subject[:30] for told in ends] == ["Re: Stuck? Invoice agent: no n"]


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
    assert (at, told.title) == (60, "Stuck? Invoice agent: no news for 2 h, last known as paused")
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
        (64, "Stuck? Invoice agent: no news of 5 since 12:00 UTC"),
        (130, "Stuck? Invoice agent: no news for 2 h 10 min, last known as running"),
    ]
    body = found[0][1].message.body
    assert "· stuck? no news, last known as running for 2 h 10 min · x-0" in body


def test_those_that_are_stuck_at_night_are_told_as_stuck_in_the_morning(walk: Walk) -> None:
    quiet = '    quiet: {from: "13:00", to: "16:00", tz: UTC}\n'
    walk.reload(ROUTES.replace("[running, paused]", "[running, awaiting_confirmation]") + quiet)
    for number in range(2):
        walk.comes(RUNNING, f"x-{number}")
        walk.comes(Status.AWAITING_CONFIRMATION, f"c-{number}")
    walk.gets()
    ((at, told),) = walk.until_quiet(5 * HOUR)
    assert (at, told.title) == (240, "Stuck? Invoice agent: no news of 4 since 12:00 UTC")
    assert "To confirm or decline:\n· for 4 h · stuck? no news · c-0\n" in told.message.body
    assert "· stuck? no news, last known as running for 4 h · x-1" in told.message.body


@pytest.mark.parametrize(
    ("change", "told"),
    [
        # The rule is there under another name, and nobody was told under the old one.
        (("- name: stuck", "- name: dead"), [(60, "dead")]),
        (("    stuck: {status: [running, paused], after: 2h}\n", ""), []),
    ],
)
def test_what_no_rule_asks_for_any_more_is_not_told(
    walk: Walk, change: tuple[str, str], told: list[tuple[int, str]]
) -> None:
    walk.comes(RUNNING)
    walk.gets()
    walk.passes(HOUR)
    walk.reload(ROUTES.replace(*change))
    walk.restart()
    assert [(at, each.claim.route) for at, each in walk.until_quiet(5 * HOUR)] == told
    reason = "no route stuck asks for what is stuck any more"
    assert ("ops", "notice", "superseded", reason) in walk.states()


def test_a_reminder_of_what_is_stuck_needs_its_rule_too(walk: Walk) -> None:
    remind = ROUTES + "    remind: {every: 30m}\n"
    walk.reload(remind)
    walk.comes(RUNNING)
    assert len(walk.until_quiet(140 * MINUTE)) == 2
    walk.reload(remind.replace("    stuck: {status: [running, paused], after: 2h}\n", ""))
    assert walk.until_quiet(5 * HOUR) == []


def test_its_title_says_how_long_nothing_was_heard_when_it_is_told(walk: Walk) -> None:
    night = "{url: console://, rate: 1000/s, quiet: {from: '12:00', to: '20:00', tz: UTC}}"
    walk.reload(ROUTES.replace("{url: console://, rate: 1000/s}", night).replace('"*"', "failed"))
    walk.comes(RUNNING)
    walk.passes(HOUR)
    walk.comes(None)
    found = [(at, told.title) for at, told in walk.until_quiet(8 * HOUR)]
    assert (420, "Stuck? Invoice agent: no news for 7 h, last known as running") in found
