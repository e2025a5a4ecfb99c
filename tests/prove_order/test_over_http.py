"""The same rules over HTTP, and as the API tells of them."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from receiver.cli import client
from tests.prove_order.histories import HOUR, wild_events
from tests.prove_order.model import SECOND, Model, Said
from tests.support.live import live

HTTP_ROUTES = """\
sources:
  plain:
    format: plain
    verify: {scheme: rsa-sha256, keys: ["${PUBLIC}"], header: X-Signature}
    gap_timeout: 1h
  asteroid:
    verify: {scheme: rsa-sha256, keys: ["${PUBLIC}"], header: X-Signature}
    gap_timeout: 1h
    gaps: apply
    observes: [running, paused, completed, failed]
destinations:
  ops: console://
routes:
  - {name: not accepted, match: {verdict: rejected}, notify: [ops]}
"""
NAMES = {
    "running": ("EXECUTION_STARTED", {}),
    "paused": ("EXECUTION_PAUSED", {"paused_by": "user"}),
    "paused_by_agent": ("EXECUTION_PAUSED", {"paused_by": "agent"}),
    "awaiting_confirmation": ("EXECUTION_AWAITING_CONFIRMATION", {}),
    "completed": ("EXECUTION_COMPLETED", {"outcome": "success"}),
    "failed": ("EXECUTION_FAILED", {}),
    "cancelled": ("EXECUTION_CANCELLED", {}),
}


def body(source: str, said: Said) -> bytes:
    """The webhook that says it."""
    if source == "plain":
        return client.plain_event(
            str(said.status), said.execution, event_id=said.event_id, occurred_at=said.at
        )
    _, payload = NAMES.get(str(said.status), ("", {}))
    return client.asteroid_event(
        said.name, said.execution, event_id=said.event_id, occurred_at=said.at,
        payload={} if said.assumed else payload,
    )  # fmt: skip


def called(source: str, said: Said) -> str:
    """The name that its format gives it: only one of Asteroid's statuses has two."""
    if source == "plain":
        return str(said.status)
    name, _ = NAMES.get(str(said.status), (said.name, {}))
    return said.name if said.status == "running" and said.name else name


def test_over_http_the_rules_are_the_same(tmp_path: Path) -> None:
    chance = random.Random(5)
    start = time.time_ns() // SECOND * SECOND - 100 * SECOND
    models = {
        "plain": Model(gap_timeout=HOUR),
        "asteroid": Model(
            frozenset({"running", "paused", "completed", "failed"}), "apply", HOUR
        ),
    }  # fmt: skip
    with live(tmp_path, HTTP_ROUTES) as receiver:
        for number in range(24):
            source = chance.choice(list(models))
            events = wild_events(chance, f"{number}", start)
            for said in events if len(events) < 50 else events[:5]:
                if source == "plain" and said.status is None:
                    continue
                if source == "asteroid" and said.status == "starting":
                    continue
                said = said._replace(name=called(source, said))
                said = said._replace(
                    unknown=False, at=said.at or start, assumed=said.assumed and source != "plain"
                )
                verdict, reason = models[source].receive(said, time.time_ns())
                status, answer = receiver.post(body(source, said), source=source)
                stands = models[source].executions.get(said.execution)
                wanted = (verdict, reason, said.event_id)
                assert (answer["verdict"], answer["reason"], answer["event_id"]) == wanted, said
                assert status == (202 if verdict in ("applied", "held") else 200)
                if said.status is not None:
                    assert answer["execution_status"] == (stands and stands.status), said
        for source, model in models.items():
            for execution, stands in model.executions.items():
                found = receiver.ask(f"/api/executions/{source}/{execution}")[1]
                assert found["execution"]["status"] == stands.status
                assert [steps(row) for row in found["events"]] == [
                    (s.said.event_id, s.steps, sorted(s.flags)) for s in model.events[execution]
                ]
        assert receiver.ask("/api/ledger")[1]["imbalance"] == 0


def steps(row: dict[str, Any]) -> tuple[str, list[tuple[str, str]], list[str]]:
    """An event of the API with all its verdicts."""
    taken = [(step["verdict"], step["reason"]) for step in row["steps"]]
    return row["event_id"], taken, sorted(row["flags"])
