"""Golden messages: every kind of message, as Slack and as an e-mail get it, to the letter.

`python -m tests.support.golden` writes the files in tests/wire/golden anew. Look at the difference:
these are the words that people read.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from apprise.plugins.slack import NotifySlack
from pytest_httpserver import HTTPServer

from receiver.deliveries import Attempt, Message, Outcome
from receiver.destinations.destination import Destination
from receiver.destinations.sending import send
from receiver.events import Status
from receiver.intake.receive import Unreadable, VerifiedWebhook
from receiver.links import NO_LINKS, Links
from receiver.routing.silences import Silence
from receiver.times import parse_time
from tests.support.loopback import Mail, mail_server
from tests.support.people import GONE, HOUR, MINUTE, SECOND, Told, Walk
from tests.support.stores import shared_memory

FOLDER = Path(__file__).parents[1] / "wire" / "golden"
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
BEGIN = parse_time("2026-11-27T09:02:00Z")  # a Friday, 10:02 in Berlin
IDS = (
    "a2c7f3b3-cbc8-4b6a-a5f2-c5f6cb548e95", "0b7d6f52-2f6e-4f0e-9a54-6d1c2f6f8a11",
    "5f1de0aa-90ab-4b5c-8a51-0e4c94d77e20", "c94d0c7e-1b1d-4f77-b9a3-3b9d6d4d1f5b",
)  # fmt: skip
LINKS = Links("https://hooks.example.org", (b"a-key-of-the-links-0123456789",))
HEADERS = ("Subject", "In-Reply-To", "References", "Auto-Submitted")
AWAITS, ASKS, RUNNING = Status.AWAITING_CONFIRMATION, Status.PAUSED_BY_AGENT, Status.RUNNING
PAY = {"reason": "About to pay 4,200 EUR to Miller & Sons"}
QUESTION = {
    "reason": "Two suppliers are called Miller",
    "question": {
        "questions": [
            {
                "question": "Which of the two suppliers is meant?",
                "options": [{"label": "Miller & Sons"}, {"label": "Miller Ltd"}],
            }
        ]
    },
}
REFUSED = {"reason": "The supplier's portal refused the log-in three times"}
RULES = """\
sources:
  asteroid:
    verify: {scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}
    GAPS
