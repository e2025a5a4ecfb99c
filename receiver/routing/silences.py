"""Silences: an operator's temporary order not to send some messages. Pure.

The conditions are those of `match`, and work as in a route: without a `verdict` a silence is about
applied events, and only `dead_letter` silences messages about a destination's failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from receiver.routing.conditions import Condition, Subject
from receiver.routing.routes import Route
from receiver.times import SECOND, format_time

# The beginning of the reason why a message was not sent.
SILENCED = "silenced by "


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence from `begins` until `ends` (nanoseconds), with its reason and author.

    `match` holds the patterns that the operator wrote, by condition; `id` is 0 until it is stored.
    """

    match: Mapping[str, tuple[str, ...]]
    reason: str
    by: str
    begins: int
    ends: int
    id: int = 0

    def __str__(self) -> str:
        until = format_time(self.ends // SECOND * SECOND)
        return f"{SILENCED}{self.by} until {until}: {self.reason}"

    def is_about(self, subject: Subject) -> bool:
        """Return whether it keeps back a message about this subject."""
        conditions = tuple(Condition(name, patterns) for name, patterns in self.match.items())
        return not Route("", conditions, ()).unmet(subject)


def first(silences: Sequence[Silence], subject: Subject) -> Silence | None:
    """Return the first silence that keeps a message back; None if there is none."""
    return next((silence for silence in silences if silence.is_about(subject)), None)
