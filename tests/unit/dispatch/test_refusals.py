"""How many webhooks were refused lately, from counters that only grow."""

from __future__ import annotations

from receiver.dispatch.alarm_timer import RecentRefusals
from receiver.dispatch.alarms import REFUSALS_IN
from receiver.dispatch.presence import Refused
from receiver.times import SECOND

NOW = 1_800_000_000 * SECOND


def counts(wrong: int = 0, missing: int = 0) -> dict[tuple[str, ...], int]:
    return {("s", "wrong"): wrong, ("s", "missing"): missing, ("other", "wrong"): 0}


def test_nothing_is_counted_where_nothing_was_refused() -> None:
    assert RecentRefusals().count(counts(), NOW) == {}


def test_those_since_the_start_count_and_the_most_frequent_cause_is_named() -> None:
    recent = RecentRefusals()
    assert recent.count(counts(2, 3), NOW) == {"s": Refused(5, NOW, "missing")}
    assert recent.count(counts(6, 3), NOW + SECOND) == {"s": Refused(9, NOW, "wrong")}
    assert recent.count(counts(6, 3), NOW + 2 * SECOND) == {"s": Refused(9, NOW, "wrong")}


def test_they_count_for_five_minutes() -> None:
    recent = RecentRefusals()
    recent.count(counts(4), NOW)
    recent.count(counts(5), NOW + 60 * SECOND)
    assert recent.count(counts(5), NOW + REFUSALS_IN - 1)["s"].n == 5
    later = recent.count(counts(5), NOW + REFUSALS_IN)
    assert later == {"s": Refused(1, NOW + 60 * SECOND, "wrong")}
    assert recent.count(counts(5), NOW + REFUSALS_IN + 60 * SECOND) == {}


def test_a_clock_that_is_set_back_makes_none_count_for_longer() -> None:
    recent = RecentRefusals()
    recent.count(counts(4), NOW)
    back = NOW - 3600 * SECOND
    assert recent.count(counts(4), back) == {"s": Refused(4, back, "wrong")}
    assert recent.count(counts(4), back + REFUSALS_IN) == {}
