"""What `explain` says of webhooks that are still to come, and how it says it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from receiver.cli.client import asteroid_event
from receiver.events import Status
from receiver.intake import foresight
from receiver.intake.explain import explain
from receiver.intake.explain_text import as_text
from receiver.routing.silences import Silence
from receiver.times import format_time
from tests.support.people import HOUR, MINUTE, SECOND, Walk

RULES = """\
sources:
  s:
    format: plain
    agents: [agent-1]
    verify: {scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}
destinations:
  approvers: {url: console://, rate: 1000/s}
  ops: {url: console://, rate: 1000/s}
  slow: {url: console://, rate: 1/m}
routes:
  - {name: waits, match: {status: awaiting_confirmation}, notify: approvers, resolved: true}
  - {name: odd, match: {verdict: [rejected, quarantined]}, notify: ops}
  - {name: ends, match: {category: terminal}, notify: [ops, slow]}
"""


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, RULES)
    yield opened
    opened.store.close()


def explained(walk: Walk, status: str, agent: str = "agent-1", **more: str) -> dict[str, Any]:
    content = {
        "event_id": "new", "execution_id": "x", "status": status, "agent_id": agent,
        "occurred_at": format_time(walk.now), **more,
    }  # fmt: skip
    return explained_body(walk, json.dumps(content).encode())


def explained_body(walk: Walk, body: bytes) -> dict[str, Any]:
    walk.now += 1
    return explain(walk.rules, walk.rules.sources["s"], body, walk.now, walk.store)


def messages(said: dict[str, Any]) -> list[tuple[str, str]]:
    return [(str(message["kind"]), message["destination"]) for message in said["messages"]]


def test_an_agent_that_is_not_on_the_list_is_answered_401(walk: Walk) -> None:
    said = explained(walk, "failed", "agent-9")
    assert (said["verdict"], said["reason"], said["messages"]) == (None, "agent", [])
    assert "verdict    none: its agent is not among the `agents` of source 's'" in as_text(said)
    assert explained(walk, "failed")["verdict"] == "applied"
    assert explained_body(walk, b'{"a": 1}')["reason"] == "agent"


def test_the_end_of_a_wait_is_among_its_messages(walk: Walk) -> None:
    walk.comes(Status.AWAITING_CONFIRMATION)
    walk.gets()
    said = explained(walk, "failed")
    assert messages(said) == [("resolved", "approvers"), ("notice", "ops"), ("notice", "slow")]
    assert "now: resolved to approvers, route 'waits': Invoice agent: failed" in as_text(said)


def test_a_silence_keeps_a_message_back_and_nobody_is_said_to_be_told(walk: Walk) -> None:
    silence = Silence({"status": ("failed",)}, "a release", "Ann", walk.now, walk.now + HOUR)
    walk.do(lambda transaction: transaction.add_silence(silence, walk.now))
    said = explained(walk, "failed")
    (route,) = (route for route in said["routes"] if route["name"] == "ends")
    assert route["destinations"] == []
    assert "(silence 1)" in said["silenced"]
    text = as_text(said)
    assert "route 'ends' tells nobody:" in text
    assert "→ does not tell ops: silenced" in text
    assert "  never: notice to ops, route 'ends': silenced" in text


def test_what_is_told_once_a_day_or_an_episode_is_not_told_again(walk: Walk) -> None:
    said = explained(walk, "dancing")
    assert messages(said) == [("notice", "ops")]
    walk.come([walk.event(None, unknown_status="dancing")])
    said = explained(walk, "dancing")
    assert messages(said) == []
    assert "does not tell ops: it was told of one of this kind already within a day" in as_text(
        said
    )
    walk.comes(Status.COMPLETED)
    walk.comes(Status.RUNNING)
    said = explained(walk, "running")
    assert (said["verdict"], messages(said)) == ("rejected", [])
    assert "already while the execution is completed" in as_text(said)


def test_a_destination_that_is_slow_is_told_when_its_turn_comes(walk: Walk) -> None:
    walk.comes(Status.FAILED, "y")
    walk.gets()
    said = explained(walk, "failed")
    at = {message["destination"]: message["at"] for message in said["messages"]}
    assert at["ops"] == format_time(walk.now)
    assert at["slow"] == format_time(walk.now + MINUTE - 1)


def test_a_message_behind_too_many_others_has_no_time(
    walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foresight, "MOST", 20)
    for number in range(12):
        walk.comes(Status.FAILED, f"y-{number}")
    (_, message) = explained(walk, "failed")["messages"]
    assert (message["at"], message["title"]) == (None, None)
    assert "other messages wait before it" in message["why_not"]


def test_a_lease_that_a_server_holds_is_not_taken_from_it(walk: Walk) -> None:
    walk.comes(Status.FAILED, "y")
    claim = walk.claim("ops")
    assert claim is not None
    assert messages(explained(walk, "failed")) == [("notice", "ops"), ("notice", "slow")]
    walk.passes(SECOND)
    walk.record(claim)
    assert walk.titles("ops") == []


ASKED = RULES.replace("    format: plain\n    agents: [agent-1]\n", """\
    api: {key: a-key-of-sixteen-bytes, base_url: "https://api.example.org/"}
    reconcile: {every: 2m, quiet_for: 15m}
""")  # fmt: skip


def test_what_the_provider_would_be_asked_is_said(tmp_path: Path) -> None:
    walk = Walk(tmp_path, ASKED)

    def asks(name: str) -> list[str]:
        body = asteroid_event(f"EXECUTION_{name}", "x/1", occurred_at=walk.now)
        said = explained_body(walk, body)
        text = as_text(said)
        assert all(line in text for line in said["asks"])
        assert "a-key-of-sixteen-bytes" not in text
        asked: list[str] = said["asks"]
        return asked

    later = (
        "if nothing is heard of it for 15 min: every 2 min, where it stands:"
        " GET https://api.example.org/agents/v2/executions/x%2F1"
    )
    assert asks("STARTED") == [later]
    assert asks("PAUSED") == ["within 2 min: who paused it", later]
    assert asks("COMPLETED") == ["nothing: it has ended"]
    assert asks("ACTION_STARTED") == []
    walk.comes(Status.PAUSED, "x/1")
    assert asks("COMPLETED") == ["10 s before it is given up: what came in between", later]
    walk.store.close()
