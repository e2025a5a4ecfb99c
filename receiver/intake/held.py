"""Held events: judged again when their execution moves, expired when it does not.

Whenever an execution or its mark moves, its held events are judged again in the order of their
times (equal times: of receipt). So are events rejected for a gap, because the missing event can
still heal them. After its `gap_timeout` an event is rejected, or applied over the gap if its source
has `gaps: apply`. Pure: the functions change the loaded state in place.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import replace

from receiver.events import Event, Execution, Held, Judgement, Verdict
from receiver.lifecycle import MAX_HELD, Ordering, advance, judge_again, moves_mark
from receiver.store.records import ExecutionKey, JudgedWebhook, Loaded


def hold(event: Event, judgement: Judgement, now: int, ordering: Ordering) -> Held:
    """Return the event as held from now (nanoseconds) on, or as rejected at once."""
    until = now + ordering.gap_timeout if judgement.verdict is Verdict.HELD else None
    waiting = replace(event, flags=judgement.flags)
    return Held(waiting, now, judgement.verdict, judgement.missing, until)


def bounded(judgement: Judgement, loaded: Loaded, key: ExecutionKey) -> Judgement:
    """Reject an event instead of holding it if its execution has too many held events already."""
    if judgement.verdict is Verdict.HELD and (
        sum(held.verdict is Verdict.HELD for held in loaded.held.get(key, ())) >= MAX_HELD
    ):
        return replace(judgement, verdict=Verdict.REJECTED)
    return judgement


def remember(held: Held, loaded: Loaded, key: ExecutionKey) -> None:
    """Add a held event for the rest of the batch, in the order of times and of receipt."""
    insort(loaded.held.setdefault(key, []), held, key=_occurred_at)


def rejudge_held(
    loaded: Loaded, key: ExecutionKey, now: int, ordering: Ordering
) -> Iterator[JudgedWebhook]:
    """Judge an execution's held events again, earliest first, until nothing changes."""
    waiting = loaded.held.get(key, [])
    number = 0
    while number < len(waiting):
        held, before = waiting[number], loaded.executions[key]
        judgement = judge_again(held.event, before, ordering.observes)
        if not _decides(judgement, held):
            number += 1
            continue
        del waiting[number]
        entry = judged_again(held, judgement, before, now)
        if (moved := entry.after or entry.moved) is not None:
            loaded.executions[key] = moved
            number = 0  # earlier events that were not applied are overtaken now
        yield entry


def expire(held: Held, loaded: Loaded, now: int, ordering: Ordering) -> Iterator[JudgedWebhook]:
    """End the wait of a held event; yield the settled entries, none if it was settled before."""
    key = (held.event.source, held.event.execution_id or "")
    # The rules may have changed since it was held.
    yield from rejudge_held(loaded, key, now, ordering)
    while (position := _position(held, loaded, key)) is not None:
        waiting, before = loaded.held[key], loaded.executions[key]
        if ordering.gaps != "apply":
            waiting[position] = replace(held, verdict=Verdict.REJECTED, until=None)
            still = judge_again(held.event, before, ordering.observes)
            yield judged_again(held, replace(still, verdict=Verdict.REJECTED), before, now)
            return
        first = next(n for n, other in enumerate(waiting) if other.verdict is Verdict.HELD)
        earliest = waiting.pop(first)
        still = judge_again(earliest.event, before, ordering.observes)
        judgement = replace(still, verdict=Verdict.APPLIED, flags=still.flags | {"gap"})
        entry = judged_again(earliest, judgement, before, now)
        assert entry.after is not None
        loaded.executions[key] = entry.after
        yield entry
        yield from rejudge_held(loaded, key, now, ordering)


def judged_again(held: Held, judgement: Judgement, before: Execution, now: int) -> JudgedWebhook:
    """Return the entry of a stored event with its new verdict."""
    event = replace(held.event, flags=judgement.flags)
    entry = JudgedWebhook(event.source, event, judgement, now, b"", before=before, again=True)
    if judgement.verdict is Verdict.APPLIED:
        after = advance(before, held.event, now)
        return replace(entry, after=replace(after, gap=before.gap or judgement.reason == "gap"))
    if moves_mark(judgement, before.status):
        assert event.occurred_at is not None
        return replace(entry, moved=replace(before, mark=event.occurred_at))
    return entry


def _decides(judgement: Judgement, held: Held) -> bool:
    """Return whether a new judgement changes the verdict. A rejected event can only be healed."""
    if held.verdict is Verdict.HELD:
        return judgement.verdict is not Verdict.HELD
    return judgement.verdict is Verdict.APPLIED


def _position(held: Held, loaded: Loaded, key: ExecutionKey) -> int | None:
    """Return the index of an event among the held ones of its execution; None: it is settled."""
    for number, other in enumerate(loaded.held.get(key, ())):
        if other.event.event_id == held.event.event_id and other.verdict is Verdict.HELD:
            return number
    return None


def _occurred_at(held: Held) -> int:
    return held.event.occurred_at or 0
