"""The plain format, for any other sender."""

from __future__ import annotations

from typing import Any

from receiver.events import Event
from receiver.sources.formats.fields import (
    STATUSES,
    _cut,
    _detail,
    _id,
    _metadata,
    _optional,
    _text,
    _time,
)


def plain(source: str, content: Any, message_id: str | None) -> Event | None:
    """Any other sender: `event_id, execution_id, status, occurred_at` and the optional fields."""
    if not isinstance(content, dict):
        return None
    if message_id is not None and "event_id" not in content:
        content = {**content, "event_id": message_id}
    if "event_id" not in content and "execution_id" not in content:
        return None
    text = _text(content, "status")
    status = STATUSES.get(text)
    return Event(
        source=source,
        event_id=_id(content, "event_id"),
        event=_cut(text),
        status=status,
        execution_id=_id(content, "execution_id"),
        occurred_at=_time(content, "occurred_at"),
        agent_id=_optional(content, "agent_id"),
        agent_name=_optional(content, "agent_name"),
        execution_url=_optional(content, "execution_url"),
        metadata=_metadata(content),
        detail=_detail(content),
        unknown_status=None if status else _cut(text),
    )
