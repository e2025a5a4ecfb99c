"""A small realistic store for the pages, and a client of them without a browser."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from receiver.cli import client, demo
from receiver.times import SECOND
from tests.support.live import Live, live, until

TOKEN = "a-token-for-the-pages-0123456789"
ROUTES = """\
sources:
  asteroid:
    verify: {scheme: rsa-sha256, keys: ["${PUBLIC}"]}
destinations:
  ops: console://
  approvers: console://
  pager: {url: "json://127.0.0.1:9/", retry_for: 1s}
routes:
  - name: confirmations
    match: {status: [awaiting_confirmation, paused_by_agent]}
    notify: [approvers]
    remind: {every: 15m, at_most: 8}
    escalate: [{after: 1h, notify: [ops]}]
    acknowledged: true
  - {name: failures, match: {status: failed}, notify: [ops]}
  - {name: paged, match: {status: failed, agent: "Hostile*"}, notify: [pager]}
  - {name: not accepted, match: {verdict: [rejected, quarantined]}, notify: [ops]}
"""
# What somebody could send whose webhooks are trusted.
NAME = 'Hostile <script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">\u202e\''
LINK = "javascript:window.hacked=1"
QUESTION = {
    "questions": [{"question": "Which centre?", "options": [{"label": "Berlin"}, {"label": "Ulm"}]}]
}
ADDRESSES = (
    "/", "/executions", "/executions?q=invoice&status=failed", "/events",
    "/events?verdict=rejected", "/deliveries", "/deliveries?state=dead", "/routes",
    "/routes/backtest", "/silences", "/ledger", "/audit", "/help", "/help/services", "/events/2",
    "/executions/asteroid/invoice-s", "/executions/asteroid/pay",
    "/executions/asteroid/bad",
)  # fmt: skip


@contextmanager
def sown(folder: Path) -> Iterator[Live]:
    """Serve a small store whose first message has been given up."""
    with live(folder, ROUTES) as receiver:
        sow(receiver)
        until(lambda: receiver.store.ledger()["deliveries"].get("dead"))
        yield receiver


def sow(receiver: Live) -> None:
    """Send the webhooks of the demo and some that wait for people, are hostile, or are large."""
    start = client.now_whole() - 3600 * SECOND
    for step in demo.script("s"):
        if not step.forged:
            at = start + step.seconds * SECOND
            receiver.post(client.asteroid_event(
                step.event, step.execution, event_id=step.event_id, occurred_at=at,
                payload=step.payload,
            ))  # fmt: skip

    def send(event: str, execution: str, seconds: int, **more: Any) -> None:
        at = start + seconds * SECOND
        receiver.post(client.asteroid_event(execution_id=execution, event=f"EXECUTION_{event}",
                                            occurred_at=at, **more))  # fmt: skip

    send("STARTED", "pay", 1)
    send("AWAITING_CONFIRMATION", "pay", 2, payload={"reason": "About to pay 4,200 EUR"})
    send("STARTED", "ask", 1)
    send("PAUSED", "ask", 9, payload={"paused_by": "agent", "question": QUESTION})
    send("STARTED", "held", 1)
    send("PAUSED", "held", 2, payload={"paused_by": "user"})
    send("COMPLETED", "held", 3, payload={"outcome": "success"})
    send("FAILED", "bad", 5, agent_name=NAME, payload={"reason": NAME, "error": "x" * 200_000})
    receiver.post(b'{"event_id": 7}')


@dataclass
class Shown:
    """An answer of a page."""

    status: int
    headers: Mapping[str, str]
    text: str
    cookies: list[str]


@dataclass
class Visit:
    """Somebody who reads pages and sends forms, and keeps cookies as a browser does."""

    receiver: Live
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> Shown:
        """Ask for a page."""
        return self._ask("GET", path, None, headers)

    def post(self, path: str, form: Mapping[str, str] | None = None, **headers: str) -> Shown:
        """Send a form, as a browser does from a page of the same server."""
        host = urlsplit(self.receiver.url).netloc
        same = {"Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        type_ = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", path, urlencode(form or {}), {**type_, **same, **headers})

    def sign_in(self, token: str = TOKEN, name: str = "", **headers: str) -> Shown:
        """Send the form of the first page."""
        return self.post("/login", {"token": token, "name": name, "next": "/"}, **headers)

    def _ask(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> Shown:
        at = urlsplit(self.receiver.url)
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=30)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies and "Cookie" not in given:
            given["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        lines = answer.headers.get_all("Set-Cookie") or []
        for line in lines:
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
                if not morsel.value:
                    del self.cookies[name]
        lower = {name.lower(): value for name, value in answer.headers.items()}
        return Shown(answer.status, lower, text, lines)
