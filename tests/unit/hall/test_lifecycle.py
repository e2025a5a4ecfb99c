"""The table and each rule of judging, without fixtures: values in, a verdict out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from receiver.drawing import mermaid
from receiver.events import Category, Event, Execution, Status, Verdict
from receiver.lifecycle import (
    FUTURE,
    LATE,
    MAX_EVENT_AGE,
    TRANSITIONS,
    Known,
    Moves,
    advance,
    judge,
    judge_again,
    moves,
    moves_mark,
)
from receiver.times import SECOND

NOW = 1_800_000_000 * SECOND
AT = NOW - 60 * SECOND


def event(status: Status | None, occurred_at: int = NOW, **fields: object) -> Event:
    return replace(Event("asteroid", "e-1", "EXECUTION", status, "x-1", occurred_at), **fields)  # type: ignore[arg-type]


def execution(status: Status, mark: int = AT, **fields: object) -> Execution:
    stored = Execution("asteroid", "x-1", status, mark, mark, 1, mark)
    return replace(stored, **fields)  # type: ignore[arg-type]


def verdict(of: Event, stored: Execution | None, known: Known | None = None) -> tuple[str, str]:
    judgement = judge(of, stored, known, NOW)
    return judgement.verdict.value, judgement.reason


def test_the_table_is_the_published_one() -> None:
    assert {s.value: {t.value for t in targets} for s, targets in TRANSITIONS.items()} == {
        "starting": {"running", "failed", "cancelled", "completed"},
        "running": {
            "paused", "paused_by_agent", "cancelled", "awaiting_confirmation", "completed",
            "failed",
        },
        "paused": {"cancelled", "running"},
        "paused_by_agent": {"cancelled", "running", "failed"},
        "awaiting_confirmation": {"completed", "cancelled", "failed", "running"},
        "completed": set(),
        "failed": set(),
        "cancelled": set(),
    }  # fmt: skip


@pytest.mark.parametrize("status", Status)
def test_the_first_event_of_an_execution_is_applied_whatever_its_status(status: Status) -> None:
    assert verdict(event(status), None) == ("applied", "first_seen")


@pytest.mark.parametrize("before", Status)
@pytest.mark.parametrize("after", Status)
def test_a_newer_event_is_applied_exactly_if_the_table_allows_it(
    before: Status, after: Status
) -> None:
    got = verdict(event(after), execution(before))
    repeats = before is after and before.category in (Category.PROCESSING, Category.TERMINAL)
    if repeats:
        assert got == ("duplicate", "same_status")
    elif before.category is Category.TERMINAL:
        assert got == ("rejected", "terminal")
    elif after in TRANSITIONS[before]:
        assert got == ("applied", "transition")
    elif after is not Status.STARTING:
        assert got == ("held", "gap")
    else:
        assert got == ("rejected", "illegal")


def test_a_status_that_no_lifecycle_knows_is_quarantined() -> None:
    assert verdict(event(None, unknown_status="queued"), None) == ("quarantined", "unknown_status")


def test_more_than_five_minutes_in_the_future_is_quarantined_even_if_known() -> None:
    late = event(Status.RUNNING, NOW + FUTURE + 1)
    assert verdict(late, None, Known.EVENT_ID) == ("quarantined", "future")
    assert verdict(event(Status.RUNNING, NOW + FUTURE), None) == ("applied", "first_seen")


@pytest.mark.parametrize("known", Known)
def test_what_is_stored_is_a_duplicate_before_anything_else_is_asked(known: Known) -> None:
    old = event(Status.RUNNING, NOW - MAX_EVENT_AGE - 1)
    assert verdict(old, execution(Status.FAILED), known) == ("duplicate", known.value)


def test_an_event_without_a_status_is_ignored_by_its_name() -> None:
    known = event(None, event="EXECUTION_ACTION_STARTED", is_known_without_status=True)
    assert verdict(known, None) == ("ignored", "not_a_status")
    assert verdict(event(None, event="EXECUTION_DREAMT"), None) == ("ignored", "unknown_event")


def test_an_event_older_than_fourteen_days_is_stale_even_as_the_first() -> None:
    assert verdict(event(Status.RUNNING, NOW - MAX_EVENT_AGE - 1), None) == ("stale", "too_old")
    assert verdict(event(Status.RUNNING, NOW - MAX_EVENT_AGE), None) == ("applied", "first_seen")


def test_an_event_older_than_the_mark_is_stale_also_after_the_end() -> None:
    for stored in (Status.RUNNING, Status.FAILED):
        got = verdict(event(Status.PAUSED, AT - 1), execution(stored))
        assert got == ("stale", "older")


ENDS = [status for status in Status if status.category is Category.TERMINAL]


@pytest.mark.parametrize("before", sorted(set(Status) - set(ENDS)))
@pytest.mark.parametrize("end", ENDS)
def test_an_end_that_seems_older_is_judged_like_any_other_and_says_that_its_order_is_uncertain(
    before: Status, end: Status
) -> None:
    stored = execution(before)
    older, newer = (judge(event(end, at), stored, None, NOW) for at in (AT - 1, AT + 1))
    assert (older.verdict, older.reason) == (newer.verdict, newer.reason)
    assert older.missing == newer.missing
    assert older.flags - newer.flags == {"order_uncertain"}
    assert (older.verdict is Verdict.APPLIED) == (end in TRANSITIONS[before])


@pytest.mark.parametrize("end", ENDS)
def test_an_end_that_seems_older_leaves_the_mark_where_it_is(end: Status) -> None:
    ended = advance(execution(Status.RUNNING), event(end, AT - 9), NOW)
    assert (ended.status, ended.since, ended.mark) == (end, AT - 9, AT)
    assert advance(execution(Status.RUNNING), event(end, AT + 9), NOW).mark == AT + 9
    assert advance(None, event(end, AT - 9), NOW).mark == AT - 9


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("other", ENDS)
def test_an_end_that_is_older_than_another_end_is_stale(end: Status, other: Status) -> None:
    assert verdict(event(end, AT - 1), execution(other)) == ("stale", "older")


def test_an_end_older_than_fourteen_days_is_stale_all_the_same() -> None:
    old = event(Status.FAILED, NOW - MAX_EVENT_AGE - 1)
    assert verdict(old, execution(Status.RUNNING)) == ("stale", "too_old")


def test_only_a_repeated_processing_status_moves_the_mark() -> None:
    moved = {
        status: moves_mark(judge(event(status), execution(status), None, NOW), status)
        for status in Status
    }
    assert {status for status, moves in moved.items() if moves} == {
        Status.STARTING,
        Status.RUNNING,
    }


def test_an_assumed_pause_may_go_wherever_either_pause_may_go() -> None:
    assert verdict(event(Status.FAILED), execution(Status.PAUSED)) == ("held", "gap")
    assumed = execution(Status.PAUSED, assumed=True)
    assert verdict(event(Status.FAILED), assumed) == ("applied", "transition")
    assert verdict(event(Status.COMPLETED), assumed) == ("held", "gap")
    assert not moves().is_legal(Status.RUNNING, Status.STARTING, assumed=True)


def test_an_event_received_more_than_five_minutes_after_it_happened_is_flagged_late() -> None:
    assert "late" in judge(event(Status.RUNNING, NOW - LATE - 1), None, None, NOW).flags
    assert "late" not in judge(event(Status.RUNNING, NOW - LATE), None, None, NOW).flags
    assumed = event(Status.PAUSED, flags=frozenset({"assumed"}))
    assert judge(assumed, None, None, NOW).flags == {"assumed"}


@pytest.mark.parametrize(
    ("before", "after", "got"),
    [
        # Only the other order is legal.
        (Status.RUNNING, Status.STARTING, ("stale", "tie")),
        (Status.COMPLETED, Status.RUNNING, ("stale", "tie")),
        (Status.FAILED, Status.CANCELLED, ("stale", "tie")),
        # Both are: the order of arrival stays.
        (Status.RUNNING, Status.PAUSED, ("applied", "transition")),
        # Only this one is.
        (Status.RUNNING, Status.FAILED, ("applied", "transition")),
        # Neither is.
        (Status.PAUSED, Status.AWAITING_CONFIRMATION, ("held", "gap")),
    ],
)
def test_at_the_same_time_the_order_that_fits_is_taken(
    before: Status, after: Status, got: tuple[str, str]
) -> None:
    assert verdict(event(after, AT), execution(before)) == got


def test_a_tie_that_fits_both_ways_says_that_its_order_is_uncertain() -> None:
    def flags(after: Status, at: int, **fields: object) -> frozenset[str]:
        return judge(event(after, at, **fields), execution(Status.RUNNING), None, NOW).flags

    assert flags(Status.PAUSED, AT) == {"order_uncertain"}
    assert flags(Status.PAUSED, AT + 1) == frozenset()
    assert flags(Status.FAILED, AT) == frozenset()


def test_in_a_tie_an_assumed_pause_fits_before_whatever_either_pause_may_go_to() -> None:
    table = moves(frozenset({Status.PAUSED, Status.FAILED, Status.RUNNING}))
    assert not table.is_legal(Status.FAILED, Status.PAUSED)
    awaiting = execution(Status.AWAITING_CONFIRMATION)
    pause = event(Status.PAUSED, AT)
    assert verdict(pause, awaiting) == ("held", "gap")
    assumed = replace(pause, flags=frozenset({"assumed"}))
    assert verdict(assumed, awaiting) == ("held", "gap")


def test_a_held_event_says_which_status_is_missing() -> None:
    judgement = judge(event(Status.COMPLETED), execution(Status.PAUSED), None, NOW)
    assert judgement.missing == (Status.RUNNING,)
    again = judge(event(Status.PAUSED), execution(Status.PAUSED), None, NOW)
    assert again.missing == (Status.RUNNING,)


def test_judged_again_an_event_is_healed_or_overtaken_or_waits_on() -> None:
    held = event(Status.COMPLETED, NOW)
    healed = judge_again(held, execution(Status.RUNNING))
    assert (healed.verdict.value, healed.reason) == ("applied", "healed")
    assert healed.flags == {"healed"}
    again = judge_again(event(Status.PAUSED, NOW), execution(Status.RUNNING, NOW + 1))
    assert (again.verdict.value, again.reason) == ("stale", "older")
    for stored, verdict_, reason in [
        (execution(Status.PAUSED), "held", "gap"),
        (execution(Status.RUNNING, NOW + 1), "applied", "healed"),
        (execution(Status.FAILED, NOW + 1), "stale", "older"),
        (execution(Status.FAILED, NOW), "stale", "tie"),
        (execution(Status.FAILED), "rejected", "terminal"),
        (execution(Status.COMPLETED), "duplicate", "same_status"),
    ]:
        again = judge_again(held, stored)
        assert (again.verdict, again.reason) == (verdict_, reason)


def test_an_event_may_be_fourteen_days_old_when_it_is_judged_again() -> None:
    old = event(Status.FAILED, NOW - MAX_EVENT_AGE - 1)
    assert judge_again(old, execution(Status.RUNNING, 0)).reason == "healed"


ALL_BUT_RUNNING = frozenset(Status) - {Status.RUNNING}


def test_without_observed_running_the_table_is_contracted_over_it() -> None:
    table = moves(ALL_BUT_RUNNING)
    assert table.is_legal(Status.PAUSED, Status.COMPLETED)
    assert table.is_legal(Status.AWAITING_CONFIRMATION, Status.AWAITING_CONFIRMATION)
    assert table.is_legal(Status.STARTING, Status.PAUSED)
    assert not table.is_legal(Status.PAUSED, Status.STARTING)
    assert not table.is_legal(Status.COMPLETED, Status.FAILED)
    got = judge(event(Status.COMPLETED), execution(Status.PAUSED), None, NOW, ALL_BUT_RUNNING)
    assert got.reason == "transition"


def test_with_only_the_ends_observed_every_end_is_legal_and_nothing_after_it() -> None:
    ends = {s for s in Status if s.category is Category.TERMINAL}
    table = Moves(frozenset(ends))
    for status in set(Status) - ends:
        assert {t for t in Status if table.is_legal(status, t)} >= ends
    for status in ends:
        assert table.targets(status) == []


def test_what_is_not_observed_and_comes_all_the_same_is_judged_by_the_published_table() -> None:
    table = moves(frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED}))
    for before in Status:
        for after in (Status.PAUSED, Status.AWAITING_CONFIRMATION, Status.RUNNING):
            assert table.is_legal(before, after) == (after in TRANSITIONS[before])


def test_observing_everything_is_the_published_table() -> None:
    for observes in (None, frozenset(Status)):
        for status in Status:
            assert set(moves(observes).targets(status)) == TRANSITIONS[status]


def test_the_drawing_has_every_move_of_the_table_and_no_other() -> None:
    drawn = {
        tuple(line.strip().split(" --> "))
        for line in mermaid().splitlines()[1:]
        if "[*]" not in line
    }
    assert drawn == {(s.value, t.value) for s, targets in TRANSITIONS.items() for t in targets}


def test_every_verdict_is_a_word_of_the_design() -> None:
    assert [v.value for v in Verdict] == [
        "applied", "held", "duplicate", "stale", "rejected", "ignored", "quarantined",
    ]  # fmt: skip
