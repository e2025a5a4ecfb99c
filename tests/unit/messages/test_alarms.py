"""What people read when telling fails, and when that is over."""

from __future__ import annotations

import re
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from receiver.alarms import Alarm, AlarmKind
from receiver.deliveries import Claim, DeadOriginal, Kind, MessageContext, Severity
from receiver.events import Status, Verdict
from receiver.messages.alarms import alarm_message, dead_letter_message
from receiver.metrics import CAUSES
from receiver.times import SECOND, parse_time

NOW = parse_time("2026-06-01T12:12:00Z")
BEGAN = parse_time("2026-06-01T12:02:00Z")
FACTS = MessageContext("s", Verdict.APPLIED, "", NOW)
CLAIM = Claim(1, "token", "mail", "alarms", 0, False, NOW, FACTS, kind=Kind.ALARM)
# What must not be said to people, because only we and operators know the words.
OURS = ("delivery", "verdict", "lane", "quarantin", "dead", "outage", "alarm", "stale")


def told(alarm: Alarm, *, over: bool = False, now: int = NOW) -> tuple[str, str]:
    if over:
        alarm = replace(alarm, ended_at=now)
    message = alarm_message(replace(CLAIM, step=int(over), alarm=alarm), alarm, now)
    assert message.severity == ("success" if over else message.severity)
    assert over or message.severity in (Severity.FAILURE, Severity.WARNING)
    plain = re.sub("`[^`]*`", "", f"{message.title} {message.body}").lower()
    assert [word for word in OURS if word in plain] == []
    return message.title, message.body


def test_a_destination_that_gets_nothing() -> None:
    alarm = Alarm(AlarmKind.DESTINATION, "ops", BEGAN, NOW, "HTTP 503", n=3)
    assert told(alarm) == (
        "ops does not get its messages",
        "Nothing has arrived there since 12:02 UTC, for 10 min.\n"
        "Why: HTTP 503\n"
        "3 messages wait for it. They are tried again by themselves.\n"
        "Check its address in routes.yaml and whether it is up: `receiver doctor`, and"
        " `receiver deliveries --destination ops`.",
    )
    assert told(replace(alarm, waiting=1, dead=2), over=True) == (
        "ops works again",
        "It got nothing for 10 min, since 12:02 UTC.\n"
        "1 message waits for it, and goes out now.\n"
        "2 it did not get in that time, and they are not tried again. Send them again:"
        " `receiver redeliver --destination ops`",
    )
    assert told(alarm, over=True)[1] == "It got nothing for 10 min, since 12:02 UTC."
    late = told(alarm, over=True, now=BEGAN + 50 * 3600 * SECOND)[1]
    assert late == "It got nothing for 2 d 2 h, since 1 Jun 12:02 UTC."


def test_a_source_that_is_silent() -> None:
    alarm = Alarm(AlarmKind.SOURCE_QUIET, "asteroid", BEGAN - 2 * 3600 * SECOND, NOW, "silent")
    title, body = told(alarm)
    assert title == "asteroid has sent nothing for 2 h 10 min"
    assert body.startswith("The last webhook of it came at 10:02 UTC.\nLook whether agents ran")
    assert "since we look out for it (10:02 UTC)" in told(replace(alarm, cause="never"))[1]
    assert told(alarm, over=True)[0] == "asteroid sends again"


def test_rules_that_could_not_be_read() -> None:
    alarm = Alarm(AlarmKind.RELOAD, "", BEGAN, NOW, "routes.yaml:7: unknown key 'notfy'")
    title, body = told(alarm)
    assert title == "routes.yaml could not be read again"
    assert "Why: routes.yaml:7: unknown key 'notfy'" in body
    assert "`receiver check`" in body
    assert told(alarm, over=True) == (
        "routes.yaml was read again", "The rules of before were in force for 10 min.",
    )  # fmt: skip


