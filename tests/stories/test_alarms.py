"""Alarms: people learn that telling fails, once, and that it works again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from receiver.config.live_rules import FailedReload
from receiver.deliveries import Attempt, Outcome
from receiver.dispatch.alarms import REFUSALS_IN
from receiver.dispatch.presence import Refused
from receiver.events import Status
from receiver.retention import Retention
from receiver.store import pruning
from tests.support.people import (
    DELIVERED,
    FAILED,
    GONE,
    HOUR,
    MINUTE,
    SECOND,
    SOURCES,
    START,
    Told,
    Walk,
)

ROUTES = """\
destinations:
  ops: {url: console://, rate: 1000/s}
  mail: {url: console://, rate: 1000/s}
  pager: {url: console://, rate: 1000/s}
routes:
  - {name: failures, match: {status: failed}, notify: ops}
"""
ROUTED = ROUTES + "  - {name: trouble, match: {alarm: true}, notify: [ops, mail]}\n"
HANGS = Attempt(Outcome.UNCERTAIN, "no answer within 30 s")
LATER = Attempt(Outcome.FAILED, "HTTP 429", retry_after=3600.0)
DAY = 24 * HOUR


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, ROUTES)
    yield opened
    opened.store.close()


def fails(walk: Walk, time: int, attempt: Attempt = FAILED, step: int = 10 * SECOND) -> list[str]:
    """Let time go by in which ops fails; what began and ended, with the seconds."""
    found, begin = list[str](), walk.now
    while walk.now < begin + time:
        if (claim := walk.claim("ops")) is not None:
            walk.record(claim, attempt, chance=0.0)
        walk.passes(step)
        found += [f"{(walk.now - begin) // SECOND} s {each}" for each in walk.looks()]
    return found


def looked(walk: Walk, time: int) -> list[str]:
    """Let time go by in which nothing is sent; what began and ended, with the minutes."""
    found, begin = list[str](), walk.now
    while walk.now < begin + time:
        walk.passes(MINUTE)
        found += [f"{(walk.now - begin) // MINUTE} min {each}" for each in walk.looks()]
    return found


def outage(walk: Walk, execution: str = "x") -> None:
    """Let ops fail until people are owed word of it."""
    walk.comes(Status.FAILED, execution)
    assert len(fails(walk, 10 * MINUTE)) == 1


def only(told: list[Told]) -> Told:
    (message,) = told
    return message


# Destinations


def test_an_outage_is_told_to_all_that_work_once_and_again_when_it_is_over(walk: Walk) -> None:
    walk.comes(Status.FAILED, "x-1")
    walk.comes(Status.FAILED, "x-2")
    assert fails(walk, 15 * MINUTE) == ["600 s + destination ops: mail, pager"]
    mail, pager = walk.gets("mail"), walk.gets("pager")
    assert only(mail).title == only(pager).title == "ops does not get its messages"
    body = only(mail).message.body
    for part in ("since 12:00 UTC, for 15 min", "HTTP 500", "2 messages wait"):
        assert part in body
    assert only(mail).message.severity == "failure"
    assert fails(walk, HOUR) == []
    walk.passes(MINUTE)
    assert [told.destination for told in walk.gets("ops")] == ["ops", "ops"]
    assert walk.looks() == ["- destination ops: mail, pager"]
    again = only(walk.gets("mail"))
    assert (again.title, again.message.severity) == ("ops works again", "success")
    assert "It got nothing for 1 h 16 min, since 12:00 UTC." in again.message.body
    assert again.message.thread == only(mail).message.thread is not None
    assert walk.looks() == []
    assert [s[:3] for s in walk.states(destination="ops")] == [("ops", "notice", "sent")] * 2


@pytest.mark.parametrize("attempt", [HANGS, LATER, FAILED], ids=["hangs", "retry-after", "fails"])
def test_however_it_fails_it_is_an_outage_after_warn_after(walk: Walk, attempt: Attempt) -> None:
    walk.reload(ROUTES.replace("ops: {", "ops: {warn_after: 3m, "))
    walk.comes(Status.FAILED)
    assert fails(walk, 5 * MINUTE, attempt) == ["180 s + destination ops: mail, pager"]


def test_a_message_that_comes_to_a_paused_destination_starves_without_an_attempt(
    walk: Walk,
) -> None:
    walk.reload(ROUTES.replace("failed", "paused"))
    walk.comes(Status.PAUSED, "x-1")
    walk.gets("ops", LATER)
    walk.looks()
    walk.comes(Status.RUNNING, "x-1")  # what waited is no longer true, and the pause goes on
    assert walk.pending() == 0
    assert looked(walk, 20 * MINUTE) == []
    walk.comes(Status.PAUSED, "x-2")
    assert walk.gets("ops") == []
    assert looked(walk, 20 * MINUTE) == ["10 min + destination ops: mail, pager"]
    assert "since 12:20 UTC" in only(walk.gets("mail")).message.body


def test_a_queue_that_moves_slowly_by_its_rate_is_no_outage(walk: Walk) -> None:
    walk.reload(ROUTES.replace("rate: 1000/s", "rate: 6/h", 1))
    for n in range(9):
        walk.comes(Status.FAILED, f"x-{n}")
    assert fails(walk, 90 * MINUTE, DELIVERED) == []
    assert walk.pending() == 0
    # Nor is one failure among them, though the next message has waited for an hour.
    for n in range(9):
        walk.comes(Status.FAILED, f"y-{n}")
    assert fails(walk, 30 * MINUTE, DELIVERED) == []
    walk.gets("ops", FAILED)
    assert fails(walk, 9 * MINUTE, DELIVERED) == []


def test_one_message_that_fails_while_others_go_is_no_outage(walk: Walk) -> None:
    walk.comes(Status.FAILED, "bad")
    for n in range(30):
        walk.comes(Status.FAILED, f"x-{n}")
        while (claim := walk.claim("ops")) is not None:
            walk.record(claim, FAILED if claim.facts.execution_id == "bad" else DELIVERED)
        walk.passes(MINUTE)
        assert walk.looks() == []


def test_what_may_not_go_yet_does_not_wait(walk: Walk) -> None:
    quiet = '{from: "12:05", to: "18:00", tz: UTC}'
    walk.reload(f"""\
destinations:
  ops: {{url: console://, rate: 1000/s}}
  mail: {{url: console://, rate: 1000/s}}
routes:
  - {{name: failures, match: {{status: failed}}, notify: ops, quiet: {quiet}}}
  - {{name: groups, match: {{status: completed}}, notify: ops, group: {{by: agent, wait: 1h}}}}
  - {{name: waits, match: {{status: paused}}, notify: mail, remind: {{every: 2h}}}}
""")
    walk.comes(Status.FAILED, "x")
    walk.comes(Status.COMPLETED, "y")
    walk.comes(Status.PAUSED, "z")
    walk.gets("mail")
    assert fails(walk, 55 * MINUTE) == []
    # The digest is due after its hour, and is tried again and again.
    assert fails(walk, 20 * MINUTE) == ["900 s + destination ops: mail"]
    assert "1 message waits" in only(walk.gets("mail")).message.body


def test_after_a_start_a_destination_is_tried_first(walk: Walk) -> None:
    walk.comes(Status.FAILED)
    assert fails(walk, 5 * MINUTE) == []
    walk.passes(8 * HOUR)
    walk.restart()
    assert walk.looks() == []
    walk.passes(2 * SECOND)
    assert walk.looks() == []
    walk.gets("ops", DELIVERED)
    assert walk.looks() == []
    # The same, but the first attempt fails, too; or hangs for longer than it may take.
    walk.comes(Status.FAILED, "y")
    assert fails(walk, 5 * MINUTE) == []
    walk.passes(8 * HOUR)
    walk.restart()
    walk.passes(2 * SECOND)
    assert walk.looks() == []
    walk.gets("ops", FAILED)
    assert walk.looks() == ["+ destination ops: mail, pager"]


def test_after_a_start_an_attempt_that_does_not_end_is_not_waited_for_for_ever(walk: Walk) -> None:
    walk.comes(Status.FAILED)
    assert fails(walk, 5 * MINUTE) == []
    walk.passes(HOUR)
    walk.restart()
    assert walk.claim("ops") is not None
    walk.passes(30 * SECOND)
    assert walk.looks() == []
    walk.passes(5 * SECOND)
    assert walk.looks() == ["+ destination ops: mail, pager"]


def test_time_in_which_nobody_served_is_no_outage(walk: Walk) -> None:
    walk.comes(Status.FAILED)
    walk.passes(8 * HOUR)
    walk.restart()
    walk.gets("ops", FAILED)
    assert walk.looks() == []
    assert fails(walk, 11 * MINUTE) == ["600 s + destination ops: mail, pager"]


def test_a_destination_that_refuses_for_good_is_an_outage_though_nothing_waits(walk: Walk) -> None:
    walk.comes(Status.FAILED)
    walk.gets("ops", GONE)
    assert len(walk.titles()) == 2  # mail and pager hear of the message
    assert looked(walk, 9 * MINUTE) == []
    assert walk.pending() == 0
    assert looked(walk, MINUTE) == ["1 min + destination ops: mail, pager"]
    lines = only(walk.gets("mail")).message.body.splitlines()
    assert lines[0].startswith("Nothing has arrived there since 12:00 UTC, for 10 min.")
    assert lines[2] == (
        "1 it did not get in that time, and they are not tried again. Send them again:"
        " `receiver redeliver --destination ops`"
    )
    walk.restart()
    assert looked(walk, HOUR) == []
    walk.comes(Status.FAILED, "y")
    walk.gets("ops")
    assert walk.looks() == ["- destination ops: mail"]
    assert "1 it did not get" in walk.gets("mail")[-1].message.body


def test_what_is_refused_for_good_again_and_again_is_one_outage(walk: Walk) -> None:
    found = list[str]()
    for n in range(30):
        walk.comes(Status.FAILED, f"x-{n}")
        walk.gets("ops", GONE)
        found += looked(walk, MINUTE)
    assert len(found) == 1
    assert "10 it did not get" in walk.gets("mail")[-1].message.body


@pytest.mark.parametrize("how", ["a success", "a new chance"])
def test_what_died_counts_no_more_after(walk: Walk, how: str) -> None:
    walk.comes(Status.FAILED)
    walk.gets("ops", GONE)
    walk.passes(MINUTE)
    if how == "a success":
        walk.comes(Status.FAILED, "y")
        walk.gets("ops")
    else:
        walk.do(lambda t: t.redeliver_all("ops", walk.now))
        walk.gets("ops")
    assert looked(walk, 20 * MINUTE) == []


def test_a_destination_that_is_removed_ends_it(walk: Walk) -> None:
    outage(walk)
    walk.gets("mail")
    walk.reload(
        ROUTES.replace("  ops: {url: console://, rate: 1000/s}\n", "").replace(
            "notify: ops", "notify: mail"
        )
    )
    assert walk.looks() == ["- destination ops: mail"]
    assert only(walk.gets("mail")).title == "ops: no longer watched"


def test_a_success_and_a_new_failure_between_two_looks_end_it_and_begin_anew(walk: Walk) -> None:
    outage(walk)
    walk.gets("mail")
    walk.gets("pager")
    walk.passes(HOUR)
    walk.gets("ops", DELIVERED)
    walk.comes(Status.FAILED, "y")
    walk.gets("ops", FAILED)
    assert walk.looks() == ["- destination ops: mail, pager"]
    assert fails(walk, 11 * MINUTE) == ["600 s + destination ops: mail, pager"]


def test_the_end_says_what_died_meanwhile(walk: Walk) -> None:
    walk.reload(ROUTES.replace("ops: {", "ops: {retry_for: 30m, "))
    outage(walk)
    walk.gets("mail")
    fails(walk, 2 * HOUR)
    walk.gets("mail")
    walk.comes(Status.FAILED, "y")
    walk.gets("ops", DELIVERED)
    walk.looks()
    body = only(walk.gets("mail")).message.body
    assert "1 it did not get in that time" in body
    assert "`receiver redeliver --destination ops`" in body


# Whom to tell


def test_a_route_says_who_is_told_and_never_the_one_that_fails(walk: Walk) -> None:
    walk.reload(ROUTED)
    walk.comes(Status.FAILED)
    assert fails(walk, 10 * MINUTE) == ["600 s + destination ops: mail"]
    ((claim),) = [told.claim for told in walk.gets("mail")]
    assert (claim.route, claim.kind, claim.facts.execution_id) == ("trouble", "alarm", None)


def test_where_none_that_a_route_names_works_the_others_are_told_as_well(walk: Walk) -> None:
    walk.reload(ROUTED)
    walk.comes(Status.FAILED)
    walk.do(lambda t: t.owe(1, (), walk.now))
    walk.reload(ROUTED.replace("notify: ops}", "notify: [ops, mail]}"))
    walk.comes(Status.FAILED, "y")
    walk.gets("mail", FAILED)
    assert fails(walk, 10 * MINUTE)[:1] == ["600 s + destination ops: pager, mail"]


def test_where_none_works_whoever_comes_back_first_is_told(walk: Walk) -> None:
    everybody = ROUTES.replace("notify: ops}", "notify: [ops, mail, pager]}")
    walk.reload(everybody)
    walk.comes(Status.FAILED)
    for _ in range(61):
        walk.gets(attempt=FAILED)
        walk.passes(10 * SECOND)
        found = walk.looks()
        if found:
            break
    assert found == [
        "+ destination ops: mail, pager", "+ destination mail: ops, pager",
        "+ destination pager: ops, mail",
    ]  # fmt: skip
    walk.passes(HOUR)
    titles = [told.title for told in walk.gets("pager", DELIVERED)]
    assert sorted(titles) == [
        "Invoice agent failed", "mail does not get its messages", "ops does not get its messages",
    ]  # fmt: skip
    # Nobody was told of the pager's own outage, so nobody is told of its end.
    assert walk.looks() == ["- destination pager: nobody"]


def test_an_alarm_that_reaches_nobody_goes_to_the_next_ones(walk: Walk) -> None:
    walk.reload(ROUTED)
    outage(walk)
    walk.gets("mail", GONE)
    assert walk.looks() == ["+ destination ops: pager"]
    assert walk.looks() == []
    walk.gets("pager", GONE)
    # Everybody was tried: it stays visible, and nothing goes round in circles.
    for _ in range(5):
        walk.passes(HOUR)
        assert [each for each in walk.looks() if "ops:" in each] == []
        walk.gets("ops", FAILED)
    kinds = [(d, k) for d, k, _, _ in walk.states() if k == "alarm"]
    assert kinds == [("mail", "alarm"), ("pager", "alarm")]


def test_an_alarm_that_died_where_other_messages_arrive_goes_to_the_next_ones(walk: Walk) -> None:
    walk.reload(ROUTED + "  - {name: ends, match: {status: completed}, notify: mail}\n")
    outage(walk)
    walk.gets("mail", GONE)
    walk.comes(Status.COMPLETED, "y")
    assert [told.title for told in walk.gets("mail")] == ["Invoice agent completed"]
    assert walk.looks() == ["+ destination ops: pager"]


def test_an_alarm_that_waits_for_a_destination_which_fails_too_goes_to_the_next_ones(
    walk: Walk,
) -> None:
    walk.reload(ROUTED)
    outage(walk)
    walk.gets("mail", FAILED)
    assert walk.looks() == []  # a moment's failure
    walk.passes(MINUTE)
    assert walk.looks() == ["+ destination ops: pager"]


def test_the_only_destination_has_an_open_alarm_and_a_new_one_is_told(walk: Walk) -> None:
    alone = ROUTES.replace("  mail: {url: console://, rate: 1000/s}\n", "")
    walk.reload(alone.replace("  pager: {url: console://, rate: 1000/s}\n", ""))
    walk.comes(Status.FAILED)
    assert fails(walk, 11 * MINUTE) == ["600 s + destination ops: nobody"]
    walk.reload(ROUTES)
    assert walk.looks() == ["+ destination ops: mail, pager"]


def test_the_end_goes_only_to_who_was_told_or_may_have_been(walk: Walk) -> None:
    walk.reload(ROUTES.replace("routes:", "  sms: {url: console://, rate: 1000/s}\nroutes:"))
    outage(walk)
    walk.gets("mail")
    walk.gets("pager", HANGS)
    walk.gets("sms", FAILED)
    walk.passes(MINUTE)
    walk.gets("ops", DELIVERED)
    assert walk.looks() == ["- destination ops: mail, pager"]
    assert [told.title for told in walk.gets("pager")] == ["ops works again"]
    assert walk.gets("sms") == []
    assert walk.states(destination="sms") == [
        ("sms", "alarm", "superseded", "it was over before it could be sent")
    ]


def test_an_alarm_that_is_being_sent_when_it_ends_is_told_of_its_end_if_it_arrived(
    walk: Walk,
) -> None:
    outage(walk)
    mail, pager = walk.claim("mail"), walk.claim("pager")
    assert mail is not None
    assert pager is not None
    walk.passes(20 * SECOND)
    walk.gets("ops", DELIVERED)
    assert walk.looks() == ["- destination ops: mail, pager"]
    assert walk.claim("mail") is None  # the end does not overtake the beginning
    walk.record(mail)
    walk.record(pager, FAILED)
    walk.passes(MINUTE)
    assert walk.titles("mail") == ["mail: ops works again"]
    assert walk.titles("pager") == []
    assert [reason for _, _, state, reason in walk.states(destination="pager")] == [
        "it was over before it could be sent", "nobody there was told that it began",
    ]  # fmt: skip


def test_a_dead_alarm_gets_another_chance_while_it_lasts_and_none_afterwards(walk: Walk) -> None:
    outage(walk)
    walk.gets("mail", GONE)
    walk.gets("pager", GONE)
    (mail, pager) = [
        d["id"] for d in reversed(walk.store.deliveries({"state": "dead"}, 9, None)[0])
    ]
    assert walk.do(lambda t: t.redeliver(mail, walk.now)) is True
    assert walk.titles("mail") == ["mail: ops does not get its messages"]
    walk.passes(HOUR)
    walk.gets("ops", DELIVERED)
    assert walk.looks() == ["- destination ops: mail"]
    assert walk.do(lambda t: t.redeliver(pager, walk.now)) is True
    assert walk.gets("pager") == []
    assert walk.titles("mail") == ["mail: ops works again"]


def test_quiet_hours_put_it_off_unless_its_route_is_urgent_and_no_silence_keeps_it_back(
    walk: Walk,
) -> None:
    quiet = (
        '  mail: {url: console://, rate: 1000/s, quiet: {from: "12:00", to: "14:00", tz: UTC}}\n'
    )
    routes = ROUTED.replace("  mail: {url: console://, rate: 1000/s}\n", quiet)
    walk.reload(routes)
    outage(walk)
    assert walk.gets("mail") == []
    fails(walk, HOUR)
    walk.passes(HOUR)
    assert walk.titles("mail") == ["mail: ops does not get its messages"]
    walk.gets("ops", DELIVERED)
    assert walk.looks() == ["- destination ops: mail"]
    assert walk.titles("mail") == ["mail: ops works again"]
    walk.reload(routes.replace("mail]}", "mail], urgent: true}"))
    walk.now = START + DAY
    outage(walk, "y")
    assert walk.titles("mail") == ["mail: ops does not get its messages"]


def test_an_alarm_put_off_by_quiet_hours_that_is_over_in_the_morning_is_not_told(
    walk: Walk,
) -> None:
    quiet = (
        '  mail: {url: console://, rate: 1000/s, quiet: {from: "12:00", to: "14:00", tz: UTC}}\n'
    )
    walk.reload(ROUTED.replace("  mail: {url: console://, rate: 1000/s}\n", quiet))
    outage(walk)
    assert walk.gets("mail") == []
    walk.passes(10 * MINUTE)
    walk.gets("ops", DELIVERED)
    assert walk.looks() == ["- destination ops: nobody"]
    assert walk.until_quiet(3 * HOUR) == []


# Sources

QUIET = SOURCES.replace("s: {", "s: {quiet_after: 2h, ") + ROUTES


def test_a_silent_source_is_told_once_and_when_it_sends_again(walk: Walk) -> None:
    walk.reload(QUIET)
    assert walk.looks() == []
    walk.comes(Status.RUNNING)
    assert looked(walk, 3 * HOUR) == ["120 min + source_quiet s: ops, mail, pager"]
    told = only(walk.gets("mail"))
    assert told.title == "s has sent nothing for 3 h"
    assert "The last webhook of it came at 12:00 UTC." in told.message.body
    assert told.message.severity == "warning"
    walk.comes(Status.RUNNING)  # a repeat, whatever its verdict
    assert walk.looks() == ["- source_quiet s: mail"]
    assert only(walk.gets("mail")).title == "s sends again"
    assert looked(walk, 3 * HOUR) == ["120 min + source_quiet s: ops, mail, pager"]


def test_a_source_that_never_sent_is_silent_since_we_look_out_for_it(walk: Walk) -> None:
    walk.reload(QUIET)
    assert looked(walk, 3 * HOUR) == ["121 min + source_quiet s: ops, mail, pager"]
    assert "No webhook of it has come since we look out" in only(walk.gets("mail")).message.body


def test_a_source_without_the_key_may_be_silent_and_counts_from_when_it_gets_the_key(
    walk: Walk,
) -> None:
    walk.comes(Status.RUNNING)
    assert looked(walk, 9 * HOUR) == []
    walk.reload(QUIET)
    assert walk.looks() == []
    assert looked(walk, 3 * HOUR) == ["120 min + source_quiet s: ops, mail, pager"]
    walk.gets("mail")
    walk.reload(QUIET.replace("quiet_after: 2h, ", ""))
    assert walk.looks() == ["- source_quiet s: mail"]


def test_our_own_absence_is_no_silence_of_a_source(walk: Walk) -> None:
    walk.reload(QUIET)
    walk.comes(Status.RUNNING)
    assert looked(walk, HOUR) == []
    walk.passes(8 * HOUR)
    walk.restart()
    assert walk.looks() == []
    # The last sign of our own presence may be a minute old.
    assert looked(walk, 3 * HOUR) == ["61 min + source_quiet s: ops, mail, pager"]


def test_restarts_do_not_begin_the_silence_anew(walk: Walk) -> None:
    walk.reload(QUIET)
    walk.comes(Status.RUNNING)
    found = []
    for _ in range(6):
        found += looked(walk, 30 * MINUTE)
        walk.restart()
    assert len(found) == 1


# Rules, signatures, the quarantine


def test_rules_that_cannot_be_read_again_are_told_until_they_can(walk: Walk) -> None:
    failed = FailedReload(walk.now, "routes.yaml:7: there is no destination 'opps'")
    walk.passes(SECOND)
    assert walk.looks(failed=failed) == ["+ reload: ops, mail, pager"]
    told = only(walk.gets("mail"))
    assert told.title == "routes.yaml could not be read again"
    assert "there is no destination 'opps'" in told.message.body
    assert walk.looks(failed=failed) == []
    assert walk.looks() == ["- reload: mail"]
    assert [each.title for each in walk.gets("mail")] == ["routes.yaml was read again"]


def test_a_start_with_good_rules_ends_the_alarm_about_bad_ones(walk: Walk) -> None:
    walk.looks(failed=FailedReload(walk.now, "routes.yaml:1: …"))
    walk.gets()
    walk.restart()
    assert walk.looks() == ["- reload: ops, mail, pager"]


def refused(n: int, since: int = START, cause: str = "wrong") -> dict[str, Refused]:
    return {"s": Refused(n, since, cause)}


def test_more_than_ten_refusals_in_five_minutes_are_told_until_they_are_fewer(walk: Walk) -> None:
    assert walk.looks(refused(10)) == []
    assert walk.looks(refused(14)) == ["+ signatures s: ops, mail, pager"]
    told = only(walk.gets("mail"))
    assert told.title == "14 webhooks of s were refused: wrong signature"
    assert walk.looks(refused(30)) == []
    walk.passes(REFUSALS_IN)
    assert walk.looks(refused(10)) == ["- signatures s: mail"]
    assert only(walk.gets("mail")).title == "s: hardly any webhooks are refused any more"


def test_after_a_start_nobody_knows_how_many_were_refused_before(walk: Walk) -> None:
    walk.looks(refused(14))
    walk.gets()
    walk.restart()
    assert walk.looks() == []
    walk.passes(REFUSALS_IN)
    assert walk.looks() == ["- signatures s: ops, mail, pager"]


def future(walk: Walk) -> None:
    """Let an event come that says it happened in an hour."""
    event = walk.event(Status.RUNNING, f"f-{walk.events}")
    walk.come([replace(event, occurred_at=walk.now + HOUR)])


def test_what_is_set_aside_is_told_once_for_each_reason_until_a_day_without_another(
    walk: Walk,
) -> None:
    future(walk)
    assert walk.looks() == ["+ quarantined s/future: ops, mail, pager"]
    told = only(walk.gets("mail"))
    assert told.title == "s sent an update that is dated in the future; it cannot be used"
    assert "Compare the clock of the sender" in told.message.body
    walk.passes(12 * HOUR)
    future(walk)
    assert walk.looks() == []
    walk.come([walk.event(None, "u", unknown_status="sleeping")])
    walk.passes(13 * HOUR)
    assert walk.looks() == ["+ quarantined s/unknown_status: ops, mail, pager"]
    walk.passes(12 * HOUR)
    assert "- quarantined s/future: mail" in walk.looks()
    assert walk.looks() == []


NOTICED = ROUTES + "  - {name: not accepted, match: {verdict: quarantined}, notify: mail}\n"


def test_who_is_told_of_the_webhook_itself_gets_no_alarm_about_it(walk: Walk) -> None:
    walk.reload(NOTICED)
    future(walk)
    assert walk.looks() == ["+ quarantined s/future: nobody"]
    assert walk.looks() == []
    walk.come([walk.event(None, "u", unknown_status="sleeping")])
    walk.reload(NOTICED + "  - {name: trouble, match: {alarm: quarantined}, notify: [mail, ops]}\n")
    assert walk.looks() == ["+ quarantined s/unknown_status: ops"]


def test_a_condition_about_the_source_holds_for_alarms_about_it_only(walk: Walk) -> None:
    other = SOURCES + SOURCES.replace("sources:\n", "").replace("s:", "other:", 1)
    walk.reload(
        other + ROUTES
        + "  - {name: theirs, match: {alarm: true, source: other}, notify: pager}\n"
        + "  - {name: ours, match: {alarm: [signatures, reload], source: s}, notify: mail}\n"
    )  # fmt: skip
    both = {"s": Refused(11, START, "wrong"), "other": Refused(11, START, "agent")}
    assert walk.looks(both) == ["+ signatures s: mail", "+ signatures other: pager"]


# What is kept, and the clock


def test_a_clock_that_is_set_back_keeps_no_outage_waiting(walk: Walk) -> None:
    walk.comes(Status.FAILED)
    walk.gets("ops", FAILED)
    walk.looks()
    walk.now -= 3 * HOUR
    walk.do(lambda t: t.set_back(walk.now))
    assert fails(walk, 11 * MINUTE) == ["600 s + destination ops: mail, pager"]


def test_an_alarm_goes_with_its_messages_ninety_days_after_its_end(walk: Walk) -> None:
    outage(walk)
    walk.gets("mail")
    walk.gets("pager")
    walk.passes(HOUR)
    walk.gets("ops", DELIVERED)
    walk.looks()
    walk.gets()
    assert len(walk.states()) == 5
    for days, left in ((89, 5), (92, 0)):
        at = START + days * DAY
        limits = Retention().limits(at)
        assert walk.store.prunable(limits)["alarms"] == (not left)
        gone = sum(portion.alarms for portion in pruning.walk(walk.store, limits))
        assert gone == (not left)
        assert len(walk.states()) == left
        assert walk.store.ledger()["imbalance"] == 0


# Dead letters


def dies(walk: Walk, execution: str) -> list[str]:
    """Let a message to ops die; what the mail gets about it."""
    walk.comes(Status.FAILED, execution)
    walk.gets("ops", GONE)
    return [told.title for told in walk.gets("mail")]


def test_an_hour_without_a_second_report_has_sixty_minutes(walk: Walk) -> None:
    walk.passes(59 * MINUTE)  # the hour of the clock ends in a minute
    assert len(dies(walk, "x-1")) == 1
    walk.passes(2 * MINUTE)
    assert dies(walk, "x-2") == []
    walk.passes(57 * MINUTE)
    assert dies(walk, "x-3") == []
    walk.passes(MINUTE)
    assert len(dies(walk, "x-4")) == 1


def test_the_hour_counts_from_a_report_that_was_sent_and_none_is_added_to_one_that_waits(
    walk: Walk,
) -> None:
    walk.comes(Status.FAILED, "x-1")
    walk.gets("ops", GONE)
    for n in range(2, 5):
        walk.gets("mail", FAILED)
        walk.passes(50 * MINUTE)
        walk.comes(Status.FAILED, f"x-{n}")
        walk.gets("ops", GONE)
    assert len(walk.gets("mail")) == 1
    walk.passes(50 * MINUTE)
    assert dies(walk, "x-9") == []


def test_after_a_success_it_is_another_outage_but_no_storm(walk: Walk) -> None:
    assert len(dies(walk, "x-1")) == 1
    walk.passes(10 * MINUTE)
    walk.comes(Status.FAILED, "y-1")
    walk.gets("ops", DELIVERED)
    assert len(dies(walk, "x-2")) == 1
    for n in range(20):  # every second message is refused
        walk.comes(Status.FAILED, f"a-{n}")
        walk.gets("ops", DELIVERED)
        assert dies(walk, f"b-{n}") == []
        walk.passes(SECOND)


def test_a_report_that_dies_lets_the_next_death_be_reported(walk: Walk) -> None:
    walk.comes(Status.FAILED, "x-1")
    walk.gets("ops", GONE)
    walk.gets("mail", GONE)
    walk.passes(MINUTE)
    assert len(dies(walk, "x-2")) == 1


def test_destinations_that_all_refuse_do_not_report_each_other_for_ever(walk: Walk) -> None:
    for n in range(3):
        walk.comes(Status.FAILED, f"x-{n}")
        for _ in range(9):
            if not walk.gets(attempt=GONE):
                break
        else:
            raise AssertionError("it goes on and on")
    assert len(walk.states()) < 40
    assert walk.pending() == 0


def test_the_report_says_which_message_it_was_and_the_fallback_gets_none(walk: Walk) -> None:
    walk.reload(
        ROUTES.replace("ops: {", "ops: {fallback: mail, ").replace(
            "routes:",
            "routes:\n  - {name: dead, match: {dead_letter: true}, notify: [mail, pager]}",
        )
    )
    walk.comes(Status.FAILED, "x-7", execution_url="https://agents.example/x-7")
    walk.gets("ops", GONE)
    assert [told.claim.kind for told in walk.gets("mail")] == ["fallback"]
    report = only(walk.gets("pager"))
    for part in ("Execution: x-7", "Agent: Invoice agent", "https://agents.example/x-7",
                 "HTTP 404", "`receiver redeliver 1`"):  # fmt: skip
        assert part in report.message.body
