"""What was heard of during a silence or quiet hours is not listed as if nothing had been."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.events import Status
from receiver.routing.silences import Silence
from tests.support.people import HOUR, MINUTE, SECOND, Walk

RUNNING = Status.RUNNING
ROUTES = """\
destinations:
  ops: {url: console://, rate: 1000/s QUIET}
routes:
  - {name: stuck, stuck: {status: running, after: 10m}, notify: ops REMIND}
"""
NIGHT = ", quiet: {from: '12:00', to: '20:00', tz: UTC}"


def rules(quiet: str = "", remind: str = "") -> str:
    return ROUTES.replace(" QUIET", quiet).replace(" REMIND", remind)


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, rules())
    yield opened
    assert opened.replan() == 0
    assert opened.store.ledger()["imbalance"] == 0
    opened.store.close()


def silence(walk: Walk, time: int) -> None:
    one = Silence({"source": ("*",)}, "known", "Ann", walk.now, walk.now + time)
    walk.do(lambda t: t.add_silence(one, walk.now))


def told(walk: Walk, time: int) -> list[tuple[int, str]]:
    return [(at, each.title) for at, each in walk.until_quiet(time)]


STUCK = "Stuck? Invoice agent: no news for 10 min, last known as running"


def test_news_before_the_end_of_a_silence_is_news(walk: Walk) -> None:
    silence(walk, 30 * MINUTE)
    walk.comes(RUNNING)
    assert told(walk, 25 * MINUTE) == []
    walk.comes(None)  # it was silenced as stuck after 10 minutes
    assert told(walk, 20 * MINUTE) == [(10, STUCK)]


def test_a_silence_still_lists_what_nothing_is_heard_of(walk: Walk) -> None:
    silence(walk, 30 * MINUTE)
    for name in "ab":
        walk.comes(RUNNING, name)
    assert told(walk, 25 * MINUTE) == []
    walk.comes(None, "a")
    ((at, title), (later, alone)) = told(walk, 20 * MINUTE)
    assert (at, later, alone) == (5, 10, STUCK)
    assert "no news" in title


def test_what_is_heard_of_and_stuck_again_is_listed_as_stuck(walk: Walk) -> None:
    silence(walk, 30 * MINUTE)
    walk.comes(RUNNING)
    told(walk, 15 * MINUTE)
    walk.comes(None)
    ((at, title),) = told(walk, 40 * MINUTE)
    assert (at, "no news" in title) == (15, True)


def test_quiet_hours_in_which_something_is_heard_say_nothing_of_it(walk: Walk) -> None:
    walk.reload(rules(NIGHT))
    walk.comes(RUNNING)
    walk.until_quiet(7 * HOUR + 55 * MINUTE)
    walk.comes(None)
    assert told(walk, 20 * MINUTE) == [(10, STUCK)]


def test_a_silence_in_quiet_hours_asks_when_it_is_told(walk: Walk) -> None:
    walk.reload(rules(NIGHT))
    silence(walk, HOUR)
    walk.comes(RUNNING)
    walk.until_quiet(7 * HOUR + 55 * MINUTE)
    walk.comes(None)
    assert told(walk, 20 * MINUTE) == [(10, STUCK)]


def test_a_reminder_that_a_silence_kept_back_is_not_listed_after_news(walk: Walk) -> None:
    walk.reload(rules(remind=", remind: {every: 20m}"))
    walk.comes(RUNNING)
    assert told(walk, 12 * MINUTE) == [(10, STUCK)]
    silence(walk, 30 * MINUTE)
    assert told(walk, 25 * MINUTE) == []
    walk.comes(None)
    found = told(walk, 40 * MINUTE)
    assert [title.partition(":")[0] for _, title in found] == ["Reminder 1", "Reminder 2"]
    assert found[0][0] == 13


def test_the_end_of_it_is_listed_as_ever(walk: Walk) -> None:
    silence(walk, 30 * MINUTE)
    walk.comes(RUNNING)
    told(walk, 15 * MINUTE)
    walk.comes(Status.COMPLETED)
    ((at, title),) = told(walk, 20 * MINUTE)
    assert (at, "no news" in title) == (15, False)
    assert walk.until_quiet(MINUTE, SECOND) == []
