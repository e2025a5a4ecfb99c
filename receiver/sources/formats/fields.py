"""Fields of a body, read strictly where they identify an event and liberally where they do not."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any

from receiver.errors import MalformedEnvelope
from receiver.events import Status
from receiver.times import parse_time

MAX_ID = 200


MAX_TEXT = 2_000


STATUSES = {status.value: status for status in Status}


# What people are told of a payload; `result` only if it is small.
_DETAIL = ("reason", "outcome", "reasoning", "question", "os_error", "paused_by", "result")


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
