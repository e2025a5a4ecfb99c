"""Who looks badly subscribed, from what became of the newest events."""

from __future__ import annotations

from receiver.events import Status
from receiver.intake.subscription_hints import ENOUGH, hints
from receiver.lifecycle import Ordering
from receiver.store.records import Tally

ALL = {"s": Ordering()}


def gap(n: int, verdict: str = "rejected") -> Tally:
    return Tally("s", verdict, "gap", "completed", ("running",), n)


def test_rejections_that_are_mostly_gaps_over_one_status_name_it() -> None:
    (hint,) = hints(ALL, [gap(ENOUGH), Tally("s", "rejected", "terminal", "running", (), 2)])
    assert (hint.source, hint.status, hint.events) == ("s", "running", ENOUGH)
    assert "subscribe to that event" in hint.text
    assert "observes" in hint.text


def test_few_gaps_or_other_rejections_are_no_hint() -> None:
    assert hints(ALL, [gap(ENOUGH - 1)]) == []
    other = Tally("s", "rejected", "terminal", "running", (), ENOUGH)
    assert hints(ALL, [gap(ENOUGH), other]) == []
    assert hints({"other": Ordering()}, [gap(ENOUGH)]) == []
    assert hints(ALL, [gap(ENOUGH, "held")]) == []


def test_gaps_that_were_applied_over_count_too() -> None:
    assert len(hints(ALL, [gap(ENOUGH, "applied")])) == 1


def test_an_event_of_a_status_that_is_not_observed_is_said() -> None:
    only = {"s": Ordering(frozenset({Status.FAILED}))}
    seen = [Tally("s", "applied", "first_seen", s, (), 1) for s in ("running", "failed")]
    (hint,) = hints(only, seen)
    assert hint.status == "running"
    assert "`observes` leaves out" in hint.text
    assert hints(ALL, seen) == []
