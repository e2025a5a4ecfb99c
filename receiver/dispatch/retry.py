"""When to try a delivery again: full jitter, so that many do not come back at once."""

from __future__ import annotations

from receiver.deliveries import Attempt, Outcome
from receiver.store.records import Failures

FIRST, LONGEST = 5.0, 3600.0
# So many failures in a row, over several executions, are the destination's and not a message's.
PAUSE_AFTER = 5
# It is tried again by one message of many: seldom enough for it, and people hear soon after it is
# back. (As long as a message's own waiting, up to an hour, approvers would sit there for nothing.)
LONGEST_PAUSE = 60.0


def delay(attempt: int, chance: float) -> float:
    """Seconds to wait after the attempt with this number (from 1), at most 5, 10, 20 … 3600.

    `chance` in [0, 1) is the caller's, so that a rule stays a rule.
    """
    # Ten doublings pass the longest; more would only make a large number.
    return float(min(FIRST * 2.0 ** min(max(attempt, 1) - 1, 10), LONGEST) * chance)


def pause(failures: int, chance: float) -> float:
    """Seconds for which a destination waits as a whole after so many failures in a row."""
    if failures < PAUSE_AFTER:
        return 0.0
    return min(delay(failures - PAUSE_AFTER + 1, 1.0), LONGEST_PAUSE) * chance


def fails_as_a_whole(failures: Failures) -> bool:
    """Return whether a destination fails, and not only some of its messages."""
    return failures.several and failures.in_a_row >= PAUSE_AFTER


def pause_after(attempt: Attempt, failures: Failures, chance: float) -> float:
    """Return for how many seconds the destination waits as a whole after an attempt.

    `failures` counts this attempt as well. 0.0: it does not wait.
    """
    if attempt.outcome is Outcome.DELIVERED:
        return 0.0
    if attempt.retry_after:
        # It speaks for the destination, not for this one message.
        return min(attempt.retry_after, LONGEST)
    if attempt.permanent or not failures.several:
        return 0.0
    return pause(failures.in_a_row, chance)
