"""Random legal histories, and the webhooks that tell of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from receiver.cli.client import asteroid_event
from receiver.events import CATEGORIES, Category, Status
from receiver.lifecycle import TRANSITIONS
from receiver.times import SECOND

NAMES = {
    Status.RUNNING: "EXECUTION_STARTED",
    Status.PAUSED: "EXECUTION_PAUSED",
    Status.PAUSED_BY_AGENT: "EXECUTION_PAUSED",
    Status.AWAITING_CONFIRMATION: "EXECUTION_AWAITING_CONFIRMATION",
    Status.COMPLETED: "EXECUTION_COMPLETED",
    Status.FAILED: "EXECUTION_FAILED",
    Status.CANCELLED: "EXECUTION_CANCELLED",
}
_WAITS = (Category.PAUSED, Category.AWAITING)
# A history has at most so many changes.
LONGEST = 12
# How often it does not end where it could.
GOES_ON = 0.7


@dataclass
class History:
    """History of an execution: the changes that happened (time in nanoseconds, status)."""

    execution_id: str
    changes: list[tuple[int, Status]]

    def webhooks(self) -> Iterator[tuple[int, bytes]]:
        """Yield the webhooks of its changes, in whole seconds, each with the time of its change.

        `starting` has none.
        """
        before = None
        for at, status in self.changes:
            name = NAMES.get(status)
            if status is Status.RUNNING and before is not None and CATEGORIES[before] in _WAITS:
                name = "EXECUTION_RESUMED"
            by = {Status.PAUSED: "user", Status.PAUSED_BY_AGENT: "agent"}.get(status)
            details = {"paused_by": by} if by else None
            if name is not None:
                second = at // SECOND * SECOND
                yield (
                    at,
                    asteroid_event(name, self.execution_id, occurred_at=second, details=details),
                )
            before = status


def history(chance: random.Random, number: int, now: int) -> History:
    """Make a random legal history that lies wholly in the past."""
    at = now - chance.randint(3_000, 3_600) * SECOND
    status = Status.STARTING
    changes = [(at, status)]
    for _ in range(chance.randint(1, LONGEST)):
        following = sorted(TRANSITIONS[status])
        if not following:
            break
        going_on = [each for each in following if each.category is not Category.TERMINAL]
        status = chance.choice(going_on if going_on and chance.random() < GOES_ON else following)
        at += chance.randint(8_000, 90_000) * SECOND // 1_000
        changes.append((at, status))
    return History(f"x-{number}", changes)
