"""Senders whose clocks differ from ours: what is seen of it in the stored events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from receiver.events import Event, Status
from receiver.intake.receive import Intake, VerifiedWebhook
from receiver.intake.subscription_hints import hints, skew
from receiver.lifecycle import FUTURE, Ordering
from receiver.store.records import Delays
from receiver.store.sqlite.store import SqliteStore
from receiver.times import SECOND
from tests.support.stores import prepared

MINUTE = 60 * SECOND
NOW = 1_800_000_000 * SECOND
INTAKE = Intake([])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(prepared(tmp_path / "receiver.db"), serve=True)
    yield opened
    opened.close()


def tell(store: SqliteStore, source: str, delays: Iterable[int], *, start: int = NOW) -> None:
    """An event a minute of as many executions, each received so long after its time."""
    for number, delay in enumerate(delays):
        at = start + number * MINUTE
        event = Event(
            source, f"e-{number}-{at}", "E", Status.RUNNING, f"x-{number}-{at}", at - delay
        )
        store.write_now(INTAKE.receive, VerifiedWebhook(source, event, b"{}", at))


def measured(store: SqliteStore, source: str) -> Delays:
    return next(delays for delays in store.delays() if delays.source == source)


def test_what_is_measured_are_the_least_and_the_middle_delay_of_each_source(
    store: SqliteStore,
) -> None:
    tell(store, "a", [3 * SECOND, SECOND, 9 * SECOND, 2 * SECOND, 4 * SECOND])
    tell(store, "b", [-MINUTE, -3 * MINUTE])
    assert measured(store, "a") == Delays("a", 5, SECOND, 3 * SECOND, 4 * MINUTE)
    assert measured(store, "b") == Delays("b", 2, -3 * MINUTE, -3 * MINUTE, MINUTE)
    hinted = hints({"a": Ordering(), "b": Ordering()}, store.tallies(), store.delays())
    assert hinted == []


@pytest.mark.parametrize("ahead", [2 * MINUTE, FUTURE, FUTURE + MINUTE, -2 * MINUTE])
def test_a_clock_that_differs_for_a_while_is_said_even_if_all_its_events_are_set_aside(
    store: SqliteStore, ahead: int
) -> None:
    tell(store, "s", [-ahead] * 7)
    assert skew(measured(store, "s")) == ahead
    (hint,) = hints({"s": Ordering()}, store.tallies(), store.delays())
    assert f"{abs(ahead) // MINUTE} min" in hint.text


def test_what_comes_late_after_an_outage_is_no_clock_that_is_behind(store: SqliteStore) -> None:
    tell(store, "s", [30 * MINUTE - n * MINUTE for n in range(29)])
    tell(store, "s", [SECOND], start=NOW + 30 * MINUTE)
    assert skew(measured(store, "s")) == 0


def test_a_repeat_under_another_id_is_no_event_that_comes_late(store: SqliteStore) -> None:
    tell(store, "s", [0] * 3)
    for number in range(60):
        at = NOW + (number + 10) * MINUTE
        event = Event("s", f"r-{number}", "E", Status.RUNNING, f"x-0-{NOW}", NOW)
        store.write_now(INTAKE.receive, VerifiedWebhook("s", event, b"{}", at))
    assert measured(store, "s") == Delays("s", 3, 0, 0, 2 * MINUTE)


def test_a_clock_that_was_set_right_is_not_said_any_more(store: SqliteStore) -> None:
    tell(store, "s", [3 * MINUTE] * 60)
    assert skew(measured(store, "s")) == -3 * MINUTE
    tell(store, "s", [SECOND], start=NOW + 60 * MINUTE)
    assert skew(measured(store, "s")) == 0
    tell(store, "s", [-2 * MINUTE] * 50, start=NOW + 61 * MINUTE)
    assert skew(measured(store, "s")) == 2 * MINUTE
