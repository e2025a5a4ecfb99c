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
# The members of a payload that messages show; `result` only if it is small.
_DETAIL = ("reason", "outcome", "reasoning", "question", "os_error", "paused_by", "result")


def read_id(content: Mapping[str, Any], name: str, path: str = "") -> str:
    """Return a required id, else MalformedEnvelope. `path` is for the error, such as `info.`."""
    value = read_text(content, name, path)
    if not value.strip() or len(value) > MAX_ID:
        raise MalformedEnvelope(f"{path}{name} must have 1 to {MAX_ID} characters.")
    # An id with control characters, line separators or lone surrogates cannot be shown.
    if not value.isprintable() and any(
        unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs") for character in value
    ):
        raise MalformedEnvelope(f"{path}{name} holds characters that are no text.")
    return value


def read_text(content: Mapping[str, Any], name: str, path: str = "") -> str:
    """Return a required text; MalformedEnvelope if it is missing or not a text."""
    value = content.get(name)
    if not isinstance(value, str):
        problem = "is missing" if name not in content else "must be a string"
        raise MalformedEnvelope(f"{path}{name} {problem}.")
    return value


def read_time(content: Mapping[str, Any], name: str) -> int:
    """Return a required time in nanoseconds; MalformedEnvelope if it is missing or not a time."""
    try:
        return parse_time(read_text(content, name))
    except ValueError:
        raise MalformedEnvelope(
            f"{name} must be an RFC 3339 time with an offset, like 2026-01-15T10:30:00Z."
        ) from None


def read_time_or_none(content: Mapping[str, Any], name: str) -> int | None:
    """Return a time in nanoseconds; None if it is missing or not a time."""
    try:
        return read_time(content, name)
    except MalformedEnvelope:
        return None


def read_optional_text(content: Mapping[str, Any], name: str) -> str | None:
    """Return a text, cut; None if it is missing, empty or not a text."""
    value = content.get(name)
    return cut(value) if isinstance(value, str) and value else None


def read_metadata(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return `metadata` if it is an object."""
    metadata = content.get("metadata")
    return metadata if isinstance(metadata, dict) else None


def read_detail(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a payload that messages show, their texts cut."""
    detail = {name: payload[name] for name in _DETAIL if payload.get(name) is not None}
    for name, value in list(detail.items()):
        if isinstance(value, str):
            detail[name] = cut(value)
        elif name == "result" and len(json.dumps(value)) > MAX_TEXT:
            del detail[name]
    return detail


def cut(text: str) -> str:
    """Return at most MAX_TEXT characters, without lone surrogates, which no database stores."""
    if text.isascii():
        return text[:MAX_TEXT]
    return text[:MAX_TEXT].encode("utf-8", "replace").decode("utf-8")
