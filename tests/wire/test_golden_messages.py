"""What goes over the wire for a hostile event, to the letter, so that no upgrade of a library can
change it unseen: every mention, link, header and control character in it stays dead text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from typing import Any

import pytest
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.slack import NotifySlack
from pytest_httpserver import HTTPServer

from receiver.deliveries import MessageContext, Outcome
from receiver.destinations.destination import Destination
from receiver.destinations.sending import send
from receiver.events import Status, Verdict
from receiver.messages.notice import render
from receiver.times import SECOND
from tests.support import golden
from tests.support.loopback import Mail, mail_server

NOW = 1_800_000_000 * SECOND
HOSTILE = (
    "<!channel> <!here|x> <!subteam^S1> <@U123> <@&9> <#C1> @everyone @here <https://evil.example|click>"
    " [x](https://evil.example) <b onclick=x>HTML</b> &lt;!channel&gt;\r\nBcc: a@b.c\n.\n"
    "\u202egnp\u2066 {{ 7*7 }} \x1b[31mred\x00 *bold* `code`"
)
FACTS = MessageContext(
    source="asteroid",
    verdict=Verdict.APPLIED,
    verdict_reason="first_seen",
    received_at=NOW,
    event_id="e-1",
    event="EXECUTION_FAILED",
    status=Status.FAILED,
    occurred_at=NOW,
    execution_id="x-1",
    execution_status=Status.FAILED,
    agent_name="<!here> @everyone\r\nBcc: a@b.c [x](https://evil.example)",
    execution_url="https://app.example/x-1",
    detail={"reason": HOSTILE},
)
MESSAGE = render(FACTS, "failures", None, None, repeat=False, now=NOW)

AGENT = "＜!here> ＠everyone Bcc: a@b.c [x］(https://evil.example)"
REASON = (
    "＜!channel> ＜!here|x> ＜!subteam^S1> <＠U123> <＠&9> ＜#C1> ＠everyone ＠here"
    " ＜https://evil.example|click> [x］(https://evil.example) <b onclick=x>HTML</b>"
    " ＆lt;!channel＆gt; Bcc: a@b.c . gnp {{ 7*7 }} [31mred *bold* `code`"
)
TITLE = (
    "＜!here> ＠everyone Bcc: a@b.c [x］(https://evil.exa… failed: ＜!channel> ＜!here|x>"
    " ＜!subteam^S1> <＠U123> <＠&9> ＜#C1> ＠ever…"
)
BODY = (
    f"Reason: {REASON}\nIt stopped and will not go on by itself.\n"
    "See at the link what it had done before you start it again.\nhttps://app.example/x-1\n"
    f"At 08:00 UTC\nAgent: {AGENT}\nExecution: x-1 · from asteroid"
)
# What Slack, Discord or Mattermost would act on.
LIVE = re.compile(
    r"<[!@#]|<https?:|@(?:everyone|here|channel|all)\b|\]\(|(?<![\w.])@\w|[\x00-\x09\x0b\x0c\x0e-\x1f]"
    r"|[\u202a-\u202e\u2066-\u2069]"
)


def escaped(text: str) -> str:
    """As Slack wants text that is text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@pytest.fixture
