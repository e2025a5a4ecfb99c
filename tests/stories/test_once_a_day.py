"""What is told once a day or once an hour counts from the last one that was sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from receiver.events import Status
from receiver.routing.silences import Silence
from receiver.times import parse_time
from tests.support.people import FAILED, GONE, HOUR, MINUTE, SECOND, Walk

DAY = 24 * HOUR
ROUTES = """\
destinations:
  ops: {url: console://, rate: 1000/s}
  mail: {url: console://, rate: 1000/s}
routes:
  - {name: aside, match: {verdict: quarantined}, notify: ops}
  - {name: f, match: {status: failed}, notify: ops}
  - {name: dead, match: {dead_letter: true}, notify: mail}
"""


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, ROUTES)
    yield opened
    opened.store.close()


def set_aside(walk: Walk, n: int = 1) -> list[str]:
    """Let webhooks come that say they happen in an hour; who is told of them now."""
    events = [walk.event(Status.FAILED) for _ in range(n)]
    walk.come([replace(event, occurred_at=walk.now + HOUR) for event in events])
    return [told.destination for told in walk.gets()]


# Webhooks set aside


def test_over_midnight_it_is_told_once(walk: Walk) -> None:
    walk.now = parse_time("2026-06-01T23:59:57Z")
    assert set_aside(walk) == ["ops"]
    walk.passes(7 * SECOND)
    assert set_aside(walk) == []
    walk.passes(DAY - 8 * SECOND)
    assert set_aside(walk, 2) == []
    walk.passes(SECOND)
    assert set_aside(walk, 2) == ["ops"]


def test_a_day_counts_from_the_one_that_was_sent_and_not_from_one_that_died(walk: Walk) -> None:
    set_aside_then = walk.event(Status.FAILED)
    walk.come([replace(set_aside_then, occurred_at=walk.now + HOUR)])
    walk.gets("ops", FAILED)
    walk.passes(3 * HOUR)
    assert set_aside(walk) == ["ops"]  # the first one, which waited
    walk.passes(DAY - SECOND)
    assert set_aside(walk) == []
    walk.passes(SECOND)
    walk.come([replace(walk.event(Status.FAILED), occurred_at=walk.now + HOUR)])
    walk.gets("ops", GONE)
    assert [told.destination for told in walk.gets("mail")] == ["mail"]  # the report
    walk.passes(MINUTE)
    assert set_aside(walk) == ["ops"]
    walk.passes(MINUTE)
    assert set_aside(walk) == []


def test_what_a_fallback_got_in_its_place_counts(walk: Walk) -> None:
    walk.reload(ROUTES.replace("ops: {url", "ops: {fallback: mail, url"))
    walk.come([replace(walk.event(Status.FAILED), occurred_at=walk.now + HOUR)])
    walk.gets("ops", GONE)
    assert [told.claim.kind for told in walk.gets("mail")] == ["fallback"]
    walk.passes(7 * SECOND)
    assert set_aside(walk) == []


def test_quiet_hours_and_a_restart_make_no_second_one(walk: Walk) -> None:
    quiet = '{from: "00:00", to: "20:00", tz: UTC}'
    walk.reload(ROUTES.replace("notify: ops}", f"notify: ops, quiet: {quiet}}}", 1))
    assert set_aside(walk) == []
    walk.restart()
    walk.passes(HOUR)
    assert set_aside(walk) == []
    walk.passes(8 * HOUR)
    assert len(walk.gets()) == 1
    walk.restart()
    walk.passes(15 * HOUR)
    assert set_aside(walk) == []
    assert walk.pending() == 0


def test_what_a_silence_kept_back_is_listed_and_not_told_besides(walk: Walk) -> None:
    of = Silence({"verdict": ("quarantined",)}, "r", "Ann", walk.now, walk.now + HOUR)
    walk.do(lambda t: t.add_silence(of, walk.now))
    assert set_aside(walk) == []
    walk.passes(HOUR)
    assert [told.claim.kind for told in walk.gets()] == ["digest"]
    assert set_aside(walk) == []


def test_another_kind_and_another_destination_are_told(walk: Walk) -> None:
    assert set_aside(walk) == ["ops"]
    walk.come([replace(walk.event(None), event="EXECUTION_DANCED", status=None)])
    walk.reload(ROUTES.replace("notify: ops", "notify: [ops, mail]", 1))
    assert set_aside(walk) == ["mail"]


# Reports about dead messages


def dies(walk: Walk, execution: str, mail: str) -> None:
    """Let a message to ops die, and the report to mail, too, or not."""
    walk.comes(Status.FAILED, execution)
    walk.gets("ops", GONE)
    if mail == "dies":
        walk.gets("mail", GONE)


def test_a_report_that_died_is_none_and_the_next_one_is_sent(walk: Walk) -> None:
    dies(walk, "x-1", mail="dies")
    walk.do(lambda t: t.redeliver_all("ops", walk.now))
    walk.gets("ops", FAILED)
    walk.passes(MINUTE)
    walk.do(lambda t: t.redeliver_all("ops", walk.now))
    walk.gets("ops", GONE)
    dies(walk, "x-2", mail="works")
    assert len(walk.gets("mail")) == 1


def test_an_hour_is_sixty_minutes_from_the_report_that_was_sent(walk: Walk) -> None:
    walk.now = parse_time("2026-06-01T12:59:50Z")
    dies(walk, "x-1", mail="works")
    assert len(walk.gets("mail")) == 1
    walk.passes(59 * MINUTE)
    dies(walk, "x-2", mail="works")
    assert walk.gets("mail") == []
    walk.passes(MINUTE)
    dies(walk, "x-3", mail="works")
    assert len(walk.gets("mail")) == 1


def test_a_report_that_a_new_chance_overtook_does_not_let_the_hour_begin_anew(walk: Walk) -> None:
    dies(walk, "x-1", mail="works")
    assert len(walk.gets("mail")) == 1
    walk.passes(HOUR)
    dies(walk, "x-2", mail="works")  # its report waits …
    walk.do(lambda t: t.redeliver_all("ops", walk.now))
    assert walk.gets("mail") == []  # … and is untrue
    walk.gets("ops", GONE)
    assert len(walk.gets("mail")) == 1
    dies(walk, "x-3", mail="works")
    walk.do(lambda t: t.redeliver_all("ops", walk.now))
    assert walk.gets("mail") == []
    walk.gets("ops", GONE)
    assert walk.gets("mail") == []


def test_a_new_outage_is_reported_anew(walk: Walk) -> None:
    dies(walk, "x-1", mail="works")
    assert len(walk.gets("mail")) == 1
    walk.passes(5 * MINUTE)
    walk.comes(Status.FAILED, "x-2")
    assert len(walk.gets("ops")) == 1  # it works in between
    dies(walk, "x-3", mail="works")
    assert len(walk.gets("mail")) == 1


# Every death is reported, at most later and with others.


@pytest.mark.parametrize(("works", "minutes"), [(False, 60), (True, 1)])
def test_a_death_soon_after_a_report_is_reported_when_it_is_time(
    walk: Walk, works: bool, minutes: int
) -> None:
    dies(walk, "x-1", mail="works")
    assert len(walk.gets("mail")) == 1
    walk.passes(20 * SECOND)
    if works:
        walk.comes(Status.FAILED, "x-2")
        walk.gets("ops")
    for name in ("x-3", "x-4"):
        dies(walk, name, mail="works")
    found = walk.until_quiet(3 * HOUR, 20 * SECOND)
    assert [(at, told.destination) for at, told in found] == [(minutes - 1, "mail")]
    assert "send 3 messages that it did not get again" in found[0][1].message.body


def test_a_new_outage_brings_the_report_forward_that_waits_for_its_hour(walk: Walk) -> None:
    dies(walk, "x-1", mail="works")
    walk.gets("mail")
    walk.passes(5 * MINUTE)
    dies(walk, "x-2", mail="works")
    assert walk.gets("mail") == []
    walk.comes(Status.FAILED, "x-3")
    assert len(walk.gets("ops")) == 1
    dies(walk, "x-4", mail="works")
    assert len(walk.gets("mail")) == 1
    assert walk.until_quiet(2 * HOUR) == []


def test_a_report_that_waits_is_left_out_if_everything_went_meanwhile(walk: Walk) -> None:
    dies(walk, "x-1", mail="works")
    walk.gets("mail")
    dies(walk, "x-2", mail="works")
    walk.do(lambda t: t.redeliver_all("ops", walk.now))
    walk.gets("ops")
    assert walk.until_quiet(2 * HOUR) == []