@pytest.mark.parametrize("cause", CAUSES)
def test_refused_webhooks_for_every_cause(cause: str) -> None:
    alarm = Alarm(AlarmKind.SIGNATURES, "asteroid", BEGAN, NOW, cause, n=14)
    title, body = told(alarm)
    assert title.startswith("14 webhooks of asteroid were refused: ")
    assert "they prove nothing" not in title
    assert "Nothing in them was believed or stored." in body
    assert body.count("\n") == 1
    assert told(alarm, over=True)[0] == "asteroid: hardly any webhooks are refused any more"


@pytest.mark.parametrize("reason", ["malformed", "no_envelope", "unknown_status", "future"])
def test_webhooks_set_aside_for_every_reason(reason: str) -> None:
    alarm = Alarm(AlarmKind.QUARANTINED, f"asteroid/{reason}", BEGAN, NOW, reason, n=1)
    title, body = told(alarm)
    assert title.startswith("asteroid sent ")
    assert title.endswith("; it cannot be used")
    assert body.startswith("It came at 12:02 UTC.\n")
    assert "`receiver events --verdict quarantined`" in body
    assert told(replace(alarm, n=3))[1].startswith("3 came since 12:02 UTC.")
    assert told(alarm, over=True)[0] == "asteroid: all of its webhooks can be used again"


def test_what_left_the_file_is_no_longer_watched() -> None:
    gone = Alarm(AlarmKind.DESTINATION, "ops", BEGAN, NOW, "x", end_cause="removed")
    assert told(gone, over=True) == (
        "ops: no longer watched", "It is not in routes.yaml any more.",
    )  # fmt: skip


def test_times_are_those_of_the_zone_and_a_possible_repeat_says_so() -> None:
    alarm = Alarm(AlarmKind.DESTINATION, "ops", BEGAN, NOW, "HTTP 503")
    claim = replace(CLAIM, alarm=alarm, repeat=True)
    body = alarm_message(claim, alarm, NOW, ZoneInfo("Europe/Berlin")).body
    assert body.startswith("Possible repeat")
    assert "since 14:02 CEST" in body


def test_beginning_and_end_are_one_conversation_of_their_own() -> None:
    alarm = Alarm(AlarmKind.DESTINATION, "ops", BEGAN, NOW, "HTTP 503", id=4)
    threads = {
        alarm_message(replace(CLAIM, step=step), each, NOW).thread
        for step, each in ((0, alarm), (1, replace(alarm, ended_at=NOW)), (0, replace(alarm, id=5)))
    }
    assert len(threads) == 2
    assert None not in threads


DEAD = MessageContext(
    "s", Verdict.APPLIED, "transition", NOW, "e-1", "E", Status.FAILED, NOW, "x-1",
    agent_name="Invoice agent", execution_url="https://agents.example/x-1",
    detail={"reason": "no budget @everyone"},
)  # fmt: skip


def test_a_report_names_the_execution_the_cause_and_the_way_to_send_it_again() -> None:
    claim = replace(CLAIM, kind=Kind.NOTICE, facts=DEAD)
    message = dead_letter_message(
        claim,
        DeadOriginal("ops", "no retry can mend it: HTTP 404", 1, delivery=7),
        "Invoice agent failed",
    )
    assert message.title == "ops did not get: Invoice agent failed"
    assert message.severity == Severity.FAILURE
    assert message.body == (
        "ops did not get a message, and it is not tried again.\n"
        "Why: no retry can mend it: HTTP 404\n"
        "Reason: no budget ＠everyone\n"
        "Agent: Invoice agent\n"
        "Execution: x-1\n"
        "https://agents.example/x-1\n"
        "Mend ops, then send it again: `receiver redeliver --destination ops`; this one alone:"
        " `receiver redeliver 7`"
    )


def test_a_report_about_one_of_several_sends_all_of_them_again() -> None:
    claim = replace(CLAIM, kind=Kind.NOTICE, facts=DEAD)
    several = dead_letter_message(claim, DeadOriginal("ops", "x", 3, delivery=7), "t").body
    assert "send 3 messages that it did not get again: `receiver redeliver --dest" in several
