"""A steady load and what the server's memory does: `python -m tests.bench_load`.

Whole stories (started, waiting for a confirmation, resumed, completed or failed), one event in ten
told twice, one in fifty owing a message to a destination on loopback. Resident memory is compared
after a tenth, a half and all of it. `--rate 0` is as fast as it goes; `--rate 300 --seconds 3600`
is an hour. SIGTERM and SIGINT end it with the figures so far. Exit code 1: a goal was missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from uuid import uuid4

from receiver.cli import client
from receiver.times import SECOND
from tests.support.destinations import Destination
from tests.support.proving import Report, rules
from tests.support.served import HERE, Served, event
from tests.wire.test_memory import memory

STORY = ("STARTED", "AWAITING_CONFIRMATION", "RESUMED", "COMPLETED")
ABREAST = 200
MOST, FLAT = 150, 1.10  # MiB; how much more at the end than after a tenth
PARTS = (0.1, 0.5, 1.0)


def told(stories: Iterator[int]) -> Iterator[bytes]:
    """Bodies of webhooks without end; events of one execution stand far apart, in their order."""
    while True:
        block = [(next(stories), str(uuid4())) for _ in range(ABREAST)]
        begin = client.now_whole() - 60 * SECOND
        for step, name in enumerate(STORY):
            for number, execution in block:
                named = "FAILED" if step == len(STORY) - 1 and number % 12 == 0 else name
                body = event(named, execution, str(uuid4()), occurred_at=begin + step * SECOND,
                             payload={"reason": "load"})  # fmt: skip
                yield body
                if number % 10 == 0:
                    yield body


@dataclass
class Load:
    """What was acknowledged until now, and the memory that was seen on the way (MiB)."""

    served: Served
    events: int
    acknowledged: int = 0
    took: list[float] = field(default_factory=list)
    seen: dict[float, float] = field(default_factory=dict)
    highest: float = 0.0
    stopping: bool = False

    async def run(self, rate: float, workers: int) -> None:
        """All of it, so many a second (0: as fast as it goes)."""
        bodies, numbers, begun = told(count(1)), count(0), time.monotonic()

        async def work() -> None:
            while not self.stopping and (number := next(numbers)) < self.events:
                rest = begun + number / rate - time.monotonic() if rate else 0.0
                if rest > 0:
                    await asyncio.sleep(rest)
                answer = await self.served.post(next(bodies))
                self.acknowledged += 1
                if number % 100 == 0:
                    self.took.append((answer.acked_at - answer.sent_at) / 10**6)

        async with asyncio.TaskGroup() as group:
            group.create_task(self._look())
            for _ in range(workers):
                group.create_task(work())

    async def _look(self) -> None:
        """Note the memory often, and say it every so often."""
        begun, said = time.monotonic(), 0.0
        while not self.stopping and self.acknowledged < self.events:
            await asyncio.sleep(0.2)
            now = self._memory()
            self.highest = max(self.highest, now)
            for part in PARTS[:-1]:
                if self.acknowledged >= part * self.events:
                    self.seen.setdefault(part, now)
            if time.monotonic() - said > 30:
                said = time.monotonic()
                print(
                    f"{said - begun:7.0f} s  {self.acknowledged:>9,} events  {now:6.1f} MiB",
                    flush=True,
                )
        self.seen[self.acknowledged / self.events] = self._memory()

    def _memory(self) -> float:
        assert self.served.process is not None
        return memory(self.served.process.pid) / 2**20


async def load(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """The load, and what must hold after it."""
    to = Destination("hook")
    routes = rules([to], "{name: failures, match: {status: failed}, notify: [hook]}")
    events = int(given.rate * given.seconds) if given.rate and given.seconds else given.events
    async with Served(folder, [to], routes, HERE, cold=True, http=given.http) as served:
        of = Load(served, events)
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, setattr, of, "stopping", True)
        begun = time.monotonic()
        await of.run(given.rate, given.workers)
        seconds = time.monotonic() - begun
        ledger = await served.drained(120)
        assert served.process is not None
        most = memory(served.process.pid, "VmHWM") / 2**20
        took = sorted(of.took)
        report.figures |= {
            "events acknowledged": of.acknowledged, "of": events, "seconds": seconds,
            "events a second": of.acknowledged / seconds,
            "answers, p50 ms": took[len(took) // 2], "answers, p99 ms": took[len(took) * 99 // 100],
            **{f"resident after {part:.0%}, MiB": now for part, now in of.seen.items()},
            "resident at most, MiB": most, "messages": len(to.arrivals),
            "file, MiB": served.path.stat().st_size / 2**20,
            "sent again": served.cut, "imbalance": ledger["imbalance"],
        }  # fmt: skip
        _judge(of, ledger, most, len(to.arrivals), report)
        served.kill(signal.SIGTERM)
        report.must(await served.ended(25) == 0, "it ends with exit code 0")


def _judge(of: Load, ledger: dict[str, object], most: float, arrived: int, report: Report) -> None:
    deliveries = ledger["deliveries"]
    assert isinstance(deliveries, dict)
    report.must(ledger["imbalance"] == 0, "the ledger is balanced")
    report.must(ledger["accepted"] == of.acknowledged, "every acknowledged event is counted")
    report.must(set(deliveries) <= {"sent"}, "every message is sent")
    report.must(arrived == deliveries.get("sent", 0), "every message arrives once")
    report.must(most <= MOST, f"it stays within {MOST} MiB")
    if not of.stopping and of.events >= 100_000:  # before that it has not met all its work
        grown = of.seen[1.0] / of.seen[PARTS[0]]
        report.must(grown <= FLAT, f"it is flat: {grown:.2f} times as much as after a tenth")


def measure(*arguments: str) -> Report:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench_load")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=0.0, help="events a second; 0: all it takes")
    parser.add_argument(
        "--seconds", type=float, default=0.0, help="with --rate instead of --events"
    )
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--http", default="h11", choices=["h11", "httptools"])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    report = Report("load")
    with tempfile.TemporaryDirectory(prefix="receiver-bench-") as folder:
        try:
            asyncio.run(load(given, report, Path(folder)))
        except (AssertionError, ExceptionGroup) as error:
            report.broken.append(str(error))
    with suppress(BrokenPipeError):
        print(json.dumps(report.figures) if given.json else report, flush=True)
    return report


def main() -> None:
    sys.exit(1 if measure(*sys.argv[1:]).broken else 0)
