"""A storm over many executions, with readers, commands and pruning beside, and kills."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.prove_durability.driver import Receiver, environment
from tests.prove_durability.file import look
from tests.prove_durability.sender import Acknowledgements, Sender
from tests.support.proving import Report
from tests.support.served import CUT, until

PAGES = (
    "/api/executions", "/api/executions?category=processing&limit=200", "/api/deliveries",
    "/api/executions?q=x1", "/api/ledger", "/api/hints", "/api/executions/s/x1", "/metrics",
    "/readyz",
)  # fmt: skip
COMMANDS = (
    ("executions", "--limit", "200", "--json"), ("deliveries", "--json"), ("doctor", "--json"),
    ("prune", "--json"), ("check",),
)  # fmt: skip


async def storm(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """Load it, read beside, kill it now and then; hold the file against what was acknowledged."""
    chance = random.Random(given.seed)
    report.figures |= {"killed": 0, "requests of readers": 0, "commands": 0}
    async with Receiver(folder, given.tree, http=given.http) as receiver:
        acks = Acknowledgements(folder / "acknowledged")
        sender = Sender(receiver, acks, report)
        part = given.events // (given.kills + 1)
        for life in range(given.kills + 1):
            await receiver.start()
            is_last = life == given.kills
            await _life(receiver, sender, given, part, None if is_last else chance, report)
            look(receiver, acks.verdicts, report, f"life {life + 1}")
            if report.broken:
                return
        report.figures["acknowledged"] = len(acks.verdicts)
        acks.close()


async def _life(
    receiver: Receiver, sender: Sender, given: argparse.Namespace, events: int,
    chance: random.Random | None, report: Report,
) -> None:  # fmt: skip
    """Load it with so many events; kill it on the way, or stop it in the end without a chance."""
    over = asyncio.Event()
    beside = [
        *(asyncio.create_task(_read(receiver, n, over, report)) for n in range(3)),
        asyncio.create_task(_command(receiver, over, report)),
    ]
    loading = asyncio.create_task(sender.load(given.connections, events))
    if chance is not None:
        before, after = len(sender.acks.verdicts), chance.randrange(events // 4, events // 2)
        await until(
            lambda: len(sender.acks.verdicts) >= before + after or loading.done(), "it takes them"
        )
        await receiver.kill()
        report.add("killed")
    await loading
    over.set()
    # A command that prunes may have the file for itself; it ends before the next start.
    await asyncio.gather(*beside)
    if chance is None:
        receiver.signal(signal.SIGTERM)
        report.must(await receiver.ended() == 0, "it ends with exit code 0")


async def _read(receiver: Receiver, nth: int, over: asyncio.Event, report: Report) -> None:
    """Ask for one page after another while it runs."""
    while not over.is_set() and receiver.pid:
        page = PAGES[nth % len(PAGES)]
        nth += 1
        with suppress(*CUT):
            status, _, content = await receiver.get(page)
            report.add("requests of readers")
            fine = status == 200 or (page == "/api/executions/s/x1" and status == 404)
            report.must(fine, f"{page} is answered {status}: {content[:200]!r}")
            if page == "/api/ledger" and status == 200:
                report.must(json.loads(content)["imbalance"] == 0, f"imbalance: {content!r}")
        await asyncio.sleep(0.01)


async def _command(receiver: Receiver, over: asyncio.Event, report: Report) -> None:
    """Run one command after another on the file, whether the server runs or not."""
    environ = _environ(receiver)
    for nth in range(10_000):
        if over.is_set():
            return
        arguments = COMMANDS[nth % len(COMMANDS)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "receiver", *arguments, env=environ, cwd=receiver.folder,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, said = await asyncio.wait_for(process.communicate(), 120)
        report.add("commands")
        report.must(
            process.returncode == 0, f"receiver {arguments[0]} ends with {process.returncode}:"
            f" {said.decode()[-500:]}",
        )  # fmt: skip


def _environ(receiver: Receiver) -> Mapping[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RECEIVER_")}
    return {
        **clean, **environment(receiver.tree), "RECEIVER_DATABASE_URL": f"sqlite:///{receiver.path}",
        "RECEIVER_KEEP_BODIES": "1s", "RECEIVER_PORT": str(receiver.port),
    }  # fmt: skip
