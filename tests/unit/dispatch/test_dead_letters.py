"""Who is told when a delivery dies."""

from __future__ import annotations

from dataclasses import replace

from receiver.alarms import Alarm, AlarmKind
from receiver.deliveries import Claim, DeadOriginal, Kind, MessageContext
from receiver.destinations.destination import Destination
from receiver.dispatch.dead_letters import UNWRITTEN, plan
from receiver.events import Status, Verdict
from receiver.routing.conditions import Condition
from receiver.routing.routes import Route
from receiver.times import SECOND

NOW = 1_800_000_000 * SECOND
FACTS = MessageContext(
    "s", Verdict.APPLIED, "transition", NOW, "e-1", "E", Status.FAILED, NOW, "x-1"
)
DEAD = Claim(7, "", "ops", "failures", 3, False, NOW, FACTS, order_key="s/x-1", guard_version=2)
OPS, MAIL, SMS = (Destination(name, "console://") for name in ("ops", "mail", "sms"))
ALL = {d.name: d for d in (OPS, MAIL, SMS)}


def told(*routes: Route, destinations: dict[str, Destination] = ALL) -> list[tuple[str, str]]:
    return [(o.destination, o.route) for o in plan(DEAD, routes, destinations)]


def about(name: str, *notify: str, more: tuple[Condition, ...] = ()) -> Route:
    return Route(name, (Condition("dead_letter", ("*",)), *more), notify)


def test_without_a_route_all_other_destinations_are_told() -> None:
    assert told() == [("mail", UNWRITTEN), ("sms", UNWRITTEN)]
    assert told(Route("r", (), ("sms",))) == [("mail", UNWRITTEN), ("sms", UNWRITTEN)]


def test_a_route_about_dead_letters_tells_whom_it_names_but_never_the_one_that_failed() -> None:
    assert told(about("dead", "ops", "mail")) == [("mail", "dead")]


def test_its_other_conditions_hold_for_the_event() -> None:
    failed, completed = (Condition("status", (word,)) for word in ("failed", "completed"))
    assert told(about("dead", "mail", more=(failed,))) == [("mail", "dead")]
    other = about("other", "mail", more=(completed,))
    assert told(other, about("dead", "sms")) == [("sms", "dead")]


def test_where_the_routes_tell_nobody_all_others_are_told_all_the_same() -> None:
    everybody = [("mail", UNWRITTEN), ("sms", UNWRITTEN)]
    completed = Condition("status", ("completed",))
    assert told(about("dead", "mail", more=(completed,))) == everybody
    assert told(Route("named", (Condition("dead_letter", ("mail",)),), ("sms",))) == everybody
    assert told(about("itself", "ops")) == everybody


def test_a_fallback_gets_the_message_itself_under_the_same_guard_and_order() -> None:
    ops = Destination("ops", "console://", fallback=("mail",))
    (message,) = plan(DEAD, [], {**ALL, "ops": ops})
    assert (message.destination, message.kind, message.route) == ("mail", Kind.FALLBACK, "failures")
    assert (message.guard_version, message.order_key, message.origin) == (2, "s/x-1", 7)


def test_who_gets_the_message_itself_gets_no_report_about_it() -> None:
    ops = Destination("ops", "console://", fallback=("mail",))
    planned = plan(DEAD, [about("dead", "mail", "sms")], {**ALL, "ops": ops})
    assert [(o.destination, o.kind) for o in planned] == [
        ("mail", Kind.FALLBACK), ("sms", Kind.NOTICE),
    ]  # fmt: skip
    (only,) = plan(DEAD, [about("dead", "mail")], {**ALL, "ops": ops})
    assert only.kind is Kind.FALLBACK


def test_a_dead_report_is_reported_to_a_third_and_a_report_about_that_to_nobody() -> None:
    about_ops = replace(DEAD, destination="mail", origin=DeadOriginal("ops", "HTTP 404", 1))
    every = [about("dead", "ops", "mail", "sms")]
    assert [o.destination for o in plan(about_ops, every, ALL)] == ["sms"]
    assert [o.destination for o in plan(about_ops, [], ALL)] == ["sms"]
    again = DeadOriginal("mail", "HTTP 404", 1, is_alarm=True)
    about_mail = replace(DEAD, destination="sms", origin=again)
    assert plan(about_mail, every, ALL) == ()


def test_a_dead_message_about_an_alarm_causes_nothing_here() -> None:
    alarm = Alarm(AlarmKind.RELOAD, "", NOW, NOW, "routes.yaml:1: …", id=1)
    dead = replace(DEAD, kind=Kind.ALARM, alarm=alarm)
    assert plan(dead, [about("dead", "mail")], ALL) == ()


def test_a_destination_that_is_gone_from_the_file_is_told_of_too() -> None:
    assert told(destinations={"mail": MAIL}) == [("mail", UNWRITTEN)]
