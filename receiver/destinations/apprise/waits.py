"""Waits: the seconds that a service asks for, in a header, in a member or in words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_LONGEST = 999_999.0
_DEEPEST = 4
# `retryDelay` is that of google.rpc.RetryInfo: "38.5s".
_MEMBERS = {
    "retryafter": 1.0, "retryafterms": 0.001, "retryafterseconds": 1.0, "retrydelay": 1.0,
}  # fmt: skip
_ASKS = re.compile(r"\b(?:wait|retry|try again)\D{0,20}(?=[0-9])", re.IGNORECASE)
# One part of a length of time: “6m45.5s” has two.
_PART = re.compile(
    r"([0-9]{1,6}(?:\.[0-9]+)?) ?"
    r"(ms|msecs?|millis|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)"
    r"(?![a-z])(?:,? (?:and )?(?=[0-9]))?",
    re.IGNORECASE,
)
_MILLISECONDS = ("ms", "mil")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
# Of headers with a reset, each is seconds from now or a time: a huge number (Unix, in seconds or,
# if it is huger, in milliseconds) or a date (ISO 8601).
_RESETS = (
    "X-RateLimit-Reset-After", "RateLimit-Reset", "X-RateLimit-Reset", "X-Rate-Limit-Reset",
    "x-ogw-ratelimit-reset", "x-sib-ratelimit-reset", "X-Limit-App-Reset",
    "X-RateLimit-Period-In-Sec",
)  # fmt: skip
_A_TIME = 1_000_000_000
_IN_MILLISECONDS = 100_000_000_000


def retry_after(value: str, now: float) -> float | None:
    """Return the seconds from `now` (Unix seconds) that `Retry-After` asks for; None if unclear."""
    text = value.strip()
    if re.fullmatch(r"[0-9]+", text, re.ASCII):
        return bounded(float(text[:20]))
    if (seconds := _seconds(text)) is not None:
        return bounded(seconds)
    try:
        then = parsedate_to_datetime(text)
        # HTTP dates are always GMT, even without a zone.
        return bounded((then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - now)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def bounded(seconds: float) -> float:
    """Return the seconds as somebody can wait."""
    return min(max(seconds, 0.0), _LONGEST)


def asked_for(answer: Any, words: str, headers: Mapping[str, str], now: float) -> Iterator[float]:
    """Yield the waits that an answer asks for, the best known first."""
    yield from named(answer)
    resets = (_reset(headers[name], now) for name in _RESETS if name in headers)
    yield from (seconds for seconds in resets if seconds is not None)
    for asks in _ASKS.finditer(words):
        seconds, end = _length(words, asks.end())
        if end > asks.end():
            yield seconds


def named(value: Any, depth: int = 0) -> Iterator[float]:
    """Yield the waits that stand in an answer by name."""
    if depth >= _DEEPEST:
        return
    if isinstance(value, list):
        for item in value:
            yield from named(item, depth + 1)
    if isinstance(value, Mapping):
        for name, item in value.items():
            factor = _MEMBERS.get(re.sub(r"[\W_]", "", str(name)).lower())
            if factor and (seconds := _seconds(item, factor)) is not None:
                yield seconds
            yield from named(item, depth + 1)


def _seconds(value: Any, factor: float = 1.0) -> float | None:
    """Return a length of time; `factor` is the unit of a number that has none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = str(value).strip()
    if re.fullmatch(r"[0-9]{1,15}(?:\.[0-9]+)?", text, re.ASCII):
        return float(text) * factor
    seconds, end = _length(text)
    return seconds if text and end == len(text) else None


def _length(text: str, start: int = 0) -> tuple[float, int]:
    """Return the length of time that begins there, and where it ends."""
    seconds = 0.0
    while (part := _PART.match(text, start)) is not None:
        unit = part[2].lower()
        seconds += float(part[1]) * (0.001 if unit.startswith(_MILLISECONDS) else _UNITS[unit[0]])
        start = part.end()
    return seconds, start


def _reset(value: str, now: float) -> float | None:
    """Return the seconds until a reset; None if its form is unknown."""
    seconds = _seconds(value)
    if seconds is None:
        return _until(value.strip(), now)
    if seconds >= _IN_MILLISECONDS:
        return seconds / 1000 - now
    return seconds - now if seconds >= _A_TIME else seconds


def _until(date: str, now: float) -> float | None:
    try:
        then = datetime.fromisoformat(date)
        return (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None
