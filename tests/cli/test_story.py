"""Why nobody was told: each reason is answered by one command, in words and in 80 columns."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.cli import client
from receiver.cli.output import columns_of
from receiver.times import SECOND
from tests.support.commands import run
from tests.support.live import PUBLIC, Live, live, until

ROUTES = """\
sources:
  asteroid:
    verify: {scheme: rsa-sha256, keys: ["${PUBLIC}"]}
destinations:
  ops: console://
  archive: console://
  night: {url: console://, quiet: {from: "QUIET", to: "LOUD", tz: UTC}}
routes:
  - {name: flaky, match: {status: failed, agent: "Flaky *"}, notify: archive, stop: true}
  - {name: payroll, match: {status: failed, agent: "Payroll *"}, notify: ops}
  - {name: at night, match: {status: failed, agent: "Night *"}, notify: night}
  - {name: deploys, match: {status: failed, agent: "Deploy *"}, notify: ops}
  - {name: twice, match: {status: failed, agent: "Payroll run"}, notify: [ops, archive]}
  - {name: asks, match: {status: awaiting_confirmation}, notify: night}
"""


def fails(receiver: Live, execution: str, agent: str, event: str = "EXECUTION_FAILED") -> None:
    receiver.post(
        client.asteroid_event(event, execution, agent_name=agent, event_id=f"e-{execution}")
    )


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which a failure was told to nobody, or not to all, for six reasons."""
    folder = tmp_path_factory.mktemp("story")
    start = client.now_whole() - 60 * SECOND
    hour = time.gmtime().tm_hour
    routes = ROUTES.replace("QUIET", f"{(hour - 1) % 24:02}:00")
    routes = routes.replace("LOUD", f"{(hour + 6) % 24:02}:00")
    with live(folder, routes) as receiver:
        silence = {"match": {"agent": "Deploy *"}, "for": "2h", "reason": "a deploy", "by": "Ann"}
        receiver.ask("/api/silences", method="POST", body=json.dumps(silence).encode())
        fails(receiver, "no-route", "Invoice agent")
        for number, name in enumerate(("EXECUTION_COMPLETED", "EXECUTION_FAILED")):
            receiver.post(client.asteroid_event(
                name, "ended", agent_name="Payroll run", occurred_at=start + number * SECOND
            ))  # fmt: skip
        fails(receiver, "quiet", "Night shift")
        fails(receiver, "silenced", "Deploy bot")
        fails(receiver, "stopped", "Flaky Payroll")
        fails(receiver, "twice", "Payroll run")
        for number, name in enumerate(("EXECUTION_AWAITING_CONFIRMATION", "EXECUTION_RESUMED")):
            receiver.post(client.asteroid_event(
                name, "moved", agent_name="Night shift", occurred_at=start + number * SECOND
            ))  # fmt: skip

        def settled() -> bool:
            items = receiver.ask("/api/deliveries?state=waiting")[1]["items"]
            return len(items) == 1 and items[0]["waits_for"] == "quiet hours"

        until(settled)
    yield folder
