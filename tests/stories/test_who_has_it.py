"""Messages say who takes care of an execution, in whatever form they come, and only once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.events import Status
from receiver.routing.silences import Silence
from tests.support.people import FAILED, HOUR, MINUTE, SECOND, Walk

AWAITS, RUNNING, FAILS = Status.AWAITING_CONFIRMATION, Status.RUNNING, Status.FAILED
ROUTES = """\
destinations:
  team: {url: console://, rate: 1000/s}
  lead: {url: console://, rate: 1000/s, quiet: {from: "11:00", to: "16:00", tz: UTC}}
routes:
  - {name: works, match: {status: running}, notify: lead, resolved: true}
  - {name: conf, match: {status: awaiting_confirmation}, notify: team, acknowledged: true}
  - {name: ends, match: {status: failed}, notify: team}
"""
RENAMED = ROUTES.replace("name: conf", "name: waits")


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, ROUTES)
    yield opened
    opened.store.close()


def bodies(walk: Walk, destination: str) -> list[str]:
    """Return the messages that a destination gets now."""
    return [told.message.body for told in walk.gets(destination)]


def test_a_digest_says_who_has_what_nobody_has_to_wait_for(walk: Walk) -> None:
    for name in "xy":
        walk.comes(RUNNING, name)
    walk.gets()
    walk.take("Bob", "x")
    walk.passes(4 * HOUR)
    (body,) = bodies(walk, "lead")
    (line,) = [line for line in body.splitlines() if line.endswith(" · x")]
    assert "Bob takes care of it" in line
    assert body.count("Bob") == 1


def test_a_digest_that_a_silence_kept_back_says_it_too(walk: Walk) -> None:
    of = Silence({"agent": ("*",)}, "deploy", "Ann", walk.now, walk.now + 5 * HOUR)
    walk.do(lambda t: t.add_silence(of, walk.now))
    for name in "xy":
        walk.comes(RUNNING, name)
    walk.gets()
    walk.take("Bob", "x")
    walk.passes(6 * HOUR)
    (body,) = bodies(walk, "lead")
    (line,) = [line for line in body.splitlines() if line.endswith(" · x")]
    assert "Bob takes care of it" in line


def test_word_of_an_end_is_not_taken_for_what_began_with_it(walk: Walk) -> None:
    walk.now -= 90 * MINUTE  # before the quiet hours
    for name in "xy":
        walk.comes(RUNNING, name)
    walk.gets()
    walk.passes(HOUR)
    for name in "xy":
        walk.comes(AWAITS, name)
    walk.gets()
    walk.take("Bob", "x")
    walk.passes(5 * HOUR)
    (body,) = bodies(walk, "lead")
    assert "takes care of it" not in body


def test_who_takes_it_again_is_told_of_to_nobody(walk: Walk) -> None:
    of = Silence({"agent": ("*",)}, "deploy", "Ann", walk.now, walk.now + HOUR)
    walk.do(lambda t: t.add_silence(of, walk.now))
    walk.comes(AWAITS)
    walk.gets()
    walk.take("Bob")
    walk.passes(HOUR)
    (body,) = bodies(walk, "team")
    assert "Bob" in body
    walk.take("Bob")
    assert walk.gets() == []


def test_who_takes_it_again_is_told_of_to_nobody_by_other_rules(walk: Walk) -> None:
    walk.comes(AWAITS)
    walk.gets()
    walk.reload(RENAMED)
    walk.take("Bob")
    walk.reload(ROUTES)
    walk.take("bob")
    assert walk.gets() == []
    walk.take("Ann")
    assert [told.title for told in walk.gets()] == ["Invoice agent: Ann takes it over from Bob"]


def fails(walk: Walk, times: int) -> int:
    """Let a destination fail; return until when it is paused (seconds from now; 0: it is not)."""
    for _ in range(times):
        walk.passes(HOUR)
        claim = walk.claim("team")
        assert claim is not None
        walk.record(claim, FAILED)
    until = walk.do(lambda t: t.failures("team").paused_until)
    return max(int(until) - walk.now, 0) // SECOND


def test_failures_about_one_execution_are_not_its_destination_s(walk: Walk) -> None:
    walk.reload(ROUTES.replace("team: {", 'team: {quiet: {from: "11:00", to: "12:30", tz: UTC}, '))
    walk.comes(AWAITS)
    walk.comes(FAILS)
    walk.gets()
    assert fails(walk, 8) == 0


def test_failures_about_two_executions_are(walk: Walk) -> None:
    walk.comes(FAILS, "x")
    walk.comes(FAILS, "y")
    assert fails(walk, 5) > 0
