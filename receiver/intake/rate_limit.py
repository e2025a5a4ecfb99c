"""Rate limit: the most events in a second."""

from __future__ import annotations

from receiver.routing.policy import burst, tokens_left


class TokenBucket:
    """A bucket that holds one second's worth of tokens and gains `rate` tokens a second.

    Time is an argument: monotonic seconds.
    """

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._left = burst(rate)
        self._at = now

    def take(self, now: float) -> float:
        """Take a token and return 0.0; without a token, return the seconds until the next one."""
        self._left = tokens_left(self._left, now - self._at, self._rate)
        self._at = now
        if self._left < 1.0:
            return (1.0 - self._left) / self._rate
        self._left -= 1.0
        return 0.0
