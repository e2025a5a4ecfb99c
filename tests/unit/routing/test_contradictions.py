"""Contradictions: nothing that a sender can cause is taken for impossible."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from receiver.events import Event, Execution, Status, Verdict
from receiver.lifecycle import Known, judge
from receiver.routing.conditions import Condition, Subject
from receiver.routing.contradictions import (
    ANY_NAME,
    contradiction,
    fits_nothing,
    possible_subjects,
)
from receiver.sources.formats.registry import FORMATS
from receiver.times import SECOND

NOW = 1_800_000_000 * SECOND


def possible(name: str) -> list[Subject]:
    return list(possible_subjects("s", FORMATS[name].ANNOUNCES, FORMATS[name].UNKNOWN))


def events(name: str) -> Iterator[Event]:
    """Yield events of every name, of the past, the present and the future."""
    for event in [*FORMATS[name].ANNOUNCES, "SOMETHING_NEW"]:
        for at in (NOW - 15 * 86_400 * SECOND, NOW - 60 * SECOND, NOW, NOW + 600 * SECOND):
            content: Any = FORMATS[name].sample(event, "x", event_id="e", occurred_at=at)
            read = FORMATS[name].read("s", content, None)
            assert read is not None
            yield read


@pytest.mark.parametrize("name", FORMATS)
def test_whatever_an_event_is_judged_is_among_what_is_possible(name: str) -> None:
    subjects = {(each.verdict, each.status, each.event) for each in possible(name)}
    seen = set[Verdict]()
    states = [Execution("s", "x", status, NOW, NOW - 60 * SECOND, 1, NOW) for status in Status]
    for event in events(name):
        for execution in (None, *states):
            for known in (None, *Known):
                verdict = judge(event, execution, known, NOW).verdict
                seen.add(verdict)
                is_known = event.event in FORMATS[name].ANNOUNCES
                # Of a name that nobody knows there are repetitions, too: no route is about them.
                if not is_known and verdict in (Verdict.DUPLICATE, Verdict.QUARANTINED):
                    verdict = FORMATS[name].UNKNOWN
                event_name = event.event if is_known else ANY_NAME
                assert (verdict, event.status, event_name) in subjects
    assert seen >= {Verdict.APPLIED, Verdict.STALE, Verdict.REJECTED, Verdict.HELD}


def test_the_smallest_reason_is_told() -> None:
    conditions = [
        Condition("source", ("s",)), Condition("status", ("failed", "completed")),
        Condition("category", ("awaiting",)), Condition("agent", ("a",)),
    ]  # fmt: skip
    assert contradiction(conditions, possible("asteroid")) == (
        "no event fits status failed, completed and category awaiting at once"
    )
    assert contradiction(conditions[:2], possible("asteroid")) == ""


def test_a_route_about_something_else_than_events_needs_no_verdict() -> None:
    conditions = [Condition("event", ("EXECUTION_ACTION_FAILED",))]
    assert "without `verdict`" in contradiction(conditions, possible("asteroid"))
    assert contradiction(conditions, possible("asteroid"), is_about_events=False) == ""


@pytest.mark.parametrize(
    ("pattern", "nothing"),
    [("failed", False), ("f*", False), ("*", False), ("!*", False), ("!failed", False),
     ("fail", True), ("F*", True), ("!fail", True), ("[f]ailed", True), ("?ailed", False)],
)  # fmt: skip
def test_a_pattern_fits_one_of_the_words_or_nothing(pattern: str, nothing: bool) -> None:
    assert fits_nothing(pattern, [status.value for status in Status]) is nothing
