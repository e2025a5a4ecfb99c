"""When to try a delivery again: full jitter, so that many do not come back at once."""

from __future__ import annotations

FIRST, LONGEST = 5.0, 3600.0
# So many failures in a row, over several executions, are the destination's and not a message's.
PAUSE_AFTER = 5


def delay(attempt: int, chance: float) -> float:
    """Seconds to wait after the attempt with this number (from 1), at most 5, 10, 20 … 3600.

    `chance` in [0, 1) is the caller's, so that a rule stays a rule.
    """
    # Ten doublings pass the longest; more would only make a large number.
    return float(min(FIRST * 2.0 ** min(max(attempt, 1) - 1, 10), LONGEST) * chance)


def pause(failures: int, chance: float) -> float:
    """Seconds for which a destination waits as a whole after so many failures in a row."""
    return delay(failures - PAUSE_AFTER + 1, chance) if failures >= PAUSE_AFTER else 0.0
