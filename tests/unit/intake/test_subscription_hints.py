"""Who looks badly subscribed or has another clock, from what became of the newest events."""

from __future__ import annotations

from receiver.events import Status
from receiver.intake.subscription_hints import ENOUGH, LASTING, MANY, SKEW, Hint, hints, skew
from receiver.lifecycle import Ordering
from receiver.store.records import Delays, Tally
from receiver.times import SECOND

ALL = {"s": Ordering()}


def gap(n: int, verdict: str = "rejected") -> Tally:
    return Tally("s", verdict, "gap", "completed", ("running",), n)


def test_rejections_that_are_mostly_gaps_over_one_status_name_it() -> None:
    (hint,) = hints(ALL, [gap(ENOUGH), Tally("s", "rejected", "terminal", "running", (), 2)], [])
    assert (hint.source, hint.status, hint.events) == ("s", "running", ENOUGH)
    assert "subscribe to that event" in hint.text
    assert "observes" in hint.text


def test_few_gaps_or_other_rejections_are_no_hint() -> None:
    assert hints(ALL, [gap(ENOUGH - 1)], []) == []
    other = Tally("s", "rejected", "terminal", "running", (), ENOUGH)
    assert hints(ALL, [gap(ENOUGH), other], []) == []
    assert hints({"other": Ordering()}, [gap(ENOUGH)], []) == []
    assert hints(ALL, [gap(ENOUGH, "held")], []) == []


def test_gaps_that_were_applied_over_count_too() -> None:
    assert len(hints(ALL, [gap(ENOUGH, "applied")], [])) == 1


def test_an_event_of_a_status_that_is_not_observed_is_said() -> None:
    only = {"s": Ordering(frozenset({Status.FAILED}))}
    seen = [Tally("s", "applied", "first_seen", s, (), 1) for s in ("running", "failed")]
    (hint,) = hints(only, seen, [])
    assert hint.status == "running"
    assert "`observes` leaves out" in hint.text
    assert hints(ALL, seen, []) == []


def delays(least: int, median: int, *, n: int = 50, within: int = LASTING) -> Delays:
    return Delays("s", n, least, median, within)


def clocks(measured: Delays) -> list[Hint]:
    return hints(ALL, [], [measured])


def test_times_that_lie_ahead_of_ours_are_said_with_how_far() -> None:
    (hint,) = clocks(delays(-200 * SECOND, -180 * SECOND))
    assert (hint.source, hint.status, hint.events) == ("s", None, 50)
    assert "3 min ahead" in hint.text
    assert clocks(delays(-SKEW, -SKEW)) == []


def test_a_single_time_far_ahead_says_nothing_about_the_clock() -> None:
    assert clocks(delays(-240 * SECOND, SECOND)) == []


def test_times_that_lie_behind_ours_are_said_by_the_promptest_event() -> None:
    (hint,) = clocks(delays(420 * SECOND, 900 * SECOND))
    assert "7 min or more after" in hint.text
    assert clocks(delays(SKEW, 900 * SECOND)) == []


def test_late_events_are_no_clock_that_is_behind_while_one_comes_promptly() -> None:
    assert clocks(delays(SECOND, 3600 * SECOND)) == []


def test_a_difference_of_few_events_or_of_a_moment_is_no_sign_of_a_clock() -> None:
    behind = 600 * SECOND
    assert clocks(delays(behind, behind, n=ENOUGH - 1)) == []
    assert clocks(delays(behind, behind, within=LASTING - 1)) == []
    # After an outage, many come late at once.
    assert clocks(delays(behind, behind, n=MANY, within=LASTING - 1)) == []


def test_many_events_of_a_moment_show_a_clock_that_is_ahead() -> None:
    ahead = -180 * SECOND
    assert len(clocks(delays(ahead, ahead, n=MANY, within=0))) == 1
    assert clocks(delays(ahead, ahead, n=MANY - 1, within=0)) == []


def test_the_skew_is_ahead_or_behind_or_nothing() -> None:
    assert skew(delays(-90 * SECOND, -70 * SECOND)) == 70 * SECOND
    assert skew(delays(70 * SECOND, 90 * SECOND)) == -70 * SECOND
    assert skew(delays(0, 30 * SECOND)) == 0


def test_a_clock_of_a_source_that_is_not_configured_is_not_said() -> None:
    assert hints({"other": Ordering()}, [], [delays(420 * SECOND, 420 * SECOND)]) == []
