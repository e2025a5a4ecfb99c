"""Each delivery that waits says why and until when, in the order in which a claim asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from receiver.deliveries import Attempt, Outcome
from receiver.dispatch.waits import Wait, waits
from receiver.events import Status
from receiver.routing.silences import Silence
from receiver.times import format_time
from receiver.web import json_views
from tests.support.people import FAILED, HOUR, MINUTE, SECOND, Walk

RULES = """\
destinations:
  ops: {url: "console://", rate: 1/s}
  boss: console://
  night: {url: "console://", quiet: {from: "22:00", to: "07:00", tz: UTC}}
routes:
  - {name: failures, match: {status: failed}, notify: ops}
  - {name: night, match: {status: cancelled}, notify: night}
  - {name: many, match: {status: completed}, notify: boss,
     group: {by: [agent], wait: 30s, every: 5m}}
  - {name: asks, match: {status: awaiting_confirmation}, notify: boss, remind: {every: 15m},
     escalate: [{after: 1h, notify: ops}]}
  - {name: hangs, stuck: {status: running, after: 2h}, match: {agent: "*"}, notify: boss}
"""


@pytest.fixture
def walk(tmp_path: Path) -> Walk:
    return Walk(tmp_path, RULES)


def found(walk: Walk, **conditions: str) -> dict[int, Wait]:
    views, _ = walk.store.deliveries(conditions, 200, None)
    return waits(views, walk.rules, walk.now)


def listed(walk: Walk, *, is_planned: bool) -> list[int]:
    views, _ = walk.store.deliveries({}, 9, None, planned=(is_planned, walk.now))
    return [view["id"] for view in views]


def only(walk: Walk, **conditions: str) -> Wait:
    (wait,) = found(walk, **conditions).values()
    return wait


def test_what_is_due_goes_out_next_and_what_was_sent_waits_for_nothing(walk: Walk) -> None:
    walk.comes(Status.FAILED)
    assert only(walk) == Wait("due: it goes out next")
    walk.gets()
    assert found(walk) == {}


def test_quiet_hours_are_told_before_and_after_they_put_it_off(walk: Walk) -> None:
    walk.passes(12 * HOUR)
    walk.comes(Status.CANCELLED)
    ends = walk.rules.destinations["night"].quiet
    assert ends is not None
    until = ends.until(walk.now)
    assert only(walk) == Wait("quiet hours", until)
    assert walk.gets() == []
    assert only(walk) == Wait("quiet hours", until)
    views, _ = walk.store.deliveries({}, 1, None)
    assert waits(views, None, walk.now)[1] == Wait("quiet hours", until)


def test_a_group_gathers_and_then_waits_for_its_turn(walk: Walk) -> None:
    walk.comes(Status.COMPLETED)
    assert only(walk) == Wait("gathers", walk.now + 30 * SECOND)
    walk.passes(MINUTE)
    told_at = walk.now
    assert len(walk.gets("boss")) == 1
    walk.comes(Status.COMPLETED, "y")
    walk.passes(MINUTE)
    assert walk.gets("boss") == []
    assert only(walk) == Wait("gathers", told_at + 5 * MINUTE)


def test_a_failing_destination_is_named_with_its_next_try(walk: Walk) -> None:
    walk.comes(Status.FAILED)
    walk.gets("ops", FAILED)
    wait = only(walk)
    assert (wait.words, wait.is_moment) == ("ops fails, next try", True)
    assert wait.until is not None
    assert walk.now < wait.until <= walk.now + 5 * SECOND


def test_one_behind_another_of_its_execution_names_that(walk: Walk) -> None:
    walk.comes(Status.FAILED)
    walk.gets("ops", FAILED)
    walk.do(lambda t: t.owe(1, [], walk.now))
    walk.reload(RULES.replace("match: {status: failed}", "match: {verdict: rejected}"))
    walk.comes(Status.RUNNING)
    assert found(walk)[2] == Wait("behind delivery 1")


def test_a_destination_that_asked_for_time_is_paused(walk: Walk) -> None:
    walk.comes(Status.FAILED)
    walk.gets("ops", Attempt(Outcome.FAILED, "HTTP 429", retry_after=600))
    walk.comes(Status.FAILED, "y")
    assert found(walk)[2].words == "ops is paused"
    assert found(walk)[2].until == found(walk)[1].until


def test_a_rate_is_told_with_the_time_of_the_next_message(walk: Walk) -> None:
    for name in ("x", "y"):
        walk.comes(Status.FAILED, name)
    claim = walk.claim("ops")
    assert claim is not None
    walk.record(claim)
    wait = found(walk)[2]
    assert wait.words == "rate of ops"
    assert wait.until is not None
    assert walk.now < wait.until <= walk.now + SECOND


def test_reminders_escalations_and_watches_are_planned_and_stand_apart(walk: Walk) -> None:
    walk.comes(Status.AWAITING_CONFIRMATION)
    walk.gets("boss")
    walk.comes(Status.RUNNING, "y")
    by_words = {wait.words: wait for wait in found(walk).values()}
    assert set(by_words) == {
        "reminder 1", "planned: escalation", "planned: if nothing is heard of it"
    }  # fmt: skip
    assert all(wait.is_planned for wait in by_words.values())
    planned, others = listed(walk, is_planned=True), listed(walk, is_planned=False)
    assert sorted(found(walk)) == sorted(planned)
    assert sorted([*planned, *others]) == [1, 2, 3, 4]
    walk.passes(15 * MINUTE)
    # It is due now, so it is planned no longer.
    assert 3 in listed(walk, is_planned=False)


def test_a_destination_that_is_gone_is_said(walk: Walk) -> None:
    walk.comes(Status.FAILED)
    walk.reload(RULES.replace("ops", "pager"))
    assert only(walk) == Wait("no destination ops in routes.yaml")


def test_the_document_has_the_words_and_the_time_and_nothing_of_ours(walk: Walk) -> None:
    walk.comes(Status.COMPLETED)
    shown: dict[str, Any] = walk.shown()["deliveries"][0]
    assert shown["waits_for"] == "gathers"
    assert shown["until"] == format_time(walk.now + 30 * SECOND)
    assert "obstacles" not in shown
    walk.passes(MINUTE)
    walk.gets()
    sent = json_views.deliveries(walk.store.deliveries({}, 1, None)[0], walk.rules, walk.now)[0]
    assert (sent["waits_for"], sent["until"]) == (None, None)


def test_a_silence_is_no_wait(walk: Walk) -> None:
    silence = Silence({"status": ("failed",)}, "known", "Ann", walk.now, walk.now + HOUR)
    walk.do(lambda t: t.add_silence(silence, walk.now))
    walk.comes(Status.FAILED)
    assert walk.gets() == []
    assert found(walk) == {}
    assert "silenced by Ann" in walk.states()[0][3]
