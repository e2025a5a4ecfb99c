"""Plain: the format for any sender without a format of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from receiver.events import Event, Status, Verdict
from receiver.sources.formats.fields import (
    STATUSES,
    cut,
    read_detail,
    read_id,
    read_metadata,
    read_optional_text,
    read_text,
    read_time,
)
from receiver.times import format_time

# What an event of each known name may announce, and the verdict about one of another name.
ANNOUNCES: Mapping[str, Sequence[Status]] = {name: (status,) for name, status in STATUSES.items()}
UNKNOWN: Verdict = Verdict.QUARANTINED
# The optional fields that an event may have; the status says who paused.
DETAILS: Mapping[str, Sequence[str]] = {
    Status.PAUSED: ("reason",),
    Status.PAUSED_BY_AGENT: ("reason", "question"),
    Status.AWAITING_CONFIRMATION: ("reason",),
    Status.COMPLETED: ("outcome",),
    Status.FAILED: ("reason",),
    Status.CANCELLED: ("reason",),
}


def read(source: str, content: Any, message_id: str | None) -> Event | None:
    """Read `event_id, execution_id, status, occurred_at` and the optional fields.

    `message_id` replaces a missing `event_id`. Without both ids there is no envelope.
    """
    if not isinstance(content, dict):
        return None
    if message_id is not None and "event_id" not in content:
        content = {**content, "event_id": message_id}
    if "event_id" not in content and "execution_id" not in content:
        return None
    text = read_text(content, "status")
    status = STATUSES.get(text)
    return Event(
        source=source,
        event_id=read_id(content, "event_id"),
        event=cut(text),
        status=status,
        execution_id=read_id(content, "execution_id"),
        occurred_at=read_time(content, "occurred_at"),
        agent_id=read_optional_text(content, "agent_id"),
        agent_name=read_optional_text(content, "agent_name"),
        execution_url=read_optional_text(content, "execution_url"),
        metadata=read_metadata(content),
        detail=read_detail(content),
        unknown_status=None if status else cut(text),
    )


def sample(
    event: str,
    execution_id: str,
    *,
    event_id: str,
    occurred_at: int,
    details: Mapping[str, Any] | None = None,
    reason: str | None = None,
    agent_name: str = "",
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the content of a test webhook; `event` is a status, the time is nanoseconds."""
    return {
        "event_id": event_id,
        "execution_id": execution_id,
        "status": event,
        "occurred_at": format_time(occurred_at),
        **({"agent_name": agent_name} if agent_name else {}),
        **({"metadata": dict(metadata)} if metadata else {}),
        **({"reason": reason} if reason else {}),
        **(details or {}),
    }
