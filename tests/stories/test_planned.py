"""When a rule asks for a message, what keeps it back, and what is told at its own time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.dispatch.operators import expire_silence
from receiver.events import Status
from receiver.routing.silences import Silence
from receiver.times import parse_time
from tests.support.people import DELIVERED, FAILED, GONE, HOUR, MINUTE, SECOND, Told, Walk

AWAITS, RUNNING = Status.AWAITING_CONFIRMATION, Status.RUNNING
EVENING = parse_time("2026-06-01T21:00:00Z")
NIGHT = 'quiet: {from: "20:00", to: "07:00", tz: UTC}'
TO = "url: console://, rate: 1000/s"


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, rules(f"team: {{{TO}}}"))
    yield opened
    opened.store.close()


def rules(*destinations: str, conf: str = "", more: str = "") -> str:
    lines = "\n".join(f"  {each}" for each in destinations)
    return (
        f"destinations:\n{lines}\nroutes:\n"
        f"  - {{name: conf, match: {{status: awaiting_confirmation}}, notify: team{conf}}}\n{more}"
    )


def silence(walk: Walk, time: int, **match: str) -> int:
    of = Silence({k: (v,) for k, v in match.items()}, "deploy", "Ann", walk.now, walk.now + time)
    return int(walk.do(lambda t: t.add_silence(of, walk.now)))


def seconds(walk: Walk, time: int, step: int = SECOND // 2) -> list[tuple[float, Told]]:
    """Return what goes out within a time, with the seconds since now."""
    found, begin = list[tuple[float, Told]](), walk.now
    while walk.now < begin + time:
        walk.passes(step)
        found += [((walk.now - begin) / SECOND, told) for told in walk.gets()]
    return found


def kinds(found: list[tuple[float, Told]]) -> list[tuple[float, str, str]]:
    return [(round(at), told.destination, str(told.claim.kind)) for at, told in found]


# An escalation has a time of its own.


LEAD = f"lead: {{{TO}}}"
TWICE = ", escalate: [{after: 3s, notify: lead}, {after: 30m, notify: lead}]"


def test_an_escalation_is_not_due_sooner_because_quiet_hours_end(walk: Walk) -> None:
    walk.now = EVENING
    walk.reload(rules(f"team: {{{TO}}}", f"lead: {{{TO}, {NIGHT}}}", conf=TWICE))
    walk.comes(AWAITS)
    walk.gets("team")
    walk.passes(4 * SECOND)
    assert walk.gets("lead") == []
    planned = {d["planned_at"] - walk.now for d in walk.store.deliveries({}, 9, None)[0][:2]}
    walk.passes(SECOND)
    walk.reload(rules(f"team: {{{TO}}}", LEAD, conf=TWICE))
    assert walk.titles("lead") == ["lead: Escalated: Invoice agent waits for confirmation"]
    assert planned == {-SECOND, 30 * MINUTE - 4 * SECOND}
    found = seconds(walk, 31 * MINUTE, step=5 * SECOND)
    assert kinds(found) == [(1795, "lead", "escalation")]


def test_quiet_hours_that_begin_later_hold_only_what_is_asked_for_by_then(walk: Walk) -> None:
    walk.now = EVENING - 90 * MINUTE  # half an hour before they begin
    walk.reload(rules(f"team: {{{TO}}}", f"lead: {{{TO}, {NIGHT}}}", conf=TWICE))
    walk.comes(AWAITS)
    assert [at for at, _ in walk.until_quiet(12 * HOUR)] == [1, 1, 690]
    shown = walk.store.deliveries({"kind": "escalation"}, 9, None)[0]
    assert {d["state"] for d in shown} == {"sent"}


def test_what_waits_for_the_morning_says_since_when_it_is_asked_for(walk: Walk) -> None:
    walk.now = EVENING
    walk.reload(rules(f"team: {{{TO}, {NIGHT}}}"))
    walk.comes(AWAITS)
    begun = walk.now
    assert walk.gets() == []
    (shown,) = walk.shown()["deliveries"]
    assert (shown["waits_for"], shown["until"]) == ("quiet hours", "2026-06-02T07:00:00Z")
    assert parse_time(shown["planned_at"]) == begun
    walk.passes(HOUR)
    walk.reload(rules(f"team: {{{TO}}}"))
    walk.gets()
    (shown,) = walk.shown()["deliveries"]
    assert parse_time(shown["planned_at"]) == begun


def test_escalations_of_a_group_come_each_at_its_own_time(walk: Walk) -> None:
    group = ", group: {by: [agent], wait: 8s, every: 10m}, escalate: [{after: 10s, notify: lead}]"
    walk.reload(rules(f"team: {{{TO}}}", LEAD, conf=group))
    walk.comes(AWAITS, "a")
    found = seconds(walk, 7 * SECOND)
    walk.comes(AWAITS, "b")
    found = seconds(walk, 20 * SECOND)
    assert kinds(found) == [
        (1, "team", "notice"),
        (3, "lead", "escalation"),
        (10, "lead", "escalation"),
    ]
    assert [told.claim.facts.execution_id for _, told in found[1:]] == ["a", "b"]


def test_escalations_that_are_due_together_go_out_as_one_digest(walk: Walk) -> None:
    group = ", group: {by: [agent], wait: 8s, every: 10m}, escalate: [{after: 10s, notify: lead}]"
    walk.reload(rules(f"team: {{{TO}}}", LEAD, conf=group))
    for execution in "abc":
        walk.comes(AWAITS, execution)
    walk.passes(11 * SECOND)
    (told,) = walk.gets("lead")
    assert told.claim.digest is not None
    assert told.claim.digest.total == 3


def test_a_reminder_of_a_group_does_not_come_before_it_is_due(walk: Walk) -> None:
    group = ", group: {by: [agent], wait: 30s, every: 60s}, remind: {every: 5m}"
    walk.reload(rules(f"team: {{{TO}}}", conf=group))
    walk.comes(AWAITS, "a")
    seconds(walk, 40 * SECOND)
    walk.comes(AWAITS, "b")
    told = seconds(walk, 60 * SECOND)
    assert kinds(told) == [(50, "team", "notice")]
    found = seconds(walk, 6 * MINUTE)
    # `a` was told at 30 s, `b` at 90 s, and there is one digest a minute.
    assert kinds(found) == [(230, "team", "reminder"), (290, "team", "reminder")]


# Silences.


FAILURES = "  - {name: failures, match: {status: failed}, notify: team}\n"


def test_two_silences_are_listed_at_the_end_of_the_last_that_covers_the_messages(
    walk: Walk,
) -> None:
    walk.reload(rules(f"team: {{{TO}}}", more=FAILURES))
    silence(walk, 3 * SECOND, status="failed")
    last = silence(walk, 12 * SECOND, status="failed")
    for n in range(3):
        walk.comes(Status.FAILED, f"x-{n}")
    ((at, told),) = seconds(walk, 20 * SECOND)
    assert (round(at), told.title) == (
        12,
        "While silenced: Invoice agent: 3 failed since 12:00 UTC",
    )
    assert {d["silence"] for d in walk.store.deliveries({"kind": "notice"}, 9, None)[0]} == {last}


def test_what_the_other_silence_does_not_cover_is_listed_at_the_end_of_its_own(walk: Walk) -> None:
    walk.reload(rules(f"team: {{{TO}}}", more=FAILURES))
    silence(walk, 3 * SECOND, status="failed")
    silence(walk, 12 * SECOND, agent="Mail agent")
    walk.comes(Status.FAILED, "x-1")
    walk.comes(Status.FAILED, "x-2", agent_name="Mail agent")
    found = seconds(walk, 20 * SECOND)
    assert [(round(at), told.claim.digest.total) for at, told in found if told.claim.digest] == [
        (3, 1), (12, 1),
    ]  # fmt: skip


def test_three_silences_and_an_end_by_hand_hand_on_what_is_still_covered(walk: Walk) -> None:
    walk.reload(rules(f"team: {{{TO}}}", more=FAILURES))
    first = silence(walk, HOUR, status="failed")
    second = silence(walk, 2 * HOUR, status="failed")
    walk.comes(Status.FAILED)
    walk.gets()
    for number in (first, second):
        walk.passes(MINUTE)
        assert walk.gets() == []
        walk.do(lambda t, n=number: expire_silence(t, [(n, walk.now)]))  # type: ignore[misc]
    assert len(walk.gets()) == 1
    assert walk.until_quiet(3 * HOUR) == []


GATHERED = (
    "  - {name: failures, match: {status: failed}, notify: team,"
    " group: {by: [agent], wait: 5s, every: 1m}}\n"
)


def test_what_gathers_during_a_silence_is_listed_as_silenced(walk: Walk) -> None:
    walk.reload(rules(f"team: {{{TO}}}", more=GATHERED))
    number = silence(walk, 2 * SECOND, status="failed")
    for n in range(3):
        walk.comes(Status.FAILED, f"x-{n}")
    ((at, told),) = seconds(walk, 20 * SECOND)
    assert (round(at), told.title[:14]) == (2, "While silenced")
    found = walk.store.silence(number)
    assert found is not None
    assert found["silenced"] == 3


def test_what_waits_for_the_morning_during_a_silence_is_listed_as_silenced(walk: Walk) -> None:
    walk.now = EVENING
    walk.reload(rules(f"team: {{{TO}, {NIGHT}}}", more=FAILURES))
    walk.comes(Status.FAILED, "before")
    walk.passes(MINUTE)
    silence(walk, HOUR, status="failed")
    walk.comes(Status.FAILED, "during")
    walk.gets()
    walk.passes(2 * HOUR)
    walk.comes(Status.FAILED, "after")
    found = [told.title for _, told in walk.until_quiet(12 * HOUR)]
    assert sorted(found) == [
        "Invoice agent: 2 failed since 1 Jun 21:00 UTC",
        "While silenced: Invoice agent: 1 failed since 1 Jun 21:01 UTC",
    ]


def test_what_was_tried_before_a_silence_is_not_silenced_by_it(walk: Walk) -> None:
    walk.reload(rules(f"team: {{{TO}}}", more=FAILURES))
    walk.comes(Status.FAILED)
    walk.gets("team", FAILED)
    number = silence(walk, SECOND, status="failed")
    walk.passes(2 * SECOND)
    walk.gets()
    walk.passes(MINUTE)
    walk.gets()
    found = walk.store.silence(number)
    assert found is not None
    assert found["silenced"] == 0


# As the route's own message would.


def test_the_digest_of_a_silence_keeps_the_quiet_hours_of_its_route(walk: Walk) -> None:
    walk.now = EVENING
    quiet = FAILURES.replace("notify: team", f"notify: team, {NIGHT}")
    walk.reload(rules(f"team: {{{TO}}}", more=quiet))
    silence(walk, MINUTE, status="failed")
    walk.comes(Status.FAILED)
    assert walk.gets() == []
    assert [at for at, _ in walk.until_quiet(12 * HOUR)] == [600]


def test_the_digest_of_a_silence_is_as_urgent_as_its_route(walk: Walk) -> None:
    walk.now = EVENING
    urgent = FAILURES.replace("notify: team", "notify: team, urgent: true")
    walk.reload(rules(f"team: {{{TO}, {NIGHT}}}", more=urgent))
    silence(walk, MINUTE, status="failed")
    walk.comes(Status.FAILED)
    assert walk.gets() == []
    assert [at for at, _ in walk.until_quiet(12 * HOUR)] == [1]


def test_the_report_that_an_urgent_message_is_dead_is_urgent_too(walk: Walk) -> None:
    walk.now = EVENING
    urgent = FAILURES.replace("notify: team", "notify: team, urgent: true")
    walk.reload(rules(f"team: {{{TO}}}", f"ops: {{{TO}, {NIGHT}}}", more=urgent))
    walk.comes(Status.FAILED)
    walk.comes(AWAITS, "y")
    walk.gets("team", GONE)
    assert walk.titles("ops") == ["ops: team did not get: Invoice agent failed"]


def test_the_report_of_a_message_that_is_not_urgent_waits_for_the_morning(walk: Walk) -> None:
    walk.now = EVENING
    walk.reload(rules(f"team: {{{TO}}}", f"ops: {{{TO}, {NIGHT}}}", more=FAILURES))
    walk.comes(Status.FAILED)
    walk.gets("team", GONE)
    assert walk.gets("ops") == []
    walk.reload(rules(f"team: {{{TO}}}", f"ops: {{{TO}}}", more=FAILURES))
    assert len(walk.gets("ops")) == 1


def test_a_digest_of_a_silence_that_dies_is_as_urgent_at_the_fallback(walk: Walk) -> None:
    walk.now = EVENING
    urgent = FAILURES.replace("notify: team", "notify: team, urgent: true")
    walk.reload(rules(f"team: {{{TO}, fallback: ops}}", f"ops: {{{TO}, {NIGHT}}}", more=urgent))
    silence(walk, MINUTE, status="failed")
    walk.comes(Status.FAILED)
    walk.gets()
    walk.passes(2 * MINUTE)
    walk.gets("team", GONE)
    assert [told.title for told in walk.gets("ops")] == [
        "While silenced: Invoice agent: 1 failed since 21:00 UTC"
    ]


# Whoever took it.


TAKEN = ", acknowledged: true"


def test_a_notice_that_goes_out_after_somebody_took_it_says_so_once(walk: Walk) -> None:
    walk.reload(rules(f"team: {{{TO}}}", conf=TAKEN))
    walk.comes(AWAITS)
    walk.acknowledge("Ann")
    (told,) = walk.gets()
    assert told.message.body.splitlines()[0] == "Ann takes care of it."
    assert walk.until_quiet(HOUR) == []


def test_a_notice_of_something_that_runs_says_who_took_it_meanwhile(walk: Walk) -> None:
    runs = "  - {name: runs, match: {status: running}, notify: team}\n"
    walk.reload(rules(f"team: {{{TO}}}", more=runs))
    walk.comes(RUNNING)
    assert len(walk.gets(attempt=FAILED)) == 1
    walk.acknowledge("Ann")
    walk.passes(MINUTE)
    (told,) = walk.gets()
    assert told.message.body.splitlines()[0] == "Ann takes care of it."


def test_a_digest_says_of_each_who_took_it(walk: Walk) -> None:
    group = ", acknowledged: true, group: {by: [agent], wait: 30s, every: 1m}"
    walk.reload(rules(f"team: {{{TO}}}", conf=group))
    for execution in "ab":
        walk.comes(AWAITS, execution)
    walk.acknowledge("Ann", "a")
    walk.passes(MINUTE)
    (told,) = walk.gets()
    assert "Ann takes care of it · a" in told.message.body
    assert "1 to confirm or decline" in told.title
    assert walk.until_quiet(HOUR) == []


def test_who_takes_it_while_its_notice_is_sent_is_told_afterwards(walk: Walk) -> None:
    walk.reload(rules(f"team: {{{TO}}}", conf=TAKEN))
    walk.comes(AWAITS)
    claim = walk.claim("team")
    assert claim is not None
    walk.acknowledge("Ann")
    walk.record(claim, DELIVERED)
    assert [told.claim.kind for told in walk.gets()] == ["acknowledged"]


def test_what_was_taken_is_not_called_stuck(walk: Walk) -> None:
    stuck = "  - {name: stuck, stuck: {status: running, after: 1h}, notify: team}\n"
    walk.reload(rules(f"team: {{{TO}}}", more=stuck))
    for execution in "ab":
        walk.comes(RUNNING, execution)
    walk.acknowledge("Ann", "a")
    found = walk.until_quiet(3 * HOUR)
    assert [told.claim.facts.execution_id for _, told in found] == ["b"]


def test_a_silence_lists_nothing_as_stuck_that_was_heard(walk: Walk) -> None:
    stuck = "  - {name: stuck, stuck: {status: running, after: 10m}, notify: team}\n"
    walk.reload(rules(f"team: {{{TO}}}", more=stuck))
    walk.comes(RUNNING)
    walk.passes(6 * MINUTE)
    walk.comes(RUNNING)
    silence(walk, 6 * MINUTE, status="running")
    found = walk.until_quiet(HOUR)
    assert [(at, told.title.split("?")[0]) for at, told in found] == [(10, "Stuck")]
