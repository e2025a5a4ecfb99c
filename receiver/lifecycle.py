"""Which moves an execution may make, and the verdict about an event. Pure: no clock, no store.

The table is the union of the provider's text and diagram ("Execution Statuses"). A move that is
not in it is illegal; there is no other list of exceptions.

An event is judged by the first of these rules that fits it:

    announces a status that no lifecycle knows              quarantined (unknown_status)
    happened more than 5 min in the future                  quarantined (future)
    has a stored event id                                   duplicate (event_id)
    same execution, status and time as a stored one         duplicate (same_change)
    announces no status                                     ignored (not_a_status, unknown_event)
    is older than `max_event_age`                           stale (too_old)
    is the first about its execution                        applied (first_seen)
    is older than the mark                                  stale (older)
    repeats a processing or terminal status                 duplicate (same_status)
    comes after a terminal status                           rejected (terminal)
    is a legal transition                                   applied (transition)
    anything else                                           rejected (illegal)
"""

from __future__ import annotations

from enum import StrEnum

from receiver.events import SECOND, Category, Event, Execution, Judgement, Status, Verdict

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

# Names of the provider's events that announce no status. Any other unknown name is kept too.
NOT_A_STATUS = frozenset(
    {"EXECUTION_ACTION_STARTED", "EXECUTION_ACTION_COMPLETED", "EXECUTION_ACTION_FAILED"}
)
_NOT_A_STATUS_WORDS = ("STEP", "WORKFLOW", "FILE", "MESSAGE", "BATCH")


class Known(StrEnum):
    """What the store already has of an event."""

    EVENT_ID = "event_id"
    SAME_CHANGE = "same_change"


def is_legal(execution: Execution, status: Status) -> bool:
    """Whether the execution may move to the status.

    A pause of unknown kind (`assumed`) may go wherever either pause may go.
    """
    if status in TRANSITIONS[execution.status]:
        return True
    return (
        execution.assumed
        and execution.status.category is Category.PAUSED
        and status in TRANSITIONS[Status.PAUSED_BY_AGENT]
    )


def judge(event: Event, execution: Execution | None, known: Known | None, now: int) -> Judgement:
    """The verdict about an event against the stored execution (None: nothing applied to it yet).

    `now` is the time of receipt in nanoseconds.
    """
    unfit = _before_the_execution(event, known, now)
    if unfit is not None:
        return Judgement(*unfit, event.flags)
    assert event.status is not None
    assert event.occurred_at is not None
    verdict, reason = _against(execution, event.status, event.occurred_at)
    late = now - event.occurred_at > LATE
    return Judgement(verdict, reason, event.flags | ({"late"} if late else frozenset()))


def _before_the_execution(
    event: Event, known: Known | None, now: int
) -> tuple[Verdict, str] | None:
    """The rules that need no execution, in their order."""
    if event.unknown_status is not None:
        return Verdict.QUARANTINED, "unknown_status"
    if event.occurred_at is not None and event.occurred_at > now + FUTURE:
        return Verdict.QUARANTINED, "future"
    if known is not None:
        return Verdict.DUPLICATE, known.value
    if event.status is None or event.occurred_at is None:
        return Verdict.IGNORED, "not_a_status" if is_not_a_status(event.event) else "unknown_event"
    if event.occurred_at < now - MAX_EVENT_AGE:
        return Verdict.STALE, "too_old"
    return None


def _against(execution: Execution | None, status: Status, occurred_at: int) -> tuple[Verdict, str]:
    """The rules about a status and a time against the stored execution."""
    if execution is None:
        return Verdict.APPLIED, "first_seen"
    if occurred_at < execution.mark:
        return Verdict.STALE, "older"
    standing = execution.status
    if status is standing and standing.category in (Category.PROCESSING, Category.TERMINAL):
        return Verdict.DUPLICATE, "same_status"
    if standing.category is Category.TERMINAL:
        return Verdict.REJECTED, "terminal"
    if is_legal(execution, status):
        return Verdict.APPLIED, "transition"
    return Verdict.REJECTED, "illegal"


def moves_mark(judgement: Judgement, status: Status) -> bool:
    """Whether a repetition confirms the status up to its own time.

    Only a processing one does: otherwise a late pause from in between would win.
    """
    return judgement.reason == "same_status" and status.category is Category.PROCESSING


def is_not_a_status(event: str) -> bool:
    """Whether the provider is known to send this name without a change of status."""
    return event in NOT_A_STATUS or any(word in event.split("_") for word in _NOT_A_STATUS_WORDS)


def mermaid() -> str:
    """The table as a Mermaid state diagram (the README's drawing)."""
    lines = ["stateDiagram-v2", "    [*] --> starting"]
    for source, targets in TRANSITIONS.items():
        lines += [f"    {source} --> {target}" for target in Status if target in targets]
        if not targets:
            lines.append(f"    {source} --> [*]")
    return "\n".join(lines)


def table() -> str:
    """The table as text, a status a line."""
    width = max(len(status) for status in Status)
    return "\n".join(
        f"{source:<{width}}  →  "
        + (", ".join(target for target in Status if target in targets) or "nothing: terminal")
        for source, targets in TRANSITIONS.items()
    )