def wire(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    """Where Slack and Discord are now."""
    monkeypatch.setattr(NotifySlack, "webhook_url", httpserver.url_for("/services"))
    monkeypatch.setattr(NotifyDiscord, "notify_url", httpserver.url_for("/api/webhooks"))
    httpserver.expect_request(re.compile("/.*")).respond_with_data("ok")
    return httpserver


def payload(wire: HTTPServer, url: str) -> dict[str, Any]:
    """The only request that the message leads to, as JSON."""
    attempt = send(Destination("ops", url), MESSAGE)
    assert (attempt.outcome, attempt.detail) == (Outcome.DELIVERED, "")
    ((request, _),) = wire.log
    found = json.loads(request.get_data())
    assert isinstance(found, dict)
    return found


def texts(value: object) -> Iterator[str]:
    """Every text in a payload, without Apprise's own pictures."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def test_the_message_itself_is_dead_text() -> None:
    assert MESSAGE.title == TITLE
    assert MESSAGE.body == BODY
    assert LIVE.search(TITLE) is None
    assert LIVE.search(BODY) is None


SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
DISCORD = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
MATTERMOST = "mmost://127.0.0.1:{port}/3ccdd113474722377935511fc85d3dd4"


def test_slack(wire: HTTPServer) -> None:
    found = payload(wire, SLACK)
    (attachment,) = found.pop("attachments")
    assert found.pop("mrkdwn") is False
    assert set(found) == {"icon_url"}
    assert attachment["title"] == escaped(TITLE)
    assert attachment["text"] == escaped(BODY)
    assert set(attachment) == {"title", "text", "color", "footer", "footer_icon", "ts"}


def test_slack_blocks(wire: HTTPServer) -> None:
    found = payload(wire, f"{SLACK}/?blocks=yes")
    header, section, _ = found["attachments"][0]["blocks"]
    assert header["text"] == {"type": "plain_text", "text": escaped(TITLE), "emoji": True}
    assert section["text"] == {"type": "plain_text", "text": escaped(BODY)}


def test_discord(wire: HTTPServer) -> None:
    found = payload(wire, DISCORD)
    assert found["content"] == f"{TITLE}\r\n{BODY}"
    assert set(found) == {"content", "tts", "wait", "avatar_url"}
    assert found["tts"] is False


def test_mattermost(wire: HTTPServer) -> None:
    found = payload(wire, MATTERMOST.format(port=wire.port))
    # It would format what else is in the text, so each such sign has a backslash.
    assert found["text"] == re.sub(r"[\[*`]", r"\\\g<0>", f"{TITLE}\n{BODY}")
    assert set(found) == {"text", "icon_url", "username"}


def test_json(wire: HTTPServer) -> None:
    assert payload(wire, f"json://127.0.0.1:{wire.port}/") == {
        "version": "1.0", "title": TITLE, "message": BODY, "attachments": [], "type": "failure",
    }  # fmt: skip


@pytest.mark.parametrize("url", [SLACK, f"{SLACK}/?blocks=yes", DISCORD, MATTERMOST])
@pytest.mark.parametrize("format", ["text", "html"])
def test_whatever_format_a_url_asks_for_nothing_is_live(
    wire: HTTPServer, url: str, format: str
) -> None:
    query = "&" if "?" in url else "/?"
    found = payload(wire, f"{url.format(port=wire.port)}{query}format={format}")
    live = [LIVE.search(text) for text in texts(found)]
    assert [match for match in live if match] == []


@pytest.mark.parametrize("format", ["text", "html"])
def test_mail(format: str) -> None:
    server = Mail()
    with mail_server(server) as port:
        url = f"mailto://127.0.0.1:{port}?from=a@example.org&to=b@example.org&format={format}"
        assert send(Destination("mail", url), MESSAGE).outcome is Outcome.DELIVERED
    (envelope,) = server.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("a@example.org", ["b@example.org"])
    found = message_from_bytes(envelope.content, policy=policy.default)
    assert found["Subject"] == TITLE
    assert (found["From"], found["To"]) == ("a@example.org", "b@example.org")
    assert found["Bcc"] is None
    assert found["Cc"] is None
    plain = found.get_body(("plain",))
    assert plain is not None
    assert plain.get_content_type() == "text/plain"
    if format == "text":
        assert not found.is_multipart()
        assert plain.get_content().replace("\r\n", "\n").rstrip("\n") == BODY
    else:
        page = found.get_body(("html",))
        assert page is not None
        assert "<b" not in page.get_content().replace("<br/>", "")
        assert "<a" not in page.get_content()


# --- every kind of message, to the letter --------------------------------------------------------


@pytest.fixture(scope="module")
def on() -> Iterator[golden.Wires]:
    """Slack and a mail server on loopback."""
    with golden.wires() as opened:
        yield opened


@pytest.mark.parametrize("name", sorted(golden.STORIES))
def test_every_kind_of_message_reads_as_its_golden_file_says(on: golden.Wires, name: str) -> None:
    written = (golden.FOLDER / f"{name}.txt").read_text("utf-8")
    assert on.as_text(golden.STORIES[name]()) == written, (
        "look at the difference, then: python -m tests.support.golden"
    )


def test_there_is_no_golden_file_without_its_story() -> None:
    assert {path.stem for path in golden.FOLDER.glob("*.txt")} == set(golden.STORIES)


def read_texts() -> dict[str, tuple[str, list[str]]]:
    """Title and lines of each golden message, as somebody reads them in Slack."""
    found = {}
    for path in golden.FOLDER.glob("*.txt"):
        text = path.read_text("utf-8").split("--- Slack, as it is read ---\n")[1]
        title, *lines = text.split("\n\n--- e-mail ---")[0].splitlines()
        found[path.stem] = (title, lines)
    return found


OURS = re.compile(
    r"quarantine\w*\b(?!`)|\bepisode|\bverdict\b(?! quarantined`)|\bset aside\b|\bdeliver(y|ies)\b"
    r"|\bsaid to have\b|\blane\b|\broute '|\bawaiting_confirmation|\bpaused_by_agent|\(terminal"
    r"|\(gap|\(illegal|\b(held|stale)\b|\bdead letter|\bsuperseded|\backnowledged\b|\bidempoten"
)


@pytest.mark.parametrize("name", sorted(golden.STORIES))
def test_no_message_has_words_that_only_this_program_uses(name: str) -> None:
    title, lines = read_texts()[name]
    text = "\n".join([title, *lines]).replace("`receiver events --verdict quarantined`", "")
    assert OURS.search(text) is None


@pytest.mark.parametrize("name", sorted(golden.STORIES))
def test_a_title_names_the_agent_and_the_link_comes_before_the_fine_print(name: str) -> None:
    title, lines = read_texts()[name]
    assert len(title.replace("&amp;", "&")) <= 120
    assert ("Invoice agent" in title) is not name.startswith("quarantined")
    assert title not in lines
    links = [n for n, line in enumerate(lines) if line.startswith("https://")]
    fine = [
        n
        for n, line in enumerate(lines)
        if re.match("team: |Since |Waits since |At |Execution: ", line)
    ]
    assert not links or not fine or max(links) < min(fine)
    if "Invoice agent" in title and not name.startswith("digest"):
        assert lines[-1].startswith(
            ("Execution: a2c7f3b3-cbc8-4b6a-a5f2-c5f6cb548e95", "Sent here")
        )
        assert "team: payments · invoice: 4711" in lines


@pytest.mark.parametrize("name", [name for name in sorted(golden.STORIES) if "digest" in name])
def test_a_line_of_a_digest_says_what_is_asked_or_why_before_the_link(name: str) -> None:
    _, lines = read_texts()[name]
    listed = [line for line in lines if line.startswith("· ")]
    assert listed
    for line in listed:
        words, link = line.split(" · https://platform.asteroid.ai/executions/")
        assert len(words) > 3
        assert link in golden.IDS


# What a lock screen shows of a notification, whatever comes after it.
@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("notice_awaiting", "Invoice agent asks: About to pay 4,200 EUR"),
        ("notice_paused_by_agent", "Invoice agent asks: Which of the two suppliers is meant?"),
        ("notice_failed", "Invoice agent failed: The supplier's portal refused the log-in"),
        ("notice_failed_with_an_error", "Invoice agent failed: worker_crash"),
        ("reminder", "Reminder 1: Invoice agent asks: About to pay 4,200 EUR"),
        ("escalation", "Escalated: Invoice agent asks: About to pay 4,200 EUR"),
        ("acknowledged", "Invoice agent: Ann takes care of it: About to pay 4,200 EUR"),
        ("taken_over", "Invoice agent: Bob takes it over from Ann: About to pay"),
        ("resolved_confirmed_and_taken",
         "Invoice agent: confirmed after 12 min, it continues It had asked: About to pay"),
        ("resolved_failed", "Invoice agent: failed after waiting for confirmation for 12 min"),
        ("digest_of_failures", "Invoice agent: 4 failed since 10:02 CET: The supplier's portal"),
        ("digest_of_two_agents", "Invoice agent and Mail agent: 4 to confirm or decline, since"),
        ("stuck", "Stuck? Invoice agent: no news for 2 h, last known as running"),
        ("rejected_terminal",
         "Invoice agent already completed; a later update that says running does not count"),
        ("rejected_gap", "Invoice agent may have completed: an update before that is missing"),
    ],
)  # fmt: skip
def test_a_hundred_characters_say_what_it_is_about(name: str, has: str) -> None:
    title, lines = read_texts()[name]
    assert f"{title} {lines[0]}"[:100].startswith(has)


@pytest.mark.parametrize("name", sorted(golden.STORIES))
def test_e_mails_of_an_episode_have_the_subject_of_its_first_one(name: str) -> None:
    text = (golden.FOLDER / f"{name}.txt").read_text("utf-8").split("--- e-mail ---\n")[1]
    subject = text.splitlines()[0].removeprefix("Subject: ")
    joins = ("reminder", "acknowledged", "taken_over", "resolved", "stuck_reminder")
    if name.startswith(joins):
        begins = (
            "Re: Invoice agent asks: ",
            "Re: Stuck? Invoice agent: ",
            "Re: Invoice agent was paused",
        )
        assert subject.startswith(begins)
        assert "References: <episode-" in text
    else:
        assert not subject.startswith("Re:")


def test_severities_are_what_the_message_is_to_people() -> None:
    found = {
        path.stem: path.read_text("utf-8").splitlines()[0].removeprefix("severity: ")
        for path in golden.FOLDER.glob("*.txt")
    }
    for name, severity in {
        "notice_failed": "failure", "notice_completed_without_success": "failure",
        "notice_completed_success": "success", "resolved_confirmed": "success",
        "resolved_failed": "failure", "resolved_waits_again": "warning",
        "notice_awaiting": "warning", "notice_paused_by_agent": "warning", "reminder": "warning",
        "escalation": "warning", "stuck": "warning", "rejected_terminal": "warning",
        "quarantined_malformed": "warning", "held": "warning", "notice_running": "info",
        "notice_cancelled": "info", "acknowledged": "info", "digest_of_failures": "failure",
        "digest_of_waits": "warning", "digest_of_ends": "success", "digest_of_takers": "info",
        "digest_of_a_silence": "failure", "notice_in_a_fallback": "warning",
    }.items():  # fmt: skip
        assert (name, found[name]) == (name, severity)
