"""Contradictions: patterns and conditions that no event can fulfil. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from receiver.events import Status, Verdict
from receiver.routing.conditions import Condition, Subject, fits

# The name of an event that a sender may send though nobody knows it.
ANY_NAME = "\0any name"
# The conditions whose values are all known.
_KNOWN = ("source", "verdict", "status", "category", "event")
# The verdicts about an event that announces no status.
_WITHOUT_STATUS = (Verdict.IGNORED, Verdict.DUPLICATE, Verdict.QUARANTINED)
_DEFAULT_VERDICT = Condition("verdict", (Verdict.APPLIED.value,))


def possible_subjects(
    source: str, announces: Mapping[str, Sequence[Status]], unknown: Verdict
) -> Iterator[Subject]:
    """Yield every combination of verdict, event and status that a source can cause.

    `announces` are the names of its events, each with the statuses that it may announce; `unknown`
    is the verdict about an event of another name.
    """
    yield Subject(source, Verdict.QUARANTINED)  # it cannot be read
    yield Subject(source, unknown, event=ANY_NAME)
    for verdict in Verdict:
        is_about_status = verdict is not Verdict.IGNORED
        for name, statuses in announces.items():
            for status in statuses if is_about_status else ():
                yield Subject(source, verdict, status, event=name)
            if not statuses and verdict in _WITHOUT_STATUS:
                yield Subject(source, verdict, event=name)
        # Not every sender has an event for every status, but the lifecycle has them all.
        for status in Status if is_about_status else ():
            yield Subject(source, verdict, status)


def contradiction(
    conditions: Sequence[Condition], subjects: Sequence[Subject], *, is_about_events: bool = True
) -> str:
    """Return why no event can fulfil all conditions, as a clause for people; empty if one can.

    `is_about_events`: without a condition about it, the verdict has to be applied.
    """
    for condition in conditions:
        if _excludes_itself(condition):
            patterns = ", ".join(condition.patterns)
            return f"{condition.name}: {patterns} excludes everything: remove a part of it"
    known = [condition for condition in conditions if condition.name in _KNOWN]
    if is_about_events and all(condition.name != "verdict" for condition in conditions):
        known.append(_DEFAULT_VERDICT)
    if any(condition.name == "event" for condition in known):
        # Every status of a real event comes with a name.
        subjects = [s for s in subjects if s.event is not None or s.status is None]
    names = frozenset(subject.event for subject in subjects if subject.event)
    if any(_can_be(known, subject, names) for subject in subjects):
        return ""
    for size in range(1, len(known) + 1):
        for some in combinations(known, size):
            if not any(_can_be(some, subject, names) for subject in subjects):
                return _words(some)
    return ""


def fits_nothing(pattern: str, words: Sequence[str]) -> bool:
    """Return whether a pattern, with or without `!`, fits none of the known words."""
    word = pattern.removeprefix("!")
    return word != "*" and not any(fits(word, known) for known in words)


def _can_be(conditions: Sequence[Condition], subject: Subject, names: frozenset[str]) -> bool:
    return all(
        _fits_other_names(condition, names)
        if condition.name == "event" and subject.event == ANY_NAME
        else not condition.why_not(subject)
        for condition in conditions
    )


def _fits_other_names(condition: Condition, names: frozenset[str]) -> bool:
    """Return whether a condition can hold for a name that is none of these."""
    wanted = [pattern for pattern in condition.patterns if not pattern.startswith("!")]
    return "!*" not in condition.patterns and (not wanted or not names.issuperset(wanted))


def _excludes_itself(condition: Condition) -> bool:
    """Return whether each wanted pattern is unwanted, too."""
    if condition.name in _KNOWN:
        return False
    unwanted = [p[1:] for p in condition.patterns if p.startswith("!")]
    wanted = [p for p in condition.patterns if not p.startswith("!")]
    # An agent has two names, and a list several values: all of them are compared with `!`.
    return bool(wanted) and all(_is_covered(pattern, unwanted) for pattern in wanted)


def _is_covered(pattern: str, unwanted: Sequence[str]) -> bool:
    if "*" in pattern or "?" in pattern:
        return pattern in unwanted or "*" in unwanted
    return any(fits(each, pattern) for each in unwanted)


def _words(conditions: Sequence[Condition]) -> str:
    """Say which conditions exclude each other."""
    if len(conditions) == 1:
        (only,) = conditions
        return f"{only.name}: no event fits {', '.join(only.patterns)}"
    named = [f"{c.name} {', '.join(c.patterns)}" for c in conditions]
    text = f"no event fits {' and '.join(named)} at once"
    if _DEFAULT_VERDICT in conditions:
        text += " (without `verdict` it has to be applied)"
    return text
