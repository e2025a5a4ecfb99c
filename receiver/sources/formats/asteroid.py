"""Asteroid's webhook, version 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from receiver.errors import MalformedEnvelope
from receiver.events import Event, Status
from receiver.sources.formats.fields import (
    _cut,
    _detail,
    _id,
    _metadata,
    _optional,
    _text,
    _time,
    _time_if_any,
)

# The provider's event names that announce a status (V2). A pause's kind is found in its payload.
ASTEROID_STATUS = {
    "EXECUTION_STARTED": Status.RUNNING,
    "EXECUTION_RESUMED": Status.RUNNING,
    "EXECUTION_PAUSED": Status.PAUSED,
    "EXECUTION_AWAITING_CONFIRMATION": Status.AWAITING_CONFIRMATION,
    "EXECUTION_COMPLETED": Status.COMPLETED,
    "EXECUTION_FAILED": Status.FAILED,
    "EXECUTION_CANCELLED": Status.CANCELLED,
}
# Its names that announce no status. Any other unknown name is kept too.
WITHOUT_STATUS = frozenset(
    {"EXECUTION_ACTION_STARTED", "EXECUTION_ACTION_COMPLETED", "EXECUTION_ACTION_FAILED"}
)
_WORDS_WITHOUT_STATUS = ("STEP", "WORKFLOW", "FILE", "MESSAGE", "BATCH")


def asteroid(source: str, content: Any, message_id: str | None) -> Event | None:
    """Asteroid's webhook V2. Without `event_id` and `info` it is an unwrapped result: None."""
    if not isinstance(content, dict) or not ("event_id" in content or "info" in content):
        return None
    event_id = _id(content, "event_id")
    kind = _text(content, "type")
    if kind != "execution":
        return Event(
            source=source,
            event_id=event_id,
            event=_cut(kind),
            status=None,
            execution_id=None,
            occurred_at=_time_if_any(content),
            is_known_without_status=is_without_status(_cut(kind)),
        )
    info = content.get("info")
    if not isinstance(info, dict):
        raise MalformedEnvelope("info must be an object.")
    name = _text(info, "event", "info.")
    payload = info.get("payload")
    payload = payload if isinstance(payload, dict) else {}
    status, flags = _asteroid_status(name, payload)
    # Names that announce no status come in shapes nobody has seen: kept, whatever they lack.
    needed = status is not None or "execution_id" in info
    return Event(
        source=source,
        event_id=event_id,
        event=_cut(name),
        status=status,
        execution_id=_id(info, "execution_id", "info.") if needed else None,
        occurred_at=_time(content, "timestamp") if status else _time_if_any(content),
        # Agents are being renamed to workflows at the provider.
        agent_id=_optional(info, "agent_id") or _optional(info, "workflow_id"),
        agent_name=_optional(info, "agent_name") or _optional(info, "workflow_name"),
        execution_url=_optional(info, "execution_url"),
        metadata=_metadata(info),
        detail=_detail(payload),
        flags=flags,
        is_known_without_status=status is None and is_without_status(_cut(name)),
    )


def is_without_status(name: str) -> bool:
    """Return whether the provider is known to send this name without a change of status."""
    return name in WITHOUT_STATUS or any(word in name.split("_") for word in _WORDS_WITHOUT_STATUS)


def _asteroid_status(name: str, payload: Mapping[str, Any]) -> tuple[Status | None, frozenset[str]]:
    """The status an event announces. One event stands for both pauses.

    Only the agent asks a question. Where nothing tells the kind, it is assumed to be the user's,
    and the lifecycle then lets it go wherever either pause may go.
    """
    status = ASTEROID_STATUS.get(name)
    if status is not Status.PAUSED:
        return status, frozenset()
    paused_by = payload.get("paused_by")
    if payload.get("question") or paused_by == "agent":
        return Status.PAUSED_BY_AGENT, frozenset()
    return Status.PAUSED, frozenset() if paused_by == "user" else frozenset({"assumed"})
