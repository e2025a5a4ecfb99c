"""Quiet hours: the windows in which a route or a destination is not told, and their ends. Pure.

A window is what clocks on the wall of its zone show, from `begin` to `end`; over midnight it
belongs to the day on which it begins. On the days on which clocks change it is one stretch: from
the first time they show `begin` to the last time before they leave `end` behind. Where they skip
`begin` or `end`, the moment at which they skip it counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from receiver.times import SECOND

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MIDNIGHT = 24 * 60
# The most adjoining windows that count as one.
_FOLLOWED = 60
_WEEKS = 53
_WEEK = 7 * 24 * 3600 * SECOND
_SOME_YEAR = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * SECOND


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A window on some days (0 is Monday). `begin` and `end` are minutes since midnight."""

    days: frozenset[int]
    begin: int
    end: int
    zone: ZoneInfo

    def __str__(self) -> str:
        every = len(self.days) == len(DAYS)
        days = "every day" if every else ", ".join(DAYS[day] for day in sorted(self.days))
        return f"{clock(self.begin)} to {clock(self.end)} {self.zone.key}, {days}"

    def until(self, instant: int) -> int | None:
        """Return the end of the window that holds the instant (nanoseconds); None without one."""
        seconds = instant // SECOND
        today = datetime.fromtimestamp(seconds, self.zone).date()
        for day in (today - timedelta(days=1), today):
            if day.weekday() not in self.days:
                continue
            ends_on = day if self.end > self.begin else day + timedelta(days=1)
            begin = _instant(day, self.begin, self.zone, last=False)
            end = _instant(ends_on, self.end, self.zone, last=True)
            if begin <= seconds < end:
                return end * SECOND
        return None


def until(windows: Sequence[QuietHours], instant: int) -> int | None:
    """Return the end of the quiet by all windows together; None if the instant is not quiet."""
    end = None
    for _ in range(_FOLLOWED):
        ends = [e for w in windows if (e := w.until(instant if end is None else end)) is not None]
        if not ends:
            return end
        end = max(ends)
    return end


def leave_no_time(windows: Sequence[QuietHours]) -> bool:
    """Return whether all windows together are always quiet, or for a week of the year.

    Windows of different zones fit together differently in summer and in winter. Any year will do.
    """
    weeks = (_SOME_YEAR + week * _WEEK for week in range(_WEEKS))
    return any((until(windows, instant) or instant) - instant >= _WEEK for instant in weeks)


def clock(minutes: int) -> str:
    """Write minutes since midnight as the time on a clock."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _instant(day: date, minutes: int, zone: ZoneInfo, *, last: bool) -> int:
    """Return the Unix seconds at which clocks in the zone show these minutes on that day.

    When clocks are set back they show them twice; `last` chooses the second time.
    """
    wall = datetime(day.year, day.month, day.day) + timedelta(minutes=minutes)
    first = int(wall.replace(tzinfo=zone, fold=0).timestamp())
    second = int(wall.replace(tzinfo=zone, fold=1).timestamp())
    if first <= second:  # shown once, or twice where clocks are set back
        return second if last else first
    # Skipped: the result is the moment of the change, which lies between the two.
    low = second
    high = first
    after = datetime.fromtimestamp(high, UTC).astimezone(zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, UTC).astimezone(zone).utcoffset() == after:
            high = middle
        else:
            low = middle
    return high
