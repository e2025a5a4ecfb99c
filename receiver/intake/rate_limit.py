"""Rate limit: how often something may happen."""

from __future__ import annotations

from receiver.routing.policy import burst, tokens_left


class TokenBucket:
    """A bucket with room for one second's worth of tokens, filled with `rate` of them a second.

    Time is an argument: seconds that only grow.
    """

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._left = burst(rate)
        self._at = now

    def take(self, now: float) -> float:
        """Take a token: return 0.0 if there is one, else the seconds until there is."""
        self._left = tokens_left(self._left, now - self._at, self._rate)
        self._at = now
        if self._left < 1.0:
            return (1.0 - self._left) / self._rate
        self._left -= 1.0
        return 0.0
