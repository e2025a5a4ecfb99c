"""Contexts: the facts of a message, from a judged event."""

from __future__ import annotations

from receiver.deliveries import MessageContext
from receiver.events import Event, Execution, Judgement, Status


def message_context(
    source: str,
    judgement: Judgement,
    received_at: int,
    event: Event | None,
    execution: Execution | None,
    previous: tuple[Status, int] | None,
) -> MessageContext:
    """Build the context of a message about a judged event: the one place for sending and `explain`.

    `execution` is the present one; it fills in fields that the event lacks. `previous` is the
    status that an applied event ended, with its start (nanoseconds), which is left out if it seems
    to lie after the end.
    """
    if event is None:
        return MessageContext(source, judgement.verdict, judgement.reason, received_at)
    since = previous[1] if previous else None
    if since is not None and event.occurred_at is not None and event.occurred_at < since:
        since = None
    return MessageContext(
        source=source,
        verdict=judgement.verdict,
        verdict_reason=judgement.reason,
        received_at=received_at,
        event_id=event.event_id,
        event=event.event,
        status=event.status,
        occurred_at=event.occurred_at,
        execution_id=event.execution_id,
        execution_status=execution.status if execution else None,
        previous_status=previous[0] if previous else None,
        previous_since=since,
        agent_id=event.agent_id or (execution.agent_id if execution else None),
        agent_name=event.agent_name or (execution.agent_name if execution else None),
        execution_url=event.execution_url or (execution.execution_url if execution else None),
        metadata=event.metadata or (execution.metadata if execution else None) or {},
        detail=event.detail,
        flags=judgement.flags,
        missing=judgement.missing,
        gap=execution.gap if execution else False,
    )
