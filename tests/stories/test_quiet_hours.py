"""Quiet hours: their ends on all days of the year, and what becomes of what falls into them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.events import Status
from receiver.routing.quiet_hours import MIDNIGHT, QuietHours, until
from receiver.times import SECOND, format_time, parse_time
from tests.support.people import FAILED, GONE, HOUR, MINUTE, Walk

ALL = frozenset(range(7))
BERLIN, NEW_YORK, KOLKATA = map(ZoneInfo, ("Europe/Berlin", "America/New_York", "Asia/Kolkata"))


def night(zone: ZoneInfo, begin: int = 22 * 60, end: int = 7 * 60) -> QuietHours:
    return QuietHours(ALL, begin, end, zone)


def ends(quiet: QuietHours, at: str) -> str | None:
    end = quiet.until(parse_time(at))
    return None if end is None else format_time(end)


@pytest.mark.parametrize(
    ("zone", "at", "end"),
    [
        # In 2026 clocks change in Berlin on 29 March and 25 October, at 01:00 UTC.
        (BERLIN, "2026-03-28T21:00:00Z", "2026-03-29T05:00:00Z"),
        (BERLIN, "2026-03-28T20:59:59Z", None),
        (BERLIN, "2026-03-29T04:59:59Z", "2026-03-29T05:00:00Z"),
        (BERLIN, "2026-03-29T05:00:00Z", None),
        (BERLIN, "2026-03-29T20:00:00Z", "2026-03-30T05:00:00Z"),
        (BERLIN, "2026-10-24T20:00:00Z", "2026-10-25T06:00:00Z"),
        (BERLIN, "2026-10-25T00:30:00Z", "2026-10-25T06:00:00Z"),
        (BERLIN, "2026-10-25T01:30:00Z", "2026-10-25T06:00:00Z"),
        (BERLIN, "2026-10-25T06:00:00Z", None),
        # In New York on 8 March and 1 November, at 07:00 and 06:00 UTC.
        (NEW_YORK, "2026-03-08T03:00:00Z", "2026-03-08T11:00:00Z"),
        (NEW_YORK, "2026-03-08T02:59:59Z", None),
        (NEW_YORK, "2026-11-01T02:00:00Z", "2026-11-01T12:00:00Z"),
        (NEW_YORK, "2026-11-01T11:59:59Z", "2026-11-01T12:00:00Z"),
        # Never in Kolkata.
        (KOLKATA, "2026-03-28T16:30:00Z", "2026-03-29T01:30:00Z"),
        (KOLKATA, "2026-10-25T01:29:59Z", "2026-10-25T01:30:00Z"),
        (KOLKATA, "2026-10-25T01:30:00Z", None),
    ],
)  # fmt: skip
def test_a_night_ends_when_clocks_show_its_end(zone: ZoneInfo, at: str, end: str | None) -> None:
    assert ends(night(zone), at) == end


def test_ends_that_clocks_skip_or_show_twice() -> None:
    # 02:30 does not exist on 29 March: 03:00 follows 01:59. It comes twice on 25 October.
    half_past_two = night(BERLIN, end=150)
    assert ends(half_past_two, "2026-03-29T00:30:00Z") == "2026-03-29T01:00:00Z"
    assert ends(half_past_two, "2026-10-25T00:00:00Z") == "2026-10-25T01:30:00Z"
    # It is one stretch: quiet also when clocks show 02:40 for the first time.
    assert ends(half_past_two, "2026-10-25T00:40:00Z") == "2026-10-25T01:30:00Z"
    begins = night(BERLIN, begin=150)
    assert ends(begins, "2026-03-29T00:59:59Z") is None
    assert ends(begins, "2026-03-29T01:00:00Z") == "2026-03-29T05:00:00Z"
    assert ends(begins, "2026-10-25T00:30:00Z") == "2026-10-25T06:00:00Z"
    skipped = QuietHours(ALL, 130, 170, BERLIN)
    assert all(
        ends(skipped, f"2026-03-29T00:{minute}:00Z") is None for minute in ("00", "30", "59")
    )


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    friday = QuietHours(frozenset({4}), 22 * 60, 7 * 60, ZoneInfo("UTC"))  # 5 June 2026 is a Friday
    assert ends(friday, "2026-06-05T06:00:00Z") is None
    assert ends(friday, "2026-06-05T23:00:00Z") == "2026-06-06T07:00:00Z"
    assert ends(friday, "2026-06-06T06:59:59Z") == "2026-06-06T07:00:00Z"
    assert ends(friday, "2026-06-06T23:00:00Z") is None


def test_windows_that_adjoin_are_one() -> None:
    utc = ZoneInfo("UTC")
    weekend = QuietHours(frozenset({5, 6}), 0, MIDNIGHT, utc)
    nights = night(utc)
    end = until((weekend, nights), parse_time("2026-06-05T23:00:00Z"))
    assert end is not None
    assert format_time(end) == "2026-06-08T07:00:00Z"
    assert until((), parse_time("2026-06-05T23:00:00Z")) is None


@given(
    st.integers(1_767_225_600, 1_798_761_600),  # the seconds of 2026
    st.integers(0, MIDNIGHT - 1), st.integers(1, MIDNIGHT),
    st.sampled_from([BERLIN, NEW_YORK, KOLKATA, ZoneInfo("Australia/Lord_Howe")]),
    st.frozensets(st.integers(0, 6), min_size=1),
)  # fmt: skip
def test_quiet_ends_later_and_what_is_quiet_is_so_until_then(
    seconds: int, begin: int, end: int, zone: ZoneInfo, days: frozenset[int]
) -> None:
    if begin == end:
        return
    quiet = QuietHours(days, begin, end, zone)
    over = quiet.until(seconds * SECOND)
    shows = datetime.fromtimestamp(seconds, UTC).astimezone(zone)
    if over is None:
        # Apart from the hours that clocks show twice or skip, what the wall shows decides.
        minutes = shows.hour * 60 + shows.minute
        inside = begin <= minutes < end if begin < end else minutes >= begin or minutes < end
        day = shows.weekday() if begin < end or minutes >= begin else (shows.weekday() - 1) % 7
        assert not (inside and day in days) or _changes(shows)
        return
    assert over > seconds * SECOND
    assert over - seconds * SECOND <= 26 * HOUR
    middle = (seconds * SECOND + over) // 2
    assert quiet.until(middle) == over


def _changes(shows: datetime) -> bool:
    """Whether clocks change within a day of it."""
    return (shows - timedelta(days=1)).utcoffset() != (shows + timedelta(days=1)).utcoffset()


ROUTES = """\
destinations:
  ops:
    url: console://
    rate: 1000/s
    quiet: {from: "22:00", to: "07:00", tz: Europe/Berlin}
  pager: {url: console://, rate: 1000/s}
routes:
  - name: budget
    match: {status: failed, reason: budget_exceeded}
    notify: ops
    urgent: true
  - {name: failures, match: {status: failed}, notify: [ops, pager]}
  - name: confirmations
    match: {status: awaiting_confirmation}
    notify: ops
    remind: {every: 15m}
    resolved: true
  - name: pauses
    match: {status: paused_by_agent}
    notify: pager
    quiet: {from: "20:00", to: "06:30", tz: Europe/Berlin}
"""
EVENING = parse_time("2026-06-01T21:00:00Z")  # 23:00 in Berlin


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, ROUTES, now=EVENING)
    yield opened
    opened.store.close()


def test_the_night_goes_out_in_the_morning_as_one_digest_of_what_is_still_true(walk: Walk) -> None:
    for number in range(3):
        walk.comes(Status.AWAITING_CONFIRMATION, f"inv-{number}")
        walk.comes(Status.FAILED, f"f-{number}")
    assert {told.destination for told in walk.gets()} == {"pager"}
    walk.passes(HOUR)
    walk.comes(Status.CANCELLED, "inv-1")
    walk.comes(Status.FAILED, "f-9")
    walk.gets("pager")
    assert walk.gets() == []
    walk.restart()
    walk.passes(7 * HOUR - SECOND)
    assert walk.gets() == []
    walk.passes(SECOND)
    (told,) = walk.gets()
    assert told.title == ("Invoice agent: 2 to confirm or decline, 4 failed, since 1 Jun 21:00 UTC")
    assert "inv-0" in told.message.body
    assert "inv-1" not in told.message.body
    assert re.findall(r"^· failed · .* ago · (f-\d)$", told.message.body, re.M) == [
        "f-0",
        "f-1",
        "f-2",
        "f-9",
    ]
    reason = "no longer awaiting_confirmation: now cancelled; quiet hours had kept this back"
    assert ("ops", "notice", "superseded", reason) in walk.states()


def test_those_of_the_night_are_reminded_together_in_the_day(walk: Walk) -> None:
    for number in range(3):
        walk.comes(Status.AWAITING_CONFIRMATION, f"inv-{number}")
    assert walk.gets() == []
    walk.passes(8 * HOUR)
    walk.gets()
    found = walk.until_quiet(31 * MINUTE)
    assert [(at, told.title) for at, told in found] == [
        (at, "Invoice agent: 3 to confirm or decline, since 1 Jun 21:00 UTC") for at in (15, 30)
    ]  # fmt: skip


def test_a_reminder_does_not_come_at_night(walk: Walk) -> None:
    walk.now = EVENING - 2 * HOUR
    walk.comes(Status.AWAITING_CONFIRMATION, "inv")
    assert len(walk.gets()) == 1
    found = [at for at, _ in walk.until_quiet(11 * HOUR)]
    # Every quarter of an hour until 21:45 in Berlin, then from 07:00 on.
    assert found == [15, 30, 45, *(600 + minute for minute in (0, 15, 30, 45, 60))]


def test_what_is_urgent_passes_through(walk: Walk) -> None:
    walk.comes(Status.FAILED, "x", detail={"reason": "budget_exceeded"})
    assert [told.destination for told in walk.gets()] == ["ops", "pager"]


def test_an_urgent_message_does_not_wait_behind_a_quiet_one(walk: Walk) -> None:
    walk.comes(Status.RUNNING)
    walk.comes(Status.AWAITING_CONFIRMATION)
    assert walk.gets() == []
    walk.comes(Status.FAILED, detail={"reason": "budget_exceeded"})
    assert [told.destination for told in walk.gets()] == ["ops", "pager"]


def test_a_route_has_quiet_hours_of_its_own(walk: Walk) -> None:
    walk.now = EVENING - 150 * MINUTE  # 20:30 in Berlin
    walk.comes(Status.RUNNING)
    walk.comes(Status.PAUSED_BY_AGENT)
    walk.comes(Status.FAILED, "y")
    assert {told.claim.route for told in walk.gets()} == {"failures"}
    walk.passes(10 * HOUR)
    assert walk.titles("pager") == ["pager: Invoice agent waits for an answer"]


def test_a_night_does_not_use_up_the_time_for_retries(walk: Walk) -> None:
    hour = "    retry_for: 1h\n    rate: 1000/s\n    quiet"
    walk.reload(ROUTES.replace("    rate: 1000/s\n    quiet", hour))
    walk.comes(Status.FAILED)
    walk.gets()
    walk.passes(8 * HOUR)
    (told,) = walk.gets("ops", FAILED)
    assert told.claim.owed_at == EVENING + 8 * HOUR
    assert walk.states(destination="ops")[0][2] == "waiting"


def test_on_the_day_clocks_change_the_morning_comes_when_clocks_say_so(walk: Walk) -> None:
    walk.now = parse_time("2026-10-24T21:00:00Z")
    walk.comes(Status.FAILED)
    walk.gets("pager")
    walk.passes(9 * HOUR - SECOND)
    assert walk.gets() == []
    walk.passes(SECOND)
    assert len(walk.gets()) == 1


HOURS = """    quiet: {from: "22:00", to: "07:00", tz: Europe/Berlin}
"""


def test_quiet_hours_that_a_reload_ends_hold_nothing_any_more(walk: Walk) -> None:
    routes = ROUTES + "  - {name: dead, match: {dead_letter: pager}, notify: ops}\n"
    walk.reload(routes)
    for number in range(3):
        walk.comes(Status.FAILED, f"f-{number}")
    walk.comes(Status.AWAITING_CONFIRMATION, "inv")
    walk.gets("pager", GONE)
    assert walk.gets() == []
    walk.passes(HOUR)
    walk.reload(routes.replace(HOURS, ""))
    told = {each.title: each for each in walk.gets("ops")}
    assert set(told) == {
        "Invoice agent: 1 to confirm or decline, 3 failed, since 21:00 UTC",
        "pager did not get: Invoice agent failed",
    }  # fmt: skip
    # The time that was quiet does not count against retry_for.
    assert (
        told["Invoice agent: 1 to confirm or decline, 3 failed, since 21:00 UTC"].claim.owed_at
        >= EVENING + HOUR
    )
    assert len(walk.until_quiet(15 * MINUTE)) == 1


def test_quiet_hours_that_a_reload_changes_hold_until_their_new_end(walk: Walk) -> None:
    for number in range(2):
        walk.comes(Status.FAILED, f"f-{number}")
    walk.gets()
    walk.passes(HOUR)
    walk.reload(ROUTES.replace('"07:00", tz: Europe', '"05:00", tz: Europe'))
    walk.restart()
    assert [at for at, _ in walk.until_quiet(11 * HOUR)] == [300]


def test_a_reload_makes_nothing_due_that_waits_for_its_time(walk: Walk) -> None:
    walk.comes(Status.AWAITING_CONFIRMATION, "inv")
    walk.gets()
    walk.passes(8 * HOUR)
    assert len(walk.gets("ops", FAILED)) == 1
    walk.reload(ROUTES)
    assert walk.gets("ops") == []
    walk.passes(MINUTE)
    assert len(walk.gets("ops")) == 1
    walk.reload(ROUTES)
    assert [at for at, _ in walk.until_quiet(15 * MINUTE)] == [15]
