"""Local time: instants as the clocks of the team show them, and how long ago they were. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from receiver.times import SECOND, span

# The words of no locale: every machine writes the same.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_JUST_NOW = 5 * SECOND
# Clocks of two machines may differ by a little, which tells nobody anything.
_AHEAD = 60 * SECOND


def full_time(instant: int | None, zone: tzinfo = UTC) -> str:
    """Write an instant with date, seconds and zone; an empty text for None."""
    if instant is None:
        return ""
    moment = _moment(instant, zone)
    day = f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d}"
    return f"{day} {moment:%H:%M:%S} {_zone_name(moment)}"


def clock_time(instant: int, now: int, zone: tzinfo = UTC) -> str:
    """Write the time on the clock, like `10:02 CET`, with its day if that is not today."""
    moment = _moment(instant, zone)
    today = _moment(now, zone)
    clock = f"{moment:%H:%M} {_zone_name(moment)}"
    if moment.date() == today.date():
        return clock
    year = "" if moment.year == today.year else f" {moment.year}"
    return f"{moment.day} {_MONTHS[moment.month - 1]}{year} {clock}"


def time_and_age(instant: int, now: int, zone: tzinfo = UTC) -> str:
    """Write the time on the clock and how long ago it was, like `10:02 CET, 3 min ago`."""
    return f"{clock_time(instant, now, zone)}, {age(instant, now)}"


def age(instant: int, now: int) -> str:
    """Write how long ago an instant was."""
    if instant > now + _AHEAD:
        return f"{span(instant - now)} ahead of now"
    return f"{span(now - instant)} ago" if now - instant >= _JUST_NOW else "just now"


def _moment(instant: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(instant // SECOND, zone)


def _zone_name(moment: datetime) -> str:
    """Return a name like CET; a zone without one has its distance from UTC."""
    name = moment.tzname() or "UTC"
    return f"UTC{name}" if name[:1] in "+-" else name
