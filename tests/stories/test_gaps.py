"""The clock of held events in a running server, and what people are told of holes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from receiver.cli import client
from receiver.dispatch.operators import list_silences
from receiver.events import Event, Status
from receiver.intake.expiry import ExpiryTimer
from receiver.intake.receive import Intake, VerifiedWebhook
from receiver.intake.subscription_hints import ENOUGH
from receiver.store.sqlite.store import SqliteStore
from receiver.times import SECOND
from tests.support.live import ROUTES, Live, live, until
from tests.support.people import MINUTE, Walk
from tests.support.stores import only_a_file

START = client.now_whole() - 60 * SECOND


def post(receiver: Live, event: str, second: int, execution: str = "x") -> dict[str, Any]:
    body = client.asteroid_event(event, execution, occurred_at=START + second * SECOND)
    return receiver.post(body)[1]


def last_step(receiver: Live, execution: str = "x") -> dict[str, Any]:
    step: dict[str, Any] = receiver.ask(f"/api/executions/asteroid/{execution}")[1]["events"][-1]
    return step


def test_a_hole_in_a_story_is_told_when_its_time_is_over(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/ops").respond_with_data("")
    routes = ROUTES.replace("console://", '"json://127.0.0.1:${PORT}/ops"').replace(
        "    verify:", "    gap_timeout: 1s\n    verify:"
    )
    with live(tmp_path, routes, {"PORT": str(httpserver.port)}) as receiver:
        post(receiver, "EXECUTION_PAUSED", 1)
        answer = post(receiver, "EXECUTION_COMPLETED", 3)
        assert (answer["verdict"], answer["reason"]) == ("held", "gap")
        assert answer["execution_status"] == "paused"
        until(lambda: httpserver.log)
        told = httpserver.log[0][0].get_json()
        assert "may have completed: an update before that is missing" in told["title"]
        assert (
            "A later update says completed, but the one before it (running) has never come, so"
            in told["message"]
        )
        event = last_step(receiver)
        assert [step["verdict"] for step in event["steps"]] == ["held", "rejected"]
        assert (event["missing"], event["held_until"]) == (["running"], None)


def test_a_restart_gives_up_what_was_due_meanwhile(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "receiver.db", serve=True)
    for event_id, status, second in (("1", Status.PAUSED, 1), ("2", Status.COMPLETED, 3)):
        event = Event("asteroid", event_id, "E", status, "x", START + second * SECOND)
        arrival = VerifiedWebhook("asteroid", event, b"{}", START + 10 * SECOND)
        store.write_now(Intake([]).receive, arrival)
    store.close()
    with live(tmp_path) as receiver:
        until(lambda: last_step(receiver)["verdict"] == "rejected")
        assert receiver.ask("/api/ledger")[1]["imbalance"] == 0


def test_gaps_apply_says_that_earlier_updates_are_missing(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/ops").respond_with_data("")
    routes = (
        ROUTES.replace("console://", '"json://127.0.0.1:${PORT}/ops"')
        .replace("    verify:", "    gap_timeout: 1s\n    gaps: apply\n    verify:")
        .replace("status: failed", "status: completed")
    )
    with live(tmp_path, routes, {"PORT": str(httpserver.port)}) as receiver:
        post(receiver, "EXECUTION_PAUSED", 1)
        post(receiver, "EXECUTION_COMPLETED", 3)
        until(lambda: httpserver.log)
        told = httpserver.log[0][0].get_json()
        assert told["title"] == "Invoice agent completed"
        assert "Earlier updates are missing." in told["message"]
        assert last_step(receiver)["reason"] == "gap"


def test_a_source_that_lacks_an_event_gets_a_hint(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "receiver.db", serve=True)
    intake = Intake([])
    for number in range(ENOUGH):
        for status, second in ((Status.PAUSED, 1), (Status.COMPLETED, 3)):
            event = Event(
                "asteroid", f"{number}-{second}", "E", status, f"x-{number}",
                START + second * SECOND,
            )  # fmt: skip
            store.write_now(intake.receive, VerifiedWebhook("asteroid", event, b"{}", START))
    store.write_now(intake.expire, START + 60 * SECOND)
    store.close()
    with live(tmp_path) as receiver:
        (hint,) = receiver.ask("/api/hints")[1]["items"]
    assert (hint["source"], hint["status"], hint["events"]) == ("asteroid", "running", ENOUGH)


def test_the_log_says_it_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    only = ROUTES.replace("    verify:", "    observes: [failed]\n    verify:")
    with live(tmp_path, only) as receiver:
        post(receiver, "EXECUTION_STARTED", 1)
        timer = ExpiryTimer(receiver.store, receiver.in_force, list_silences)
        timer.hint()
    assert "source.hint source=asteroid 1 of its newest events announce running" in caplog.text


def test_what_ended_while_nobody_served_is_settled_before_anything_is_sent(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    only_a_file("a server goes on with it")
    httpserver.expect_request("/ops").respond_with_data("ok")
    routes = f"""
sources:
  s:
    verify: {{scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}}
    gaps: apply
destinations:
  ops: {{url: "json://127.0.0.1:{httpserver.port}/ops", rate: 1000/s}}
routes:
  - {{name: waits, match: {{status: paused}}, notify: ops, remind: {{every: 1h}}}}
  - {{name: ends, match: {{status: completed}}, notify: ops}}
"""
    walk = Walk(tmp_path, routes)
    for number in range(8):
        walk.comes(Status.PAUSED, f"x-{number}")
    walk.gets("ops")
    walk.passes(MINUTE)
    for number in range(8):
        walk.comes(Status.COMPLETED, f"x-{number}")  # held: nothing resumed it
    walk.store.close()
    # Its reminders and its time-outs lie long behind: the walk was in June.
    with live(tmp_path, routes) as receiver:
        until(lambda: receiver.store.ledger()["deliveries"].get("waiting", 0) == 0)
    titles = [request.json["title"] for request, _ in httpserver.log]
    assert len(titles) == 8, titles
    assert all("completed" in title for title in titles), titles
