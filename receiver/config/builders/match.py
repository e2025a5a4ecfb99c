"""Match builder: makes the conditions of routes and silences, and finds impossible ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from receiver.config.problems import Place, near, shown
from receiver.config.schema import Match
from receiver.routing.conditions import CONDITIONS, METADATA, Condition, Subject
from receiver.routing.contradictions import contradiction, fits_nothing, possible_subjects
from receiver.sources.formats.registry import FORMATS

# A match with one of these is not about events.
_NOT_ABOUT_EVENTS = ("dead_letter", "alarm")

# A function that takes each problem, with its place below the part that is read.
Problem = Callable[[Place, str], None]


def read_conditions(
    match: Match, formats: Mapping[str, str], destinations: Iterable[str], problem: Problem
) -> list[Condition]:
    """Return the conditions of `match`, for a route or a silence.

    `formats` are the formats of the sources, by name. `problem` gets each word and each combination
    that is impossible, with its place below `match`.
    """
    conditions = [
        Condition(name, tuple(patterns))
        for name in CONDITIONS
        if name != METADATA and (patterns := getattr(match, name)) is not None
    ]
    words = _known_words(formats, destinations)
    problems: list[tuple[Place, str]] = [
        ((condition.name,), text)
        for condition in conditions
        for text in _pattern_problems(condition, words.get(condition.name))
    ]
    for key, patterns in match.metadata.items():
        conditions.append(Condition(f"{METADATA}.{key}", tuple(patterns)))
    if not problems and (text := _contradiction(conditions, formats)):
        problems = [((), f"match: {text}")]
    for place, text in problems:
        problem(place, text)
    return conditions


def _known_words(
    formats: Mapping[str, str], destinations: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Return the words that each condition may compare with, if they are known."""
    names = {name: kind.words for name, kind in CONDITIONS.items() if kind.words}
    return names | {"source": tuple(formats), "dead_letter": tuple(destinations)}


def _pattern_problems(condition: Condition, words: tuple[str, ...] | None) -> Iterator[str]:
    """Yield problems for the patterns of a condition that can fit nothing."""
    name = condition.name
    for pattern in condition.patterns:
        word = pattern.removeprefix("!")
        if not word:
            yield f"{name}: an empty pattern fits nothing: fill it in, or leave it out"
        elif words is not None and fits_nothing(pattern, words):
            is_glob = "*" in word or "?" in word
            start = f"nothing fits {shown(word)}" if is_glob else f"there is no {shown(word)}"
            yield f"{name}: {start}{near(word, words)}"


def _contradiction(conditions: Sequence[Condition], formats: Mapping[str, str]) -> str:
    """Say why no event can fulfil the conditions, with the nearest name of an event."""
    if any(condition.name in _NOT_ABOUT_EVENTS for condition in conditions):
        return contradiction(conditions, _subjects(tuple(formats.items())), is_about_events=False)
    text = contradiction(conditions, _subjects(tuple(formats.items())))
    names = [name for each in set(formats.values()) for name in FORMATS[each].ANNOUNCES]
    for condition in conditions if text else ():
        patterns = condition.patterns if condition.name == "event" else ()
        for word in patterns:
            if fits_nothing(word, names):
                text = f"event: there is no {shown(word)}{near(word, sorted(set(names)))}"
    return text


@lru_cache(maxsize=8)  # a file has many routes and the same sources for all of them
def _subjects(formats: tuple[tuple[str, str], ...]) -> tuple[Subject, ...]:
    """Return all that sources of these formats can cause, by the names of the sources."""
    return tuple(
        subject
        for source, name in formats
        for subject in possible_subjects(source, FORMATS[name].ANNOUNCES, FORMATS[name].UNKNOWN)
    )
