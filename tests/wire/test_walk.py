"""The main job, whole: signed webhooks to Slack, e-mail and JSON, and the history back."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from apprise.plugins.slack import NotifySlack
from pytest_httpserver import HTTPServer

from receiver.cli import client
from receiver.sources import signing
from receiver.times import SECOND
from tests.support.live import free_port, live, until

ROUTES = """\
sources:
  asteroid:
    verify:
      scheme: rsa-sha256
      keys: ["${PUBLIC}"]
      secret_header: {name: X-Receiver-Secret, value: a-secret-of-sixteen}
destinations:
  slack: {url: "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops", rate: 100/s}
  mail: {url: "mailto://127.0.0.1:${SMTP_PORT}?from=receiver@example.org&to=ops@example.org",
         rate: 100/s}
  json: "json://127.0.0.1:${HTTP_PORT}/hook"
routes:
  - {name: confirmations, match: {status: awaiting_confirmation}, notify: [json]}
  - {name: failures, match: {status: failed, agent: "Invoice *"}, notify: [slack, mail, json]}
  - {name: not accepted, match: {verdict: [rejected, quarantined]}, notify: [json]}
"""


class Inbox:
    """What aiosmtpd took in."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
        self.mails.append(envelope.content)  # type: ignore[attr-defined]
        return "250 taken"


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, int]]:
    box = Inbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield box, controller.port
    controller.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings of the engine."""
    if request.param == "sqlite":
        return {}
    return {"database_url": request.getfixturevalue("postgres").schema()}


def test_a_signed_webhook_becomes_a_message_and_every_verdict_can_be_read_back(
    tmp_path: Path,
    httpserver: HTTPServer,
    inbox: tuple[Inbox, int],
    monkeypatch: pytest.MonkeyPatch,
    store: dict[str, str],
) -> None:
    box, smtp_port = inbox
    httpserver.expect_request("/hook").respond_with_data("ok")
    httpserver.expect_request(
        "/slack/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    ).respond_with_data("ok")
    monkeypatch.setattr(NotifySlack, "webhook_url", httpserver.url_for("/slack"))
    ports = {"SMTP_PORT": str(smtp_port), "HTTP_PORT": str(httpserver.port)}
    start = client.now_whole() - 60 * SECOND

    def body(event: str, second: int, event_id: str, **payload: str) -> bytes:
        at = start + second * SECOND
        return client.asteroid_event(
            event, "inv-1", event_id=event_id, occurred_at=at, payload=payload
        )

    steps = [
        (body("EXECUTION_STARTED", 0, "1"), 202, "applied", "first_seen"),
        (body("EXECUTION_AWAITING_CONFIRMATION", 20, "2"), 202, "applied", "transition"),
        (body("EXECUTION_STARTED", 0, "1"), 200, "duplicate", "event_id"),
        (body("EXECUTION_RESUMED", 10, "3"), 200, "stale", "older"),
        (body("EXECUTION_FAILED", 40, "4", reason="log-in refused"), 202, "applied", "transition"),
        (body("EXECUTION_RESUMED", 50, "5"), 200, "rejected", "terminal"),
    ]
    with live(tmp_path, ROUTES, ports, **store) as receiver:
        for content, status, verdict, reason in steps:
            answered, answer = receiver.post(content)
            assert (answered, answer["verdict"], answer["reason"]) == (status, verdict, reason)
            assert answer["execution_id"] == "inv-1"
        forged = receiver.post(steps[0][0], private=signing.generate("rsa-sha256")[0])
        assert forged[0] == 401

        until(lambda: receiver.ask("/api/ledger")[1]["deliveries"].get("waiting", 0) == 0)
        until(lambda: receiver.ask("/api/ledger")[1]["deliveries"].get("sending", 0) == 0)
        found = receiver.ask("/api/executions/asteroid/inv-1")[1]
        ledger = receiver.ask("/api/ledger")[1]
        listed = receiver.ask("/api/executions?category=terminal")[1]
        owed = receiver.ask("/api/deliveries?state=sent")[1]

    assert found["execution"]["status"] == "failed"
    assert [(e["event_id"], e["verdict"], e["reason"]) for e in found["events"]] == [
        ("1", "applied", "first_seen"),
        ("2", "applied", "transition"),
        ("1", "duplicate", "event_id"),
        ("3", "stale", "older"),
        ("4", "applied", "transition"),
        ("5", "rejected", "terminal"),
    ]
    states = {(d["event_id"], d["destination"]): d["state"] for d in found["deliveries"]}
    # The confirmation went out or was overtaken by the failure: never silence, never untruth.
    assert states.pop(("2", "json")) in ("sent", "superseded")
    assert states == {
        ("4", "slack"): "sent",
        ("4", "mail"): "sent",
        ("4", "json"): "sent",
        ("5", "json"): "sent",
    }
    assert ledger["imbalance"] == 0
    assert ledger["accepted"] == 6
    assert ledger["verdicts"] == {"applied": 3, "duplicate": 1, "stale": 1, "rejected": 1}
    assert [item["execution_id"] for item in listed["items"]] == ["inv-1"]
    assert listed["next"] is None
    assert all(len(item["attempts"]) == 1 for item in owed["items"])

    slack = [r.get_data(as_text=True) for r, _ in httpserver.log if "/slack/" in r.path]
    assert len(slack) == 1
    assert "Invoice agent failed" in slack[0]
    assert "log-in refused" in slack[0]
    hooks = [r.get_json() for r, _ in httpserver.log if r.path == "/hook"]
    titles = [hook["title"] for hook in hooks]
    assert titles.count("Invoice agent failed: log-in refused") == 1
    assert "Invoice agent already failed; a later update that says running does not count" in titles
    assert len(box.mails) == 1
    mail = message_from_bytes(box.mails[0], policy=policy.default)
    assert mail["Subject"] == "Invoice agent failed: log-in refused"
    plain = mail.get_body(("plain",))
    assert plain is not None
    text = plain.get_content()
    assert "log-in refused" not in text  # the subject says it
    assert "Execution: inv-1" in text
