"""Asteroid: the provider's webhook, version 2, and the only file that knows its names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from receiver.errors import MalformedEnvelope
from receiver.events import Event, Status, Verdict
from receiver.sources.formats.fields import (
    cut,
    read_detail,
    read_id,
    read_metadata,
    read_optional_text,
    read_text,
    read_time,
    read_time_or_none,
)
from receiver.times import format_time

STARTED = "EXECUTION_STARTED"
RESUMED = "EXECUTION_RESUMED"
PAUSED = "EXECUTION_PAUSED"
AWAITING_CONFIRMATION = "EXECUTION_AWAITING_CONFIRMATION"
COMPLETED = "EXECUTION_COMPLETED"
FAILED = "EXECUTION_FAILED"
CANCELLED = "EXECUTION_CANCELLED"
# The status that an event announces by its name (V2). The payload shows the kind of a pause.
EVENT_STATUS = {
    STARTED: Status.RUNNING,
    RESUMED: Status.RUNNING,
    PAUSED: Status.PAUSED,
    AWAITING_CONFIRMATION: Status.AWAITING_CONFIRMATION,
    COMPLETED: Status.COMPLETED,
    FAILED: Status.FAILED,
    CANCELLED: Status.CANCELLED,
}
# The names of events without a status. Events with unknown names are kept, too.
WITHOUT_STATUS = frozenset(
    {"EXECUTION_ACTION_STARTED", "EXECUTION_ACTION_COMPLETED", "EXECUTION_ACTION_FAILED"}
)
# What an event of each known name may announce, and the verdict about one of another name.
ANNOUNCES: Mapping[str, Sequence[Status]] = {
    **{name: (status,) for name, status in EVENT_STATUS.items()},
    PAUSED: (Status.PAUSED, Status.PAUSED_BY_AGENT),
    **dict.fromkeys(sorted(WITHOUT_STATUS), ()),
}
UNKNOWN: Verdict = Verdict.IGNORED
# The members of the payload that an event may have, as far as `sample` writes them.
DETAILS: Mapping[str, Sequence[str]] = {
    PAUSED: ("reason", "question", "paused_by"),
    AWAITING_CONFIRMATION: ("reason",),
    COMPLETED: ("outcome",),
    FAILED: ("reason",),
    CANCELLED: ("reason",),
}
_WORDS_WITHOUT_STATUS = ("STEP", "WORKFLOW", "FILE", "MESSAGE", "BATCH")


def read(source: str, content: Any, message_id: str | None) -> Event | None:
    """Read a webhook V2. Without `event_id` and `info` it is an unwrapped result: None."""
    if not isinstance(content, dict) or not ("event_id" in content or "info" in content):
        return None
    event_id = read_id(content, "event_id")
    kind = cut(read_text(content, "type"))
    if kind != "execution":
        return Event(
            source=source,
            event_id=event_id,
            event=kind,
            status=None,
            execution_id=None,
            occurred_at=read_time_or_none(content, "timestamp"),
            is_known_without_status=is_without_status(kind),
        )
    info = content.get("info")
    if not isinstance(info, dict):
        raise MalformedEnvelope("info must be an object.")
    name = read_text(info, "event", "info.")
    payload = info.get("payload")
    payload = payload if isinstance(payload, dict) else {}
    status, flags = _announced_status(name, payload)
    # Events without a status come in unknown shapes: they are kept even if fields are missing.
    needed = status is not None or "execution_id" in info
    execution_id = read_id(info, "execution_id", "info.") if needed else None
    read_timestamp = read_time if status else read_time_or_none
    return Event(
        source=source,
        event_id=event_id,
        event=cut(name),
        status=status,
        execution_id=execution_id,
        occurred_at=read_timestamp(content, "timestamp"),
        # The provider is renaming agents to workflows.
        agent_id=read_optional_text(info, "agent_id") or read_optional_text(info, "workflow_id"),
        agent_name=read_optional_text(info, "agent_name")
        or read_optional_text(info, "workflow_name"),
        execution_url=read_optional_text(info, "execution_url"),
        metadata=read_metadata(info),
        detail=read_detail(payload),
        flags=flags,
        is_known_without_status=status is None and is_without_status(cut(name)),
    )


def sample(
    event: str,
    execution_id: str,
    *,
    event_id: str,
    occurred_at: int,
    details: Mapping[str, Any] | None = None,
    reason: str | None = None,
    payload: Mapping[str, Any] | None = None,
    agent_id: str = "agent-1",
    agent_name: str = "Invoice agent",
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the content of a test webhook in the provider's form.

    `event` is one of the names above, `occurred_at` is nanoseconds, `reason` and `details` go into
    `payload`.
    """
    info = {
        "event": event,
        "execution_id": execution_id,
        "execution_url": f"https://platform.asteroid.ai/executions/{execution_id}",
        "agent_id": agent_id,
        "agent_name": agent_name,
        "payload": {
            **({"reason": reason} if reason else {}),
            **(details or {}),
            **(payload or {}),
        },
        **({"metadata": dict(metadata)} if metadata else {}),
    }
    return {
        "type": "execution",
        "event_id": event_id,
        "timestamp": format_time(occurred_at),
        "info": info,
    }


def is_without_status(name: str) -> bool:
    """Return whether the provider is known to send this name without a change of status."""
    return name in WITHOUT_STATUS or any(word in name.split("_") for word in _WORDS_WITHOUT_STATUS)


def _announced_status(
    name: str, payload: Mapping[str, Any]
) -> tuple[Status | None, frozenset[str]]:
    """Return the status that an event announces, and its flags. Both pauses have the same event.

    Only the agent asks a question. Without a sign of its kind, a pause is assumed to be the user's,
    and the lifecycle then allows the moves of both kinds.
    """
    status = EVENT_STATUS.get(name)
    if status is not Status.PAUSED:
        return status, frozenset()
    paused_by = payload.get("paused_by")
    if payload.get("question") or paused_by == "agent":
        return Status.PAUSED_BY_AGENT, frozenset()
    return Status.PAUSED, frozenset() if paused_by == "user" else frozenset({"assumed"})
