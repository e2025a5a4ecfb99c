"""SIGTERM and SIGINT under load, with bodies that are half sent and stay so."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.prove_durability.driver import TOKEN, Receiver
from tests.prove_durability.file import look
from tests.prove_durability.sender import Acknowledgements, Sender
from tests.support.proving import Report
from tests.support.served import until

WITHIN = 25.0  # seconds
RUNS_PER_FILE = 20


@asynccontextmanager
async def half_sent(port: int, count: int) -> AsyncIterator[None]:
    """So many webhooks of which only a part has come, and no more comes."""
    writers = []
    try:
        for _ in range(count):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(writer)
            writer.write(
                f"POST /webhooks/s HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Token: {TOKEN}\r\nContent-Type:"
                ' application/json\r\nContent-Length: 5000\r\n\r\n{"event_id": "ha'.encode()
            )
            await writer.drain()
        yield
    finally:
        for writer in writers:
            writer.close()


async def stops(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """Load, signal, exit code 0 in time, nothing lost; the next run goes on with the file."""
    chance, took = random.Random(given.seed), list[float]()
    report.figures |= {"runs": 0, "ended with 0 in time": 0, "acknowledged": 0}
    for start in range(0, given.runs, RUNS_PER_FILE):
        with TemporaryDirectory(dir=folder) as place:
            async with Receiver(Path(place), given.tree, http=given.http) as receiver:
                acks = Acknowledgements(Path(place) / "acknowledged")
                sender = Sender(receiver, acks, report)
                for run in range(start, min(start + RUNS_PER_FILE, given.runs)):
                    sig = (signal.SIGTERM, signal.SIGINT)[run % 2]
                    took.append(await _stop(receiver, sender, sig, given.halves, chance, report))
                    look(receiver, acks.verdicts, report, f"{sig.name}, run {run + 1}")
                    if report.broken:
                        break
                report.add("acknowledged", len(acks.verdicts))
                acks.close()
        if report.broken:
            break
    report.figures["slowest end, seconds"] = max(took)


async def _stop(
    receiver: Receiver, sender: Sender, sig: signal.Signals, halves: int, chance: random.Random,
    report: Report,
) -> float:  # fmt: skip
    await receiver.start()
    report.add("runs")
    async with half_sent(receiver.port, halves):
        loading = asyncio.create_task(_load(receiver, sender))
        before = len(sender.acks.verdicts)
        await until(lambda: len(sender.acks.verdicts) > before, "it takes webhooks")
        await asyncio.sleep(chance.uniform(0, 0.3))
        asked = time.monotonic()
        receiver.signal(sig)
        try:
            code = await receiver.ended(WITHIN + 5)
        except AssertionError:
            report.must(False, f"{sig.name}: it ends within {WITHIN + 5} s")
            await receiver.kill()
            code = None
        took = time.monotonic() - asked
        await loading
    report.must(code == 0, f"{sig.name}: it ends with exit code {code}: {receiver.log()[-500:]}")
    report.must(took <= WITHIN, f"{sig.name}: it ends after {took:.1f} s")
    report.add("ended with 0 in time", code == 0 and took <= WITHIN)
    return took


async def _load(receiver: Receiver, sender: Sender) -> None:
    while receiver.pid and receiver.alive():
        await sender.load(8, 1_000)
        await asyncio.sleep(0.005)
