"""Pagers: where an episode is an incident, no message is about several of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.deliveries import Kind
from receiver.events import Status
from receiver.routing.silences import Silence
from tests.support.people import GONE, HOUR, MINUTE, SECOND, Told, Walk

AWAITS, RUNNING = Status.AWAITING_CONFIRMATION, Status.RUNNING
ROUTES = """\
destinations:
  pager: {url: "pagerduty://integration@key", rate: 1000/s}
  ops: {url: console://, rate: 1000/s, fallback: pager}
routes:
  - name: waits
    match: {status: awaiting_confirmation}
    notify: [pager, ops]
    group: {by: [agent], wait: 30s, every: 5m}
    remind: {every: 15m}
    resolved: true
    acknowledged: true
"""
QUIET = ROUTES.replace(
    "    resolved", "    quiet: {from: '11:00', to: '13:00', tz: UTC}\n    resolved"
)


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, ROUTES)
    yield opened
    opened.store.close()


def kinds(told: list[Told]) -> list[tuple[str | None, Kind]]:
    assert not any(each.claim.digest for each in told)
    return [(each.message.execution_id, each.message.kind) for each in told]


def all_of(kind: Kind) -> list[tuple[str, Kind]]:
    return [(f"x-{n}", kind) for n in range(3)]


def test_an_incident_waits_for_no_group_and_has_an_end_of_its_own(walk: Walk) -> None:
    for n in range(3):
        walk.comes(AWAITS, f"x-{n}")
    told = walk.gets("pager")
    assert kinds(told) == all_of(Kind.NOTICE)
    assert len({each.message.thread for each in told}) == 3
    walk.passes(30 * SECOND)
    (digest,) = walk.gets("ops")
    assert digest.claim.digest is not None
    walk.passes(15 * MINUTE)
    assert kinds(walk.gets("pager")) == all_of(Kind.REMINDER)
    walk.gets("ops")
    assert walk.acknowledge("Ann", "x-0")
    for n in range(3):
        walk.comes(RUNNING, f"x-{n}")
    ends = walk.gets("pager")
    assert kinds(ends) == all_of(Kind.RESOLVED)
    assert [each.message.thread for each in ends] == [each.message.thread for each in told]


def test_quiet_hours_gather_nothing_for_a_pager(walk: Walk) -> None:
    walk.reload(QUIET)
    for n in range(3):
        walk.comes(AWAITS, f"x-{n}")
    assert walk.gets() == []
    walk.passes(HOUR)
    assert kinds(walk.gets("pager")) == all_of(Kind.NOTICE)


def test_the_end_of_a_silence_pages_for_each_that_waits_and_ends_what_is_over(walk: Walk) -> None:
    walk.comes(AWAITS, "before")
    assert kinds(walk.gets("pager")) == [("before", Kind.NOTICE)]
    of = Silence({"agent": ("Invoice *",)}, "deploy", "Ann", walk.now, walk.now + 40 * MINUTE)
    walk.do(lambda t: t.add_silence(of, walk.now))
    for n in range(3):
        walk.comes(AWAITS, f"x-{n}")
    walk.comes(RUNNING, "before")
    walk.comes(AWAITS, "over")
    walk.comes(RUNNING, "over")
    told = [told for _, told in walk.until_quiet(42 * MINUTE) if told.destination == "pager"]
    assert sorted(kinds(told)) == sorted([*all_of(Kind.NOTICE), ("before", Kind.RESOLVED)])
    (shown,) = walk.states(kind="digest", destination="pager")
    assert shown[2:] == ("superseded", "each of its messages goes out alone")
    walk.passes(10 * MINUTE)
    assert walk.gets("pager") == []  # reminders count from what went out
    walk.passes(5 * MINUTE)
    assert kinds(walk.gets("pager")) == all_of(Kind.REMINDER)
    walk.comes(RUNNING, "x-1")
    assert kinds(walk.gets("pager")) == [("x-1", Kind.RESOLVED)]


def test_what_a_pager_gets_in_place_of_a_digest_is_one_message_each(walk: Walk) -> None:
    walk.reload(ROUTES.replace("[pager, ops]", "ops"))
    for n in range(3):
        walk.comes(AWAITS, f"x-{n}")
    walk.passes(30 * SECOND)
    assert len(walk.gets("ops", GONE)) == 1
    assert kinds(walk.gets("pager")) == all_of(Kind.NOTICE)
    for n in range(3):
        walk.comes(RUNNING, f"x-{n}")
    assert kinds(walk.gets("pager")) == all_of(Kind.RESOLVED)


def test_what_a_pager_gets_in_place_of_the_digest_of_a_silence_is_one_message_each(
    walk: Walk,
) -> None:
    walk.reload(ROUTES.replace("[pager, ops]", "ops"))
    of = Silence({"agent": ("Invoice *",)}, "deploy", "Ann", walk.now, walk.now + MINUTE)
    walk.do(lambda t: t.add_silence(of, walk.now))
    for name in ("x-0", "x-1", "x-2", "over"):
        walk.comes(AWAITS, name)
    walk.comes(RUNNING, "over")
    walk.passes(MINUTE)
    (digest,) = walk.gets("ops", GONE)
    assert digest.claim.digest is not None
    assert kinds(walk.gets("pager")) == all_of(Kind.NOTICE)
    for n in range(3):
        walk.comes(RUNNING, f"x-{n}")
    assert kinds(walk.gets("pager")) == all_of(Kind.RESOLVED)
    assert walk.gets() == []


def test_rules_that_make_a_destination_a_pager_dissolve_what_gathers(walk: Walk) -> None:
    walk.reload(ROUTES.replace("pagerduty://integration@key", "console://"))
    for n in range(3):
        walk.comes(AWAITS, f"x-{n}")
    walk.reload(ROUTES)
    walk.passes(30 * SECOND)
    assert kinds(walk.gets("pager")) == all_of(Kind.NOTICE)
