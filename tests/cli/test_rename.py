"""`receiver rename`, and what `check`, `doctor`, a reload and a start say of names that are gone.

The real process, and its file.
"""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

from tests.support.commands import run
from tests.support.served import HERE, SECRET, SOURCE, Served, event, until

ROUTES = """\
destinations:
  ops: console://
routes:
  - name: confirmations
    match: {status: awaiting_confirmation}
    notify: ops
    remind: {every: 1h}
  - {name: ends, match: {category: terminal}, notify: ops}
"""
DOUBLED = ROUTES.replace("{", "{{").replace("}", "}}")
OLD = SOURCE % SECRET + ROUTES


def new_source() -> str:
    """Return the routes with the source `provider` instead of `asteroid`."""
    return OLD.replace("  asteroid: {", "  provider: {")


async def fill(served: Served) -> None:
    for name in ("STARTED", "AWAITING_CONFIRMATION"):
        await served.post(event(name, "x-1", f"x-1-{name}"))
    sent = "SELECT count(*) FROM delivery WHERE kind = 'reminder'"
    await until(lambda: served.rows(sent) == [(1,)], "the notice was sent, a reminder waits", 20)


def test_a_renamed_source_is_said_everywhere_and_carried_over(tmp_path: Path) -> None:
    routes = tmp_path / "routes.yaml"
    says = "source asteroid is not in routes.yaml any more, and the store has 1 execution that"

    async def run_() -> None:
        async with Served(tmp_path, (), DOUBLED, HERE, log_level="info") as served:
            await fill(served)
            assert "config.orphan" not in served.log()
            routes.write_text(new_source(), "utf-8")
            served.kill(signal.SIGHUP)
            await until(lambda: says in served.log(), "the reload says it", 20)
            superseded = "SELECT reason FROM delivery WHERE kind = 'reminder'"
            gone = [("its source is not in routes.yaml any more",)]
            await until(lambda: served.rows(superseded) == gone, "nobody is reminded", 20)
            # A running server would go on with the old name.
            refused = await asyncio.to_thread(
                run, tmp_path, "rename", "source", "asteroid", "provider"
            )
            assert refused.returncode == 1
            assert b"A server runs" in refused.stderr
            served.kill(signal.SIGTERM)
            assert await served.ended(25) == 0
            await served.start()
            await until(lambda: served.log().count(says) >= 2, "so does a start", 20)
            served.kill(signal.SIGTERM)
            assert await served.ended(25) == 0

            for command in ("check", "doctor"):
                done = await asyncio.to_thread(run, tmp_path, command)
                assert says in done.stdout.decode(), done.stderr
                assert "receiver rename source asteroid NEW" in done.stdout.decode()
                if command == "check":
                    assert f"\nroutes.yaml: warning: {says}" in done.stdout.decode()
                    assert "routes.yaml: 1 source, " in done.stdout.decode()
            report = json.loads((await asyncio.to_thread(run, tmp_path, "doctor", "--json")).stdout)
            assert [(o["kind"], o["name"], o["open"]) for o in report["orphans"]] == [
                ("source", "asteroid", 1)
            ]
            dry = await asyncio.to_thread(
                run, tmp_path, "rename", "source", "asteroid", "provider", "--dry-run", "--json"
            )
            done = await asyncio.to_thread(
                run, tmp_path, "rename", "source", "asteroid", "provider", "--json"
            )
            counted, renamed = json.loads(dry.stdout), json.loads(done.stdout)
            assert (counted.pop("renamed"), renamed.pop("renamed")) == (False, True)
            assert counted == renamed
            assert renamed["executions"] == 1
            await served.start()
            waiting = "SELECT source, state FROM delivery WHERE kind = 'reminder'"
            await until(
                lambda: served.rows(waiting) == [("provider", "waiting")], "it is reminded again"
            )
            assert (await served.ledger())["imbalance"] == 0

    asyncio.run(run_())


def test_a_renaming_that_makes_no_sense_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(OLD, "utf-8")
    for arguments, says in (
        (("source", "other", "asteroid"), "There is no database yet"),
        (("source", "asteroid", "asteriod"), "has no source asteriod: rename it there first"),
        (("route", "confirmations", "ends"), "still has the route confirmations"),
        (("destination", "old", "opps"), "has no destination opps"),
    ):
        done = run(tmp_path, "rename", *arguments)
        assert done.returncode == 1
        assert says in done.stderr.decode()
    assert run(tmp_path, "rename", "agent", "a", "b").returncode == 2
    assert not (tmp_path / "receiver.db").exists()
