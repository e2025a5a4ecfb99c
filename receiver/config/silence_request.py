"""Silence request: reads the silence that an operator asks for, by API or command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from receiver.config.builders.match import read_conditions
from receiver.config.problems import describe_error
from receiver.config.schema import Match
from receiver.errors import ConfigurationError
from receiver.messages.sanitize import clean, person
from receiver.routing.silences import Silence
from receiver.sources.source import Source
from receiver.times import LONGEST, SECOND, duration, parse_time

MAX_TEXT = 200


class SilenceModel(BaseModel):
    """The request; see silences.Silence. `for` or `until` sets its end."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    match: Match
    reason: str = Field(min_length=1, max_length=MAX_TEXT)
    by: str = Field(min_length=1, max_length=80)
    begins: str | None = Field(None, alias="from")
    lasts: str | None = Field(None, alias="for")
    ends: str | None = Field(None, alias="until")


def read_silence(
    content: object, now: int, sources: Mapping[str, Source], destinations: Iterable[str]
) -> Silence:
    """Make the silence of a request, received at `now` (nanoseconds).

    ConfigurationError with every problem.
    """
    try:
        model = SilenceModel.model_validate(content)
    except ValidationError as error:
        raise ConfigurationError([_described(dict(each)) for each in error.errors()]) from None
    problems: list[str] = []
    formats = {name: source.format for name, source in sources.items()}
    conditions = read_conditions(
        model.match, formats, destinations, lambda _, text: problems.append(text)
    )
    if not conditions:
        problems.append('match: say what is silenced; {"status": "*"} is everything')
    if model.match.alarm is not None:
        problems.append("alarm: alarms are not silenced, because then telling could fail unseen")
    begins, ends = _begin_and_end(model, now, problems)
    reason = clean(model.reason, MAX_TEXT)
    by = person(model.by)
    if not reason or not by:
        problems.append("reason and by: must hold something that can be read")
    if problems:
        raise ConfigurationError(problems)
    match = {condition.name: condition.patterns for condition in conditions}
    return Silence(match, reason, by, begins, ends)


def match_of(texts: Sequence[str]) -> dict[str, Any]:
    """Make `match` from `name=value` on a command line; a repeated name is any-of.

    ConfigurationError if one does not have that form.
    """
    match: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name or not value:
            raise ConfigurationError([f"--match {text}: write it like status=failed"])
        key, _, inner = name.partition(".")
        if inner and key == "metadata":
            match.setdefault(key, {}).setdefault(inner, []).append(value)
        else:
            match.setdefault(name, []).append(value)
    return match


def _begin_and_end(model: SilenceModel, now: int, problems: list[str]) -> tuple[int, int]:
    """Return its begin and end (nanoseconds)."""
    # Whole seconds: people read them.
    begins = _instant_or_none("from", model.begins, problems) or now // SECOND * SECOND
    if (model.lasts is None) == (model.ends is None):
        problems.append('for or until: say one of them, like {"for": "2h"}')
        return begins, begins
    if model.ends is not None:
        ends = _instant_or_none("until", model.ends, problems)
    else:
        ends = None
        try:
            ends = begins + int(duration(model.lasts)) * SECOND
        except ValueError as error:
            problems.append(f"for: {error}")
    if ends is None:
        return begins, begins
    if ends <= now or ends <= begins:
        problems.append("until: it would be over before it begins")
    if max(begins, ends) > now + LONGEST * SECOND:
        problems.append("until: must be within 3650d")
    return begins, ends


def _instant_or_none(name: str, text: str | None, problems: list[str]) -> int | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        problems.append(f"{name}: {error}, like 2026-01-15T10:30:00Z")
        return None


def _described(error: Mapping[str, Any]) -> str:
    place = tuple(step for step in error["loc"] if step != "[key]")
    return describe_error(error, place, SilenceModel, whole="the silence", is_yaml=False)
