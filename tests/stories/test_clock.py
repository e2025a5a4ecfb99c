"""When what waits is due, walked over the real store with the time passed in: a restart moves
nothing, a clock that was set back lets nothing wait for longer than was meant.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from receiver.deliveries import Attempt, Kind, Outcome
from receiver.dispatch.turn import policy_at
from receiver.events import Status
from receiver.routing.silences import Silence
from receiver.store.records import AHEAD
from receiver.store.sqlite.connection import connect
from receiver.times import SECOND
from tests.support.people import DELIVERED, FAILED, GONE, HOUR, MINUTE, Told, Walk
from tests.support.stores import only_a_file, shared_memory

DAY = 24 * HOUR
AWAITS, RUNNING, PAUSED, DONE = (
    Status.AWAITING_CONFIRMATION, Status.RUNNING, Status.PAUSED, Status.COMPLETED
)  # fmt: skip
# A walk begins on a Monday at 12:00.
ROUTES = """\
sources:
  s: {verify: {scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}, gap_timeout: 40m}
destinations:
  approvers: {url: console://, rate: 1/s, retry_for: 3h, fallback: mail}
  lead: {url: console://, rate: 1000/s, quiet: {from: "12:30", to: "15:00", tz: UTC}}
  mail: {url: console://, rate: 1000/s}
routes:
  - name: waits
    match: {status: [awaiting_confirmation, paused]}
    notify: [approvers, lead]
    remind: {every: 25m}
    escalate: [{after: 1h, notify: mail}]
    acknowledged: true
    resolved: true
  - name: fails
    match: {status: [failed, completed]}
    notify: [mail, lead]
    group: {by: [agent], wait: 7m, every: 45m}
  - name: works
    match: {status: running}
    notify: mail
    quiet: {from: "13:00", to: "14:10", tz: UTC}
    remind: {every: 50m, at_most: 2}
  - {name: holes, match: {verdict: rejected}, notify: mail}
  - {name: stuck, stuck: {status: running, after: 90m}, notify: approvers, remind: {every: 1h}}
"""
EXECUTIONS = ("a", "b", "c")
BUSY = Attempt(Outcome.FAILED, "HTTP 429", retry_after=900.0)
steps = st.one_of(
    st.tuples(st.just("comes"), st.sampled_from(EXECUTIONS), st.sampled_from(list(Status))),
    st.tuples(st.just("comes"), st.sampled_from(EXECUTIONS), st.sampled_from([RUNNING, AWAITS])),
    st.tuples(st.just("passes"), st.sampled_from([1, 8, 26, 61, 140]), st.none()),
    st.tuples(st.just("acknowledges"), st.sampled_from(EXECUTIONS), st.none()),
    st.tuples(
        st.just("silences"), st.sampled_from(["running", "awaiting_confirmation"]), st.none()
    ),
)
Sent = tuple[int, str, str, str]


def rows(walk: Walk, query: str) -> list[Any]:
    """What its file says."""
    only_a_file("it looks into it")
    with closing(connect(walk.folder / "receiver.db", read_only=True)) as connection:
        return connection.execute(query).fetchall()


def dues(walk: Walk) -> list[Any]:
    """All that waits, and until when."""
    return [
        rows(walk, "SELECT id, state, created_at, owed_at, due_at, tries, order_key, group_key"
                   " FROM delivery WHERE state = 'waiting' ORDER BY id"),
        rows(walk, "SELECT seq, held_until FROM event WHERE verdict = 'held'"),
        rows(walk, "SELECT name, tokens, counted_at, paused_until, failures FROM destination"),
        rows(walk, "SELECT * FROM digest_group"),
        rows(walk, "SELECT id, from_at, until_at, listed_at FROM silence"),
    ]  # fmt: skip


def goes_out(walk: Walk) -> list[Sent]:
    """What goes out now; every third try of one destination fails."""
    found = []
    for name in walk.rules.destinations:
        while (claim := walk.claim(name)) is not None:
            fails = name == "approvers" and (claim.delivery + claim.attempts) % 3 == 0
            told = Told(name, walk.record(claim, FAILED if fails else DELIVERED), claim)
            found.append((walk.now, name, told.title, told.message.body))
    return found


def does(walk: Walk, act: str, one: Any, other: Any) -> list[Sent]:
    """One step of a story, and all that goes out until it is over."""
    if act == "comes":
        walk.comes(other, one)
    elif act == "acknowledges":
        walk.acknowledge("Ann", one)
    elif act == "silences":
        of = Silence({"status": (one,)}, "r", "Ann", walk.now, walk.now + HOUR)
        walk.do(lambda t: t.add_silence(of, walk.now))
    found = goes_out(walk)
    for _ in range(one if act == "passes" else 0):
        walk.passes(MINUTE)
        walk.store.write_now(walk.intake.expire, walk.now)
        found += goes_out(walk)
    return found


def story(folder: Path, script: list[Any], restarts: set[int]) -> tuple[list[Sent], list[Any]]:
    """What goes out in a story and when, and what waits in the end."""
    walk = Walk(folder, ROUTES)
    found: list[Sent] = []
    try:
        for number, step in enumerate(script):
            if number in restarts:
                before = dues(walk)
                walk.restart()
                assert dues(walk) == before
            found += does(walk, *step)
        return found, dues(walk)
    finally:
        walk.store.close()


@settings(max_examples=15, deadline=None)
@given(st.lists(steps, min_size=4, max_size=14), st.sets(st.integers(1, 13), min_size=1))
# Quiet hours keep a reminder back, and the digest of a silence puts it off to a later time.
@example(
    script=[
        ("comes", "a", Status.STARTING), ("passes", 1, None), ("comes", "a", RUNNING),
        ("passes", 1, None), ("passes", 1, None), ("passes", 1, None), ("comes", "b", RUNNING),
        ("silences", "running", None), ("passes", 140, None), ("comes", "a", Status.STARTING),
    ],
    restarts={9},
)  # fmt: skip
def test_with_restarts_the_same_goes_out_at_the_same_time_as_without(
    script: list[Any], restarts: set[int]
) -> None:
    with (
        tempfile.TemporaryDirectory(dir=shared_memory()) as one,
        tempfile.TemporaryDirectory(dir=shared_memory()) as other,
    ):
        assert story(Path(one), script, set()) == story(Path(other), script, restarts)


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, ROUTES)
    yield opened
    opened.store.close()


def fill(walk: Walk) -> None:
    """Something of each kind waits: it all began just now."""
    for execution, *statuses in (
        ("a", RUNNING, AWAITS), ("b", RUNNING), ("c", RUNNING, PAUSED, DONE), ("d", RUNNING, DONE)
    ):  # fmt: skip
        for status in statuses:
            walk.comes(status, execution)
    walk.gets("lead")
    claim = walk.claim("approvers")
    assert claim is not None
    walk.record(claim, BUSY)
    walk.gets("mail")
    known = Silence({"agent": ("Nobody",)}, "r", "Ann", walk.now, walk.now + 2 * HOUR)
    planned = Silence({"agent": ("Nobody",)}, "r", "Ann", walk.now + HOUR, walk.now + 2 * HOUR)
    for silence in (known, planned):
        walk.do(methodcaller("add_silence", silence, walk.now))


def remaining(walk: Walk) -> dict[str, Any]:
    """For how long everything still waits, in whole seconds."""
    kinds = rows(walk, "SELECT kind, route, destination, event_id, due_at, owed_at FROM delivery"
                       " WHERE state = 'waiting' ORDER BY id")  # fmt: skip
    held = rows(walk, "SELECT 'held', held_until FROM event WHERE verdict = 'held'")
    paused = rows(walk, "SELECT name, paused_until FROM destination WHERE paused_until NOT NULL")
    silence = rows(walk, "SELECT 'silence', until_at FROM silence WHERE id = 1")
    found = {
        " ".join(map(str, each[:-1])): each[-1] for each in [*held, *paused, *silence]
    } | {f"{' '.join(each[:4])} {name}": at for each in kinds
         for name, at in (("due", each[4]), ("owed", each[5]))}  # fmt: skip
    return {name: round((at - walk.now) / SECOND) for name, at in found.items()}


def looks(walk: Walk, between_runs: bool) -> int:
    """What the clock of a process does that sees its clock go back, or that starts."""
    if between_runs:
        walk.restart()
        return 1
    done: int = walk.do(lambda transaction: transaction.set_back(walk.now))
    return done


@pytest.mark.parametrize("between_runs", [False, True])
@pytest.mark.parametrize("back", [MINUTE, HOUR, DAY])
def test_what_began_under_a_clock_ahead_waits_for_as_long_as_was_meant(
    walk: Walk, back: int, between_runs: bool
) -> None:
    fill(walk)
    meant = remaining(walk)
    assert {name.split()[0] for name in meant} == {
        "reminder", "escalation", "notice", "held", "approvers", "silence",
    }  # fmt: skip
    walk.now -= back
    assert looks(walk, between_runs) > 0
    assert remaining(walk) == meant
    planned = rows(walk, "SELECT from_at FROM silence WHERE id = 2")
    assert planned == [(walk.now + back + HOUR,)]
    for _ in range(3):  # to ask again changes nothing, however long it still waits
        before, walk.now = dues(walk), walk.now + MINUTE
        assert walk.do(lambda transaction: transaction.set_back(walk.now)) == 0
        walk.restart()
        assert dues(walk) == before


@pytest.mark.parametrize("between_runs", [False, True])
def test_what_began_before_the_clock_went_ahead_stays_where_it_is(
    walk: Walk, between_runs: bool
) -> None:
    fill(walk)
    before = dues(walk)
    walk.now += 2 * MINUTE
    assert walk.gets() == []
    walk.comes(RUNNING, "e")  # under the clock ahead
    new = rows(walk, "SELECT id FROM delivery WHERE execution_id = 'e'")
    walk.now -= MINUTE
    looks(walk, between_runs)
    ids = {number for (number,) in new}
    assert [each for each in dues(walk)[0] if each[0] not in ids] == before[0]
    assert dues(walk)[1:] == before[1:]


def test_a_step_that_clocks_make_is_none(walk: Walk) -> None:
    fill(walk)
    before = dues(walk)
    walk.now -= AHEAD // 2
    walk.restart()
    assert dues(walk) == before


@pytest.mark.parametrize("back", [HOUR, DAY])
def test_what_hours_put_off_under_a_clock_ahead_is_looked_at_again(walk: Walk, back: int) -> None:
    walk.now += HOUR  # 13:00: quiet for `lead` and the route `works`, until 15:00 and 14:10
    walk.comes(RUNNING, "a")
    walk.comes(AWAITS, "a")
    walk.gets()
    walk.now -= back  # by an hour: 12:00, not quiet; by a day: the same hours, a day earlier
    walk.do(lambda transaction: transaction.set_back(walk.now))
    told = {told.destination for told in walk.gets()}
    assert ("lead" in told) == (back == HOUR)
    quiet = rows(walk, "SELECT DISTINCT group_key, due_at FROM delivery WHERE state = 'waiting'"
                       " AND kind = 'notice' AND destination = 'lead'")  # fmt: skip
    ends = (walk.now // DAY) * DAY + 15 * HOUR
    assert quiet == ([] if back == HOUR else [(f"quiet/{ends}", ends)])


def test_what_was_heard_under_a_clock_ahead_does_not_put_off_who_is_stuck(walk: Walk) -> None:
    walk.comes(RUNNING, "a")
    walk.gets()
    walk.now += DAY - HOUR
    walk.comes(RUNNING, "a")  # heard again, a day ahead
    walk.now -= DAY - HOUR
    walk.do(lambda transaction: transaction.set_back(walk.now))
    found = [told.title for _, told in walk.until_quiet(91 * MINUTE) if told.claim.route == "stuck"]
    assert len(found) == 1


def test_a_long_stop_sends_once_what_is_still_true_in_order(walk: Walk) -> None:
    fill(walk)
    walk.comes(RUNNING, "a")  # what waited for a confirmation is over
    walk.now += 5 * HOUR
    walk.restart()
    walk.store.write_now(walk.intake.expire, walk.now)
    walk.passes(0)
    found = []
    for _ in range(30):
        found += walk.gets()
        walk.now += SECOND
    assert not [t for t in found if t.claim.facts.status == AWAITS and t.claim.kind != "resolved"]
    keys = [(told.claim.delivery, told.destination) for told in found]
    assert len(keys) == len(set(keys))
    approvers = [told.claim.claimed_at for told in found if told.destination == "approvers"]
    assert all(b - a >= SECOND for a, b in pairwise(approvers))


def test_a_start_tries_a_destination_that_asked_for_time_once(walk: Walk) -> None:
    fill(walk)
    walk.now += SECOND  # by its rate there is room for one
    walk.comes(PAUSED, "e")
    assert walk.claim("approvers") is None
    before = rows(walk, "SELECT name, paused_until FROM destination")
    walk.restart()
    claim = walk.claim("approvers")
    assert claim is not None
    assert walk.claim("approvers") is None
    assert rows(walk, "SELECT name, paused_until FROM destination") == before
    walk.record(claim, DELIVERED)
    assert rows(walk, "SELECT paused_until FROM destination WHERE name = 'approvers'") == [(None,)]


def test_what_was_tried_under_a_clock_ahead_is_tried_again_as_soon_as_was_meant(walk: Walk) -> None:
    walk.comes(AWAITS, "a")
    walk.now += HOUR
    claim = walk.claim("approvers")
    assert claim is not None
    walk.record(claim, FAILED)
    due = rows(walk, f"SELECT due_at - {HOUR} FROM delivery WHERE id = {claim.delivery}")
    walk.now -= HOUR
    looks(walk, between_runs=False)
    found = rows(walk, f"SELECT due_at, owed_at FROM delivery WHERE id = {claim.delivery}")
    assert found == [(*due[0], walk.now)]


def test_what_came_before_and_was_put_off_under_a_clock_ahead_is_looked_at_again(
    walk: Walk,
) -> None:
    walk.comes(AWAITS, "a")
    walk.now += DAY + HOUR  # 13:00: quiet until 15:00 of the next day
    assert walk.gets("lead") == []
    walk.now -= DAY + HOUR
    looks(walk, between_runs=False)
    assert len(walk.gets("lead")) == 1


def test_the_same_hours_move_nothing_though_nothing_can_be_claimed(walk: Walk) -> None:
    walk.now += HOUR  # 13:00
    walk.comes(AWAITS, "a")
    assert walk.gets("lead") == []
    before, walk.now = dues(walk), walk.now + MINUTE
    policy = policy_at(walk.rules.destinations["lead"], walk.rules, walk.now)
    walk.do(lambda transaction: transaction.recheck_quiet("lead", policy, walk.now))
    assert dues(walk) == before


def test_what_was_heard_under_a_clock_ahead_counts_from_when_that_was_set_back(
    tmp_path: Path,
) -> None:
    walk = Walk(tmp_path, ROUTES)
    walk.passes(HOUR)
    walk.comes(RUNNING)
    walk.now -= HOUR
    assert walk.do(lambda transaction: transaction.set_back(walk.now))
    walk.passes(90 * MINUTE - SECOND)
    assert [told.title for told in walk.gets("approvers")] == []
    # By now our clock has passed the time at which the event was received.
    walk.passes(SECOND)
    assert len(walk.gets("approvers")) == 1


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_clock_that_jumps_during_an_attempt_lets_its_retry_wait_as_long_as_meant(
    tmp_path: Path, hours: int
) -> None:
    walk = Walk(tmp_path, ROUTES)
    walk.now -= min(hours, 0) * HOUR  # it may be ahead at first
    walk.comes(AWAITS)
    claim = walk.claim("approvers")
    assert claim is not None
    walk.now += hours * HOUR
    walk.record(claim, BUSY)
    walk.now -= max(hours, 0) * HOUR
    walk.do(lambda transaction: transaction.set_back(walk.now))
    (due,) = rows(walk, f"SELECT due_at FROM delivery WHERE id = {claim.delivery}")
    (paused,) = rows(walk, "SELECT paused_until FROM destination WHERE name = 'approvers'")
    assert (due[0], paused[0]) == (walk.now + 900 * SECOND, walk.now + 900 * SECOND)


SHORT = """\
destinations:
  ops: {url: console://, rate: 1000/s}
routes:
  - {name: stuck, stuck: {status: running, after: 5s}, notify: ops}
  - {name: failures, match: {status: failed}, notify: ops}
"""


@pytest.mark.parametrize("between_runs", [False, True])
def test_what_is_watched_and_silenced_a_day_ahead_is_for_as_long_as_was_meant(
    tmp_path: Path, between_runs: bool
) -> None:
    walk = Walk(tmp_path, SHORT)
    walk.looks()
    walk.now += DAY
    walk.looks()
    walk.comes(RUNNING, "a")
    of = Silence({"status": ("failed",)}, "r", "Ann", walk.now, walk.now + 20 * SECOND)
    walk.do(methodcaller("add_silence", of, walk.now))
    walk.now -= DAY
    if between_runs:
        walk.is_down(SECOND)
    else:
        walk.do(lambda transaction: transaction.set_back(walk.now))
    assert walk.serves(4 * SECOND) == []
    assert [told.claim.route for told in walk.serves(2 * SECOND)] == ["stuck"]
    walk.comes(Status.FAILED, "b")
    assert walk.serves(12 * SECOND) == []
    assert [told.claim.kind for told in walk.serves(4 * SECOND)] == ["digest"]
    walk.comes(Status.FAILED, "c")
    assert [told.claim.kind for told in walk.gets()] == ["notice"]


ESCALATED = """\
destinations:
  ops: {url: console://, rate: 1000/s}
  lead: {url: console://, rate: 1000/s}
routes:
  - name: conf
    match: {status: awaiting_confirmation}
    notify: ops
    escalate: [{after: 20m, notify: lead}, {after: 90m, notify: lead}]
"""


@pytest.mark.parametrize("state", ["sent", "dead", "silenced"])
def test_an_escalation_that_was_told_a_day_ahead_is_told_no_second_time(
    tmp_path: Path, state: str
) -> None:
    walk = Walk(tmp_path, ESCALATED)
    walk.now += DAY
    walk.comes(AWAITS)
    walk.gets()
    if state == "silenced":
        of = Silence({"status": ("awaiting_confirmation",)}, "r", "Ann", walk.now, walk.now + HOUR)
        walk.do(methodcaller("add_silence", of, walk.now))
    walk.passes(20 * MINUTE)
    walk.gets("lead", GONE if state == "dead" else DELIVERED)
    walk.now -= DAY
    walk.is_down(SECOND)
    walk.reload(ESCALATED)
    later = [(at, told.claim) for at, told in walk.until_quiet(3 * HOUR)]
    steps = [(at, claim.step) for at, claim in later if claim.kind is Kind.ESCALATION]
    assert steps == [(90, 2)]


def test_what_was_heard_before_a_clock_ran_ahead_counts_from_when_that_was_set_back(
    tmp_path: Path,
) -> None:
    walk = Walk(tmp_path, ROUTES)
    walk.looks()
    walk.comes(RUNNING)
    walk.gets()
    walk.passes(10 * MINUTE)
    walk.looks()
    walk.is_down(DAY)  # it starts with a clock ahead
    walk.passes(10 * MINUTE)
    walk.looks()
    walk.now -= DAY
    walk.is_down(SECOND)
    walk.passes(90 * MINUTE - 2 * SECOND)
    assert walk.gets("approvers") == []
    walk.passes(3 * SECOND)
    assert [told.claim.route for told in walk.gets("approvers")] == ["stuck"]
