"""One destination gets one message about one thing, whether by a route or in place of another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.events import Status
from receiver.routing.silences import Silence
from tests.support.people import GONE, HOUR, MINUTE, Walk

AWAITS, DONE, FAILS = Status.AWAITING_CONFIRMATION, Status.COMPLETED, Status.FAILED
ROUTES = """\
destinations:
  a: {url: console://, rate: 1000/s, fallback: b}
  c: {url: console://, rate: 1000/s, fallback: b}
  b: {url: console://, rate: 1000/s}
routes:
  - name: failures
    match: {status: failed}
    notify: [a, b]
  - name: conf
    match: {status: awaiting_confirmation}
    notify: [a, b]
    remind: {every: 1h}
    escalate: [{after: 90m, notify: [a, b]}]
    resolved: true
    acknowledged: true
"""


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, ROUTES)
    yield opened
    opened.store.close()


def refused(walk: Walk, *destinations: str) -> None:
    """Let all that is due to these die."""
    for name in destinations:
        walk.gets(name, GONE)


def kinds(walk: Walk) -> list[str]:
    """Return the kinds of the messages that `b` gets now, one for each message."""
    return sorted(
        str(told.claim.origin.kind if told.claim.origin else told.claim.kind)
        for told in walk.gets("b")
    )


@pytest.mark.parametrize("group", ["", "    group: {by: agent, wait: 1m, every: 2m}\n"])
def test_whom_a_route_tells_gets_no_fallback_of_the_same(walk: Walk, group: str) -> None:
    walk.reload(ROUTES.replace("notify: [a, b]\n", "notify: [a, b]\n" + group, 1))
    for name in "xy":
        walk.comes(FAILS, name)
    walk.passes(MINUTE)
    refused(walk, "a")
    assert kinds(walk) == (["notice"] if group else ["notice", "notice"])
    assert [told for _, told in walk.until_quiet(HOUR)] == []
    assert [s[2] for s in walk.states(destination="a")] == ["dead", "dead"]


def test_two_routes_that_tell_it_of_the_same_event_are_one_thing(walk: Walk) -> None:
    walk.reload(ROUTES.replace("notify: [a, b]", "notify: a", 1)
                + "  - {name: more, match: {status: failed}, notify: b}\n")  # fmt: skip
    walk.comes(FAILS)
    refused(walk, "a")
    assert kinds(walk) == ["notice"]


def test_a_fallback_of_two_gets_it_once(walk: Walk) -> None:
    walk.reload(ROUTES.replace("notify: [a, b]", "notify: [a, c]", 1))
    walk.comes(FAILS)
    refused(walk, "a", "c")
    assert kinds(walk) == ["notice"]


def test_whom_its_own_message_did_not_reach_gets_the_fallback(walk: Walk) -> None:
    walk.comes(FAILS)
    refused(walk, "b", "a")
    assert kinds(walk) == ["notice"]


def test_who_is_reminded_and_asked_by_a_route_is_not_in_place_of_another(walk: Walk) -> None:
    walk.comes(AWAITS)
    assert len(walk.gets()) == 2
    walk.passes(HOUR)
    refused(walk, "a")
    assert kinds(walk) == ["reminder"]
    walk.passes(30 * MINUTE)
    refused(walk, "a")
    assert kinds(walk) == ["escalation"]


def test_who_takes_it_and_its_end_are_told_once(walk: Walk) -> None:
    walk.comes(AWAITS)
    assert len(walk.gets()) == 2
    walk.acknowledge("Ann")
    refused(walk, "a")
    assert kinds(walk) == ["acknowledged"]
    walk.comes(DONE)
    refused(walk, "a")
    assert kinds(walk) == ["resolved"]


def test_an_end_that_came_in_place_of_another_is_not_told_again(walk: Walk) -> None:
    walk.reload(ROUTES.replace("notify: [a, b]\n    remind", "notify: [a, c]\n    remind"))
    walk.comes(AWAITS)
    walk.gets("a")
    refused(walk, "c")
    claim = walk.claim("b")  # the question, in place of c
    assert claim is not None
    walk.comes(DONE)
    refused(walk, "a")  # its end, which goes to b
    walk.record(claim)
    assert kinds(walk) == ["resolved"]


def test_the_digest_of_a_silence_that_it_has_itself_is_not_told_in_place_of_another(
    walk: Walk,
) -> None:
    of = Silence({"status": (AWAITS.value,)}, "deploy", "Ann", walk.now, walk.now + 30 * MINUTE)
    walk.do(lambda t: t.add_silence(of, walk.now))
    walk.comes(AWAITS)
    walk.gets()
    walk.passes(30 * MINUTE)
    refused(walk, "a")
    assert kinds(walk) == ["digest"]


def test_the_digest_of_a_silence_that_lists_more_falls_back(walk: Walk) -> None:
    walk.reload(ROUTES.replace("notify: [a, b]", "notify: a", 1))
    of = Silence({"agent": ("*",)}, "deploy", "Ann", walk.now, walk.now + 30 * MINUTE)
    walk.do(lambda t: t.add_silence(of, walk.now))
    walk.comes(AWAITS)
    walk.comes(FAILS, "y")
    walk.gets()
    walk.passes(30 * MINUTE)
    refused(walk, "a")
    assert kinds(walk) == ["digest", "digest"]


def test_what_is_stuck_is_another_thing_than_that_it_started(walk: Walk) -> None:
    walk.reload(ROUTES + "  - {name: all, match: {status: running}, notify: b}\n"
                "  - {name: stuck, stuck: {status: running, after: 2h}, notify: a}\n")  # fmt: skip
    walk.comes(Status.RUNNING)
    assert kinds(walk) == ["notice"]
    walk.passes(2 * HOUR)
    refused(walk, "a")
    assert kinds(walk) == ["notice"]


def test_a_message_that_dies_again_after_a_new_chance_falls_back_again(walk: Walk) -> None:
    walk.reload(ROUTES.replace("notify: [a, b]", "notify: a", 1))
    walk.comes(FAILS)
    for _ in range(2):
        refused(walk, "a")
        assert kinds(walk) == ["notice"]
        walk.passes(MINUTE)
        walk.do(lambda t: t.redeliver_all("a", walk.now))
