"""Asking a provider what is true, against a stand-in of its API on loopback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from receiver.cli.client import asteroid_event
from receiver.times import SECOND
from tests.support.live import Live, live, until
from tests.support.provider import KEY, StandIn, standing_in

ROUTES = """\
sources:
  asteroid:
    verify: {{scheme: rsa-sha256, keys: ["${{PUBLIC}}"]}}
    gap_timeout: 4s
    api: {{base_url: "{url}", key: "${{API_KEY}}", timeout: 2s, rate: {rate}}}
    reconcile: {{every: 1s, quiet_for: {quiet_for}, discover: {discover}}}
destinations:
  ops: console://
  other: console://
routes:
  - {{name: waits, match: {{category: [awaiting, paused]}}, notify: [ops]}}
  - {{name: ends, match: {{category: terminal}}, notify: [ops]}}
  - {{name: refused, match: {{verdict: rejected}}, notify: [ops]}}
  - {{name: alarms, match: {{alarm: true}}, notify: [other]}}
"""


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with standing_in() as made:
        yield made


@contextmanager
def receiver(
    folder: Path, provider: StandIn, *, rate: str = "200/s", quiet_for: str = "1s",
    discover: str = "1h", key: str = KEY, **settings: str,
) -> Iterator[Live]:  # fmt: skip
    routes = ROUTES.format(url=provider.url, rate=rate, quiet_for=quiet_for, discover=discover)
    with live(folder, routes, {"API_KEY": key}, **settings) as running:
        yield running


def now(seconds: float = 0.0) -> int:
    """Return the present whole second, or one before it."""
    return (time.time_ns() // SECOND - int(seconds)) * SECOND


def story(running: Live, execution_id: str) -> dict[str, Any]:
    status, content, _ = running.ask(f"/api/executions/asteroid/{execution_id}")
    return content if status == 200 else {}


def status(running: Live, execution_id: str) -> str | None:
    found = story(running, execution_id).get("execution", {})
    return str(found["status"]) if found else None


def sent(running: Live, execution_id: str) -> list[str]:
    return [
        delivery["title"]
        for delivery in story(running, execution_id)["deliveries"]
        if delivery["state"] == "sent"
    ]


def test_a_lost_end_is_learnt_by_asking_and_told_once(tmp_path: Path, provider: StandIn) -> None:
    provider.moves("x-1", "running", now(60))
    provider.moves("x-1", "failed", now(30), reason="The page did not load")
    with receiver(tmp_path, provider) as running:
        running.post(asteroid_event("EXECUTION_STARTED", "x-1", occurred_at=now(60)))
        until(lambda: status(running, "x-1") == "failed")
        until(lambda: sent(running, "x-1"))
        found = story(running, "x-1")
        assert [event["verdict"] for event in found["events"]] == ["applied", "applied"]
        assert found["events"][1]["flags"] == ["polled"]
        (delivery,) = found["deliveries"]
        assert delivery["title"] == "Invoice agent failed: The page did not load"
        assert "We learnt of this by asking; no webhook came." in delivery["body"]
        late = asteroid_event("EXECUTION_FAILED", "x-1", occurred_at=now(30), reason="More words")
        assert running.post(late)[1]["verdict"] == "duplicate"
        assert running.ask("/api/ledger")[1]["imbalance"] == 0
    assert set(provider.asked()) == {
        "/agents/v2/executions?phase=active&pageSize=100&page=1&sort=created_at:desc",
        "/agents/v2/executions/x-1",
        "/agents/v2/executions/x-1/activities?order=desc&limit=200",
    }
