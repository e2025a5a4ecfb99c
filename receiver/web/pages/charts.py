"""Charts: what happened in the last day, and how long people were waited for. Pure.

They give places and words; a template draws them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from receiver.store.records import Happened, Waited
from receiver.times import SECOND, span
from receiver.web.pages.words import counted

HOUR, DAY = 3600 * SECOND, 86_400 * SECOND
HOURS, DAYS = 24, 7
WIDTH, HEIGHT = 480, 130
_LEFT, _TOP, _BOTTOM = 4, 18, 18
# Of the lowest bar that is not nothing.
_LEAST = 2.0
SORTS = {"counted": "counted", "failed": "of these, failed", "other": "did not count"}


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart: its place, and the sort that gives it its colour."""

    x: float
    y: float
    width: float
    height: float
    sort: str


@dataclass(frozen=True, slots=True)
class Label:
    """A word below a chart."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table that says the same as the chart."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its table. `top` says what its full height stands for."""

    bars: tuple[Bar, ...]
    labels: tuple[Label, ...]
    rows: tuple[Row, ...]
    columns: tuple[str, ...]
    top: str
    summary: str
    width: int = WIDTH
    height: int = HEIGHT


def day_begins(now: int, zone: tzinfo, days_ago: int = 0) -> int:
    """Return when a day of the people began (nanoseconds)."""
    today = datetime.fromtimestamp(now // SECOND, zone).replace(hour=0, minute=0, second=0)
    return int(today.timestamp()) * SECOND - days_ago * DAY


def hours_begin(now: int) -> int:
    """Return the beginning of the first of the last 24 hours (nanoseconds)."""
    return now // HOUR * HOUR - (HOURS - 1) * HOUR


def last_day(happened: Sequence[Happened], since: int, zone: tzinfo = UTC) -> Chart:
    """Draw the events of 24 hours, an hour a bar."""
    counts = [dict.fromkeys(SORTS, 0) for _ in range(HOURS)]
    for each in happened:
        if 0 <= each.part < HOURS:
            counts[each.part][_sort(each)] += each.n
    most = max((sum(hour.values()) for hour in counts), default=0)
    names = [_hour(since + n * HOUR, zone) for n in range(HOURS)]
    total = {sort: sum(hour[sort] for hour in counts) for sort in SORTS}
    counted_words = (
        f"{counted(total['counted'] + total['failed'], 'update')} counted,"
        f" {counted(total['failed'], 'failure')} among them; {total['other']:,} did not count"
    )
    return Chart(
        bars=tuple(bar for n, hour in enumerate(counts) for bar in _stack(n, HOURS, hour, most)),
        labels=_labels(names, 6),
        rows=tuple(
            Row(name, tuple(f"{hour[sort]:,}" for sort in SORTS))
            for name, hour in zip(names, counts, strict=True)
            if any(hour.values())
        ),
        columns=("Hour", "counted", "failed", "did not count"),
        top=f"{most:,} an hour" if most else "",
        summary=counted_words if most else "no update came",
    )


def waits(waited: Sequence[Waited], since: int, zone: tzinfo = UTC) -> Chart:
    """Draw how long people were waited for, a day two bars: the median and the longest wait."""
    by_day = {each.part: each for each in waited if 0 <= each.part < DAYS}
    longest = max((each.longest for each in by_day.values()), default=0)
    names = [_day(since + n * DAY, zone) for n in range(DAYS)]
    bars = []
    for n, each in by_day.items():
        slot = (WIDTH - _LEFT) / DAYS
        for place, (length, sort) in enumerate([(each.median, "counted"), (each.longest, "other")]):
            height = _height(length, longest)
            x = _LEFT + n * slot + place * slot * 0.4 + slot * 0.05
            bars.append(Bar(round(x, 1), _y(height), round(slot * 0.36, 1), height, sort))
    n = sum(each.n for each in by_day.values())
    return Chart(
        bars=tuple(bars),
        labels=_labels(names, 1),
        rows=tuple(
            Row(names[n], (str(each.n), span(each.median), span(each.longest)))
            for n, each in sorted(by_day.items())
        ),
        columns=("Day", "answered", "median", "longest"),
        top=span(longest) if longest else "",
        summary=f"{counted(n, 'confirmation')} {'was' if n == 1 else 'were'} answered;"
        f" the longest wait was {span(longest)}"
        if n
        else "no confirmation was answered",
    )


def _sort(each: Happened) -> str:
    if each.verdict != "applied":
        return "other"
    return "failed" if each.status == "failed" else "counted"


def _stack(n: int, parts: int, counts: dict[str, int], most: int) -> list[Bar]:
    slot = (WIDTH - _LEFT) / parts
    bars: list[Bar] = []
    floor = float(HEIGHT - _BOTTOM)
    for sort, count in counts.items():
        if count:
            height = _height(count, most)
            floor = round(floor - height, 1)
            bars.append(Bar(round(_LEFT + n * slot, 1), floor, round(slot - 3, 1), height, sort))
    return bars


def _height(value: int, most: int) -> float:
    return round(max(value / most * (HEIGHT - _TOP - _BOTTOM), _LEAST), 1) if most else 0.0


def _y(height: float) -> float:
    return round(HEIGHT - _BOTTOM - height, 1)


def _labels(names: Sequence[str], every: int) -> tuple[Label, ...]:
    slot = (WIDTH - _LEFT) / len(names)
    return tuple(
        Label(round(_LEFT + n * slot, 1), name) for n, name in enumerate(names) if n % every == 0
    )


def _hour(instant: int, zone: tzinfo) -> str:
    return f"{datetime.fromtimestamp(instant // SECOND, zone):%H:%M}"


def _day(instant: int, zone: tzinfo) -> str:
    moment = datetime.fromtimestamp(instant // SECOND, zone)
    return f"{('Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun')[moment.weekday()]} {moment.day}"
