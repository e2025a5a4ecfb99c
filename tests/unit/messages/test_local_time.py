"""Local time: what the clocks of the team show, and how long ago that was."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from receiver.messages.local_time import age, clock_time, full_time, time_and_age
from receiver.times import EARLIEST, LATEST, SECOND, parse_time

NOW = parse_time("2026-01-15T09:05:00Z")
BERLIN, PAULO = ZoneInfo("Europe/Berlin"), ZoneInfo("America/Sao_Paulo")


def test_a_time_is_that_of_the_zone_with_how_long_ago() -> None:
    assert time_and_age(NOW - 180 * SECOND, NOW, BERLIN) == "10:02 CET, 3 min ago"
    assert time_and_age(NOW - 180 * SECOND, NOW) == "09:02 UTC, 3 min ago"


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        ("2026-01-15T00:30:00Z", "01:30 CET"),
        ("2026-01-14T23:30:00Z", "00:30 CET"),  # today in Berlin, yesterday in UTC
        ("2026-01-14T22:30:00Z", "14 Jan 23:30 CET"),
        ("2025-07-01T10:00:00Z", "1 Jul 2025 12:00 CEST"),
    ],
)
def test_another_day_is_named_and_another_year_too(at: str, shown: str) -> None:
    assert clock_time(parse_time(at), NOW, BERLIN) == shown


def test_both_hours_of_the_night_in_which_clocks_go_back_are_told_apart() -> None:
    first, second = parse_time("2026-10-25T00:30:00Z"), parse_time("2026-10-25T01:30:00Z")
    assert clock_time(first, second, BERLIN) == "02:30 CEST"
    assert clock_time(second, second, BERLIN) == "02:30 CET"


def test_a_zone_without_a_name_says_its_distance_from_utc() -> None:
    assert clock_time(NOW, NOW, PAULO) == "06:05 UTC-03"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "just now"), (4, "just now"), (5, "5 s ago"), (90, "1 min ago"),
        (-30, "just now"), (-7200, "2 h ahead of now"), (86_400 * 2 + 4 * 3600, "2 d 4 h ago"),
    ],
)  # fmt: skip
def test_an_age_is_in_words_and_clocks_may_differ_a_little(seconds: int, shown: str) -> None:
    assert age(NOW - seconds * SECOND, NOW) == shown


def test_no_instant_is_too_early_or_too_late_to_be_written() -> None:
    for zone in (UTC, BERLIN, PAULO):
        assert full_time(EARLIEST, zone).startswith("16")
        assert time_and_age(LATEST, NOW, zone).endswith("ahead of now")
    assert full_time(None) == ""
    assert full_time(NOW + 1, BERLIN) == "2026-01-15 10:05:00 CET"
