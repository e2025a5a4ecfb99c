"""Wire: what goes between the receiver and a sender, as bounded frames of JSON. Pure.

A frame is its length in four bytes, and JSON in ASCII. Both ends are one version of the program.
What comes from a sender is checked all the same: a plugin may have harmed its process.
"""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from receiver.deliveries import Attempt, Kind, ListedLine, Message, Outcome, Severity
from receiver.destinations.destination import Destination

HEAD = 4
_ENCODER = json.JSONEncoder(separators=(",", ":"))
# The largest frame to a sender, and the largest one from it.
MOST_ASKED = 16 * 2**20
MOST_ANSWERED = 2**20
_LONGEST_DETAIL = 2_000
_LONGEST_WAIT = 1_000_000.0
# What a sender has to know of a destination: the rest is the receiver's to decide.
_OF_DESTINATION = ("name", "url", "rate", "timeout")


class GarbledFrame(ValueError):
    """A frame that is none, or larger than one may be."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a sender: the attempt; whether its call hangs, which takes a new process."""

    attempt: Attempt
    hangs: bool = False


@dataclass(frozen=True, slots=True)
class Description:
    """The mistakes in a destination's URL, and the place that it leads to."""

    problems: tuple[str, ...]
    leads_to: str


def framed(value: Any, most: int = MOST_ASKED) -> bytes:
    """Return a value as a frame; GarbledFrame if it is too large."""
    text = _ENCODER.encode(value).encode("ascii")
    if len(text) > most:
        raise GarbledFrame(f"a frame of {len(text)} bytes, and {most} may be sent")
    return len(text).to_bytes(HEAD, "big") + text


def length_of(head: bytes, most: int) -> int:
    """Return the length that the head of a frame gives; GarbledFrame if it is too large."""
    length = int.from_bytes(head, "big")
    if length > most:
        raise GarbledFrame(f"a frame of {length} bytes, and {most} may come")
    return length


def parsed(text: bytes) -> Any:
    """Return the value of a frame; GarbledFrame if it is none."""
    try:
        return json.loads(text.decode("ascii"))
    except (ValueError, RecursionError):
        raise GarbledFrame("a frame that is no JSON") from None


def from_destination(destination: Destination) -> dict[str, Any]:
    """Return a destination for the wire."""
    return {name: getattr(destination, name) for name in _OF_DESTINATION}


def to_destination(values: dict[str, Any]) -> Destination:
    """Return the destination of `from_destination`."""
    return Destination(**values)


def _default(field: Field[Any]) -> Any:
    return None if field.default is MISSING else field.default


_OF_MESSAGE = tuple((field.name, _default(field)) for field in fields(Message))
_OF_LINE = tuple(field.name for field in fields(ListedLine))


def from_message(message: Message) -> dict[str, Any]:
    """Return a message for the wire, without what has its default."""
    values = {
        name: value for name, default in _OF_MESSAGE if (value := getattr(message, name)) != default
    }
    if message.listed:
        values["listed"] = [[getattr(line, name) for name in _OF_LINE] for line in message.listed]
    return values


def to_message(values: dict[str, Any]) -> Message:
    """Return the message of `from_message`."""
    if "severity" in values:
        values["severity"] = Severity(values["severity"])
    if "kind" in values:
        values["kind"] = Kind(values["kind"])
    if "listed" in values:
        values["listed"] = tuple(ListedLine(*line) for line in values["listed"])
    return Message(**values)


def from_answer(attempt: Attempt, *, hangs: bool = False) -> list[Any]:
    """Return an attempt for the wire."""
    outcome, detail = attempt.outcome.value, attempt.detail[:_LONGEST_DETAIL]
    return [outcome, detail, attempt.duration_ms, attempt.permanent, attempt.retry_after, hangs]


def to_answer(value: Any) -> Answer:
    """Return the answer of `from_answer`; GarbledFrame if it is none."""
    try:
        outcome, detail, duration, permanent, wait, hangs = value
        kinds = (str, str, int, bool, bool)
        of_kind = zip((outcome, detail, duration, permanent, hangs), kinds, strict=True)
        if not all(type(each) is kind for each, kind in of_kind):
            raise ValueError
        if len(detail) > _LONGEST_DETAIL or not 0 <= duration < 2**31 or not _is_wait(wait):
            raise ValueError
        return Answer(Attempt(Outcome(outcome), detail, duration, permanent, wait), hangs)
    except (TypeError, ValueError):
        raise GarbledFrame("a frame that is no answer") from None


def _is_wait(value: Any) -> bool:
    if value is None:
        return True
    is_number = type(value) in (int, float) and math.isfinite(value)
    return is_number and 0 <= value <= _LONGEST_WAIT


def to_description(value: Any) -> Description:
    """Return the description that a sender gives; GarbledFrame if it is none."""
    try:
        problems, place = value
        texts = [place, *problems]
        if not isinstance(problems, list) or not all(isinstance(each, str) for each in texts):
            raise ValueError
        return Description(tuple(problems), place)
    except (TypeError, ValueError):
        raise GarbledFrame("a frame that is no description") from None
