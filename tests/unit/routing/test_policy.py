"""A token bucket: a second's worth at once, and no gain from a clock that was set back."""

from __future__ import annotations

import pytest

from receiver.routing.policy import burst, tokens_left


@pytest.mark.parametrize(
    ("tokens", "passed", "rate", "left"),
    [
        (0.0, 0.5, 2.0, 1.0),
        (1.0, 60.0, 2.0, 2.0),
        (0.0, 60.0, 0.1, 1.0),
        (0.5, -3600.0, 2.0, 0.5),
    ],
)
def test_tokens_come_with_time_up_to_a_burst(
    tokens: float, passed: float, rate: float, left: float
) -> None:
    assert tokens_left(tokens, passed, rate) == left


def test_a_burst_is_a_second_s_worth_and_never_less_than_one() -> None:
    assert [burst(rate) for rate in (0.1, 1.0, 5.0)] == [1.0, 1.0, 5.0]
