"""Conditions of a route or a silence about an event, and the reason why one does not hold.

A new condition needs an entry in CONDITIONS and a key of `Match` in config/schema.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from receiver.alarms import AlarmKind
from receiver.events import Category, Status, Verdict

# This name has a condition for each key: `metadata.KEY`.
METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class Subject:
    """The properties of an event that conditions look at.

    `reason` and `outcome` are the provider's words. `dead_letter` is the destination at which a
    delivery about the event died. `alarm` is the kind of an alarm, which is about no event.
    """

    source: str
    verdict: Verdict
    status: Status | None = None
    agent_id: str | None = None
    agent_name: str | None = None
    event: str | None = None
    outcome: str | None = None
    reason: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    dead_letter: str | None = None
    alarm: str | None = None

    def values(self, condition: str) -> list[str]:
        """Return its values for a condition; several for an agent (id, name) or a list."""
        name, _, key = condition.partition(".")
        return [value for value in CONDITIONS[name].values(self, key) if value is not None]


@dataclass(frozen=True, slots=True)
class ConditionKind:
    """A kind of condition: the values of a subject that it compares, for a key if it has keys.

    `words` are all possible values, if the program knows them.
    """

    values: Callable[[Subject, str], Sequence[str | None]]
    words: tuple[str, ...] = ()


CONDITIONS: Mapping[str, ConditionKind] = {
    "source": ConditionKind(lambda subject, _: (subject.source,)),
    "status": ConditionKind(
        lambda subject, _: (subject.status.value if subject.status else None,),
        words=tuple(status.value for status in Status),
    ),
    "category": ConditionKind(
        lambda subject, _: (subject.status.category.value if subject.status else None,),
        words=tuple(category.value for category in Category),
    ),
    "agent": ConditionKind(lambda subject, _: (subject.agent_id, subject.agent_name)),
    "event": ConditionKind(lambda subject, _: (subject.event,)),
    "outcome": ConditionKind(lambda subject, _: (subject.outcome,)),
    "reason": ConditionKind(lambda subject, _: (subject.reason,)),
    "verdict": ConditionKind(
        lambda subject, _: (subject.verdict.value,),
        words=tuple(verdict.value for verdict in Verdict),
    ),
    "dead_letter": ConditionKind(lambda subject, _: (subject.dead_letter,)),
    "alarm": ConditionKind(
        lambda subject, _: (subject.alarm,), words=tuple(kind.value for kind in AlarmKind)
    ),
    METADATA: ConditionKind(lambda subject, key: _texts(subject.metadata.get(key))),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of `match`: its name (or `metadata.KEY`) and its patterns."""

    name: str
    patterns: tuple[str, ...]

    def why_not(self, subject: Subject) -> str:
        """Return an empty text if it holds, else the reason as a clause for people."""
        values = subject.values(self.name)
        unwanted = [p[1:] for p in self.patterns if p.startswith("!")]
        wanted = [p for p in self.patterns if not p.startswith("!")]
        if not _fit(unwanted, values) and (not wanted or _fit(wanted, values)):
            return ""
        present = " / ".join(values) or "not said"
        return f"{self.name} is {present}, not {', '.join(self.patterns)}"


def _fit(patterns: Sequence[str], values: Sequence[str]) -> bool:
    return any(_compiled(pattern).match(value) for pattern in patterns for value in values)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def _texts(value: Any) -> list[str]:
    """Return a metadata value as texts: a string unchanged, each element of a list, else JSON."""
    if value is None:
        return []
    if isinstance(value, list):
        return [text for element in value for text in _texts(element)]
    return [value if isinstance(value, str) else json.dumps(value)]
