"""Composition: which message a claimed delivery becomes."""

from __future__ import annotations

from dataclasses import replace

from receiver.alarms import Alarm, AlarmKind
from receiver.deliveries import Claim, DeadOriginal, Digest, DigestItem, Kind, MessageContext
from receiver.events import Status, Verdict
from receiver.links import Links
from receiver.messages.compose import compose, plain_message
from receiver.routing.routes import Route
from receiver.times import SECOND

NOW = 1_800_000_000 * SECOND
FACTS = MessageContext(
    "s", Verdict.APPLIED, "transition", NOW, "e-1", "E", Status.FAILED, NOW, "x",
    agent_name="Invoice agent",
)  # fmt: skip
CLAIM = Claim(1, "token", "ops", "r", 0, False, NOW, FACTS, version=3)
ORIGINAL = DeadOriginal("mail", "HTTP 404", 1)
ROUTE = Route("r", (), ("ops",), title="{{ agent_name }}!")


def test_a_notice_has_the_title_of_its_route_as_long_as_there_is_one() -> None:
    assert compose(CLAIM, ROUTE, NOW).title == "Invoice agent!"
    assert compose(CLAIM, None, NOW).title == "Invoice agent failed"


def test_all_messages_of_an_episode_have_one_thread_and_a_digest_has_none() -> None:
    thread = compose(CLAIM, None, NOW).thread
    assert thread is not None
    assert compose(replace(CLAIM, kind=Kind.REMINDER, step=2), ROUTE, NOW).thread == thread
    assert compose(replace(CLAIM, version=4), None, NOW).thread != thread
    digest = Digest(1, (("failed", "Invoice agent", 1),), (DigestItem(Kind.NOTICE, 0, FACTS),))
    message = compose(replace(CLAIM, digest=digest), ROUTE, NOW, Links("https://receiver.example"))
    assert message.thread is None
    assert message.title == "Invoice agent: 1 failed"
    assert message.body.endswith("All of them: https://receiver.example/")


def test_a_message_has_the_kind_of_its_delivery_even_if_its_text_cannot_be_written() -> None:
    kinds = (Kind.NOTICE, Kind.REMINDER, Kind.ESCALATION, Kind.ACKNOWLEDGED, Kind.RESOLVED)
    for kind in kinds:
        claim = replace(CLAIM, kind=kind)
        fallen = replace(CLAIM, kind=Kind.FALLBACK, origin=replace(ORIGINAL, kind=kind))
        messages = [compose(claim, None, NOW), compose(fallen, None, NOW), plain_message(claim)]
        assert [message.kind for message in messages] == [kind] * 3
        assert len({message.thread for message in messages}) == 1
    report = compose(replace(CLAIM, origin=ORIGINAL), None, NOW)
    assert (report.kind, report.thread) == (Kind.NOTICE, None)


def test_a_notice_about_a_dead_delivery_is_a_report_and_a_fall_back_is_the_message_itself() -> None:
    report = compose(replace(CLAIM, origin=ORIGINAL), None, NOW)
    assert report.title == "mail did not get: Invoice agent failed"
    fallback = compose(replace(CLAIM, kind=Kind.FALLBACK, origin=ORIGINAL), None, NOW)
    assert fallback.title == "Invoice agent failed"
    assert fallback.body.endswith("\nSent here because mail did not get it: HTTP 404")


def test_a_text_that_cannot_be_written_still_names_agent_and_execution() -> None:
    message = plain_message(CLAIM)
    assert message.title == "Invoice agent: news"
    assert message.body.splitlines()[1:] == ["Execution: x", "Status: failed", "Source: s"]
    hostile = replace(FACTS, agent_name="@everyone\u202e", execution_id="<!channel>")
    message = plain_message(replace(CLAIM, facts=hostile))
    assert "@everyone" not in message.title
    assert "<!channel" not in message.body
    nothing = MessageContext("s", Verdict.QUARANTINED, "malformed", NOW)
    assert plain_message(replace(CLAIM, facts=nothing)).title == "An agent: news"


def test_an_alarm_is_one_incident_which_its_end_resolves() -> None:
    alarm = Alarm(AlarmKind.DESTINATION, "mail", NOW, NOW, "HTTP 404", id=1)
    raised = replace(CLAIM, kind=Kind.ALARM, alarm=alarm)
    messages = [compose(replace(raised, step=step), None, NOW) for step in (0, 1)]
    assert [message.kind for message in messages] == [Kind.NOTICE, Kind.RESOLVED]
    assert messages[0].thread == messages[1].thread is not None
    again = replace(raised, alarm=replace(alarm, began_at=NOW + SECOND, id=1))
    assert compose(again, None, NOW).thread != messages[0].thread
