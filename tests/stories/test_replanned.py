"""What waits follows the rules in force: after a reload, a start, the death of a message."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from receiver.dispatch.replanning import AT_ONCE, Place, difference, look, replan_in_parts, whole
from receiver.events import Status
from receiver.routing.routes import Reminders
from receiver.store.portions import Portions
from receiver.times import parse_time
from tests.support.people import FAILED, GONE, HOUR, MINUTE, SECOND, Told, Walk
from tests.support.stores import only_a_file

AWAITS, RUNNING = Status.AWAITING_CONFIRMATION, Status.RUNNING
TO = "url: console://, rate: 1000/s"
EVERY_15 = ", remind: {every: 15m}"


def rules(*names: str, conf: str = "", route: str = "conf", team: str = "", more: str = "") -> str:
    lines = "\n".join(f"  {name}: {{{TO}}}" for name in names)
    return (
        f"destinations:\n  team: {{{TO}{team}}}\n{lines}\nroutes:\n  - {{name: {route},"
        f" match: {{status: awaiting_confirmation}}, notify: team{conf}}}\n{more}"
    )


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, rules(conf=EVERY_15))
    yield opened
    assert opened.replan() == 0  # what ordinary work leaves is what is planned
    opened.store.close()


def minutes(found: list[tuple[int, Told]]) -> list[tuple[int, str, str]]:
    return [(at, told.destination, told.title.split(":")[0]) for at, told in found]


def planned(walk: Walk) -> list[tuple[str, str, int]]:
    """(destination, kind, minutes from now) of what waits, the next first."""
    items, _ = walk.store.deliveries({"state": "waiting"}, 200, None)
    return sorted(
        (
            (d["destination"], d["kind"], round((d["planned_at"] - walk.now) / MINUTE))
            for d in items
        ),
        key=lambda each: each[2],
    )


# The next reminder does not hang on the last one.


def test_reminders_go_on_after_one_that_died(walk: Walk) -> None:
    walk.reload(rules(conf=EVERY_15, team=", retry_for: 2s"))
    walk.comes(AWAITS)
    walk.gets()
    walk.passes(15 * MINUTE)
    for _ in range(3):
        walk.gets("team", FAILED)
        walk.passes(2 * SECOND)
    assert ("team", "reminder", "dead") in [each[:3] for each in walk.states()]
    assert [each[:2] for each in planned(walk)] == [("team", "reminder")]
    found = walk.until_quiet(31 * MINUTE)
    assert minutes(found) == [(15, "team", "Reminder 1"), (30, "team", "Reminder 2")]


def test_reminders_go_on_after_one_that_no_retry_could_mend(walk: Walk) -> None:
    walk.reload(rules("ops", conf=EVERY_15))
    walk.comes(AWAITS)
    walk.gets()
    walk.passes(15 * MINUTE)
    walk.gets("team", GONE)
    walk.restart()
    assert ("team", "reminder", 15) in planned(walk)
    found = walk.until_quiet(16 * MINUTE)
    assert (15, "team", "Reminder 1") in minutes(found)


def test_a_reminder_that_went_to_the_fallback_does_not_end_those_of_the_destination(
    walk: Walk,
) -> None:
    walk.reload(rules("mail", conf=EVERY_15, team=", fallback: mail"))
    walk.comes(AWAITS)
    walk.gets()
    walk.passes(15 * MINUTE)
    walk.gets("team", GONE)
    assert walk.titles("mail") == ["mail: Reminder 1: Invoice agent waits for confirmation"]
    found = walk.until_quiet(31 * MINUTE)
    assert minutes(found) == [(15, "team", "Reminder 1"), (30, "team", "Reminder 2")]


def test_the_reminders_of_a_digest_go_on_after_it_died(walk: Walk) -> None:
    group = ", group: {by: [agent], wait: 1m, every: 1m}, remind: {every: 15m}"
    walk.reload(rules(conf=group))
    for execution in "ab":
        walk.comes(AWAITS, execution)
    walk.passes(MINUTE)
    walk.gets()
    walk.passes(15 * MINUTE)
    walk.gets("team", GONE)
    found = walk.until_quiet(16 * MINUTE)
    assert [(at, told.claim.digest.total) for at, told in found if told.claim.digest] == [(15, 2)]


def test_a_route_that_is_named_back_goes_on_reminding_once(walk: Walk) -> None:
    walk.comes(AWAITS)
    walk.gets()
    walk.passes(10 * MINUTE)
    walk.reload(rules(conf=EVERY_15, route="other"))
    assert walk.until_quiet(50 * MINUTE) == []
    assert ("team", "reminder", "superseded", "no rule asks for it any more") in walk.states()
    walk.reload(rules(conf=EVERY_15))
    assert walk.titles() == ["team: Reminder 1: Invoice agent waits for confirmation"]
    assert minutes(walk.until_quiet(16 * MINUTE)) == [(15, "team", "Reminder 2")]


def test_remind_that_is_taken_out_and_put_back_goes_on(walk: Walk) -> None:
    walk.comes(AWAITS)
    walk.gets()
    walk.reload(rules())
    walk.restart()
    assert planned(walk) == []
    walk.reload(rules(conf=EVERY_15))
    assert planned(walk) == [("team", "reminder", 15)]
    walk.restart()
    assert minutes(walk.until_quiet(31 * MINUTE)) == [
        (15, "team", "Reminder 1"), (30, "team", "Reminder 2"),
    ]  # fmt: skip


def test_a_route_that_goes_while_its_reminder_is_sent_goes_on_when_it_is_back(walk: Walk) -> None:
    walk.comes(AWAITS)
    walk.gets()
    walk.passes(15 * MINUTE)
    claim = walk.claim("team")
    assert claim is not None
    walk.reload(rules(conf=EVERY_15, route="other"))
    walk.record(claim)
    assert planned(walk) == []
    walk.reload(rules(conf=EVERY_15))
    assert planned(walk) == [("team", "reminder", 15)]


def test_a_reminder_that_a_reload_adds_holds_for_what_waits(walk: Walk) -> None:
    walk.reload(rules())
    walk.comes(AWAITS)
    walk.gets()
    walk.passes(HOUR)
    walk.reload(rules(conf=EVERY_15))
    assert minutes(walk.until_quiet(16 * MINUTE)) == [
        (1, "team", "Reminder 1"), (16, "team", "Reminder 2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("every", "at"), [("5m", [1, 6, 11, 16, 21, 26]), ("20m", [10]), ("15m", [5, 20])]
)
def test_a_reload_with_another_interval_counts_from_what_was_told(
    walk: Walk, every: str, at: list[int]
) -> None:
    walk.comes(AWAITS)
    walk.gets()
    walk.passes(10 * MINUTE)
    walk.reload(rules(conf=f", remind: {{every: {every}}}"))
    assert [minute for minute, _ in walk.until_quiet(26 * MINUTE)] == at


def test_at_most_that_a_reload_lowers_or_raises_holds(walk: Walk) -> None:
    walk.comes(AWAITS)
    walk.gets()
    walk.until_quiet(31 * MINUTE)
    walk.reload(rules(conf=", remind: {every: 15m, at_most: 2}"))
    assert planned(walk) == []
    walk.reload(rules(conf=", remind: {every: 15m, at_most: 3}"))
    assert minutes(walk.until_quiet(HOUR)) == [(14, "team", "Reminder 3")]


# Escalations.


TO_LEAD = ", remind: {every: 1h}, escalate: [{after: 2h, notify: lead}]"


def test_a_plan_is_no_message_that_dies(walk: Walk) -> None:
    walk.reload(rules("lead", "ops", conf=TO_LEAD))
    walk.comes(AWAITS)
    walk.gets()
    walk.reload(rules("laed", "ops", conf=TO_LEAD.replace("lead", "laed")))
    dead = walk.do(lambda t: t.end_orphans(tuple(walk.rules.destinations), walk.now))
    assert dead == []
    walk.reload(rules("lead", "ops", conf=TO_LEAD))
    assert walk.do(lambda t: t.redeliver_all("lead", walk.now)) == 0
    found = walk.until_quiet(121 * MINUTE)
    assert minutes(found) == [
        (60, "team", "Reminder 1"), (120, "team", "Reminder 2"), (120, "lead", "Escalated"),
    ]  # fmt: skip


def test_an_escalation_goes_to_whom_the_rules_name_by_then(walk: Walk) -> None:
    walk.reload(rules("lead", conf=", escalate: [{after: 1h, notify: lead}]"))
    walk.comes(AWAITS)
    walk.gets()
    walk.passes(10 * MINUTE)
    walk.reload(rules("lead", "boss", conf=", escalate: [{after: 1h, notify: boss}]"))
    assert minutes(walk.until_quiet(2 * HOUR)) == [(50, "boss", "Escalated")]


@pytest.mark.parametrize(("after", "at"), [("30m", 20), ("5m", 1), ("3h", 170)])
def test_an_escalation_counts_from_the_beginning_whenever_its_rule_came(
    walk: Walk, after: str, at: int
) -> None:
    walk.reload(rules("lead"))
    walk.comes(AWAITS)
    walk.gets()
    walk.passes(10 * MINUTE)
    walk.reload(rules("lead", conf=f", escalate: [{{after: {after}, notify: lead}}]"))
    walk.restart()
    assert minutes(walk.until_quiet(4 * HOUR)) == [(at, "lead", "Escalated")]


def test_an_escalation_that_was_sent_is_not_sent_again_by_a_shorter_rule(walk: Walk) -> None:
    walk.reload(rules("lead", conf=", escalate: [{after: 1h, notify: lead}]"))
    walk.comes(AWAITS)
    walk.until_quiet(61 * MINUTE)
    walk.reload(rules("lead", conf=", escalate: [{after: 5m, notify: lead}]"))
    walk.restart()
    assert walk.until_quiet(3 * HOUR) == []


def test_a_new_route_does_not_escalate_what_it_never_told_of(walk: Walk) -> None:
    walk.comes(AWAITS)
    walk.gets()
    walk.passes(2 * HOUR)
    new = (
        "  - {name: new, match: {category: awaiting}, notify: ops,"
        " escalate: [{after: 1h, notify: lead}]}\n"
    )
    walk.reload(rules("ops", "lead", more=new))
    assert walk.until_quiet(3 * HOUR) == []


def test_what_somebody_has_taken_stays_taken_after_a_reload(walk: Walk) -> None:
    walk.reload(rules("lead", conf=TO_LEAD))
    walk.comes(AWAITS)
    walk.gets()
    walk.acknowledge("Ann")
    walk.reload(rules("lead", conf=EVERY_15 + ", escalate: [{after: 5m, notify: lead}]"))
    walk.restart()
    assert walk.until_quiet(3 * HOUR) == []


# What is stuck.


STUCK = "  - {{name: stuck, stuck: {{status: running, after: {0}}}, notify: team}}\n"


@pytest.mark.parametrize(("after", "at"), [("30m", 20), ("5m", 1), ("3h", 170)])
def test_a_stuck_rule_that_a_reload_adds_or_changes_holds_for_what_runs(
    walk: Walk, after: str, at: int
) -> None:
    for before in ("", STUCK.format("2h")):
        walk.reload(rules(more=before))
        execution = f"x-{len(before)}"
        walk.comes(RUNNING, execution)
        walk.passes(10 * MINUTE)
        walk.reload(rules(more=STUCK.format(after)))
        assert [(minute, told.title[:6]) for minute, told in walk.until_quiet(4 * HOUR)] == [
            (at, "Stuck?")
        ]
        walk.comes(Status.COMPLETED, execution)


def test_what_was_called_stuck_is_not_called_so_again_by_a_shorter_rule(walk: Walk) -> None:
    walk.reload(rules(more=STUCK.format("1h")))
    walk.comes(RUNNING)
    assert len(walk.until_quiet(2 * HOUR)) == 1
    walk.reload(rules(more=STUCK.format("30m")))
    walk.restart()
    assert walk.until_quiet(3 * HOUR) == []


# All of it at once.


def test_plans_that_quiet_hours_keep_back_stay_kept_back(walk: Walk) -> None:
    quiet = ', quiet: {from: "20:00", to: "07:00", tz: UTC}'
    walk.now = parse_time("2026-06-01T19:50:00Z")
    walk.reload(rules(conf=EVERY_15, team=quiet))
    walk.comes(AWAITS)
    walk.gets()
    walk.passes(20 * MINUTE)
    assert walk.gets() == []
    walk.reload(rules(conf=", remind: {every: 5m}", team=quiet))
    walk.restart()
    assert walk.gets() == []
    assert [minute for minute, _ in walk.until_quiet(11 * HOUR)] == [650, 655, 660]


def test_a_large_store_is_gone_through_in_parts(walk: Walk) -> None:
    walk.reload(rules())
    walk.come([walk.event(AWAITS, f"x-{n}") for n in range(2 * AT_ONCE + 5)])
    walk.gets()
    route = replace(walk.rules.routes[0], remind=Reminders(15 * MINUTE))
    walk.rules = replace(walk.rules, routes=(route,))
    found = list[int]()
    following: Place | None = Place()
    while following is not None:
        due, following = look(walk.store, whole(walk.rules), following, walk.now)
        parts = replan_in_parts(walk.store, due, walk.rules, walk.now, hold=0.0)
        found += [done.changed for done in parts]
    assert found == [1] * (2 * AT_ONCE + 5)  # a transaction that has no time does one
    assert walk.pending() == len(found)


def test_a_portion_takes_as_long_as_it_should_and_grows_slowly() -> None:
    portions = Portions(first=20)
    portions.took(20, 0.4)
    assert portions.size == 2
    portions.took(2, 0.0001)
    assert portions.size == 4
    portions.took(4, 9.0)
    assert portions.size == 1
    assert [list(each) for each in portions.of("ab")] == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("before", "after", "statuses"),
    [
        ("notify: team", "notify: team, title: Look", None),
        ("notify: team", "notify: team, quiet: {from: '22:00', to: '06:00', tz: UTC}", None),
        ("notify: team", "notify: [team, lead]", ["awaiting_confirmation"]),
        ("remind: {every: 15m}", "remind: {every: 20m}", ["awaiting_confirmation"]),
        ("status: awaiting_confirmation", "status: [paused, awaiting_confirmation]",
         ["awaiting_confirmation", "paused"]),
        ("after: 10m", "after: 11m", ["running"]),
        ("match: {status: failed}", "match: {status: completed}", None),
        ("name: f, match: {status: failed}", "name: f, match: {status: '*'}, stop: true",
         ["awaiting_confirmation", "paused", "paused_by_agent", "running", "starting"]),
    ],
)  # fmt: skip
def test_a_reload_looks_only_at_what_other_rules_plan_otherwise(
    walk: Walk, before: str, after: str, statuses: list[str] | None
) -> None:
    more = WATCHED + "  - {name: f, match: {status: failed}, notify: team}\n"
    text = rules("lead", conf=EVERY_15, more=more)
    walk.reload(text)
    old = walk.rules
    walk.reload(text.replace(before, after, 1))
    found = difference(old, walk.rules)
    assert statuses == (None if found is None else list(found.statuses))
    swapped = replace(old, routes=tuple(reversed(old.routes)))
    assert difference(old, swapped) == whole(swapped)
    assert difference(old, replace(old, sources={})) == whole(replace(old, sources={}))


# One execution is one, whatever its messages ask for.


def test_failures_about_one_execution_pause_no_destination(walk: Walk) -> None:
    walk.reload(rules(conf=", remind: {every: 1m}, escalate: [{after: 2m, notify: team}]"))
    walk.comes(AWAITS)
    walk.gets()
    for _ in range(9):
        walk.passes(MINUTE)
        walk.gets("team", FAILED)
    items, _ = walk.store.deliveries({"state": "waiting"}, 9, None)
    assert {item["kind"] for item in items} == {"reminder", "escalation"}
    assert [item["obstacles"].paused_until for item in items] == [0, 0]


def test_an_escalation_does_not_move_when_our_own_downtime_counts_as_none(walk: Walk) -> None:
    only_a_file("it changes rows there")
    walk.reload(rules("lead", conf=", escalate: [{after: 1h, notify: lead}]"))
    walk.comes(AWAITS)
    walk.gets()
    begun = walk.now
    walk.passes(30 * MINUTE)
    later = "UPDATE event SET begun_at = received_at + 1800000000000"
    with closing(sqlite3.connect(walk.folder / "receiver.db")) as connection, connection:
        connection.execute(later)
    walk.restart()
    assert minutes(walk.until_quiet(2 * HOUR)) == [(30, "lead", "Escalated")]
    assert walk.now > begun


def test_escalations_of_a_route_whose_destinations_heard_from_others_outlive_a_start(
    walk: Walk,
) -> None:
    more = (
        "  - {name: large, match: {status: awaiting_confirmation, agent: '*'}, notify: team,"
        " escalate: [{after: 1h, notify: lead}]}\n"
    )
    for again in (walk.restart, lambda: walk.reload(rules("lead", more=more))):
        walk.reload(rules("lead", more=more))
        walk.comes(AWAITS)
        assert [told.destination for told in walk.gets()] == ["team"]
        again()
        assert planned(walk) == [("lead", "escalation", 60)]
        assert minutes(walk.until_quiet(2 * HOUR)) == [(60, "lead", "Escalated")]
        walk.comes(RUNNING)
        walk.gets()


WATCHED = "  - {name: NAME, stuck: {status: running, after: 10m}, notify: team}\n"


def test_what_no_route_has_said_to_be_stuck_is_watched_by_a_route_with_another_name(
    walk: Walk,
) -> None:
    walk.reload(rules(more=WATCHED.replace("NAME", "old")))
    walk.comes(RUNNING)
    walk.passes(2 * MINUTE)
    walk.reload(rules(more=WATCHED.replace("NAME", "new")))
    ((at, told),) = walk.until_quiet(HOUR)
    assert (at, told.claim.route) == (8, "new")
    # What was said once is not said again under another name.
    walk.reload(rules(more=WATCHED.replace("NAME", "newest")))
    assert walk.until_quiet(HOUR) == []


def test_reminders_that_something_is_stuck_follow_a_reload(walk: Walk) -> None:
    def stuck(every: str) -> str:
        return WATCHED.replace("NAME", "stuck").replace(
            "notify: team", f"notify: team, remind: {{every: {every}}}"
        )

    walk.reload(rules(more=stuck("20m")))
    walk.comes(RUNNING)
    assert [at for at, _ in walk.until_quiet(12 * MINUTE)] == [10]
    walk.reload(rules(more=stuck("2h")))
    assert [at for at, _ in walk.until_quiet(3 * HOUR)] == [118]
