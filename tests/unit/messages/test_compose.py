"""Composition: which message a claimed delivery becomes."""

from __future__ import annotations

from dataclasses import replace

from receiver.deliveries import Act, Claim, DeadOriginal, Digest, DigestItem, Kind, MessageContext
from receiver.events import Status, Verdict
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
    message = compose(replace(CLAIM, digest=digest), ROUTE, NOW, "https://receiver.example")
    assert message.thread is None
    assert message.title == "Invoice agent: 1 failed"
    assert message.body.endswith("All of them: https://receiver.example/")


def test_an_episode_is_opened_taken_and_closed_even_if_its_text_cannot_be_written() -> None:
    acts = {
        Kind.NOTICE: Act.OPEN, Kind.REMINDER: Act.OPEN, Kind.ESCALATION: Act.OPEN,
        Kind.ACKNOWLEDGED: Act.TAKE, Kind.RESOLVED: Act.CLOSE,
    }  # fmt: skip
    for kind, act in acts.items():
        claim = replace(CLAIM, kind=kind)
        fallen = replace(CLAIM, kind=Kind.FALLBACK, origin=replace(ORIGINAL, kind=kind))
        messages = [compose(claim, None, NOW), compose(fallen, None, NOW), plain_message(claim)]
        assert [message.act for message in messages] == [act] * 3
        assert len({message.thread for message in messages}) == 1
    alarm = compose(replace(CLAIM, origin=ORIGINAL), None, NOW)
    assert (alarm.act, alarm.thread) == (Act.OPEN, None)


def test_a_notice_about_a_dead_delivery_is_an_alarm_and_a_fall_back_is_the_message_itself() -> None:
    alarm = compose(replace(CLAIM, origin=ORIGINAL), None, NOW)
    assert alarm.title == "Messages to mail do not arrive"
    assert "The message: Invoice agent failed" in alarm.body
    fallback = compose(replace(CLAIM, kind=Kind.FALLBACK, origin=ORIGINAL), None, NOW)
    assert fallback.title == "Invoice agent failed"
    assert fallback.body.startswith("Sent here because mail did not get it: HTTP 404")


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
