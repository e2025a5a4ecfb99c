"""Retries: what follows from an attempt, when a delivery is tried again, when it is given up.

Waiting times have full jitter, so that many deliveries do not come back at once. Chance and time
are arguments.
"""

from __future__ import annotations

from dataclasses import replace

from receiver.config.rules import Rules
from receiver.deliveries import Attempt, Claim, Message, Outcome, State
from receiver.destinations.destination import Destination
from receiver.dispatch import dead_letters
from receiver.routing.policy import route_options
from receiver.store.records import AttemptResult, Failures
from receiver.times import SECOND

FIRST, LONGEST = 5.0, 3600.0
# So many failures in a row, over several executions, are the destination's and not a message's.
PAUSE_AFTER = 5
# It is tried again by one message of many: seldom enough for it, and people hear soon after it is
# back. (As long as a message's own waiting, up to an hour, approvers would sit there for nothing.)
LONGEST_PAUSE = 60.0


def delay(attempt: int, chance: float) -> float:
    """Return the seconds to wait after the attempt with this number (from 1).

    They are at most 5, 10, 20 … 3600. `chance` in [0, 1) is the caller's, so that a rule stays a
    rule.
    """
    # Ten doublings pass the longest; more would only make a large number.
    return float(min(FIRST * 2.0 ** min(max(attempt, 1) - 1, 10), LONGEST) * chance)


def pause(failures: int, chance: float) -> float:
    """Seconds for which a destination waits as a whole after so many failures in a row."""
    if failures < PAUSE_AFTER:
        return 0.0
    return min(delay(failures - PAUSE_AFTER + 1, 1.0), LONGEST_PAUSE) * chance


def follow(
    claim: Claim,
    attempt: Attempt,
    destination: Destination,
    message: Message,
    now: int,
    chance: float,
) -> AttemptResult:
    """Decide what follows from an attempt: sent, another try at a time, or dead with the reason."""
    sent = (message.title, message.body)
    if attempt.outcome is Outcome.DELIVERED:
        return AttemptResult(State.SENT, "", now, *sent)
    if attempt.permanent:
        return AttemptResult(State.DEAD, f"no retry can mend it: {attempt.detail}", now, *sent)
    # A destination that asks for longer than we ever wait is asked again after that.
    wait = max(delay(claim.attempts + 1, chance), min(attempt.retry_after or 0, LONGEST))
    retry_for = int(destination.retry_for * SECOND)
    due_at = now + int(wait * SECOND)
    last = claim.owed_at + retry_for
    if attempt.retry_after and now < last:
        due_at = min(due_at, last)  # asked to wait longer than we try: tried at the very end
    if due_at > last:
        reason = f"given up after retry_for: {attempt.detail}"
        # What joined a digest later than its first messages has time left.
        spared = due_at - retry_for
        return AttemptResult(State.DEAD, reason, due_at, *sent, chance=chance, spared=spared)
    return AttemptResult(State.WAITING, attempt.detail, due_at, *sent, chance=chance)


def with_others(result: AttemptResult, claim: Claim, rules: Rules, now: int) -> AttemptResult:
    """Add what follows for others than the destination, by the rules as they are now."""
    if result.state is State.DEAD:
        planned = dead_letters.plan(claim, rules.routes, rules.destinations, now)
        return replace(result, owed=planned)
    if result.state is State.SENT:
        return replace(result, options=route_options(rules.routes, None, now)[0])
    return result


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
