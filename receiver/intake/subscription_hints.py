"""Hints about sources: signs in the newest events of a wrong subscription or clock. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from receiver.events import Status, Verdict
from receiver.lifecycle import Ordering
from receiver.store.records import Delays, Tally
from receiver.times import SECOND, span

# Fewer rejections over a gap, or fewer times, are an accident and no sign of anything.
ENOUGH = 5
# Clocks that differ by less are in order. A difference must last. Many events may show sooner that
# a clock is ahead, but not that it is behind, because after an outage many come late.
SKEW = 60 * SECOND
LASTING, MANY = 5 * 60 * SECOND, 1_000


@dataclass(frozen=True, slots=True)
class Hint:
    """A source that looks wrong, with the advice, and the status if it is about one."""

    source: str
    status: str | None
    events: int
    text: str


def hints(
    orderings: Mapping[str, Ordering], tallies: Sequence[Tally], delays: Sequence[Delays]
) -> list[Hint]:
    """Return the hints about each configured source, from its newest events."""
    return [
        hint
        for source, ordering in orderings.items()
        for hint in (
            *_source_hints(source, ordering, [t for t in tallies if t.source == source]),
            *_clock_hints([d for d in delays if d.source == source]),
        )
    ]


def skew(delays: Delays) -> int:
    """Return how far a source's clock seems ahead of ours (nanoseconds; behind: negative).

    It is 0 if the clocks agree or too little is known. No event comes before it happens, so the
    middle one shows a clock that is ahead. Events may come late for other reasons, so only the
    promptest one shows a clock that is behind.
    """
    lasts = delays.n >= ENOUGH and delays.within >= LASTING
    if delays.median < -SKEW and (lasts or delays.n >= MANY):
        return -delays.median
    return -delays.least if delays.least > SKEW and lasts else 0


def _clock_hints(delays: Iterable[Delays]) -> Iterable[Hint]:
    for measured in delays:
        ahead = skew(measured)
        if ahead > 0:
            text = (
                f"the times of its {measured.n} newest events lie {span(ahead)} ahead of ours: set"
                " its clock, or that of this machine"
            )
        elif ahead < 0:
            text = (
                f"each of its {measured.n} newest events came {span(-ahead)} or more after its"
                " time: set its clock or that of this machine, or find what delays its webhooks"
            )
        else:
            continue
        yield Hint(measured.source, None, measured.n, text)


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
