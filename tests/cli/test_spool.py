"""The spool at the command line: what waits there, who has it, and processes that are killed."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from receiver.store.opening import SpoolFile
from receiver.store.postgres.store import PostgresStore
from receiver.store.spooling import SpooledWebhook
from tests.support.commands import run
from tests.support.live import PUBLIC, ROUTES
from tests.support.postgres import Server
from tests.support.proxy import Proxy, proxy
from tests.support.served import CUT, HERE, SECRET, Served, signed, until

RULES = f"""\
  spooled: {{{{format: plain, spool: true, verify:
    {{{{scheme: hmac-sha256, header: X-Signature, keys: [{SECRET}]}}}}}}}}
destinations: {{{{ops: "console://"}}}}
routes:
  - {{{{name: all, match: {{{{status: "*"}}}}, notify: [ops]}}}}
"""
SPOOLS = ROUTES.replace("  asteroid:\n", "  asteroid:\n    spool: true\n")


@asynccontextmanager
async def served(folder: Path, way: Proxy) -> AsyncIterator[Served]:
    one = Served(folder, [], RULES, HERE, database_url=way.url, spool_file="spool.db")
    async with one:
        yield one


async def post(one: Served, number: int) -> str:
    """Send a webhook once; its verdict, or nothing if it was not acknowledged."""
    body = json.dumps({
        "event_id": f"e-{number}", "execution_id": f"x-{number}", "status": "running",
        "occurred_at": "2026-11-28T03:00:00Z",
    }).encode()  # fmt: skip
    with suppress(*CUT):
        status, said = await one.request("POST", "/webhooks/spooled", body, signed(body))
        return str(json.loads(said)["verdict"]) if status in (200, 202) else ""
    return ""


def test_processes_that_are_killed_lose_nothing_and_apply_nothing_twice(
    postgres: Server, tmp_path: Path
) -> None:
    url = postgres.emptied()

    def is_empty() -> bool:
        found = SpoolFile(str(tmp_path / "spool.db"), 1).look()
        return found is not None and not found[0].waiting

    async def story(way: Proxy) -> set[int]:
        acknowledged = set[int]()
        async with served(tmp_path, way) as one:
            way.cut()

            async def send(number: int) -> None:
                if await post(one, number) == "spooled":
                    acknowledged.add(number)

            sending = [asyncio.create_task(send(n)) for n in range(400)]
            while len(acknowledged) < 40:
                await asyncio.wait(sending, timeout=1, return_when=asyncio.FIRST_COMPLETED)
            one.kill(signal.SIGKILL)  # while others are being kept
            await asyncio.gather(*sending)
            await one.ended(10)
            await one.start()  # without the database
            acknowledged |= {1000} if await post(one, 1000) == "spooled" else set()
            way.open()
            if not is_empty():
                one.kill(signal.SIGKILL)  # while they are being judged
                await one.ended(10)
                await one.start()
            await until(is_empty, "the spool is empty")
        return acknowledged

    with proxy(url) as way:
        acknowledged = asyncio.run(story(way))
    with closing(PostgresStore(url)) as store:
        ledger = store.ledger()
        items, after = store.executions({}, 200, None)
        found = [item["execution_id"] for item in items]
        while after is not None:
            items, after = store.executions({}, 200, after)
            found += [item["execution_id"] for item in items]
    assert len(acknowledged) >= 41
    assert {f"x-{number}" for number in acknowledged} <= set(found)
    assert len(found) == len(set(found)) == ledger["verdicts"]["applied"]
    assert ledger["imbalance"] == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "routes.yaml").write_text(SPOOLS, "utf-8")
    return tmp_path


def spool(folder: Path, n: int) -> None:
    """Leave some webhooks there, as a process that has died."""
    kept = [SpooledWebhook("asteroid", "plain", "1", None, 10**18, b"{}") for _ in range(n)]

    async def keep() -> None:
        await asyncio.gather(*map(opened.keep, kept))

    with closing(SpoolFile(str(folder / "receiver-spool.db"), 2**20).open()) as opened:
        asyncio.run(keep())


def receiver(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    return run(folder, *arguments, stdin=b"", **environ)


def test_check_warns_where_a_spool_is_of_no_use_or_has_no_place(folder: Path) -> None:
    done = receiver(folder, "check", PUBLIC=PUBLIC)
    assert done.returncode == 0
    assert b"routes.yaml:2: warning: source asteroid: spool is for a PostgreSQL" in done.stdout
    away = {"RECEIVER_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d", "PUBLIC": PUBLIC}
    done = receiver(folder, "check", RECEIVER_SPOOL_FILE="/nowhere/spool.db", **away)
    assert b"source asteroid: /nowhere cannot be written: set RECEIVER_SPOOL_FILE" in done.stdout
    done = receiver(folder, "check", **away)
    assert (done.returncode, b"spool" in done.stdout) == (0, False)
    assert not (folder / "receiver-spool.db").exists()


def test_check_and_doctor_say_what_waits_in_a_spool_that_nobody_empties(
    folder: Path, postgres: Server
) -> None:
    spool(folder, 3)
    environ = {"RECEIVER_DATABASE_URL": postgres.emptied(), "PUBLIC": PUBLIC}
    said = b"3 webhooks wait in the spool receiver-spool.db since 2001-09-09T01:46:40Z, and no"
    done = receiver(folder, "check", **environ)
    assert (done.returncode, said in done.stdout) == (0, True), done
    done = receiver(folder, "doctor", **environ)
    assert (done.returncode, said in done.stderr) == (1, True), done
    done = receiver(folder, "doctor", "--json", **environ)
    assert json.loads(done.stdout)["spool"]["waiting"] == 3
    # The database is away: what waits is said all the same.
    gone = {**environ, "RECEIVER_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d"}
    done = receiver(folder, "doctor", "--json", **gone)
    assert (done.returncode, json.loads(done.stdout)["spool"]["waiting"]) == (1, 3)
    done = receiver(folder, "doctor", **gone)
    assert (done.returncode, said in done.stdout, b"RECEIVER_DATABASE_URL" in done.stderr) == (
        1, True, True,
    )  # fmt: skip
    (folder / "receiver-spool.db").write_bytes(b"no database at all" * 1_000)
    done = receiver(folder, "doctor", **environ)
    assert (done.returncode, b"under another name" in done.stderr) == (1, True), done
    assert receiver(folder, "check", **environ).returncode == 0


def test_two_processes_never_share_a_spool_and_the_second_says_what_to_set(
    folder: Path, postgres: Server
) -> None:
    environ = {"RECEIVER_DATABASE_URL": postgres.emptied(), "PUBLIC": PUBLIC, "RECEIVER_PORT": "1"}
    with closing(SpoolFile(str(folder / "receiver-spool.db"), 2**20).open()):
        done = receiver(folder, "serve", "--port", "28913", **environ)
        assert done.returncode == 1
        assert b"give this one a file of its own with RECEIVER_SPOOL_FILE" in done.stderr
        done = receiver(folder, "doctor", **environ)
        assert (done.returncode, b"nothing waits" in done.stdout) == (0, True), done
