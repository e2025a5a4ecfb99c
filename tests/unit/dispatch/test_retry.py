"""Waiting grows to an hour and never beyond, whatever the attempt."""

from __future__ import annotations

from receiver.deliveries import Attempt, Outcome
from receiver.dispatch.retry import delay, fails_as_a_whole, pause, pause_after
from receiver.store.records import Failures


def test_full_jitter_reaches_up_to_5_10_20_seconds_and_an_hour() -> None:
    almost = 1 - 2**-53
    assert [round(delay(n, almost)) for n in (1, 2, 3, 4, 10, 11, 10**9)] == [
        5, 10, 20, 40, 2560, 3600, 3600,
    ]  # fmt: skip
    assert delay(5, 0.0) == 0
    assert delay(0, 0.5) == 2.5


def test_a_destination_waits_as_a_whole_after_five_failures_for_a_minute_at_most() -> None:
    assert [pause(n, 1.0) for n in (0, 4, 5, 6, 9, 500)] == [0, 0, 5, 10, 60, 60]
    assert pause(500, 0.5) == 30


def test_a_pause_is_asked_for_or_follows_from_failures_of_several_executions() -> None:
    failed = Attempt(Outcome.FAILED, "HTTP 500")
    many, of_one = Failures(5, several=True), Failures(5, several=False)
    assert pause_after(failed, many, 1.0) == 5
    assert pause_after(failed, of_one, 1.0) == 0
    assert pause_after(Attempt(Outcome.FAILED, "", permanent=True), many, 1.0) == 0
    assert pause_after(Attempt(Outcome.DELIVERED, ""), many, 1.0) == 0
    assert pause_after(Attempt(Outcome.FAILED, "", retry_after=90.0), of_one, 1.0) == 90
    assert pause_after(Attempt(Outcome.FAILED, "", retry_after=1e6), of_one, 1.0) == 3600
    assert (fails_as_a_whole(many), fails_as_a_whole(of_one)) == (True, False)
    assert fails_as_a_whole(Failures(4, several=True)) is False
