"""From the body of an authentic webhook to an Event, one function per format.

What a sender may leave out or get wrong without making the event useless is read liberally: an
alert lost over a mistyped `metadata` would be worse. What identifies an event is read strictly.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from receiver.errors import MalformedBody, MalformedEnvelope
from receiver.events import Event, Status
from receiver.times import parse_time

MAX_DEPTH = 64
MAX_ID = 200
MAX_TEXT = 2_000
# Longer integers are not for arithmetic: Python refuses them, and so they stay text.
MAX_DIGITS = 4_000

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
STATUSES = {status.value: status for status in Status}
# What people are told of a payload; `result` only if it is small.
_DETAIL = ("reason", "outcome", "reasoning", "question", "os_error", "paused_by", "result")


def read(name: str, source: str, body: bytes, message_id: str | None = None) -> Event | None:
    """The event that a body of the format `name` says, or None if it has no envelope at all.

    `message_id` is the sender's id from the headers, for a body that has none. MalformedBody,
    MalformedEnvelope if it cannot be read; never another exception.
    """
    content = parse_json(body)
    return FORMATS[name](source, content, message_id)


def parse_json(body: bytes) -> Any:
    """JSON as every parser agrees on it: no duplicate members, NaN or more than 64 levels."""
    try:
        content = _DECODER.decode(body.decode("utf-8"))
    except RecursionError:
        raise MalformedBody("The JSON has more than 64 levels.") from None
    except ValueError as error:  # also UnicodeDecodeError and JSONDecodeError
        raise MalformedBody(_without_content(error)) from None
    # A body with fewer brackets than that cannot be deeper, and that is nearly every body.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_deeper(content, MAX_DEPTH):
        raise MalformedBody("The JSON has more than 64 levels.")
    return content


def asteroid(source: str, content: Any, message_id: str | None) -> Event | None:
    """Asteroid's webhook V2. Without `event_id` and `info` it is an unwrapped result: None."""
    if not isinstance(content, dict) or not ("event_id" in content or "info" in content):
        return None
    event_id = _id(content, "event_id")
    kind = _text(content, "type")
    if kind != "execution":
        return Event(source, event_id, _cut(kind), None, None, _time_if_any(content))
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


FORMATS: dict[str, Callable[[str, Any, str | None], Event | None]] = {
    "asteroid": asteroid,
    "plain": plain,
}


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


def _id(content: Mapping[str, Any], name: str, path: str = "") -> str:
    value = _text(content, name, path)
    if not value.strip() or len(value) > MAX_ID:
        raise MalformedEnvelope(f"{path}{name} must have 1 to {MAX_ID} characters.")
    # Control characters, line separators and lone surrogates make an id that cannot be shown.
    if not value.isprintable() and any(
        unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs") for character in value
    ):
        raise MalformedEnvelope(f"{path}{name} holds characters that are no text.")
    return value


def _text(content: Mapping[str, Any], name: str, path: str = "") -> str:
    value = content.get(name)
    if not isinstance(value, str):
        is_missing = "is missing" if name not in content else "must be a string"
        raise MalformedEnvelope(f"{path}{name} {is_missing}.")
    return value


def _time(content: Mapping[str, Any], name: str) -> int:
    try:
        return parse_time(_text(content, name))
    except ValueError:
        raise MalformedEnvelope(
            f"{name} must be an RFC 3339 time with an offset, like 2026-01-15T10:30:00Z."
        ) from None


def _time_if_any(content: Mapping[str, Any]) -> int | None:
    try:
        return _time(content, "timestamp")
    except MalformedEnvelope:
        return None


def _optional(content: Mapping[str, Any], name: str) -> str | None:
    value = content.get(name)
    return _cut(value) if isinstance(value, str) and value else None


def _cut(text: str) -> str:
    """At most MAX_TEXT characters, without the lone surrogates that no database takes."""
    if text.isascii():
        return text[:MAX_TEXT]
    return text[:MAX_TEXT].encode("utf-8", "replace").decode("utf-8")


def _metadata(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    metadata = content.get("metadata")
    return metadata if isinstance(metadata, dict) else None


def _detail(payload: Mapping[str, Any]) -> dict[str, Any]:
    detail = {name: payload[name] for name in _DETAIL if payload.get(name) is not None}
    for name, value in list(detail.items()):
        if isinstance(value, str):
            detail[name] = _cut(value)
        elif name == "result" and len(json.dumps(value)) > MAX_TEXT:
            del detail[name]
    return detail


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("duplicate member")
    return content


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= MAX_DIGITS else text


def _fraction(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text


def _no_constant(text: str) -> Any:
    raise ValueError("NaN and Infinity are not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_int=_integer,
    parse_float=_fraction,
    parse_constant=_no_constant,
)


def _without_content(error: ValueError) -> str:
    """Says what is wrong without a piece of the body: problems echo nothing of the request."""
    if isinstance(error, json.JSONDecodeError):
        return f"Not JSON at line {error.lineno}, column {error.colno}."
    if isinstance(error, UnicodeDecodeError):
        return f"Not UTF-8 at byte {error.start}."
    return f"Not JSON: {error}."


def _is_deeper(content: Any, levels: int) -> bool:
    """Whether objects and arrays are nested deeper than `levels`."""
    containers = [content] if isinstance(content, (dict, list)) else []
    for _ in range(levels):
        containers = [
            inner
            for container in containers
            for inner in (container.values() if isinstance(container, dict) else container)
            if isinstance(inner, (dict, list))
        ]
    return bool(containers)
