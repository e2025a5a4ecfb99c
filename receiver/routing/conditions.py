"""Conditions of a route or a silence about an event, and the reason why one does not hold.

In a pattern only `*` and `?` are special, and both sides are compared in the same form of Unicode.
A number of the sender fits a pattern that writes the same number: 1.1 fits 1.10. Its texts do not.

A new condition needs an entry in CONDITIONS and a key of `Match` in config/schema.
"""

from __future__ import annotations

import fnmatch
import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any

from receiver.alarms import AlarmKind
from receiver.events import Category, Status, Verdict

# This name has a condition for each key: `metadata.KEY`.
METADATA = "metadata"
# The ways to write a value that is no text and no number. `*` does not fit null: it says nothing.
_SPELLINGS = {
    "true": ("true", "True", "TRUE"),
    "false": ("false", "False", "FALSE"),
    "null": ("null", "Null", "NULL", "~"),
}
_NUMBER = re.compile(r"[-+]?[0-9]{1,400}(\.[0-9]{1,400})?([eE][-+]?[0-9]{1,3})?", re.ASCII)


class _Word(str):
    """A value of the sender that is a word of JSON and no text: true, false, null or a number."""

    __slots__ = ()


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
    METADATA: ConditionKind(lambda subject, key: _metadata(subject.metadata, key)),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """Line of `match`: its name (or `metadata.KEY`) and its patterns."""

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
    return any(fits(pattern, value) for pattern in patterns for value in values)


def fits(pattern: str, value: str) -> bool:
    """Return whether a pattern (without `!`) fits a value."""
    if isinstance(value, _Word):
        if pattern in _SPELLINGS.get(value, ()):
            return True
        if value == "null":
            return False
        if _NUMBER.fullmatch(pattern) and _NUMBER.fullmatch(value):
            return Decimal(pattern) == Decimal(value)
    return _compiled(pattern).match(composed(value)) is not None


def composed(text: str) -> str:
    """Return a text in the one form of Unicode in which texts are compared."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    # This way to write a bracket makes it a character like any other.
    return re.compile(fnmatch.translate(composed(pattern).replace("[", "[[]")))


def _metadata(metadata: Mapping[str, Any], key: str) -> list[str]:
    """Return the values of a key, which senders and people may write in other forms of Unicode."""
    wanted = composed(key)
    return [
        text for name in metadata if composed(name) == wanted for text in _texts(metadata[name])
    ]


def _texts(value: Any) -> list[str]:
    """Return a metadata value as texts: a string unchanged, each element of a list, else JSON."""
    if isinstance(value, list):
        return [text for element in value for text in _texts(element)]
    if isinstance(value, str):
        return [value]
    text = json.dumps(value, ensure_ascii=False)
    return [text if isinstance(value, dict) else _Word(text)]
