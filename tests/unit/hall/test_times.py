"""Times: parsed to the nanosecond, whatever the sender's precision or zone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.times import EARLIEST, LATEST, SECOND, format_time, parse_time


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01t00:00:01.5z", 1_500_000_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:59:59.999999999999Z", -1),
        ("2026-01-15T10:30:00-05:30", 1_768_492_800 * SECOND),
        ("1970-01-01T23:59:60Z", 86_400 * SECOND),
        ("0000-01-01T00:00:00Z", EARLIEST),
        ("0001-01-01T00:00:00+23:59", EARLIEST),
        ("9999-12-31T23:59:59-23:59", LATEST),
    ],
)
def test_a_timestamp_is_an_instant(text: str, instant: int) -> None:
    assert parse_time(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-01-15", "2026-01-15T10:30:00", "2026-02-30T10:30:00Z", "2026-01-15T24:00:00Z",
        "2026-01-15T10:30:61Z", "2026-01-15T10:30:00+24:00", "2026-01-15T10:30:00+01:60",
        "２026-01-15T10:30:00Z", "2026-01-15T10:30:00Z ", "2026-01-15T10:30:00.Z", "1768473000",
        "0000-13-01T00:00:00Z", "2026-W03-4T10:30:00Z", "2026-01-15T10:30:00Z\n",
    ],
)  # fmt: skip
def test_what_is_no_rfc_3339_time_with_an_offset_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_time(text)
    assert type(caught.value) is ValueError


@given(st.integers(EARLIEST, LATEST))
def test_an_instant_survives_being_written_and_read(instant: int) -> None:
    assert parse_time(format_time(instant)) == instant


@given(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)))
def test_it_agrees_with_the_standard_library(when: datetime) -> None:
    whole = when.replace(tzinfo=UTC)
    expected = (whole - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    assert abs(parse_time(whole.isoformat()) / SECOND - expected) < 1e-3


@given(st.text())
def test_any_text_is_an_instant_or_a_value_error(text: str) -> None:
    try:
        instant = parse_time(text)
    except ValueError:
        return
    assert EARLIEST <= instant <= LATEST
