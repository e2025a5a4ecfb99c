"""Forms: how the values of routes.yaml are written, and what they become."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from receiver.config.problems import near, shown
from receiver.events import Status
from receiver.routing.quiet_hours import DAYS, MIDNIGHT
from receiver.times import UNITS


def as_text(value: object) -> object:
    """Return the text of a number or of a truth value, which JSON writes without quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


def rate_of(value: object) -> float:
    """Return the number a second of `30/m`."""
    match = re.fullmatch(r"([0-9]{1,6})/([smhd])", str(value), re.ASCII)
    if match is None or int(match[1]) == 0:
        raise ValueError("must be a rate like 1/s, 30/m or 5/h")
    return int(match[1]) / UNITS[match[2]]


def minutes_of_clock(value: object) -> int:
    """Return the minutes since midnight of `22:30`; 24:00 is the end of the day."""
    match = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00", str(value), re.ASCII)
    if match is None:
        raise ValueError('must be a time of day like "22:30"')
    return int(match[1]) * 60 + int(match[2]) if match[1] else MIDNIGHT


def days_of(value: object) -> object:
    """Return the days of a list, of one day or of `all`."""
    return list(DAYS) if value == "all" else listed(value)


def zone_of(value: object) -> ZoneInfo:
    """Return the time zone of a name like Europe/Berlin."""
    try:
        return ZoneInfo(str(value))
    except (ValueError, OSError, ZoneInfoNotFoundError):
        # The name of a folder raises an OSError, a name outside the folder a ValueError.
        pass
    raise ValueError(f"there is no time zone {str(value)[:60]!r}: write it like Europe/Berlin")


def listed(value: object) -> object:
    """Make a list of a value that may be written without one."""
    return value if isinstance(value, list) else [value]


def observed_statuses(value: object) -> object:
    """Return the statuses to which a source is subscribed; None for all of them."""
    if value in ("all", ["all"]):
        return None
    words = [str(word) for word in value] if isinstance(value, list) else [str(value)]
    statuses = [status.value for status in Status]
    for word in words:
        if word not in statuses:
            raise ValueError(f"there is no status {shown(word)}{near(word, ['all', *statuses])}")
    if not words:
        raise ValueError("name the statuses whose events are sent, or all")
    return frozenset(map(Status, words))


def true_is_any(value: object) -> object:
    """Read `true` as the pattern that fits everything."""
    return "*" if value is True or value in ("true", "True", "TRUE") else value


def filled_in(value: object) -> object:
    """Refuse a key without a value, which YAML reads as null."""
    if value is None:
        raise ValueError("says nothing: fill it in, or leave it out")
    return value


def url_alone(value: object) -> object:
    """Read a plain text as a destination's URL."""
    return {"url": value} if isinstance(value, str) else value
