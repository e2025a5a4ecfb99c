"""The words and frozen values that flow from a webhook to the history.

Times are integers: nanoseconds since 1970-01-01T00:00:00Z, so that two instants compare to the
nanosecond whatever zone or precision the sender wrote. They fit 64 bits: an instant outside the
years 1678 to 2261 is taken as the nearest one inside, far beyond what any rule tells apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

SECOND = 1_000_000_000
EARLIEST, LATEST = -(2**63), 2**63 - 1


class Category(StrEnum):
    """The group of a status."""

    PROCESSING = "processing"
    PAUSED = "paused"
    AWAITING = "awaiting"
    TERMINAL = "terminal"


class Status(StrEnum):
    """Where an execution stands (source: the provider's page "Execution Statuses")."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    PAUSED_BY_AGENT = "paused_by_agent"
    AWAITING_CONFIRMATION = "awaiting_confirmation"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def category(self) -> Category:
        return CATEGORIES[self]


CATEGORIES = {
    Status.STARTING: Category.PROCESSING,
    Status.RUNNING: Category.PROCESSING,
    Status.PAUSED: Category.PAUSED,
    Status.PAUSED_BY_AGENT: Category.PAUSED,
    Status.AWAITING_CONFIRMATION: Category.AWAITING,
    Status.COMPLETED: Category.TERMINAL,
    Status.FAILED: Category.TERMINAL,
    Status.CANCELLED: Category.TERMINAL,
}


class Verdict(StrEnum):
    """What the receiver decided about an event."""

    APPLIED = "applied"
    HELD = "held"
    DUPLICATE = "duplicate"
    STALE = "stale"
    REJECTED = "rejected"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Event:
    """What a trusted webhook says. Everything in it but `source` is the sender's text.

    `status` is None for an event that announces none; `unknown_status` then holds a status that
    no lifecycle knows. `execution_id` and `occurred_at` are None only where no status is announced.
    `detail` is the provider's reason, outcome, question …; `flags` may hold `assumed`.
    """

    source: str
    event_id: str
    event: str
    status: Status | None
    execution_id: str | None
    occurred_at: int | None
    agent_id: str | None = None
    agent_name: str | None = None
    execution_url: str | None = None
    metadata: Mapping[str, Any] | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    unknown_status: str | None = None
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Execution:
    """The stored truth about one execution after `version` applied events.

    `since` is when the present status began, `mark` the time up to which we know; both are the
    sender's times. `first_seen` is the receiver's.
    """

    source: str
    execution_id: str
    status: Status
    since: int
    mark: int
    version: int
    first_seen: int
    agent_id: str | None = None
    agent_name: str | None = None
    execution_url: str | None = None
    metadata: Mapping[str, Any] | None = None
    gap: bool = False
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reason; `flags` are those of the event, judged.

    `missing` are the statuses one of which a held event waits for.
    """

    verdict: Verdict
    reason: str
    flags: frozenset[str] = frozenset()
    missing: tuple[Status, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A stored event that waits for its predecessors (held), or waited in vain (rejected: gap).

    The event's flags are those it was judged with. `until` is when it is given up.
    """

    event: Event
    received_at: int
    verdict: Verdict
    missing: tuple[Status, ...]
    until: int | None


# RFC 3339, section 5.6. The offset is required: without one it is no instant.
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,40}))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))",
    re.ASCII,
)


def parse_time(text: str) -> int:
    """The instant of an RFC 3339 timestamp in nanoseconds (further digits are cut off).

    ValueError if it is none. A leap second counts as the second after it.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError("not an RFC 3339 timestamp with an offset")
    minute, second, fraction, sign, hours, minutes = found.groups()
    if second > "60":
        raise ValueError("not a second")
    offset = 0
    if sign:
        if hours > "23" or minutes > "59":
            raise ValueError("not an offset")
        offset = (int(hours) * 3600 + int(minutes) * 60) * (-1 if sign == "-" else 1)
    seconds = _minute(minute)
    if seconds is None:
        return EARLIEST
    nanoseconds = int(fraction[:9].ljust(9, "0")) if fraction else 0
    return min(max((seconds + int(second) - offset) * SECOND + nanoseconds, EARLIEST), LATEST)


@lru_cache(maxsize=1024)  # nearly all are of this minute or the last ones
def _minute(text: str) -> int | None:
    """The Unix seconds of the start of a minute, "2026-01-15T10:30"; None for the year 0."""
    year, month, day, hour, minute = map(int, re.split("[^0-9]", text))
    # Year 0 is in RFC 3339 but not in datetime: it stands for "long before anything".
    if year == 0:
        datetime(4, month, day, hour, minute)  # still has to be a date
        return None
    whole = datetime(year, month, day, hour, minute, tzinfo=UTC)
    return (whole - datetime(1970, 1, 1, tzinfo=UTC)) // _ONE_SECOND


_ONE_SECOND = datetime(1970, 1, 1, 0, 0, 1) - datetime(1970, 1, 1)


def format_time(instant: int) -> str:
    """RFC 3339 in UTC, with only as many fractional digits as it needs."""
    seconds, nanoseconds = divmod(instant, SECOND)
    # Built by hand because strftime does not pad years and timedelta is not needed for UTC.
    whole = datetime(1970, 1, 1) + _ONE_SECOND * seconds
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return f"{whole.isoformat(timespec='seconds')}{fraction}Z"


def span(nanoseconds: int) -> str:
    """A length of time as people say it: 40 s, 12 min, 3 h 5 min, 2 d 4 h."""
    seconds = max(nanoseconds, 0) // SECOND
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if hours == 0:
        return f"{minutes} min"
    if days == 0:
        return f"{hours} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    return f"{days} d" + (f" {hours % 24} h" if hours % 24 else "")
