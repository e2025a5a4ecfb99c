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
    " &lt;!channel&gt; Bcc: a@b.c . gnp {{ 7*7 }} [31mred *bold* `code`"
)
TITLE = f"{AGENT} failed"
BODY = (
    f"It has ended.\nReason: {REASON}\nAgent: {AGENT}\nExecution: x-1\n"
    "Since: 2027-01-15 08:00:00 UTC\nhttps://app.example/x-1"
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
    assert found["text"] == f"{TITLE}\r\n{BODY}"
    assert set(found) == {"text", "icon_url", "username"}


def test_json(wire: HTTPServer) -> None:
    assert payload(wire, f"json://127.0.0.1:{wire.port}/") == {
        "version": "1.0", "title": TITLE, "message": BODY, "attachments": [], "type": "info",
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
