"""A token bucket: how often something may happen, with room for one second's worth at once."""

from __future__ import annotations

from receiver.routing.policy import burst, tokens_left


class TokenBucket:
    """`rate` a second. Time is an argument: seconds that only grow."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._left, self._at = burst(rate), now

    def take(self, now: float) -> float:
        """0.0 if it may happen now, else the seconds until it may."""
        self._left = tokens_left(self._left, now - self._at, self._rate)
        self._at = now
        if self._left < 1.0:
            return (1.0 - self._left) / self._rate
        self._left -= 1.0
        return 0.0
