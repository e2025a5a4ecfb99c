"""A worker whose destination is quick claims several deliveries in one transaction."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from receiver.config.live_rules import LiveRules
from receiver.dispatch import worker
from receiver.events import Status
from tests.support.people import Walk

MANY = 40
ROUTES = """\
destinations:
  ops: {url: "json://127.0.0.1:%d/", rate: 1000/s%s}
routes:
  - {name: all, match: {status: "*"}, notify: [ops], title: "{{ execution_id }} {{ status }}"}
"""


class Counting:
    """A store that counts the transactions of its worker, and the claims of each."""

    def __init__(self, store: Any) -> None:
        self._store, self.claimed = store, list[int]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write_now(self, act: Any, turns: Any, *, small: bool = False) -> Any:
        """Take turns."""
        results = self._store.write_now(act, turns, small=small)
        several = results if isinstance(results, list) else [results]
        self.claimed.append(sum(each.claim is not None for each in several))
        return results


@pytest.fixture
def hook(httpserver: HTTPServer) -> HTTPServer:
    """Return a server that refuses messages about executions named bad."""

    def answer(request: Request) -> Response:
        is_bad = request.get_json()["title"].startswith("bad")
        return Response(status=404 if is_bad else 200)

    httpserver.expect_request("/").respond_with_handler(answer)
    return httpserver


def owing(folder: Path, hook: HTTPServer, executions: list[str], more: str = "") -> Walk:
    """Return a store that owes a message about each of these executions, in their order."""
    walk = Walk(folder, ROUTES % (hook.port, more), now=time.time_ns())
    walk.come([walk.event(Status.RUNNING, each) for each in executions])
    return walk


def sent(
    walk: Walk, hook: HTTPServer, intake_first: worker.IntakeFirst | None = None
) -> tuple[Counting, list[str]]:
    """Let a worker send all there is; return its store, and the titles in their order."""
    store: Any = Counting(walk.store)
    live = LiveRules(walk.rules, lambda rules: None, lambda: walk.rules)
    ops = walk.rules.destinations["ops"]
    lane = worker.DestinationWorker(store, ops, live, 60, intake_first=intake_first)
    lane.start()
    end = time.monotonic() + 20
    while walk.store.ledger()["deliveries"].keys() & {"waiting", "sending"}:
        assert time.monotonic() < end
    lane.stop()
    assert lane.join(end)
    return store, [request.get_json()["title"] for request, _ in hook.log]


def test_a_quick_destination_takes_few_transactions_and_gets_each_message_once(
    tmp_path: Path, hook: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SOON", 60.0)
    # Each execution twice: the second message waits for the first one, wherever it is claimed.
    walk = owing(tmp_path, hook, [f"x-{n}" for n in range(MANY // 2)])
    walk.come([walk.event(Status.COMPLETED, f"x-{n}") for n in range(MANY // 2)])
    store, titles = sent(walk, hook)
    assert len(titles) == len(set(titles)) == MANY
    for number in range(MANY // 2):
        first, last = (titles.index(f"x-{number} {s}") for s in ("running", "completed"))
        assert first < last
    assert sum(store.claimed) == MANY
    assert len(store.claimed) < MANY / 2
    assert max(store.claimed) == worker.AT_ONCE


def test_what_was_claimed_behind_a_failure_goes_back_and_is_sent_once(
    tmp_path: Path, hook: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SOON", 60.0)
    names = [f"x-{n}" for n in range(20)]
    names[10] = "bad"  # of the fourth hand, with four behind it
    store, titles = sent(owing(tmp_path, hook, names), hook)
    assert sorted(titles) == sorted(f"{name} running" for name in names)
    shown = store.deliveries({}, 100, None)[0]
    assert {(each["state"], len(each["attempts"])) for each in shown} == {("sent", 1), ("dead", 1)}
    assert sum(store.claimed) == 20 + 4


def test_what_cannot_be_begun_soon_goes_back(
    tmp_path: Path, hook: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SOON", 0.0)
    store, titles = sent(owing(tmp_path, hook, list("abcd")), hook)
    assert sorted(titles) == [f"{name} running" for name in "abcd"]
    assert max(store.claimed) == 2
    shown = store.deliveries({}, 100, None)[0]
    assert {(each["state"], len(each["attempts"])) for each in shown} == {("sent", 1)}


def test_where_several_are_sent_at_once_each_thread_claims_one(
    tmp_path: Path, hook: HTTPServer
) -> None:
    walk = owing(tmp_path, hook, [f"x-{n}" for n in range(12)], ", parallel: 2")
    store, titles = sent(walk, hook)
    assert len(set(titles)) == len(titles) == 12
    assert max(store.claimed) == 1


def test_under_a_flood_of_webhooks_people_are_told_all_the_same_and_what_was_sent_is_recorded_first(
    tmp_path: Path, hook: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LONGEST", 0.001)
    monkeypatch.setattr(worker, "SOON", 60.0)
    walk = owing(tmp_path, hook, [f"x-{n}" for n in range(MANY)])
    unrecorded = list[int]()

    class Resting(worker.IntakeFirst):
        def rest(self, stopping: threading.Event) -> None:
            unrecorded.append(walk.store.ledger()["deliveries"].get("sending", 0))
            super().rest(stopping)

    store, titles = sent(walk, hook, Resting(lambda: True))
    assert len(titles) == len(set(titles)) == MANY
    assert sum(store.claimed) == MANY
    assert set(unrecorded) == {0}
