"""A real server tells people that telling fails: by message, `doctor`, `/readyz` and `/metrics`."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from receiver.store.sqlite.store import SqliteStore
from tests.support.commands import run
from tests.support.destinations import Arrival, Behaviour, Destination
from tests.support.live import ROUTES, live
from tests.support.live import until as until_so
from tests.support.served import HERE, Served, event, until

RULES = """\
destinations:
  ops: {{url: "{ops}", warn_after: 2s, rate: 1000/s}}
  mail: {{url: "{mail}", rate: 1000/s}}
routes:
  - {{name: failures, match: {{status: failed}}, notify: ops}}
  - {{name: trouble, match: {{alarm: true}}, notify: [ops, mail]}}
"""


def about(destination: Destination, beginning: str) -> list[Arrival]:
    return [each for each in destination.arrivals if each.title.startswith(beginning)]


async def ready(served: Served, is_so: Callable[[Any], Any]) -> Any:
    """Return the alarms of /readyz once it is so: an answer of it stands for a second."""
    for _ in range(200):
        status, answer = await served.request("GET", "/readyz")
        assert status == 200
        if is_so(alarms := json.loads(answer)["alarms"]):
            return alarms
        await asyncio.sleep(0.05)
    raise AssertionError("not so within ten seconds")


def test_slack_is_refused_and_comes_back(tmp_path: Path) -> None:
    ops, mail = Destination("ops", Behaviour.REFUSE), Destination("mail")

    async def walk() -> None:
        async with Served(tmp_path, [ops, mail], RULES, HERE) as served:
            answer = await served.post(event("FAILED", "x-1", "e-1"))
            assert json.loads((await served.request("GET", "/readyz"))[1])["alarms"] == []
            await until(lambda: about(mail, "ops does not get"), "it is told")
            # warn_after and five seconds, from the first attempt on.
            assert mail.arrivals[0].at - answer.sent_at < 8 * 10**9
            assert "1 message waits for it" in mail.arrivals[0].text
            assert "refused" in mail.arrivals[0].text
            (alarm,) = await ready(served, lambda alarms: alarms)
            assert (alarm["alarm"], alarm["about"]) == ("destination", "ops")
            _, metrics = await served.request("GET", "/metrics")
            assert b'receiver_alarm{alarm="destination",about="ops"} 1' in metrics
            assert b'receiver_alarms_raised_total{alarm="destination"} 1' in metrics
            said = run(tmp_path, "doctor")
            assert said.returncode == 1
            shown = said.stdout.decode()
            assert "alarm destination: ops, since " in shown
            assert "ops fails since " in shown
            assert "; 1 wait" in shown
            assert b"Open alarms: 1. Destinations that fail: 1." in said.stderr
            found = json.loads(run(tmp_path, "doctor", "--json").stdout)
            assert [each["alarm"] for each in found["alarms"]] == ["destination"]
            assert [each["waiting"] for each in found["failing"]] == [1]
            await ops.behave(Behaviour.ANSWER)
            await until(lambda: about(mail, "ops works again"), "its end is told")
            assert await ready(served, lambda alarms: not alarms) == []
            _, metrics = await served.request("GET", "/metrics")
            assert b'about="ops"' not in metrics
            assert (await served.drained(20))["imbalance"] == 0
            assert run(tmp_path, "doctor").returncode == 0
            _, items = await served.request("GET", "/api/deliveries")
            alarms = [d for d in json.loads(items)["items"] if d["kind"] == "alarm"]
            assert [(d["execution_id"], d["event_id"], d["step"]) for d in alarms] == [
                (None, None, 1), (None, None, 0),
            ]  # fmt: skip
            assert len(mail.arrivals) == 2
            log = served.log()
            assert log.count("alarm.raised alarm=destination about=ops") == 1
            assert log.count("alarm.ended alarm=destination about=ops") == 1

    asyncio.run(walk())


def test_rules_that_a_signal_cannot_have_read_again_are_told_without_secrets(
    tmp_path: Path,
) -> None:
    ops, mail = Destination("ops"), Destination("mail")

    async def walk() -> None:
        async with Served(tmp_path, [ops, mail], RULES, HERE, log_level="info") as served:
            file = tmp_path / "routes.yaml"
            good = file.read_text("utf-8")
            file.write_text(good.replace("notify: ops", "notify: opps"), "utf-8")
            served.kill(signal.SIGHUP)
            await until(lambda: about(mail, "routes.yaml could not be read again"), "it is told")
            assert "there is no destination 'opps'" in mail.arrivals[0].text
            file.write_text(good, "utf-8")
            served.kill(signal.SIGHUP)
            await until(lambda: about(mail, "routes.yaml was read again"), "its end is told")
            await until(lambda: about(ops, "routes.yaml was read again"), "it is told to both")
            assert len(ops.arrivals) == len(mail.arrivals) == 2

    asyncio.run(walk())


def test_forged_webhooks_are_told_once(tmp_path: Path) -> None:
    ops, mail = Destination("ops"), Destination("mail")

    async def walk() -> None:
        async with Served(tmp_path, [ops, mail], RULES, HERE) as served:
            forged = [("X-Signature", "sha256=" + "0" * 64)]
            for n in range(12):
                body = event("FAILED", f"x-{n}", f"e-{n}")
                status, _ = await served.request("POST", "/webhooks/asteroid", body, forged)
                assert status == 401
            await until(lambda: about(mail, "1"), "it is told")
            title = mail.arrivals[0].title
            assert title.endswith("webhooks of asteroid were refused: wrong signature")
            await until(lambda: about(ops, "1"), "it is told to the other one, too")
            assert (len(ops.arrivals), len(mail.arrivals)) == (1, 1)

    asyncio.run(walk())


def test_a_quiet_store_is_asked_little(tmp_path: Path) -> None:
    with live(tmp_path, ROUTES) as receiver:
        assert isinstance(receiver.store, SqliteStore)
        reader = receiver.store._database.connection
        asked: list[str] = []
        reader.set_trace_callback(asked.append)  # type: ignore[attr-defined]
        until_so(lambda: sum("FROM alarm" in each for each in asked) == 2)
        reader.set_trace_callback(None)  # type: ignore[attr-defined]
        first, second = [n for n, each in enumerate(asked) if "FROM alarm" in each]
        look = [each for each in asked[first:second] if "delivery" not in each]
        assert len(look) <= 6, look
