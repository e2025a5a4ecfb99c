"""Times: instants and durations, in the forms of the program, of senders and of people.

An instant is an integer: nanoseconds since 1970-01-01T00:00:00Z, so that two instants compare to
the nanosecond whatever zone or precision the sender wrote. It fits 64 bits: an instant outside the
years 1678 to 2261 is taken as the nearest one inside, far beyond what any rule tells apart.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

SECOND = 1_000_000_000
EARLIEST = -(2**63)
LATEST = 2**63 - 1
# The units of durations in settings, in seconds.
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST = 3_650 * UNITS["d"]


def duration(value: object) -> float:
    """Return the seconds of `90s`, `15m`, `2h`, `1d`; ValueError for anything else."""
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", str(value), re.ASCII)
    if match is None or int(match[1]) == 0:
        raise ValueError("must be a duration like 90s, 15m, 2h or 1d")
    seconds = int(match[1]) * UNITS[match[2]]
    if seconds > LONGEST:
        raise ValueError("must be a duration of at most 3650d")
    return float(seconds)


# RFC 3339, section 5.6. The offset is required: a time without one is no instant.
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,40}))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))",
    re.ASCII,
)


def parse_time(text: str) -> int:
    """Return the instant of an RFC 3339 timestamp in nanoseconds; further digits are cut off.

    ValueError if it is no timestamp. A leap second counts as the second after it.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 timestamp with an offset")
    minute, second, fraction, sign, hours, minutes = match.groups()
    if second > "60":
        raise ValueError("not a second")
    offset = 0
    if sign:
        if hours > "23" or minutes > "59":
            raise ValueError("not an offset")
        offset = (int(hours) * 3600 + int(minutes) * 60) * (-1 if sign == "-" else 1)
    seconds = _start_of_minute(minute)
    if seconds is None:
        return EARLIEST
    nanoseconds = int(fraction[:9].ljust(9, "0")) if fraction else 0
    return min(max((seconds + int(second) - offset) * SECOND + nanoseconds, EARLIEST), LATEST)


@lru_cache(maxsize=1024)  # nearly all times are from this minute or the last ones
def _start_of_minute(text: str) -> int | None:
    """Return the Unix seconds at which "2026-01-15T10:30" begins; None for the year 0."""
    year, month, day, hour, minute = map(int, re.split("[^0-9]", text))
    # Year 0 is in RFC 3339 but not in datetime: it stands for "long before anything".
    if year == 0:
        datetime(4, month, day, hour, minute)  # still has to be a date
        return None
    whole = datetime(year, month, day, hour, minute, tzinfo=UTC)
    return (whole - datetime(1970, 1, 1, tzinfo=UTC)) // _ONE_SECOND


_ONE_SECOND = datetime(1970, 1, 1, 0, 0, 1) - datetime(1970, 1, 1)


def format_time(instant: int) -> str:
    """Write an instant as RFC 3339 in UTC, with only as many fractional digits as it needs."""
    seconds, nanoseconds = divmod(instant, SECOND)
    # Built by hand because strftime does not pad years and timedelta is not needed for UTC.
    whole = datetime(1970, 1, 1) + _ONE_SECOND * seconds
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return f"{whole.isoformat(timespec='seconds')}{fraction}Z"


def span(nanoseconds: int) -> str:
    """Write a duration for people: 40 s, 12 min, 3 h 5 min, 2 d 4 h."""
    seconds = max(nanoseconds, 0) // SECOND
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    hours = seconds // 3600
    days = seconds // 86_400
    if hours == 0:
        return f"{minutes} min"
    if days == 0:
        return f"{hours} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    return f"{days} d" + (f" {hours % 24} h" if hours % 24 else "")


def ago(instant: int, now: int) -> str:
    """Write the distance of an instant from now for people: 12 min ago, in 40 s, now."""
    distance = instant - now
    if abs(distance) < SECOND:
        return "now"
    return f"in {span(distance)}" if distance > 0 else f"{span(-distance)} ago"
