"""The process is killed at its N-th system call, and at random moments under load."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.prove_durability.driver import Receiver, Warm
from tests.prove_durability.file import look
from tests.prove_durability.sender import Acknowledgements, Sender
from tests.support.proving import Report

# How far each call is counted with one connection; those of several share their commits.
CALLS = {"pwrite64": 240, "fdatasync": 48, "write": 24, "sendto": 120}
SHARED = {1: 1, 8: 2, 24: 3}
# An answer goes out by the first of these on asyncio, and by others on uvloop.
ALIKE = {"sendto": "sendto,sendmsg,writev"}
# A new folder after so many points: the file is read whole after each of them.
TRIED = ("kill points", "random kills", "not reached")
PER_FILE = {"kill points": 60, "random kills": 15}


@dataclass(frozen=True)
class Point:
    """Where to kill: at the N-th call, or after so many seconds if `call` is empty."""

    call: str
    when: int
    seconds: float = 0.0
    connections: int = 8
    checkpoint_at: int = 0  # bytes; 0: as the program has it
    fresh: bool = False  # without a file

    def __str__(self) -> str:
        at = f"{self.call} {self.when}" if self.call else f"{self.seconds:.3f} s"
        return f"killed at {at} ({self.connections} connections{', fresh' * self.fresh})"


def sweep() -> Iterator[Point]:
    """N = 1, 2, 3 … of each call, again and again on other files under other loads."""
    for number in itertools.count():
        connections, checkpoint_at = (8, 1, 24)[number % 3], (0, 32_768)[number % 2]
        fresh = number % 4 == 1
        for when in range(1, max(CALLS.values()) + 1):
            for call, most in CALLS.items():
                if when <= most // (3 if fresh else SHARED[connections]):
                    yield Point(call, when, 0.0, connections, checkpoint_at, fresh)


def moments(chance: random.Random) -> Iterator[Point]:
    """Random moments, from the start on."""
    for number in itertools.count():
        yield Point(
            "", 0, chance.uniform(0.01, 0.35), (8, 1, 24)[number % 3], (0, 32_768)[number % 2]
        )


def chosen(given: argparse.Namespace) -> Iterator[Point]:
    """The sweep, or a sample of its first two rounds if fewer points are asked for."""

    def wanted(point: Point) -> bool:
        return point.call in (given.calls or point.call).split(",") and (
            point.fresh or not given.fresh
        )

    rounds = [point for point in itertools.islice(sweep(), 700) if wanted(point)]
    if given.points >= len(rounds):
        return filter(wanted, sweep())
    random.Random(given.seed).shuffle(rounds)
    return iter(rounds)


async def kills(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """Kill, look at what is left, start again: each start is the first after a kill."""
    warm, started = Warm(given.tree), time.monotonic()
    counted = ("kill points", "kill points before it served", "random kills", "cold starts",
               "not reached", "files", "events acknowledged")  # fmt: skip
    report.figures |= dict.fromkeys(counted, 0)
    try:
        for name, points, most in (
            ("kill points", chosen(given), given.points),
            ("random kills", moments(random.Random(given.seed)), given.kills),
        ):
            while _n(report, name) < most and not report.broken:
                if time.monotonic() > started + given.seconds:
                    break
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    one = OneFile(Path(place), given, report, warm)
                    async with one.receiver:
                        for point in itertools.islice(points, PER_FILE[name]):
                            await one.kill(point)
                            if report.broken or _n(report, name) >= most:
                                break
                        await one.end()
    finally:
        warm.close()
    took = time.monotonic() - started
    report.figures["kills per second"] = (
        _n(report, "kill points") + _n(report, "random kills")
    ) / took
    report.figures["acknowledged events lost"] = sum("are lost" in b for b in report.broken)


def _n(report: Report, name: str) -> int:
    return int(str(report.figures[name]))


class OneFile:
    """A file, the process that is killed over it, and the sender that remembers."""

    def __init__(self, folder: Path, given: argparse.Namespace, report: Report, warm: Warm) -> None:
        self._folder, self._given, self._report, self._warm = folder, given, report, warm
        self.receiver = Receiver(folder, given.tree, warm=warm, http=given.http)
        self._acks = Acknowledgements(folder / "acknowledged")
        self._sender = Sender(self.receiver, self._acks, report)
        report.add("files")

    async def kill(self, point: Point) -> None:
        """Start, load, kill, look."""
        if point.fresh:
            self._forget()
        receiver, trace = self.receiver, self._folder / "strace.out"
        number = sum(_n(self._report, name) for name in TRIED) + 1
        cold = bool(self._given.cold) and number % self._given.cold == 0
        receiver.warm, receiver.cold = None if cold else self._warm, cold
        receiver.strace = strace(point, trace) if point.call else ()
        receiver.checkpoint_at = point.checkpoint_at
        receiver.launch()
        if point.call:
            reached = await self._at_a_call(point, trace)
        else:
            reached = await self._at_a_moment(point)
        self._report.add("cold starts", cold)
        said = "kill points" if point.call else "random kills"
        self._report.add(said if reached else "not reached")
        self._look(str(point))
        if point.fresh and not self._report.broken:
            # What a start that was killed leaves behind is something to start on.
            receiver.warm, receiver.strace = self._warm, ()
            await receiver.start()
            await receiver.kill()

    async def _at_a_call(self, point: Point, trace: Path) -> bool:
        """Load until it is gone; whether it was killed there, and not only in the end by us."""
        before = not await self.receiver.serves()
        if not before:
            events = point.when * 4 * SHARED[point.connections] + 30
            await self._sender.load(point.connections, events)
        reached = not self.receiver.alive()
        self._report.add("kill points before it served", reached and before)
        await self.receiver.kill()
        said = trace.read_text("utf-8")
        by_itself = "+++ exited with" in said and "+++ killed by SIGKILL" not in said
        self._report.must(not by_itself, f"{point}: it ends by itself: {self._said()}")
        return reached

    async def _at_a_moment(self, point: Point) -> bool:
        loop = asyncio.get_running_loop()
        loop.call_later(point.seconds, self.receiver.signal)
        if await self.receiver.serves():
            while self.receiver.alive():
                await self._sender.load(point.connections, 10_000)
        await self.receiver.ended()
        return True

    def _forget(self) -> None:
        """Begin without a file."""
        for each in self._folder.glob("receiver.db*"):
            each.unlink()
        self._report.add("events acknowledged", len(self._acks.verdicts))
        self._acks.verdicts.clear()
        self._sender = Sender(self.receiver, self._acks, self._report)

    def _look(self, where: str) -> None:
        look(self.receiver, self._acks.verdicts, self._report, where)

    def _said(self) -> str:
        return self.receiver.log()[-1500:]

    async def end(self) -> None:
        """Start it cold, as people do; it is ready, and ends as it is asked to."""
        receiver = self.receiver
        if not self._report.broken:
            receiver.warm, receiver.strace = None, ()
            await receiver.start()
            await self._sender.load(4, 30)
            ready = await receiver.get("/readyz")
            self._report.must(ready[0] == 200, f"it is ready after the kills: {ready}")
            receiver.signal(signal.SIGTERM)
            self._report.must(await receiver.ended() == 0, "it ends with exit code 0")
            self._look("in the end")
        self._report.add("events acknowledged", len(self._acks.verdicts))
        self._acks.close()


def strace(point: Point, out: Path) -> list[str]:
    """The command that kills its tracee there."""
    calls = ALIKE.get(point.call, point.call)
    inject = f"inject={calls}:signal=KILL:when={point.when}"
    return ["strace", "-f", "-e", f"trace={calls}", "-e", inject, "-e", "signal=none",
            "-o", str(out)]  # fmt: skip
