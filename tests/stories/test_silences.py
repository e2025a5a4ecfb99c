"""Silences: what is not told about for a while, and what people learn of it afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.events import Status
from receiver.routing.silences import Silence
from tests.support.people import GONE, HOUR, MINUTE, SECOND, Walk

AWAITS, RUNNING = Status.AWAITING_CONFIRMATION, Status.RUNNING
ROUTES = """\
destinations:
  ops: {url: console://, rate: 1000/s}
  mail: {url: console://, rate: 1000/s}
routes:
  - {name: failures, match: {status: failed}, notify: [ops, mail]}
  - {name: rejected, match: {verdict: rejected}, notify: ops}
  - name: confirmations
    match: {status: awaiting_confirmation}
    notify: mail
    remind: {every: 15m}
"""


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, ROUTES)
    yield opened
    opened.store.close()


def silence(walk: Walk, hours: int = 2, begins: int = 0, **match: str) -> int:
    names = {name.replace("metadata_", "metadata."): (value,) for name, value in match.items()}
    of = Silence(names, "deploy", "Ann", walk.now + begins, walk.now + hours * HOUR)
    return int(walk.do(lambda t: t.add_silence(of, walk.now)))


def test_what_is_silenced_is_superseded_counted_and_listed_once_when_it_ends(walk: Walk) -> None:
    number = silence(walk, agent="Invoice *")
    for n in range(7):
        walk.comes(Status.FAILED, f"x-{n}", detail={"reason": "log-in refused"})
    walk.comes(Status.FAILED, "other", agent_name="Mail agent", agent_id=None)
    assert walk.titles() == ["ops: Mail agent failed", "mail: Mail agent failed"]
    reason = "silenced by Ann until 2026-06-01T14:00:00Z: deploy"
    assert walk.states(state="superseded", destination="ops") == (
        [("ops", "notice", "superseded", reason)] * 7
    )
    shown = walk.shown("x-0")["deliveries"][0]
    assert (shown["silence"], shown["state"]) == (number, "superseded")
    found = walk.store.silence(number)
    assert found is not None
    assert (found["silenced"], found["match"]) == (14, {"agent": ["Invoice *"]})
    walk.restart()
    walk.passes(2 * HOUR)
    walk.restart()
    told = walk.gets()
    assert [(each.destination, each.title) for each in told] == [
        (name, "While silenced: Invoice agent: 7 failed since 12:00 UTC")
        for name in ("ops", "mail")
    ]
    assert "The silence is over: deploy (silenced by Ann)" in told[0].message.body
    assert "The first 5 of 7:\n· log-in refused · 2 h ago · x-0\n" in told[0].message.body
    assert told[0].claim.kind == "digest"
    walk.restart()
    assert walk.until_quiet(3 * HOUR) == []


def test_a_silence_that_kept_nothing_back_says_nothing(walk: Walk) -> None:
    silence(walk, status="failed")
    assert walk.until_quiet(3 * HOUR) == []
    assert walk.store.next_silence_end() is None


def test_a_silence_begins_when_it_says(walk: Walk) -> None:
    silence(walk, begins=HOUR, status="failed")
    walk.comes(Status.FAILED, "x-1")
    assert len(walk.gets()) == 2
    walk.passes(HOUR)
    walk.comes(Status.FAILED, "x-2")
    assert walk.gets() == []


def test_a_silence_ends_at_once_by_hand(walk: Walk) -> None:
    number = silence(walk, status="failed")
    walk.comes(Status.FAILED, "x-1")
    assert walk.gets() == []
    walk.passes(MINUTE)
    assert walk.do(lambda t: t.expire_silence(number, walk.now)) is True
    assert walk.do(lambda t: t.expire_silence(number, walk.now)) is False
    assert walk.do(lambda t: t.expire_silence(99, walk.now)) is None
    # Whoever reads why nobody was told reads when it really ended.
    reason = "silenced by Ann until 2026-06-01T12:01:00Z: deploy"
    assert {state[3] for state in walk.states(state="superseded")} == {reason}
    walk.passes(0)
    assert walk.titles("ops") == ["ops: While silenced: Invoice agent: 1 failed since 12:00 UTC"]
    walk.comes(Status.FAILED, "x-2")
    assert walk.titles("ops") == ["ops: Invoice agent failed"]


def test_confirmations_that_still_wait_are_each_listed_afterwards(walk: Walk) -> None:
    silence(walk, status="awaiting_confirmation")
    for n in range(23):
        walk.comes(AWAITS, f"inv-{n}")
    assert walk.gets() == []
    walk.comes(RUNNING, "inv-3")
    walk.passes(2 * HOUR)
    told = [each for each in walk.gets() if each.claim.kind == "digest"]
    assert [each.title for each in told] == [
        f"While silenced: Invoice agent: {what}, since 12:00 UTC{page}"
        for what, page in (
            ("22 to confirm or decline, 1 is over by now", ""),
            ("10 to confirm or decline", " (2)"),
            ("3 to confirm or decline", " (3)"),
        )
    ]
    bodies = "\n".join(each.message.body for each in told)
    listed = re.findall(r"^· for .* · inv-(\d+)$", bodies, re.M)
    assert [n for n in range(23) if str(n) not in listed] == [3]
    assert bodies.count("· over: now running · inv-3") == 1


def test_reminders_go_on_after_a_silence(walk: Walk) -> None:
    walk.comes(AWAITS, "inv")
    walk.gets()
    walk.passes(MINUTE)
    silence(walk, hours=1, status="awaiting_confirmation")
    found = walk.until_quiet(80 * MINUTE)
    assert [(at, told.claim.kind) for at, told in found] == [(60, "digest"), (75, "reminder")]


def test_conditions_hold_as_those_of_a_route(walk: Walk) -> None:
    silence(walk, metadata_team="payments", reason="!budget_exceeded")
    walk.comes(Status.FAILED, "a", metadata={"team": "payments"})
    walk.comes(Status.FAILED, "b", metadata={"team": "other"})
    walk.comes(
        Status.FAILED, "c", metadata={"team": "payments"}, detail={"reason": "budget_exceeded"}
    )
    assert len(walk.gets("ops")) == 2
    # Without a verdict it is about applied events.
    walk.comes(RUNNING, "a", metadata={"team": "payments"})
    assert walk.titles("ops") == [
        "ops: Invoice agent already failed; a later update that says running does not count"
    ]


def test_the_end_of_a_destination_is_not_silenced_by_what_died_there(walk: Walk) -> None:
    silence(walk, status="failed")
    walk.reload(ROUTES + "  - {name: dead, match: {dead_letter: ops}, notify: mail}\n")
    walk.comes(Status.COMPLETED, "x")
    walk.comes(RUNNING, "x")
    silence(walk, dead_letter="mail")
    claim = walk.claim("ops")
    assert claim is not None
    walk.record(claim, GONE)
    (report,) = walk.titles("mail")
    assert report.startswith("mail: ops did not get: ")
    silence(walk, dead_letter="ops")
    walk.passes(HOUR + SECOND)
    walk.comes(Status.PAUSED, "x")
    claim = walk.claim("ops")
    assert claim is not None
    walk.record(claim, GONE)
    assert walk.titles("mail") == []


def test_hostile_text_cannot_break_a_silence(walk: Walk) -> None:
    silence(walk, reason="x*")
    for n, reason in enumerate(["\ud800", {"a": [1]}, None, "x\x00y", ["x"], "x" * 10_000]):
        walk.comes(Status.FAILED, f"x-{n}", detail={"reason": reason}, metadata={"\ud800": "\x00"})
    assert len(walk.gets("ops")) == 4


FOLLOWED = """\
destinations:
  a: {url: console://, rate: 1000/s}
  b: {url: console://, rate: 1000/s}
routes:
  - name: confirmations
    match: {status: awaiting_confirmation}
    notify: a
    remind: {every: 15m}
    escalate: [{after: 20m, notify: b}]
    resolved: true
    acknowledged: true
"""
TOLD_AFTERWARDS = "".join(
    line
    for line in FOLLOWED.splitlines(keepends=True)
    if "remind" not in line and "esc" not in line
)


def test_a_silence_counts_executions_and_not_their_reminders(walk: Walk) -> None:
    walk.reload(FOLLOWED)
    silence(walk, hours=8, status="awaiting_confirmation")
    walk.comes(AWAITS, "inv")
    found = [told for _, told in walk.until_quiet(8 * HOUR)]
    assert [(told.destination, told.title) for told in found] == [
        (name, "While silenced: Invoice agent: 1 to confirm or decline, since 12:00 UTC")
        for name in "ab"
    ]
    for told in found:
        assert told.message.body.count("· inv") == 1


def test_what_is_over_or_taken_when_a_silence_ends_does_not_wait(walk: Walk) -> None:
    walk.reload(FOLLOWED)
    silence(walk, status="awaiting_confirmation")
    for name in ("waits", "over", "taken", "again"):
        walk.comes(AWAITS, name)
    walk.gets()
    walk.comes(RUNNING, "over")
    walk.comes(RUNNING, "again")
    walk.acknowledge("Ann", "taken")
    walk.passes(2 * HOUR)
    walk.comes(AWAITS, "again")
    (told,) = (told for told in walk.gets("a") if told.claim.kind == "digest")
    waiting, _, others = told.message.body.partition("The others:")
    assert re.findall(r" · (\w+)$", waiting, re.M) == ["waits"]
    assert told.title == (
        "While silenced: Invoice agent: 1 to confirm or decline, 2 are over by now,"
        " 1 is taken care of"
    )
    assert "· over: now running · over" in others
    assert "· over: now waiting for confirmation again · again" in others
    assert "Ann takes care of it · taken" in others


def test_what_tells_of_a_silence_lists_nothing_that_is_over(walk: Walk) -> None:
    silence(walk, status="awaiting_confirmation")
    for n in range(23):
        walk.comes(AWAITS, f"inv-{n}")
    assert walk.gets() == []
    for n in range(10, 20):
        walk.comes(RUNNING, f"inv-{n}")
    walk.passes(2 * HOUR)
    titles = [told.title for told in walk.gets() if told.claim.kind == "digest"]
    assert titles == [
        "While silenced: Invoice agent: 13 to confirm or decline, 10 are over by now,"
        " since 12:00 UTC",
        "While silenced: Invoice agent: 3 to confirm or decline, since 12:00 UTC (3)",
    ]
    assert ("mail", "digest", "superseded", "what it would list waits no longer") in walk.states()


def test_who_learns_of_a_wait_after_a_silence_learns_who_took_it_and_its_end(walk: Walk) -> None:
    walk.reload(TOLD_AFTERWARDS)
    silence(walk, hours=1, status="awaiting_confirmation")
    for name in ("waits", "over"):
        walk.comes(AWAITS, name)
    walk.gets()
    walk.comes(RUNNING, "over")
    walk.passes(HOUR)
    walk.restart()
    assert walk.titles() == [
        "a: While silenced: Invoice agent: 1 to confirm or decline, 1 is over by now,"
        " since 12:00 UTC"
    ]
    walk.acknowledge("Ann", "waits")
    assert walk.titles() == ["a: Invoice agent: Ann takes care of it"]
    walk.comes(RUNNING, "waits")
    assert walk.titles() == ["a: Invoice agent: confirmed after 1 h, it continues"]


def test_whom_the_digest_of_a_silence_did_not_reach_is_told_no_end_but_its_fallback_is(
    walk: Walk,
) -> None:
    walk.reload(TOLD_AFTERWARDS.replace("a: {url", "a: {fallback: b, url"))
    silence(walk, hours=1, status="awaiting_confirmation")
    walk.comes(AWAITS, "inv")
    walk.gets()
    walk.passes(HOUR)
    once = "While silenced: Invoice agent: 1 to confirm or decline, since 12:00 UTC"
    assert walk.gets("a", GONE)[0].title == once
    assert walk.titles("b") == [f"b: {once}"]
    walk.comes(RUNNING, "inv")
    assert walk.titles() == ["b: Invoice agent: confirmed after 1 h, it continues"]


def test_who_learns_of_a_wait_from_the_digest_is_told_the_rest(walk: Walk) -> None:
    walk.reload(TOLD_AFTERWARDS)
    silence(walk, hours=1, status="awaiting_confirmation")
    walk.comes(AWAITS, "inv")
    walk.gets()
    walk.passes(HOUR)
    claim = walk.claim("a")
    assert claim is not None
    # While it is being sent: what follows from it is owed when it was.
    walk.acknowledge("Ann", "inv")
    walk.record(claim)
    assert walk.titles("a") == ["a: Invoice agent: Ann takes care of it"]
    walk.comes(RUNNING, "inv")
    assert walk.titles("a") == ["a: Invoice agent: confirmed after 1 h, it continues"]
