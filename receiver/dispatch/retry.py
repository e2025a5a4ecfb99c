"""Retries: the consequences of an attempt, the time of the next one, and the end of trying.

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
# After this many failures in a row, over several executions, the destination is at fault and not a
# message.
PAUSE_AFTER = 5
# After each pause one message tries the destination: seldom enough for it, and soon enough for
# people after it is back. (With the pauses of a message, up to an hour, approvers would wait long.)
LONGEST_PAUSE = 60.0


def delay(attempt: int, chance: float) -> float:
    """Return the seconds to wait after the attempt with this number (from 1).

    They are at most 5, 10, 20 … 3600. The caller gives `chance` in [0, 1), so that the rule stays
    pure.
    """
    # Ten doublings exceed LONGEST; more would only make a large number.
    return float(min(FIRST * 2.0 ** min(max(attempt, 1) - 1, 10), LONGEST) * chance)


def pause(failures: int, chance: float) -> float:
    """Return the seconds of a destination's pause after this many failures in a row."""
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
    """Decide the result of an attempt: sent, a retry at a time, or dead with the reason."""
    sent = (message.title, message.body)
    if attempt.outcome is Outcome.DELIVERED:
        return AttemptResult(State.SENT, "", now, *sent, at=now)
    if attempt.permanent:
        reason = f"no retry can mend it: {attempt.detail}"
        return AttemptResult(State.DEAD, reason, now, *sent, at=now)
    # If a destination asks for a longer wait than LONGEST, it is tried after LONGEST.
    wait = max(delay(claim.attempts + 1, chance), min(attempt.retry_after or 0, LONGEST))
    retry_for = int(destination.retry_for * SECOND)
    due_at = now + int(wait * SECOND)
    last = claim.owed_at + retry_for
    if now < last:
        due_at = min(due_at, last)  # a wait beyond `retry_for` is cut: one try at its end
    else:
        reason = f"given up after retry_for: {attempt.detail}"
        # Deliveries that joined the digest later have time left.
        spared = now - retry_for
        return AttemptResult(
            State.DEAD, reason, due_at, *sent, chance=chance, spared=spared, at=now
        )
    return AttemptResult(State.WAITING, attempt.detail, due_at, *sent, chance=chance, at=now)


def with_others(result: AttemptResult, claim: Claim, rules: Rules, now: int) -> AttemptResult:
    """Add the deliveries to other destinations and the follow-ups, by the rules in force now."""
    result = replace(result, options=route_options(rules.routes, None, now)[0])
    if result.state is State.DEAD:
        planned = dead_letters.plan(claim, rules.routes, rules.destinations)
        return replace(result, owed=planned)
    return result


def fails_as_a_whole(failures: Failures) -> bool:
    """Return whether the destination itself fails, and not only some of its messages."""
    return failures.several and failures.in_a_row >= PAUSE_AFTER


def pause_after(attempt: Attempt, failures: Failures, chance: float) -> float:
    """Return the seconds of the destination's pause after an attempt; 0.0: no pause.

    `failures` includes this attempt.
    """
    if attempt.outcome is Outcome.DELIVERED:
        return 0.0
    if attempt.retry_after:
        # The request is about the destination, not about this one message.
        return min(attempt.retry_after, LONGEST)
    if attempt.permanent or not failures.several:
        return 0.0
    return pause(failures.in_a_row, chance)
