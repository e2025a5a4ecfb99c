"""A message that waits for nothing leaves at once, whatever it is owed for and by whom.

A worker that nobody wakes looks again after ten minutes here, so what arrives was not polled for.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from receiver.cli import client
from receiver.dispatch import worker
from receiver.times import SECOND
from tests.support.live import Live, live, until
from tests.support.visited import Visit

POLL = 600.0
# The longest way of a message here, as a part of the poll; a busy machine takes its time.
FAR_BELOW = 1 / 60
ROUTES = """\
sources:
  asteroid:
    verify: {scheme: rsa-sha256, keys: ["${PUBLIC}"]}
    gaps: apply
    gap_timeout: 1s
destinations:
  ops: {url: "json://127.0.0.1:${PORT}/ops", rate: 100/s}
  team: {url: "json://127.0.0.1:${PORT}/team", rate: 100/s}
  gone: {url: "json://127.0.0.1:${PORT}/gone", rate: 100/s}
routes:
  - {name: lost, match: {status: failed, agent: "Lost*"}, notify: [gone], stop: true}
  - name: confirmations
    match: {status: awaiting_confirmation}
    notify: [team]
    resolved: true
    acknowledged: true
  - {name: failures, match: {status: failed}, notify: [ops]}
"""


@dataclass
class Hooks:
    """A destination for each path, which says what came; `gone` refuses until it is `back`."""

    came: list[tuple[str, str, float]] = field(default_factory=list)
    more: threading.Condition = field(default_factory=threading.Condition)
    back: bool = False

    def take(self, request: Request) -> Response:
        if request.path == "/gone" and not self.back:
            return Response("", 404)
        with self.more:
            text = f"{request.json['title']}\n{request.json['message']}"
            self.came.append((request.path, text, time.monotonic()))
            self.more.notify_all()
        return Response("")

    def arrived(self, path: str, *parts: str, since: float) -> float:
        """Wait for a message with these parts; return its way from then on as a part of POLL."""

        def found() -> float | None:
            later = [(text, at) for to, text, at in self.came if to == path and at >= since]
            return next((at for text, at in later if all(each in text for each in parts)), None)

        with self.more:
            at = self.more.wait_for(found, POLL * FAR_BELOW)
        assert at is not None, f"{parts} did not come to {path} in time: {self.came}"
        return (at - since) / POLL


@pytest.fixture(scope="module")
def hooks() -> Hooks:
    return Hooks()


@pytest.fixture(scope="module")
def receiver(hooks: Hooks, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with HTTPServer(threaded=True) as web, pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "POLL", POLL)
        web.expect_request("/ops").respond_with_handler(hooks.take)
        web.expect_request("/team").respond_with_handler(hooks.take)
        web.expect_request("/gone").respond_with_handler(hooks.take)
        folder = tmp_path_factory.mktemp("at_once")
        settings = {"public_url": "https://hooks.example.org", "link_key": "k" * 32}
        with live(folder, ROUTES, {"PORT": str(web.port)}, **settings) as served:
            yield served


def send(receiver: Live, event: str, execution: str, seconds: int, **more: Any) -> float:
    """Post an event that happened so many seconds after the first one; return when it was sent."""
    at = client.now_whole() - 600 * SECOND + seconds * SECOND
    since = time.monotonic()
    body = client.asteroid_event(f"EXECUTION_{event}", execution, occurred_at=at, **more)
    assert receiver.post(body)[0] == 202
    return since


def ask(receiver: Live, path: str, method: str = "POST", content: object = None) -> Any:
    body = None if content is None else json.dumps(content).encode()
    status, answer, _ = receiver.ask(path, method=method, body=body)
    assert status < 300, answer
    return answer


def awaits(receiver: Live, hooks: Hooks, execution: str) -> None:
    """Let an execution wait for a confirmation, of which its approvers are told."""
    send(receiver, "STARTED", execution, 1)
    since = send(receiver, "AWAITING_CONFIRMATION", execution, 2)
    assert hooks.arrived("/team", execution, since=since) < FAR_BELOW
    sent = {"execution_id": execution, "state": "sent"}
    until(lambda: receiver.store.deliveries(sent, 1, None)[0])


def test_a_notice_and_word_of_the_end_of_what_waited(receiver: Live, hooks: Hooks) -> None:
    awaits(receiver, hooks, "ends")
    since = send(receiver, "RESUMED", "ends", 3)
    assert hooks.arrived("/team", "ends", "it continues", since=since) < FAR_BELOW


def test_an_end_that_comes_to_light_when_a_gap_is_given_up(receiver: Live, hooks: Hooks) -> None:
    awaits(receiver, hooks, "gap")
    since = send(receiver, "COMPLETED", "gap", 9)  # held for a second: how was it confirmed?
    way = hooks.arrived("/team", "gap", "Nobody has to confirm it any more", since=since)
    assert way < FAR_BELOW


@pytest.mark.parametrize("door", ["api", "page", "link"])
def test_word_of_who_takes_it(receiver: Live, hooks: Hooks, door: str) -> None:
    awaits(receiver, hooks, f"taken-{door}")
    story = {"source": "asteroid", "execution_id": f"taken-{door}"}
    (notice,) = receiver.store.deliveries({"execution_id": f"taken-{door}"}, 1, None)[0]
    visit = Visit(receiver)
    since = time.monotonic()
    if door == "api":
        ask(receiver, f"/api/executions/asteroid/taken-{door}/acknowledge", content={"by": "Ann"})
    elif door == "page":
        assert visit.post("/act/take", {**story, "name": "Ann"}).status == 303
    else:
        link = notice["body"].split("https://hooks.example.org")[1].split()[0]
        shown = visit.get(link).text
        nonce = dict(part.split('" value="')[:2] for part in _hidden(shown))
        assert visit.post(link, {**nonce, "name": "Ann"}).status == 303
    assert hooks.arrived("/team", f"taken-{door}", "Ann", since=since) < FAR_BELOW


def _hidden(page: str) -> list[str]:
    """Return the names and values of the hidden fields of a page."""
    parts = page.split('<input type="hidden" name="')[1:]
    return [part.split('">')[0] for part in parts]


@pytest.mark.parametrize("end", ["by itself", "by a person"])
def test_the_digest_of_a_silence_that_has_ended(receiver: Live, hooks: Hooks, end: str) -> None:
    name = f"Quiet {end}"
    lasts = "1s" if end == "by itself" else "2h"
    asked = {"match": {"agent": name}, "for": lasts, "reason": "a deploy", "by": "Ann"}
    since = time.monotonic()
    number = ask(receiver, "/api/silences", content=asked)["id"]
    send(receiver, "FAILED", name, 1, agent_name=name)
    if end == "by a person":
        kept_back = {"execution_id": name, "state": "superseded"}
        until(lambda: receiver.store.deliveries(kept_back, 1, None)[0])
        since = time.monotonic()
        ask(receiver, f"/api/silences/{number}", "DELETE")
    assert hooks.arrived("/ops", name, since=since) < FAR_BELOW


def test_word_to_others_of_what_nobody_got(receiver: Live, hooks: Hooks) -> None:
    hooks.back = False
    since = send(receiver, "FAILED", "told-elsewhere", 1, agent_name="Lost other agent")
    dead = {"execution_id": "told-elsewhere", "state": "dead"}
    until(lambda: receiver.store.deliveries(dead, 1, None)[0])
    assert hooks.arrived("/ops", "gone did not get", since=since) < FAR_BELOW


@pytest.mark.parametrize("door", ["api", "api-all", "page", "page-all"])
def test_what_is_redelivered(receiver: Live, hooks: Hooks, door: str) -> None:
    hooks.back = False
    send(receiver, "FAILED", f"lost-{door}", 1, agent_name="Lost agent")
    dead = {"execution_id": f"lost-{door}", "state": "dead"}
    until(lambda: receiver.store.deliveries(dead, 1, None)[0])
    number = str(receiver.store.deliveries(dead, 1, None)[0][0]["id"])
    hooks.back = True
    again: dict[str, Callable[[], object]] = {
        "api": lambda: ask(receiver, f"/api/deliveries/{number}/redeliver"),
        "api-all": lambda: ask(receiver, "/api/deliveries/redeliver?destination=gone"),
        "page": lambda: Visit(receiver).post("/act/redeliver", {"id": number}),
        "page-all": lambda: Visit(receiver).post("/act/redeliver-all", {"destination": "gone"}),
    }
    since = time.monotonic()
    again[door]()
    assert hooks.arrived("/gone", f"lost-{door}", since=since) < FAR_BELOW
