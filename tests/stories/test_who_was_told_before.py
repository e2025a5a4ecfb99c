"""An escalation says who was told before it: who got a message, not who should have got one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.deliveries import Attempt, Outcome
from receiver.events import Status
from receiver.routing.silences import Silence
from tests.support.people import GONE, HOUR, MINUTE, Walk

AWAITS = Status.AWAITING_CONFIRMATION
LOST = Attempt(Outcome.UNCERTAIN, "no answer")
ROUTES = """\
destinations:
  team: {url: console://, rate: 1000/s TEAM}
  mail: {url: console://, rate: 1000/s}
  lead: {url: console://, rate: 1000/s}
  log: {url: console://, rate: 1000/s}
routes:
  - {name: conf, match: {status: awaiting_confirmation}, notify: team,
     escalate: [{after: 1h, notify: lead}, {after: 2h, notify: [mail, lead]}]}
"""
LOGGED = "  - {name: all, match: {status: '*'}, notify: log}\n"
NOBODY = (
    "No message about it has reached anybody yet, and nobody has confirmed or declined; it still"
)
NIGHT = ", quiet: {from: '12:00', to: '20:00', tz: UTC}"


def rules(team: str = "", more: str = "") -> str:
    return ROUTES.replace(" TEAM", team) + more


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, rules())
    yield opened
    opened.store.close()


def escalated(walk: Walk, hours: int = 1) -> str:
    """Let hours pass; return the sentence of the last escalation about who was told before."""
    found = [told for _, told in walk.until_quiet(hours * HOUR) if told.destination == "lead"]
    return next(line for line in found[-1].message.body.splitlines() if "nobody has" in line)


def test_who_got_the_notice_is_named_with_the_time_at_which_it_was_sent(walk: Walk) -> None:
    walk.comes(AWAITS)
    walk.until_quiet(5 * MINUTE)
    assert escalated(walk).startswith("We told team 59 min ago, and nobody has confirmed")


def test_who_still_has_quiet_hours_was_not_told(walk: Walk) -> None:
    walk.reload(rules(NIGHT))
    walk.comes(AWAITS)
    assert escalated(walk).startswith(f"{NOBODY} waits. Please decide yourself if you are allowed")
    assert escalated(walk).startswith("We told lead 1 h ago, and nobody")


def test_who_was_told_late_was_told_when_the_message_went(walk: Walk) -> None:
    walk.reload(rules(NIGHT))
    walk.comes(AWAITS)
    walk.passes(50 * MINUTE)
    walk.reload(rules())
    walk.gets()
    assert escalated(walk).startswith("We told team 10 min ago, and nobody")


def test_a_message_that_died_has_told_nobody(walk: Walk) -> None:
    walk.comes(AWAITS)
    walk.gets("team", GONE)
    assert escalated(walk).startswith(NOBODY)


def test_who_got_the_fallback_is_named(walk: Walk) -> None:
    walk.reload(rules(", fallback: mail"))
    walk.comes(AWAITS)
    walk.gets("team", GONE)
    walk.gets("mail")
    assert escalated(walk).startswith("We told mail 1 h ago, and nobody")


def test_a_report_that_a_message_died_is_no_message_about_the_episode(walk: Walk) -> None:
    dead = "  - {name: dead, match: {dead_letter: true}, notify: mail}\n"
    walk.reload(rules(more=dead))
    walk.comes(AWAITS)
    walk.gets("team", GONE)
    assert [told.destination for told in walk.gets()] == ["mail"]
    assert escalated(walk).startswith(NOBODY)


def test_what_may_have_arrived_counts_as_told(walk: Walk) -> None:
    walk.comes(AWAITS)
    claim = walk.claim("team")
    assert claim is not None
    walk.record(claim, LOST)
    walk.passes(HOUR)
    (told,) = walk.gets("lead")
    assert "We told team 1 h ago, and nobody" in told.message.body


def test_what_a_silence_keeps_back_has_told_nobody_until_it_is_listed(walk: Walk) -> None:
    words = {"status": (AWAITS.value,), "agent": ("*",)}
    silence = Silence(words, "known", "Ann", walk.now, walk.now + 90 * MINUTE)
    walk.do(lambda t: t.add_silence(silence, walk.now))
    walk.comes(AWAITS)
    assert walk.gets() == []
    walk.passes(HOUR)
    assert walk.gets() == []
    walk.passes(30 * MINUTE)
    assert {told.destination for told in walk.gets()} == {"team", "lead"}
    assert escalated(walk).startswith("We told lead, team 30 min ago, and nobody")


def test_the_others_are_named_only_if_nobody_of_the_route_was_told(walk: Walk) -> None:
    walk.reload(rules(more=LOGGED))
    walk.comes(AWAITS)
    walk.gets("log")
    walk.gets("team", GONE)
    assert escalated(walk).startswith("We told log 1 h ago, and nobody")
    walk.comes(Status.RUNNING)
    walk.comes(AWAITS)
    walk.gets()
    assert escalated(walk).startswith("We told team 1 h ago, and nobody")


def test_those_who_were_told_at_several_times_are_named_with_them(walk: Walk) -> None:
    walk.comes(AWAITS)
    walk.gets()
    walk.passes(MINUTE)
    assert escalated(walk, 2).startswith("We told team 2 h ago and lead 1 h ago, and nobody")


def test_the_end_and_a_wait_before_are_of_no_account(walk: Walk) -> None:
    walk.comes(AWAITS)
    walk.gets()
    walk.comes(Status.RUNNING)
    walk.comes(AWAITS)
    walk.gets("team", GONE)
    assert escalated(walk).startswith(NOBODY)
