"""Retention: the times for which rows stay in the store, and the rule between them. Pure.

An execution that has not ended is kept, with everything about it except the raw bodies. The store
must recognize a repeated webhook for longer than `lifecycle` accepts the age of its event.
"""

from __future__ import annotations

from dataclasses import dataclass

from receiver.lifecycle import FUTURE, MAX_EVENT_AGE
from receiver.times import SECOND, duration

# The longest time after its receipt in which a repeat of an event can still be accepted: the time
# of an event may lie in the future.
REPEATABLE = MAX_EVENT_AGE + FUTURE


@dataclass(frozen=True, slots=True)
class Limits:
    """Instants (nanoseconds): older things may be deleted.

    `bodies`: raw bodies, by their receipt. `event_ids`: events, by their receipt. `executions`:
    ended executions with everything about them, and deliveries, by their end.
    """

    bodies: int
    event_ids: int
    executions: int


@dataclass(frozen=True, slots=True)
class Retention:
    """The durations for each kind of row, as people write them. ValueError if they break a rule."""

    bodies: str = "30d"
    event_ids: str = "90d"
    executions: str = "90d"

    def __post_init__(self) -> None:
        if (text := broken(self.event_ids, self.executions)) is not None:
            raise ValueError(text)

    def limits(self, now: int) -> Limits:
        """Return the limits at a time (nanoseconds)."""
        durations = (self.bodies, self.event_ids, self.executions)
        return Limits(*(now - int(duration(each) * SECOND) for each in durations))


def broken(event_ids: str, executions: str) -> str | None:
    """Describe a breach of the rule: event ids outlive repeats, executions outlive event ids."""
    if duration(event_ids) * SECOND <= REPEATABLE:
        days = MAX_EVENT_AGE // (86_400 * SECOND)
        return f"event ids must be kept for longer than events are believed ({days}d and 5m)"
    if duration(event_ids) > duration(executions):
        return "executions must be kept for at least as long as event ids"
    return None
