"""Learning: the events that follow from what a provider says of an execution. Pure.

* What the provider dates is dated so; else an end is dated by its own time, and any other status by
  the time of the answer.
* A change that is stored stays as it is, although its webhook and the provider may date it a little
  differently.
* What cannot follow on the stored status is left out, unless a way leads there through others: the
  provider is right, and updates are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from receiver.events import Category, Event, Execution, Status
from receiver.lifecycle import MAX_EVENT_AGE, SAME_TIME, moves
from receiver.sources.answers import Answer, StatusChange
from receiver.sources.formats.registry import Api
from receiver.times import SECOND

# A held event is asked about this long (nanoseconds) before it is given up, or at half its time.
LEAD = 10 * SECOND


def needs_changes(answer: Answer, execution: Execution | None) -> bool:
    """Return whether the provider has to be asked how the execution came there.

    Where a person is needed, it may have come there a second time.
    """
    if answer.status is None:
        return False
    category = answer.status.category
    if execution is None:
        return category is not Category.PROCESSING
    waits = category in (Category.PAUSED, Category.AWAITING)
    return answer.status is not execution.status or waits


def learnt(
    source: str,
    api: Api,
    answer: Answer,
    changes: Sequence[StatusChange],
    execution: Execution | None,
    at: int,
) -> list[Event]:
    """Return the events that bring an execution to where the provider says it stands.

    `execution` is the stored one (None: nobody has told us of it), `changes` are those that the
    provider lists, earliest first; `at` is when it was asked (nanoseconds).
    """
    if answer.status is None:
        return []
    if execution is None:
        present = _present(answer, answer.status, changes, at)
        # What is so old is not news, and no webhook of it would be taken.
        return [api.event(source, answer, present)] if at - present.at <= MAX_EVENT_AGE else []
    if execution.status.category is Category.TERMINAL:
        return []
    missed = _missed(answer, answer.status, changes, execution, at)
    events = []
    previous = execution.status
    for change in _possible(missed, execution):
        events.append(api.event(source, answer, change, previous))
        previous = change.status
    return events


def _present(
    answer: Answer, status: Status, changes: Sequence[StatusChange], at: int
) -> StatusChange:
    """Return the change into the present status."""
    if changes and changes[-1].status is status:
        return changes[-1]
    if status.category is Category.TERMINAL and answer.ended_at is not None:
        return StatusChange(answer.ended_at, status)
    return StatusChange(at, status)


def _missed(
    answer: Answer,
    status: Status,
    changes: Sequence[StatusChange],
    execution: Execution,
    at: int,
) -> Iterator[StatusChange]:
    """Yield the changes after the stored one, the present status last."""
    stored = [number for number, change in enumerate(changes) if _is_stored(change, execution)]
    if stored:
        # Two stays in a status may be short: the stored one is the nearest in time.
        nearest = min(stored, key=lambda number: abs(changes[number].at - execution.since))
        following = list(changes[nearest:])
        if following[0].status is execution.status:
            del following[0]
    else:
        following = [change for change in changes if change.at > execution.mark]
    yield from following
    if not following and _is_old(status, changes, execution):
        return
    last = following[-1].status if following else execution.status
    if last is not status:
        yield _present(answer, status, (), max(at, following[-1].at if following else at))


def _is_old(status: Status, changes: Sequence[StatusChange], execution: Execution) -> bool:
    """Return whether the provider says where the execution stood before the last webhook."""
    if status.category is Category.TERMINAL or not changes:
        return False
    return changes[-1].status is status and changes[-1].at < execution.mark


def _is_stored(change: StatusChange, execution: Execution) -> bool:
    """Return whether a change is the one that the execution stands at."""
    kinds = (Status.PAUSED, Status.PAUSED_BY_AGENT) if execution.assumed else ()
    is_same = change.status is execution.status or change.status in kinds
    return is_same and abs(change.at - execution.since) <= SAME_TIME


def _possible(missed: Iterator[StatusChange], execution: Execution) -> Iterator[StatusChange]:
    """Leave out what is no change, and what no way leads to.

    The kind of a pause that was assumed is no move: it is told at the time that is known already.
    """
    status, mark, assumed = execution.status, execution.mark, execution.assumed
    table = moves()
    for change in missed:
        if assumed and status is Status.PAUSED and change.status is Status.PAUSED_BY_AGENT:
            yield StatusChange(max(change.at, mark), change.status, change.detail)
        elif change.status is status or not table.is_reachable(
            status, change.status, assumed=assumed
        ):
            continue
        else:
            yield change
        status, assumed = change.status, False
