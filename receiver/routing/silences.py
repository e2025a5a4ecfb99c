"""Silences: an operator's temporary "do not tell about these". Pure.

Its conditions are those of `match`, and hold as they do for a route: without a `verdict` it is
about applied events, and what tells of a destination's failure is only silenced by `dead_letter`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from receiver.routing.conditions import Condition, Subject
from receiver.routing.routes import Route
from receiver.times import format_time


@dataclass(frozen=True, slots=True)
class Silence:
    """What is not told about from `begins` until `ends` (nanoseconds), why, and who says so.

    `match` is what the operator wrote, by condition; `id` is 0 while it is not stored.
    """

    match: Mapping[str, tuple[str, ...]]
    reason: str
    by: str
    begins: int
    ends: int
    id: int = 0

    def __str__(self) -> str:
        return f"silenced by {self.by} until {format_time(self.ends)}: {self.reason}"

    def is_about(self, subject: Subject) -> bool:
        """Whether it keeps a message about this back."""
        conditions = tuple(Condition(name, patterns) for name, patterns in self.match.items())
        return not Route("", conditions, ()).unmet(subject)


def first(silences: Sequence[Silence], subject: Subject) -> Silence | None:
    """The silence that keeps a message back, if one does."""
    return next((silence for silence in silences if silence.is_about(subject)), None)
