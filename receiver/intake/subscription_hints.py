"""Hints about subscriptions: signs in the newest events that a source sends too few. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from receiver.events import Status, Verdict
from receiver.lifecycle import Ordering
from receiver.store.records import Tally

# Fewer rejections over a gap are an accident, not a sign of a bad subscription.
ENOUGH = 5


@dataclass(frozen=True, slots=True)
class Hint:
    """A source that looks badly subscribed, with the status in question and the advice."""

    source: str
    status: str
    events: int
    text: str


def hints(orderings: Mapping[str, Ordering], tallies: Sequence[Tally]) -> list[Hint]:
    """Return the hints about each configured source, from its newest events."""
    return [
        hint
        for source, ordering in orderings.items()
        for hint in _source_hints(source, ordering, [t for t in tallies if t.source == source])
    ]


def _source_hints(source: str, ordering: Ordering, tallies: Sequence[Tally]) -> Iterable[Hint]:
    yield from _missing_status(source, tallies)
    if ordering.observes is not None:
        yield from _unobserved_statuses(source, ordering.observes, tallies)


def _missing_status(source: str, tallies: Sequence[Tally]) -> Iterable[Hint]:
    rejected = sum(t.n for t in tallies if t.verdict == Verdict.REJECTED)
    gaps: Counter[str] = Counter()
    for tally in tallies:
        # An event applied over a gap is just as much a sign.
        if tally.reason == "gap" and tally.verdict != Verdict.HELD:
            rejected += tally.n if tally.verdict == Verdict.APPLIED else 0
            gaps.update(dict.fromkeys(tally.missing, tally.n))
    for status, n in gaps.most_common(1):
        if n >= ENOUGH and n * 2 > rejected:
            yield Hint(
                source,
                status,
                n,
                f"{n} of its {rejected} newest rejections lack an event for {status}: subscribe to"
                " that event at the sender, or leave the status out of `observes` in routes.yaml",
            )


def _unobserved_statuses(
    source: str, observes: Set[Status], tallies: Sequence[Tally]
) -> Iterable[Hint]:
    seen: Counter[str] = Counter()
    for tally in tallies:
        if tally.status is not None and tally.verdict != Verdict.QUARANTINED:
            seen[tally.status] += tally.n
    for status, n in seen.items():
        if status not in observes:
            yield Hint(
                source,
                status,
                n,
                f"{n} of its newest events announce {status}, which `observes` leaves out: add it"
                " there in routes.yaml",
            )
