"""Lists of escalations that a reload edits, and routes that ask for the same: each is told once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from receiver.events import Status
from tests.support.people import GONE, MINUTE, SECOND, Walk
from tests.support.stores import only_a_file

AWAITS, RUNNING = Status.AWAITING_CONFIRMATION, Status.RUNNING
DESTINATIONS = """\
destinations:
  team: {url: console://, rate: 1000/s}
  lead: {url: console://, rate: 1000/s}
  mail: {url: console://, rate: 1000/s}
"""


def rules(*later: str, more: str = "") -> str:
    """Return rules that tell these later, each `3s lead`."""
    entries = (entry.split() for entry in later)
    escalate = ", ".join(f"{{after: {after}, notify: [{to}]}}" for after, to in entries)
    escalate = f", escalate: [{escalate}]" if later else ""
    return (
        f"{DESTINATIONS}routes:\n  - {{name: conf, match: {{status: awaiting_confirmation}},"
        f" notify: team{escalate}}}\n{more}"
    )


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, rules())
    yield opened
    assert opened.replan() == 0
    opened.store.close()


def heard(walk: Walk, seconds: int) -> list[tuple[int, str]]:
    """Let time go by; return who heard what after how many seconds of the episode."""
    begun = walk.store.executions({}, 1, None)[0][0]["since"]
    return [
        ((told.claim.claimed_at - begun) // SECOND, told.destination)
        for _, told in walk.until_quiet(seconds * SECOND, SECOND)
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (["3s lead"], ["2s mail", "3s lead"], [(5, "mail")]),
        (["3s lead"], ["3s lead", "9s lead"], [(9, "lead")]),
        (["3s lead", "9s lead"], ["9s lead"], [(9, "lead")]),
        (["3s lead", "9s lead"], ["9s lead", "12s lead"], [(9, "lead"), (12, "lead")]),
        (["3s lead", "9s lead"], ["9s mail", "3s lead", "8s lead"], [(8, "lead"), (9, "mail")]),
        (["3s lead"], ["2s lead"], []),
        (["3s lead"], ["9s lead"], []),
        (["9s lead"], ["6s lead"], [(6, "lead")]),
        (["9s lead"], ["6s mail", "7s mail", "12s lead"], [(6, "mail"), (7, "mail"), (12, "lead")]),
        (["2s mail", "3s lead"], ["3s lead", "2s mail"], []),
        (["3s lead,mail"], ["3s mail", "3s lead"], []),
    ],
)
def test_an_edited_list_tells_nobody_again_and_everybody_who_is_new(
    walk: Walk, before: list[str], after: list[str], expected: list[tuple[int, str]]
) -> None:
    walk.reload(rules(*before))
    walk.comes(AWAITS)
    walk.gets()
    heard(walk, 4)
    walk.reload(rules(*after))
    assert heard(walk, 20) == expected
    walk.restart()
    assert walk.gets() == []


def test_what_was_taken_out_and_put_back_is_told_at_its_time_and_once(walk: Walk) -> None:
    both = "2s mail", "9s lead"
    walk.reload(rules(*both))
    walk.comes(AWAITS)
    walk.gets()
    for _ in range(3):
        walk.reload(rules("9s lead"))
        walk.reload(rules("2s mail"))
        walk.reload(rules(*both))
    assert heard(walk, 20) == [(2, "mail"), (9, "lead")]
    assert len([each for each in walk.states() if each[1] == "escalation"]) == 2


def test_an_old_store_that_knows_places_in_the_list_tells_nobody_again(walk: Walk) -> None:
    only_a_file("it changes rows there")
    walk.reload(rules("2s mail", "3s lead", "9s lead"))
    walk.comes(AWAITS)
    walk.gets()
    heard(walk, 4)
    by_place = (
        "UPDATE delivery SET dedup_key = substr(dedup_key, 1, length(dedup_key) - 1) || step"
        " WHERE kind = 'escalation' AND id IN (SELECT id FROM delivery ORDER BY id DESC)"
    )
    with closing(sqlite3.connect(walk.folder / "receiver.db")) as connection, connection:
        for n in (3, 2, 1):
            connection.execute(f"{by_place} AND step = {n}")
    walk.restart()
    assert walk.gets() == []
    walk.reload(rules("3s lead", "9s lead", "10s lead", "11s lead"))
    assert heard(walk, 20) == [(9, "lead"), (10, "lead"), (11, "lead")]


# Two routes that ask for the same at one time.


SAME = (
    "  - {name: large, match: {status: awaiting_confirmation, agent: '*'}, notify: mail,"
    " escalate: [{after: 3s, notify: [lead]}, {after: 9s, notify: [lead]}]}\n"
)


def test_whom_two_routes_escalate_to_at_one_time_hears_once(walk: Walk) -> None:
    walk.reload(rules("3s lead", "3s lead,mail", more=SAME))
    walk.comes(AWAITS)
    walk.gets()
    assert heard(walk, 20) == [(3, "lead"), (3, "mail"), (9, "lead")]


def test_whom_two_routes_escalate_to_hears_from_the_other_if_one_goes(walk: Walk) -> None:
    walk.reload(rules("3s lead", more=SAME))
    walk.comes(AWAITS)
    walk.gets()
    walk.passes(SECOND)
    walk.reload(rules(more=SAME))
    assert heard(walk, 5) == [(3, "lead")]
    walk.reload(rules("3s lead", more=SAME))
    assert heard(walk, 20) == [(9, "lead")]


def test_an_escalation_falls_back_to_nobody_who_hears_it_at_that_time(walk: Walk) -> None:
    falls = rules("3s mail", "5s lead", more=SAME).replace(
        "lead: {url: console://", "lead: {fallback: mail, url: console://"
    )
    walk.reload(falls.replace("after: 3s, notify: [lead]", "after: 5s, notify: [mail]"))
    walk.comes(AWAITS)
    walk.gets()
    walk.passes(3 * SECOND)
    assert [told.claim.route for told in walk.gets("mail")] == ["conf"]
    walk.passes(2 * SECOND)
    walk.gets("lead", GONE)
    assert [(told.claim.route, told.claim.kind) for told in walk.gets("mail")] == [
        ("large", "escalation")
    ]


STUCK = (
    "  - {name: NAME, stuck: {status: running, after: AFTER}, notify: team, remind: {every: 8s}}\n"
)


def stuck(*names: str) -> str:
    lines = (STUCK.replace("NAME", n).replace("AFTER", a) for n, a in map(str.split, names))
    return rules(more="".join(lines))


def test_two_routes_say_once_that_nothing_is_heard_and_remind_once(walk: Walk) -> None:
    walk.reload(stuck("a 4s", "b 4s", "c 6s"))
    walk.comes(RUNNING)
    assert heard(walk, 8) == [(4, "team"), (6, "team")]
    walk.reload(stuck("b 4s", "a 4s", "c 6s"))
    assert heard(walk, 3) == []
    assert heard(walk, 6) == [(12, "team"), (14, "team")]


def test_the_other_route_says_that_nothing_is_heard_if_the_first_one_goes(walk: Walk) -> None:
    walk.reload(stuck("a 4s", "b 4s"))
    walk.comes(RUNNING)
    walk.passes(SECOND)
    walk.reload(stuck("b 4s"))
    assert heard(walk, 4) == [(4, "team")]
    walk.reload(stuck("a 4s", "b 4s"))
    assert walk.until_quiet(3 * SECOND, SECOND) == []
    assert walk.until_quiet(MINUTE // 10, SECOND) != []
