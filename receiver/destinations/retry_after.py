"""Retry after: the wait that an answer asks for, in a header, by name in its body, or in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_LONGEST_WAIT = 999_999.0
_DEEPEST = 4
# `retryDelay` is that of google.rpc.RetryInfo: "38.5s".
_WAIT_MEMBERS = {
    "retryafter": 1.0, "retryafterms": 0.001, "retryafterseconds": 1.0, "retrydelay": 1.0,
}  # fmt: skip
_WAIT_WORDS = re.compile(
    r"\b(?:wait|retry|try again)\D{0,20}([0-9]{1,6}(?:\.[0-9]+)?) ?"
    r"(s|m|h)(?:ec|in|our|econd|inute)?s?\b",
    re.IGNORECASE,
)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
# Of headers with a reset, each is seconds from now or a time: a huge number (Unix, in seconds or,
# if it is huger, in milliseconds) or a date (ISO 8601).
_RESETS = (
    "X-RateLimit-Reset-After", "RateLimit-Reset", "X-RateLimit-Reset", "X-Rate-Limit-Reset",
    "x-ogw-ratelimit-reset", "x-sib-ratelimit-reset", "X-Limit-App-Reset",
    "X-RateLimit-Period-In-Sec",
)  # fmt: skip
_A_TIME = 1_000_000_000
_IN_MILLISECONDS = 100_000_000_000


def seconds_to_wait(value: str, now: float) -> float | None:
    """Return the seconds from `now` (Unix seconds) that `Retry-After` asks for; None if unclear."""
    text = value.strip()
    if re.fullmatch(r"[0-9]+", text, re.ASCII):
        return min(float(text[:20]), _LONGEST_WAIT)
    try:
        then = parsedate_to_datetime(text)
        # HTTP dates are always GMT, even without a zone.
        wait = (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - now
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return min(max(wait, 0.0), _LONGEST_WAIT)


def wanted(answer: Any, words: str, headers: Mapping[str, str] | None, now: float) -> float | None:
    """Return the seconds that an answer asks to wait; None if it does not.

    `headers` is None if the answer does not say that it is too early: then words and headers mean
    something else.
    """
    found = _within(answer) if headers is None else _all(answer, words, headers, now)
    seconds = next(iter(found), None)
    return None if seconds is None else min(max(seconds, 0.0), _LONGEST_WAIT)


def plain(name: object) -> str:
    """Return a member's name without case and signs."""
    return re.sub(r"[\W_]", "", str(name)).lower()


def _all(answer: Any, words: str, headers: Mapping[str, str], now: float) -> Iterator[float]:
    """Yield the waits that an answer asks for, the best known first."""
    yield from _within(answer)
    resets = (_reset(headers[name], now) for name in _RESETS if name in headers)
    yield from (seconds for seconds in resets if seconds is not None)
    if (match := _WAIT_WORDS.search(words)) is not None:
        yield float(match[1]) * _UNITS[match[2].lower()]


def _within(value: Any, depth: int = 0) -> Iterator[float]:
    """Yield the waits that stand in an answer by name."""
    if depth >= _DEEPEST:
        return
    if isinstance(value, list):
        for item in value:
            yield from _within(item, depth + 1)
    if isinstance(value, Mapping):
        for name, item in value.items():
            factor = _WAIT_MEMBERS.get(plain(name))
            if factor and (seconds := _amount(item)) is not None:
                yield seconds * factor
            yield from _within(item, depth + 1)


def _amount(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]+)?)s?", str(value), re.ASCII)
    return float(match[1]) if match else None


def _reset(value: str, now: float) -> float | None:
    """Return the seconds until a reset; None if its form is unknown."""
    seconds = _amount(value.strip())
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
