"""What follows from a provider's answer about an execution: pure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from receiver.events import Event, Execution, Status, Verdict
from receiver.intake.reconcile.learning import learnt, needs_changes
from receiver.lifecycle import SAME_TIME, advance, judge
from receiver.sources.answers import Answer, StatusChange
from receiver.sources.formats import asteroid_api
from receiver.times import SECOND

NOW = 1_800_000_000 * SECOND
STARTED = Execution("s", "x", Status.RUNNING, NOW - 600 * SECOND, NOW - 600 * SECOND, 1, NOW)
API = asteroid_api


def answer(status: Status | None, **more: object) -> Answer:
    return replace(Answer("x", status, str(status)), **more)  # type: ignore[arg-type]  # free fields


def change(status: Status, second: int, **detail: object) -> StatusChange:
    return StatusChange(NOW + second * SECOND, status, detail)


def moves(
    standing: Execution | None, says: Answer, *changes: StatusChange
) -> list[tuple[Status | None, int]]:
    """The statuses that are learnt, with their seconds."""
    events = learnt("s", API, says, changes, standing, NOW)
    return [(event.status, ((event.occurred_at or 0) - NOW) // SECOND) for event in events]


def test_what_is_known_teaches_nothing() -> None:
    assert moves(STARTED, answer(Status.RUNNING)) == []
    assert moves(STARTED, answer(Status.RUNNING), change(Status.RUNNING, -600)) == []
    assert moves(STARTED, answer(None)) == []
    ended = replace(STARTED, status=Status.FAILED)
    assert moves(ended, answer(Status.COMPLETED), change(Status.COMPLETED, -5)) == []


def test_every_missed_change_is_learnt_in_its_order_with_the_provider_s_times() -> None:
    says = answer(Status.COMPLETED, ended_at=NOW - 10 * SECOND)
    passed = [
        change(Status.RUNNING, -600), change(Status.AWAITING_CONFIRMATION, -300),
        change(Status.RUNNING, -100), change(Status.COMPLETED, -10),
    ]  # fmt: skip
    assert moves(STARTED, says, *passed) == [
        (Status.AWAITING_CONFIRMATION, -300), (Status.RUNNING, -100), (Status.COMPLETED, -10),
    ]  # fmt: skip


@pytest.mark.parametrize("apart", [-SAME_TIME, -1, 0, 1, SAME_TIME])
def test_a_change_that_webhook_and_provider_date_differently_is_one(apart: int) -> None:
    waits = replace(
        STARTED, status=Status.AWAITING_CONFIRMATION, since=NOW + apart, mark=NOW + apart
    )
    same = change(Status.AWAITING_CONFIRMATION, 0)
    assert moves(waits, answer(Status.AWAITING_CONFIRMATION), same) == []
    after = change(Status.RUNNING, 20)
    assert moves(waits, answer(Status.RUNNING), same, after) == [(Status.RUNNING, 20)]


def test_a_second_wait_is_learnt_although_the_status_is_the_same() -> None:
    waits = replace(STARTED, status=Status.AWAITING_CONFIRMATION)
    says = answer(Status.AWAITING_CONFIRMATION)
    assert needs_changes(says, waits)
    passed = [change(Status.AWAITING_CONFIRMATION, -600), change(Status.RUNNING, -90),
              change(Status.AWAITING_CONFIRMATION, -60)]  # fmt: skip
    assert moves(waits, says, *passed) == [
        (Status.RUNNING, -90), (Status.AWAITING_CONFIRMATION, -60)
    ]  # fmt: skip


def test_without_a_list_of_changes_an_end_has_its_own_time_and_the_rest_that_of_the_answer() -> (
    None
):
    assert moves(STARTED, answer(Status.FAILED, ended_at=NOW - 7 * SECOND)) == [(Status.FAILED, -7)]
    assert moves(STARTED, answer(Status.FAILED)) == [(Status.FAILED, 0)]
    assert moves(STARTED, answer(Status.PAUSED)) == [(Status.PAUSED, 0)]
    assert moves(None, answer(Status.RUNNING)) == [(Status.RUNNING, 0)]


def test_one_that_nobody_told_us_of_is_learnt_where_it_stands() -> None:
    passed = [change(Status.RUNNING, -600), change(Status.AWAITING_CONFIRMATION, -300)]
    assert moves(None, answer(Status.AWAITING_CONFIRMATION), *passed) == [
        (Status.AWAITING_CONFIRMATION, -300)
    ]


def test_what_no_way_leads_to_is_left_out() -> None:
    assert moves(STARTED, answer(Status.STARTING), change(Status.STARTING, -5)) == []
    assert moves(STARTED, answer(Status.FAILED), change(Status.STARTING, -9),
                 change(Status.FAILED, -5)) == [(Status.FAILED, -5)]  # fmt: skip


def test_the_kind_of_an_assumed_pause_is_told_at_the_time_that_is_known() -> None:
    pause = replace(STARTED, status=Status.PAUSED, assumed=True)
    same = change(Status.PAUSED_BY_AGENT, -600)
    assert moves(pause, answer(Status.PAUSED_BY_AGENT), same) == [(Status.PAUSED_BY_AGENT, -600)]
    assert moves(pause, answer(Status.PAUSED), change(Status.PAUSED, -600)) == []
    (event,) = learnt("s", API, answer(Status.PAUSED_BY_AGENT), [same], pause, NOW)
    assert judge(event, pause, None, NOW).verdict is Verdict.APPLIED


def test_asked_twice_it_is_the_same_event() -> None:
    says, passed = answer(Status.FAILED), [change(Status.FAILED, -5)]
    first, again = (learnt("s", API, says, passed, STARTED, NOW + n)[0] for n in (0, 9 * SECOND))
    assert first == again
    assert len(first.event_id) <= 200


def test_a_resumed_execution_is_told_from_a_started_one() -> None:
    pause = replace(STARTED, status=Status.PAUSED)
    (event,) = learnt("s", API, answer(Status.RUNNING), [change(Status.RUNNING, -5)], pause, NOW)
    assert event.event == "EXECUTION_RESUMED"
    (event,) = learnt("s", API, answer(Status.RUNNING), [], None, NOW)
    assert event.event == "EXECUTION_STARTED"


def polled(status: Status, second: int) -> Execution:
    """An execution whose status was learnt by asking."""
    (event,) = learnt("s", API, answer(status), [change(status, second)], STARTED, NOW)
    return advance(STARTED, event, NOW)


def webhook(status: Status, second: int) -> Event:
    return Event("s", "w-1", "E", status, "x", NOW + second * SECOND)


@pytest.mark.parametrize("status", [Status.AWAITING_CONFIRMATION, Status.PAUSED, Status.FAILED])
@pytest.mark.parametrize("apart", [-5, -1, 0, 1, 5])
def test_the_webhook_of_a_change_that_was_learnt_is_a_duplicate(status: Status, apart: int) -> None:
    judgement = judge(webhook(status, -60 + apart), polled(status, -60), None, NOW)
    assert (judgement.verdict, judgement.reason) == (Verdict.DUPLICATE, "same_change")


def test_a_later_webhook_of_the_same_status_is_another_change() -> None:
    standing = polled(Status.AWAITING_CONFIRMATION, -60)
    assert judge(webhook(Status.AWAITING_CONFIRMATION, -40), standing, None, NOW).verdict is (
        Verdict.HELD
    )
    told = replace(standing, polled=False)
    assert judge(webhook(Status.AWAITING_CONFIRMATION, -60), told, None, NOW).verdict is not (
        Verdict.DUPLICATE
    )


def test_what_the_provider_says_is_applied_over_a_gap_and_says_so() -> None:
    pause = replace(STARTED, status=Status.PAUSED)
    (event,) = learnt("s", API, answer(Status.COMPLETED), [], pause, NOW)
    judgement = judge(event, pause, None, NOW)
    assert (judgement.verdict, judgement.reason) == (Verdict.APPLIED, "gap")
    assert "gap" in judgement.flags
