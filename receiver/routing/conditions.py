"""Conditions: what a route or a silence asks of an event, and why one does not hold."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from receiver.events import Status, Verdict

CONDITIONS = (
    "source", "status", "category", "agent", "event", "outcome", "reason", "verdict",
    "dead_letter", "metadata",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Subject:
    """What conditions look at. `reason` and `outcome` are the provider's words.

    `dead_letter` is the destination at which a delivery about the event died.
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

    def values(self, condition: str) -> list[str]:
        """What the event says to a condition; several for an agent (id, name) or a list."""
        if condition.startswith("metadata."):
            return _texts(self.metadata.get(condition.removeprefix("metadata.")))
        said: tuple[str | None, ...] = {
            "source": (self.source,),
            "verdict": (self.verdict.value,),
            "status": (self.status.value if self.status else None,),
            "category": (self.status.category.value if self.status else None,),
            "agent": (self.agent_id, self.agent_name),
            "event": (self.event,),
            "outcome": (self.outcome,),
            "reason": (self.reason,),
            "dead_letter": (self.dead_letter,),
        }[condition]
        return [value for value in said if value is not None]


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of `match`: its name (or `metadata.KEY`) and the patterns it wants."""

    name: str
    patterns: tuple[str, ...]

    def why_not(self, subject: Subject) -> str:
        """Empty if it holds, else a clause for people."""
        values = subject.values(self.name)
        unwanted = [p[1:] for p in self.patterns if p.startswith("!")]
        wanted = [p for p in self.patterns if not p.startswith("!")]
        if not _fit(unwanted, values) and (not wanted or _fit(wanted, values)):
            return ""
        said = " / ".join(values) or "not said"
        return f"{self.name} is {said}, not {', '.join(self.patterns)}"


def _fit(patterns: Sequence[str], values: Sequence[str]) -> bool:
    return any(_compiled(pattern).match(value) for pattern in patterns for value in values)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def _texts(value: Any) -> list[str]:
    """A metadata value as texts to match: strings as they are, any element of a list, else JSON."""
    if value is None:
        return []
    if isinstance(value, list):
        return [text for element in value for text in _texts(element)]
    return [value if isinstance(value, str) else json.dumps(value)]