destinations:
  approvers: {url: console://, rate: 1000/s, fallback: lead}
  ops: {url: console://, rate: 1000/s}
  lead: {url: console://, rate: 1000/s}
routes:
  - name: waits
    match: {status: [awaiting_confirmation, paused_by_agent, paused]}
    notify: approvers
    remind: {every: 15m, at_most: 2}
    escalate: [{after: 20m, notify: lead}]
    resolved: true
    acknowledged: true
    GROUP
  - name: news
    match: {status: [starting, running, completed, failed, cancelled]}
    notify: ops
    GROUP
  - name: not accepted
    match: {verdict: [rejected, quarantined, held, stale]}
    notify: ops
  - name: hangs
    match: {agent: "*"}
    stuck: {status: [running], after: 2h}
    notify: ops
    remind: {every: 4h}
    resolved: true
"""
GROUPED = "group: {by: [agent, status, reason, metadata.team], wait: 1s, every: 1s}"
BY_TEAM = "group: {by: [metadata.team], wait: 1s, every: 1s}"


@contextmanager
def walking(*, gaps: str = "reject", group: str = "", links: Links = NO_LINKS) -> Iterator[Walk]:
    """Walk with these rules in a folder of its own."""
    text = RULES.replace("GAPS", f"gaps: {gaps}").replace("GROUP", group)
    with tempfile.TemporaryDirectory(dir=shared_memory()) as folder:
        walk = Walk(Path(folder), text, now=BEGIN, zone=ZoneInfo("Europe/Berlin"), links=links)
        try:
            yield walk
        finally:
            walk.store.close()


def comes(walk: Walk, status: Status, number: int = 0, **more: Any) -> None:
    """Let an event of the provider's kind happen and come in now."""
    walk.comes(status, IDS[number], **named(number, **more))


def named(number: int, **more: Any) -> dict[str, Any]:
    link = f"https://platform.asteroid.ai/executions/{IDS[number]}"
    return {
        "execution_url": link, "metadata": {"team": "payments", "invoice": 4711 + number}, **more,
    }  # fmt: skip


def last(walk: Walk, destination: str) -> Told:
    """Return the last message that goes to a destination now, and forget the others."""
    return [told for told in walk.gets() if told.destination == destination][-1]


Story = Callable[[], Message]
STORIES: dict[str, Story] = {}


def story(name: str) -> Callable[[Story], Story]:
    """Name the story of a message."""

    def add(tell: Story) -> Story:
        STORIES[name] = tell
        return tell

    return add


def _notice(status: Status, detail: dict[str, Any], before: Status | None = None) -> Story:
    def tell() -> Message:
        with walking() as walk:
            if before is not None:
                comes(walk, before)
                walk.gets()
                walk.passes(12 * MINUTE)
            comes(walk, status, detail=detail)
            walk.passes(20 * SECOND)
            waits = status in (AWAITS, ASKS, Status.PAUSED)
            return last(walk, "approvers" if waits else "ops").message

    return tell


STORIES |= {
    "notice_starting": _notice(Status.STARTING, {}),
    "notice_running": _notice(RUNNING, {}, Status.STARTING),
    "notice_resumed": _notice(RUNNING, {}, AWAITS),
    "notice_paused": _notice(Status.PAUSED, {}, RUNNING),
    "notice_paused_by_agent": _notice(ASKS, QUESTION, RUNNING),
    "notice_awaiting": _notice(AWAITS, PAY, RUNNING),
    "notice_awaiting_without_words": _notice(AWAITS, {}, RUNNING),
    "notice_completed_success": _notice(Status.COMPLETED, {"outcome": "success"}, RUNNING),
    "notice_completed_without_outcome": _notice(Status.COMPLETED, {}, RUNNING),
    "notice_completed_without_success": _notice(
        Status.COMPLETED, {"outcome": "failure", "reasoning": "The invoice was not found"}, RUNNING
    ),
    "notice_completed_with_another_outcome": _notice(
        Status.COMPLETED, {"outcome": "needs_review", "reasoning": "Two invoices fit"}, RUNNING
    ),
    "notice_failed": _notice(Status.FAILED, REFUSED, RUNNING),
    "notice_failed_with_an_error": _notice(
        Status.FAILED, {"reason": "worker_crash", "os_error": {"message": "EPIPE"}}, RUNNING
    ),
    "notice_failed_with_a_long_reason": _notice(
        Status.FAILED, {"reason": "The portal says: " + "please try again later, " * 20}, RUNNING
    ),
    "notice_cancelled": _notice(Status.CANCELLED, {"reason": "budget_exceeded"}, RUNNING),
}


@story("notice_late")
def _late() -> Message:
    with walking() as walk:
        event = walk.event(Status.FAILED, IDS[0], **named(0, detail=REFUSED))
        walk.passes(14 * MINUTE)
        walk.come([event])
        return last(walk, "ops").message


@story("notice_moved_on")
def _moved_on() -> Message:
    with walking() as walk:
        comes(walk, RUNNING)
        walk.passes(MINUTE)
        comes(walk, Status.PAUSED)
        return next(told.message for told in walk.gets() if told.destination == "ops")


@story("notice_after_a_gap")
def _gap() -> Message:
    with walking(gaps="apply") as walk:
        comes(walk, Status.PAUSED)
        walk.passes(MINUTE)
        comes(walk, Status.FAILED, detail=REFUSED)
        walk.passes(MINUTE)
        walk.store.write_now(walk.intake.expire, walk.now)
        return last(walk, "ops").message


@story("notice_order_uncertain")
def _order_uncertain() -> Message:
    with walking() as walk:
        comes(walk, RUNNING)
        same = walk.event(Status.PAUSED, IDS[0], **named(0))
        walk.come([replace(same, occurred_at=walk.now - 1)])
        return last(walk, "approvers").message


@story("notice_possible_repeat")
def _repeat() -> Message:
    with walking() as walk:
        comes(walk, AWAITS, detail=PAY)
        claim = walk.claim("approvers")
        assert claim is not None
        walk.record(claim, Attempt(Outcome.UNCERTAIN, "no answer"))
        walk.passes(MINUTE)
        return last(walk, "approvers").message


@story("notice_in_a_fallback")
def _fallback() -> Message:
    with walking() as walk:
        comes(walk, AWAITS, detail=PAY)
        claim = walk.claim("approvers")
        assert claim is not None
        walk.record(claim, GONE)
        return next(told.message for told in walk.gets("lead") if told.claim.kind == "fallback")


def _waiting(walk: Walk, status: Status = AWAITS, detail: dict[str, Any] | None = None) -> None:
    comes(walk, RUNNING)
    walk.passes(3 * MINUTE)
    comes(walk, status, detail=PAY if detail is None else detail)
    walk.gets()


def _after(minutes: int, destination: str, links: Links = NO_LINKS) -> Story:
    def tell() -> Message:
        with walking(links=links) as walk:
            _waiting(walk)
            found = walk.until_quiet(minutes * MINUTE)
            return [told for _, told in found if told.destination == destination][-1].message

    return tell


STORIES |= {
    "reminder": _after(16, "approvers"),
    "reminder_the_last": _after(31, "approvers"),
    "escalation": _after(21, "lead"),
    "reminder_with_a_link": _after(16, "approvers", LINKS),
    "escalation_with_a_link": _after(21, "lead", LINKS),
}


def _linked(status: Status, detail: dict[str, Any], taken: bool = False) -> Story:
    def tell() -> Message:
        with walking(links=LINKS) as walk:
            comes(walk, RUNNING)
            walk.gets()
            walk.passes(12 * MINUTE)
            comes(walk, status, detail=detail)
            if taken:
                walk.acknowledge("Ann", IDS[0])
            walk.passes(20 * SECOND)
            return last(walk, "approvers").message

    return tell


STORIES |= {
    "notice_awaiting_with_a_link": _linked(AWAITS, PAY),
    "notice_paused_by_agent_with_a_link": _linked(ASKS, QUESTION),
    "notice_taken_with_a_link": _linked(AWAITS, PAY, taken=True),
}


@story("acknowledged")
def _acknowledged() -> Message:
    with walking() as walk:
        _waiting(walk)
        walk.passes(5 * MINUTE)
        walk.acknowledge("Ann", IDS[0])
        return last(walk, "approvers").message


@story("taken_over")
def _taken_over() -> Message:
    with walking() as walk:
        _waiting(walk)
        walk.passes(5 * MINUTE)
        walk.acknowledge("Ann", IDS[0])
        walk.gets()
        walk.passes(5 * MINUTE)
        walk.acknowledge("Bob", IDS[0])
        return last(walk, "approvers").message


def _ended(before: Status, after: Status, detail: dict[str, Any], taken: bool = False) -> Story:
    def tell() -> Message:
        with walking(gaps="apply") as walk:
            _waiting(walk, before, QUESTION if before is ASKS else None)
            if taken:
                walk.acknowledge("Ann", IDS[0])
                walk.gets()
            walk.passes(12 * MINUTE)
            comes(walk, after, detail=detail)
            if after is before:
                walk.passes(MINUTE)
                walk.store.write_now(walk.intake.expire, walk.now)
            told = [t for t in walk.gets("approvers") if t.claim.kind == "resolved"]
            return told[-1].message

    return tell


STORIES |= {
    "resolved_confirmed": _ended(AWAITS, RUNNING, {}),
    "resolved_confirmed_and_taken": _ended(AWAITS, RUNNING, {}, taken=True),
    "resolved_answered": _ended(ASKS, RUNNING, {}),
    "resolved_resumed": _ended(Status.PAUSED, RUNNING, {}),
    "resolved_completed": _ended(AWAITS, Status.COMPLETED, {"outcome": "success"}),
    "resolved_cancelled": _ended(AWAITS, Status.CANCELLED, {"reason": "timeout"}),
    "resolved_failed": _ended(AWAITS, Status.FAILED, REFUSED),
    "resolved_waits_again": _ended(AWAITS, AWAITS, {"reason": "About to pay 20 EUR"}),
}


@story("stuck")
def _stuck() -> Message:
    with walking() as walk:
        comes(walk, RUNNING)
        walk.gets()
        return walk.until_quiet(125 * MINUTE)[-1][1].message


@story("stuck_reminder")
def _stuck_reminder() -> Message:
    with walking() as walk:
        comes(walk, RUNNING)
        walk.gets()
        return walk.until_quiet(7 * HOUR)[-1][1].message


def _digest(
    statuses: tuple[Status, ...],
    detail: dict[str, Any],
    *,
    group: str = GROUPED,
    agents: tuple[str, ...] = ("Invoice agent",),
) -> Story:
    def tell() -> Message:
        with walking(group=group) as walk:
            for number in range(len(IDS)):
                status, agent = statuses[number % len(statuses)], agents[number % len(agents)]
                comes(walk, status, number, detail=detail, agent_name=agent, agent_id=None)
                walk.passes(SECOND)
            walk.passes(3 * MINUTE)
            (told,) = walk.gets()
            return told.message

    return tell


STORIES |= {
    "digest_of_failures": _digest((Status.FAILED,), REFUSED),
    "digest_of_waits": _digest((AWAITS,), PAY),
    "digest_of_two_agents": _digest(
        (AWAITS,), PAY, group=BY_TEAM, agents=("Invoice agent", "Mail agent")
    ),
    "digest_of_two_sorts": _digest((AWAITS, ASKS), PAY, group=BY_TEAM),
}


def _take(walk: Walk, number: int) -> None:
    walk.acknowledge("Ann", IDS[number])


def _digest_after(act: Callable[[Walk, int], None]) -> Story:
    def tell() -> Message:
        with walking(group=GROUPED) as walk:
            for number in range(3):
                comes(walk, AWAITS, number, detail=PAY)
            walk.passes(2 * SECOND)
            walk.gets()
            walk.passes(10 * MINUTE)
            for number in range(3):
                act(walk, number)
            walk.passes(2 * SECOND)
            return last(walk, "approvers").message

    return tell


STORIES |= {
    "digest_of_ends": _digest_after(lambda walk, number: comes(walk, RUNNING, number)),
    "digest_of_takers": _digest_after(_take),
}


@story("digest_of_a_silence")
def _silence() -> Message:
    with walking() as walk:
        silence = Silence(
            {"source": ("asteroid",)}, "deploy of the portal", "Ann", walk.now, walk.now + HOUR
        )
        walk.do(lambda t: t.add_silence(silence, walk.now))
        comes(walk, Status.FAILED, 0, detail=REFUSED)
        comes(walk, Status.FAILED, 1, detail=REFUSED)
        comes(walk, Status.CANCELLED, 2, detail={"reason": "timeout"})
        walk.gets()
        walk.passes(HOUR + SECOND)
        return last(walk, "ops").message


@story("digest_of_quiet_hours")
def _quiet() -> Message:
    with walking() as walk:
        hours = 'quiet: {from: "09:00", to: "11:00", tz: Europe/Berlin}'
        walk.reload(RULES.replace("GAPS", "gaps: reject").replace("GROUP", hours))
        comes(walk, AWAITS, 0, detail=PAY)
        comes(walk, ASKS, 1, detail=QUESTION)
        walk.gets()
        walk.passes(HOUR)
        return last(walk, "approvers").message


@story("digest_of_what_is_stuck")
def _digest_of_stuck() -> Message:
    with walking() as walk:
        group = "stuck: {status: [running], after: 2h}\n    group: {by: [agent]}"
        text = RULES.replace("GAPS", "gaps: reject").replace("GROUP", "")
        walk.reload(text.replace("stuck: {status: [running], after: 2h}", group))
        for number in range(3):
            comes(walk, RUNNING, number)
        walk.gets()
        return walk.until_quiet(125 * MINUTE)[-1][1].message


def _unapplied(before: tuple[Status, ...], after: Status, *, earlier: int = 0) -> Story:
    def tell() -> Message:
        with walking() as walk:
            for status in before:
                walk.passes(MINUTE)
                comes(walk, status)
            walk.gets()
            walk.passes(5 * MINUTE)
            event = walk.event(after, IDS[0], **named(0))
            assert event.occurred_at is not None
            walk.come([replace(event, occurred_at=event.occurred_at - earlier)])
            return last(walk, "ops").message

    return tell


STORIES |= {
    "rejected_terminal": _unapplied((RUNNING, Status.COMPLETED), RUNNING),
    "rejected_illegal": _unapplied((RUNNING,), Status.STARTING),
    "held": _unapplied((RUNNING, Status.PAUSED), Status.COMPLETED),
    "stale_older": _unapplied((RUNNING, AWAITS), Status.PAUSED, earlier=6 * MINUTE),
    "stale_too_old": _unapplied((RUNNING,), Status.PAUSED, earlier=20 * 24 * HOUR),
}


@story("rejected_gap")
def _rejected_gap() -> Message:
    with walking() as walk:
        comes(walk, RUNNING)
        comes(walk, Status.PAUSED)
        walk.passes(MINUTE)
        comes(walk, Status.COMPLETED)
        walk.gets()
        walk.passes(MINUTE)
        walk.store.write_now(walk.intake.expire, walk.now)
        return last(walk, "ops").message


def _unusable(reason: Unreadable) -> Story:
    def tell() -> Message:
        with walking() as walk:
            webhook = VerifiedWebhook(
                "asteroid", None, b"{}", walk.now, reason, accepted=reason != "malformed"
            )
            walk.store.write_now(lambda t, _: [walk.intake.receive(t, [webhook])], None)
            return last(walk, "ops").message

    return tell


STORIES |= {
    "quarantined_malformed": _unusable("malformed"),
    "quarantined_no_envelope": _unusable("no_envelope"),
}


@story("quarantined_future")
def _future() -> Message:
    with walking() as walk:
        event = walk.event(Status.FAILED, IDS[0], **named(0, detail=REFUSED))
        walk.come([replace(event, occurred_at=walk.now + 2 * HOUR)])
        return last(walk, "ops").message


@story("quarantined_unknown_status")
def _unknown_status() -> Message:
    with walking() as walk:
        event = walk.event(None, IDS[0], **named(0))
        walk.come([replace(event, unknown_status="archived")])
        return last(walk, "ops").message


@dataclass(frozen=True)
class Wires:
    """Slack and a mail server on loopback."""

    slack: HTTPServer
    mail: Mail
    mail_port: int

    def as_text(self, message: Message) -> str:
        """Send a message to both and write what went over the wire, without what changes."""
        self.slack.clear_log()
        self.mail.envelopes.clear()
        mail = f"mailto://127.0.0.1:{self.mail_port}?from=receiver@example.org&to=ops@example.org"
        for destination in (Destination("slack", SLACK), Destination("mail", mail)):
            attempt = send(destination, message)
            assert attempt.outcome is Outcome.DELIVERED, attempt
        ((request, _),) = self.slack.log
        (attachment,) = json.loads(request.get_data())["attachments"]
        shown = {name: attachment[name] for name in ("title", "text", "color")}
        lines = [
            f"severity: {message.severity}", "", "--- Slack ---",
            json.dumps(shown, ensure_ascii=False, indent=1),
            "", "--- Slack, as it is read ---", shown["title"], shown["text"],
            "", "--- e-mail ---", _mail_text(self.mail.envelopes[0].content),
        ]  # fmt: skip
        return "\n".join(lines).rstrip() + "\n"


def _mail_text(content: bytes) -> str:
    mail = message_from_bytes(content, policy=policy.default)
    heads = [f"{name}: {mail[name]}" for name in HEADERS]
    plain = mail.get_body(("plain",))
    assert plain is not None
    # Hosts that Apprise adds change; what people read does not.
    text = plain.get_content().replace("\r\n", "\n").rstrip("\n")
    return re.sub("(?m)^.*: None$\n", "", "\n".join(heads) + "\n") + f"\n{text}"


@contextmanager
def wires() -> Iterator[Wires]:
    """Serve Slack and mail on loopback; Slack's plugin is led there."""
    mail = Mail()
    was = NotifySlack.webhook_url
    with HTTPServer(host="127.0.0.1", port=0) as slack, mail_server(mail) as port:
        slack.expect_request(re.compile("/.*")).respond_with_data("ok")
        NotifySlack.webhook_url = slack.url_for("/services")
        try:
            yield Wires(slack, mail, port)
        finally:
            NotifySlack.webhook_url = was


def write() -> None:
    """Write all golden files anew."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.txt"):
        path.unlink()
    with wires() as on:
        for name, tell in sorted(STORIES.items()):
            (FOLDER / f"{name}.txt").write_text(on.as_text(tell()), "utf-8")


if __name__ == "__main__":
    write()
