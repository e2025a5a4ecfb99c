"""Lifecycle: the moves that an execution may make, and the verdict about an event. Pure.

The table is the union of the provider's text and diagram ("Execution Statuses"). A move that is
not in it is illegal; there is no other list of exceptions.

An event is judged by the first rule of `RULES` that fits it. A held event is judged again, by the
rules from `older` on, whenever its execution or its mark moves: see `intake.held`.

The webhook of an event that was learnt by asking the provider (`polled`) may still come, with a
time of its own: it is then the same change.

A source may be subscribed to some statuses only (`observes`). The table is then contracted over
the others: from one observed status an execution may go to another if a path leads there through
unobserved ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from receiver.events import Category, Event, Execution, Judgement, Status, Verdict
from receiver.times import SECOND

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.STARTING: frozenset({Status.RUNNING, Status.FAILED, Status.CANCELLED, Status.COMPLETED}),
    Status.RUNNING: frozenset(
        {
            Status.PAUSED,
            Status.PAUSED_BY_AGENT,
            Status.CANCELLED,
            Status.AWAITING_CONFIRMATION,
            Status.COMPLETED,
            Status.FAILED,
        }
    ),
    Status.PAUSED: frozenset({Status.CANCELLED, Status.RUNNING}),
    Status.PAUSED_BY_AGENT: frozenset({Status.CANCELLED, Status.RUNNING, Status.FAILED}),
    Status.AWAITING_CONFIRMATION: frozenset(
        {Status.COMPLETED, Status.CANCELLED, Status.FAILED, Status.RUNNING}
    ),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}

FUTURE = 5 * 60 * SECOND
LATE = 5 * 60 * SECOND
MAX_EVENT_AGE = 14 * 24 * 3600 * SECOND
# The most by which a provider's answer and its webhook may date the same change differently.
SAME_TIME = 5 * SECOND
POLLED = "polled"
# Only a broken sender would cause more held events of one execution.
MAX_HELD = 100

# Every verdict with its reason, and the rule in words for people, in the order in which rules are
# asked. The first two are about webhooks that could not be read; those after the blank line are
# about events that were held.
RULES: Mapping[tuple[Verdict, str], str] = {
    (Verdict.QUARANTINED, "malformed"): "it cannot be read",
    (Verdict.QUARANTINED, "no_envelope"): (
        "it is no event: it says neither of which execution nor when"
    ),
    (Verdict.QUARANTINED, "unknown_status"): "it announces a status that no lifecycle knows",
    (Verdict.QUARANTINED, "future"): "it says it happened more than 5 min in the future",
    (Verdict.DUPLICATE, "event_id"): "an event with this id is stored: the first wins",
    (Verdict.DUPLICATE, "same_change"): (
        "the same event with the same status and time is stored under another id, or was learnt by"
        " asking before"
    ),
    (Verdict.IGNORED, "not_a_status"): "it is known to announce no status",
    (Verdict.IGNORED, "unknown_event"): "it announces no status that is known",
    (Verdict.STALE, "too_old"): "it happened more than 14 days ago",
    (Verdict.APPLIED, "first_seen"): "it is the first about its execution",
    (Verdict.STALE, "older"): (
        "it happened before the time up to which the execution is known, and does not end it"
    ),
    # After the end the legal order does not matter.
    (Verdict.STALE, "tie"): (
        "it has the same time as the last one, and only makes sense before it"
    ),
    # Only of a processing or terminal status: a second pause or wait is another change.
    (Verdict.DUPLICATE, "same_status"): "the execution stands there already",
    (Verdict.REJECTED, "terminal"): "the execution has ended, and that never changes",
    (Verdict.APPLIED, "transition"): "the lifecycle allows this move",
    (Verdict.HELD, "gap"): "a status in between has not been seen yet: it waits for that",
    (Verdict.REJECTED, "illegal"): "the lifecycle allows no way to this status",

    (Verdict.APPLIED, "healed"): "it was held, and now the lifecycle allows this move",
    (Verdict.APPLIED, "gap"): (
        "what should have come before it did not come in time, and it counts because `gaps` is"
        " `apply`, or because the provider's API said it"
    ),
    (Verdict.REJECTED, "gap"): "a status in between did not come in time, or too many events wait",
}  # fmt: skip


class Known(StrEnum):
    """A part of an event that the store already has."""

    EVENT_ID = "event_id"
    SAME_CHANGE = "same_change"


@dataclass(frozen=True, slots=True)
class Ordering:
    """The way in which a source's events are put in order.

    `observes` are the subscribed statuses (None: all of them). `gaps` decides about a held event
    whose predecessor does not come within `gap_timeout` (nanoseconds).
    """

    observes: frozenset[Status] | None = None
    gaps: str = "reject"
    gap_timeout: int = 30 * SECOND


class Moves:
    """The table in force for a source that observes these statuses.

    A pause of unknown kind (`assumed`) has the moves of both kinds.
    """

    def __init__(self, observes: frozenset[Status] | None) -> None:
        unobserved = frozenset(Status) - (frozenset(Status) if observes is None else observes)
        self._legal: dict[tuple[Status, bool], frozenset[Status]] = {}
        self._reachable: dict[tuple[Status, bool], frozenset[Status]] = {}
        for status in Status:
            for assumed in (False, True):
                first = TRANSITIONS[status]
                if assumed and status.category is Category.PAUSED:
                    first = first | TRANSITIONS[Status.PAUSED] | TRANSITIONS[Status.PAUSED_BY_AGENT]
                # An unobserved status that is announced after all has its published moves.
                contracted = _through(first, unobserved) - unobserved
                self._legal[status, assumed] = first | contracted
                self._reachable[status, assumed] = _through(first, frozenset(Status))

    def is_legal(self, before: Status, after: Status, *, assumed: bool = False) -> bool:
        """Return whether an execution may go from one status to the other in one step."""
        return after in self._legal[before, assumed]

    def is_reachable(self, before: Status, after: Status, *, assumed: bool = False) -> bool:
        """Return whether an execution may get there at all, in any number of steps."""
        return after in self._reachable[before, assumed]

    def missing(self, before: Status, after: Status) -> tuple[Status, ...]:
        """Return the possible statuses in between, if a single one is enough."""
        return tuple(
            status
            for status in Status
            if self.is_legal(before, status) and self.is_legal(status, after)
        )

    def targets(self, before: Status) -> list[Status]:
        """Return the statuses to which an execution may go from here, in the order of `Status`."""
        return [status for status in Status if self.is_legal(before, status)]


def _through(first: frozenset[Status], passable: frozenset[Status]) -> frozenset[Status]:
    """Return all statuses reachable from the first steps on, through passable statuses only."""
    reached = frozenset(first)
    edge = first
    while edge:
        edge = frozenset(t for s in edge & passable for t in TRANSITIONS[s]) - reached
        reached |= edge
    return reached


@lru_cache(maxsize=256)
def moves(observes: frozenset[Status] | None = None) -> Moves:
    """Return the table in force, made once for each set of observed statuses."""
    return Moves(observes)


def judge(
    event: Event,
    execution: Execution | None,
    known: Known | None,
    now: int,
    observes: frozenset[Status] | None = None,
) -> Judgement:
    """Judge an event against the stored execution (None: no event was applied yet).

    `now` is the time of receipt in nanoseconds.
    """
    unfit = _before_the_execution(event, known, now)
    if unfit is not None:
        return Judgement(*unfit, event.flags)
    assert event.occurred_at is not None
    flags = event.flags | {"late"} if now - event.occurred_at > LATE else event.flags
    if execution is None:
        return Judgement(Verdict.APPLIED, "first_seen", flags)
    return _against(execution, event, flags, moves(observes))


def judge_again(
    event: Event, execution: Execution, observes: frozenset[Status] | None = None
) -> Judgement:
    """Judge a held event again, now that its execution has moved."""
    judgement = _against(execution, event, event.flags, moves(observes))
    if judgement.verdict is not Verdict.APPLIED:
        return judgement
    return Judgement(Verdict.APPLIED, "healed", judgement.flags | {"healed"})


def _before_the_execution(
    event: Event, known: Known | None, now: int
) -> tuple[Verdict, str] | None:
    """Apply the rules that need no execution, in order; return None if none fits."""
    if event.unknown_status is not None:
        return Verdict.QUARANTINED, "unknown_status"
    if event.occurred_at is not None and event.occurred_at > now + FUTURE:
        return Verdict.QUARANTINED, "future"
    if known is not None:
        return Verdict.DUPLICATE, known.value
    if event.status is None or event.occurred_at is None:
        return Verdict.IGNORED, "not_a_status" if event.is_known_without_status else "unknown_event"
    if event.occurred_at < now - MAX_EVENT_AGE:
        return Verdict.STALE, "too_old"
    return None


def _against(execution: Execution, event: Event, flags: frozenset[str], table: Moves) -> Judgement:
    """Apply the rules that need an execution to an event that announces a status."""
    status = event.status
    standing = execution.status
    assert status is not None
    assert event.occurred_at is not None
    has_ended = standing.category is Category.TERMINAL
    if _was_asked_for(execution, event):
        return Judgement(Verdict.DUPLICATE, Known.SAME_CHANGE.value, flags)
    uncertain = event.occurred_at < execution.mark
    # Nothing comes after an end: if one seems older, a clock is wrong, and the end counts.
    if uncertain and (has_ended or status.category is not Category.TERMINAL):
        return Judgement(Verdict.STALE, "older", flags)
    fits = table.is_legal(standing, status, assumed=execution.assumed)
    fits = fits or _tells_the_pause(execution, event)
    if event.occurred_at == execution.mark:
        swapped = table.is_legal(status, standing, assumed="assumed" in event.flags)
        if has_ended or (swapped and not fits):
            return Judgement(Verdict.STALE, "tie", flags)
        uncertain = swapped
    if status is standing and standing.category in (Category.PROCESSING, Category.TERMINAL):
        return Judgement(Verdict.DUPLICATE, "same_status", flags)
    if has_ended:
        return Judgement(Verdict.REJECTED, "terminal", flags)
    either = flags | {"order_uncertain"} if uncertain else flags
    if fits:
        return Judgement(Verdict.APPLIED, "transition", either)
    if table.is_reachable(standing, status, assumed=execution.assumed):
        if POLLED in flags:  # the provider says so: there is nothing to wait for
            return Judgement(Verdict.APPLIED, "gap", either | {"gap"})
        return Judgement(Verdict.HELD, "gap", either, table.missing(standing, status))
    return Judgement(Verdict.REJECTED, "illegal", flags)


def _was_asked_for(execution: Execution, event: Event) -> bool:
    """Return whether the event is the webhook of the change that was learnt by asking."""
    is_webhook = execution.polled and POLLED not in event.flags
    apart = abs((event.occurred_at or 0) - execution.since)
    return is_webhook and event.status is execution.status and apart <= SAME_TIME


def _tells_the_pause(execution: Execution, event: Event) -> bool:
    """Return whether the provider was asked of which kind a pause is, and it is the agent's."""
    is_guess = execution.assumed and execution.status is Status.PAUSED
    return is_guess and event.status is Status.PAUSED_BY_AGENT and POLLED in event.flags


def moves_mark(judgement: Judgement, status: Status) -> bool:
    """Return whether a repetition confirms the status up to its own time.

    Only that of a processing status does: else a late pause from in between would win.
    """
    return judgement.reason == "same_status" and status.category is Category.PROCESSING


def advance(before: Execution | None, event: Event, received_at: int) -> Execution:
    """Return the execution after an applied event. Fields that the event lacks stay unchanged."""
    assert event.execution_id is not None
    assert event.status is not None
    assert event.occurred_at is not None
    return Execution(
        source=event.source,
        execution_id=event.execution_id,
        status=event.status,
        since=event.occurred_at,
        mark=max(event.occurred_at, before.mark if before else event.occurred_at),
        version=before.version + 1 if before else 1,
        first_seen=before.first_seen if before else received_at,
        agent_id=event.agent_id or (before.agent_id if before else None),
        agent_name=event.agent_name or (before.agent_name if before else None),
        execution_url=event.execution_url or (before.execution_url if before else None),
        metadata=event.metadata or (before.metadata if before else None),
        gap=before.gap if before else False,
        assumed="assumed" in event.flags,
        polled=POLLED in event.flags,
    )
