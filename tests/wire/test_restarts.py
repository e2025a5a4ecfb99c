"""What waits is due when it was, after any number of restarts: the real process, stopped and killed
with all kinds of waiting in one file. See test_clock for walks with the time passed in.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from tests.support.served import HERE, SECRET, Served, event, signed, until

# `patient` and `asking` ask for an hour's time, `night` and the route `at night` are quiet now.
RULES = """\
  holes:
    verify: {scheme: hmac-sha256, header: X-Signature, keys: ["SECRET"]}
    gap_timeout: 1h
destinations:
  ops: {url: "json://127.0.0.1:PORT/ops", rate: 1000/s}
  lead: {url: "json://127.0.0.1:PORT/lead"}
  night: {url: "json://127.0.0.1:PORT/night", quiet: WINDOW}
  patient: {url: "json://127.0.0.1:PORT/patient"}
  asking: {url: "json://127.0.0.1:PORT/asking"}
routes:
  - name: confirmations
    match: {status: awaiting_confirmation}
    notify: ops
    remind: {every: 1h}
    escalate: [{after: 2h, notify: [lead]}]
  - {name: together, match: {agent: Gathers}, notify: ops, group: {by: [agent], wait: 1h}}
  - {name: by night, match: {agent: Night}, notify: night}
  - {name: at night, match: {agent: Owl}, notify: lead, quiet: WINDOW}
  - {name: asks for time, match: {agent: Patient}, notify: patient}
  - {name: asked for time, match: {agent: Asking}, notify: asking}
  - {name: hangs, stuck: {status: running, after: 3h}, notify: lead}
