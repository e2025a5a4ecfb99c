"""Waiting grows to an hour and never beyond, whatever the attempt."""

from __future__ import annotations

from receiver.dispatch.retry import delay, pause


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
