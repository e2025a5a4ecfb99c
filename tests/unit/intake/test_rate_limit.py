"""The token bucket: a second's worth at once, then the rate."""

from __future__ import annotations

import pytest

from receiver.intake.rate_limit import TokenBucket


def test_a_second_s_worth_may_come_at_once_and_then_the_rate() -> None:
    bucket = TokenBucket(10.0, 0.0)
    assert [bucket.take(0.0) for _ in range(10)] == [0.0] * 10
    assert bucket.take(0.0) == pytest.approx(0.1)
    assert bucket.take(0.1) == 0.0
    assert bucket.take(0.1) > 0
    assert [bucket.take(100.0) for _ in range(10)] == [0.0] * 10
    assert bucket.take(100.0) > 0


def test_a_slow_rate_has_room_for_one() -> None:
    bucket = TokenBucket(1 / 60, 0.0)
    assert bucket.take(0.0) == 0.0
    assert bucket.take(1.0) == pytest.approx(59.0)
    assert bucket.take(60.0) == 0.0


def test_over_a_long_time_it_never_lets_more_through_than_its_rate() -> None:
    bucket = TokenBucket(50.0, 0.0)
    passed = sum(bucket.take(at / 1_000) == 0.0 for at in range(10_000))
    assert 500 <= passed <= 550