"""
WAITS = (
    "SELECT d.id, d.kind, d.route, d.state, d.created_at, d.owed_at, d.due_at, d.begun_at, d.tries,"
    " d.order_key, d.group_key FROM delivery AS d WHERE d.event_id NOT LIKE 'probed%' ORDER BY d.id"
)
OTHERS = (
    "SELECT name, paused_until, failures FROM destination WHERE name NOT IN ('asking')",
    "SELECT seq, held_until, body IS NULL FROM event ORDER BY seq",
    "SELECT id, from_at, until_at, listed_at FROM silence WHERE reason <> 'mark'",
    "SELECT destination, key, told_at FROM digest_group",
    "SELECT source, execution_id, status, version FROM execution",
)


def rules(port: int) -> str:
    now = datetime.now(UTC)
    begin, end = now - timedelta(hours=2), now + timedelta(hours=6)
    window = f'{{from: "{begin:%H:%M}", to: "{end:%H:%M}", tz: UTC}}'
    text = RULES.replace("PORT", str(port)).replace("WINDOW", window).replace("SECRET", SECRET)
    return text.replace("{", "{{").replace("}", "}}")


def titles(hook: HTTPServer, path: str = "") -> list[str]:
    """What has arrived, at one destination or at all but the one that may be tried."""
    return sorted(
        f"{request.path[1:]}: {request.get_json()['title']}"
        for request, _ in hook.log
        if (request.path == path if path else request.path != "/asking")
    )


def waiting(served: Served) -> list[Any]:
    return [served.rows(query) for query in (WAITS, *OTHERS)]


async def silence(served: Served, agent: str, lasts: str, reason: str) -> None:
    said = {"match": {"agent": agent}, "reason": reason, "by": "Ann", "for": lasts}
    status, answer = await served.request("POST", "/api/silences", json.dumps(said).encode())
    assert status == 201, answer


async def fill(served: Served) -> None:
    """Something of every kind comes to wait."""
    await silence(served, "Silenced", "4h", "known")
    for name, agent, execution in (
        ("STARTED", "Invoice agent", "waits"), ("STARTED", "Gathers", "gathers"),
        ("STARTED", "Night", "night"), ("STARTED", "Owl", "owl"), ("STARTED", "Patient", "patient"),
        ("STARTED", "Asking", "asking"),
        ("STARTED", "Silenced", "silenced"), ("STARTED", "Invoice agent", "stuck"),
        ("STARTED", "Invoice agent", "ended"), ("COMPLETED", "Invoice agent", "ended"),
        ("AWAITING_CONFIRMATION", "Invoice agent", "waits"),
        ("AWAITING_CONFIRMATION", "Silenced", "silenced"),
    ):  # fmt: skip
        await served.post(event(name, execution, f"{execution}-{name}", agent_name=agent))
    for name in ("STARTED", "PAUSED", "COMPLETED"):  # it must have been resumed
        body = event(name, "hole", f"hole-{name}")
        status, _ = await served.request("POST", "/webhooks/holes", body, signed(body))
        assert status in (200, 202)
    tried = "SELECT count(*) FROM destination WHERE paused_until IS NOT NULL"
    await until(lambda: served.rows(tried) == [(2,)], "two destinations ask for time", 20)
    await served.post(event("STARTED", "probed", "probed-1", agent_name="Asking"))


def kinds(served: Served) -> set[str]:
    """Which sorts of waiting there are."""
    found = served.rows(
        "SELECT kind, route, CASE WHEN attempts > 0 THEN 'tried' WHEN group_key GLOB 'quiet/*'"
        " THEN 'quiet' WHEN group_key IS NOT NULL THEN 'gathers' ELSE 'waits' END"
        " FROM delivery WHERE state = 'waiting'"
    )
    held = served.rows("SELECT count(*) FROM event WHERE verdict = 'held'")
    assert held == [(1,)], served.rows("SELECT event_id, verdict, reason FROM event")
    return {" ".join(each) for each in found}


async def starts_again(served: Served, how: signal.Signals) -> None:
    """Stop it, start it, and return when its clock has looked around at least once."""
    await silence(served, "Nobody", "2s", "mark")
    served.kill(how)
    await served.ended(25)
    await served.start()
    marks = "SELECT count(*) FROM silence WHERE reason = 'mark' AND listed_at IS NULL"
    await until(lambda: served.rows(marks) == [(0,)], "its clock has looked", 20)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_every_kind_of_waiting_is_due_when_it_was(
    tmp_path: Path, httpserver: HTTPServer, how: signal.Signals
) -> None:
    for path in ("/ops", "/lead", "/night"):
        httpserver.expect_request(path).respond_with_data("")
    for path in ("/patient", "/asking"):
        answer = httpserver.expect_request(path)
        answer.respond_with_data("", status=429, headers={"Retry-After": "3600"})

    async def run() -> None:
        async with Served(tmp_path, (), rules(httpserver.port), HERE, drain="5") as served:
            await fill(served)
            silenced = "SELECT count(*) FROM delivery WHERE silence IS NOT NULL"
            await until(lambda: served.rows(silenced) == [(1,)], "it is kept back", 20)
            await until(lambda: "ops: Invoice agent waits for confirmation" in titles(httpserver),
                        "the notice has arrived", 20)  # fmt: skip
            await settled(served)
            assert kinds(served) >= {
                "reminder confirmations waits", "escalation confirmations waits",
                "notice together gathers", "notice by night quiet", "notice at night quiet",
                "notice asks for time tried", "notice asked for time tried",
                "notice asked for time waits", "notice hangs waits",
            }  # fmt: skip
            before, arrived = waiting(served), titles(httpserver)
            for again in range(1, 4):
                await starts_again(served, how)
                assert waiting(served) == before
                assert titles(httpserver) == arrived
                # What had not been tried may be, once at each start.
                assert len(titles(httpserver, "/asking")) <= 1 + again
            assert "clock.set_back" not in served.log()

    asyncio.run(run())


async def settled(served: Served) -> None:
    """What is sent at once has been, with all that follows from it."""
    busy = "SELECT count(*) FROM delivery WHERE state = 'sending' OR (state = 'waiting'"
    busy += " AND due_at <= ? AND event_id <> 'probed-1')"
    await until(lambda: served.rows(busy, time.time_ns()) == [(0,)], "nothing is due", 20)
