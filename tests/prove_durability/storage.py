"""Storage that fails under a running receiver: full, read-only, locked, a sync that fails."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.prove_durability.driver import Receiver
from tests.prove_durability.file import look
from tests.prove_durability.sender import Acknowledgements, Sender
from tests.support.proving import Report

# Another process that writes, as `receiver redeliver` does, for as long as its input is open.
_OTHER = """\
import sqlite3, sys, threading
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
held, pause = map(float, sys.argv[2:])
while not ended.is_set():
    database.execute("BEGIN IMMEDIATE")
    database.execute("UPDATE promised SET n = n WHERE name = 'owed'")
    print("locked", flush=True)
    ended.wait(held)
    database.execute("COMMIT")
    ended.wait(pause)
"""


class Skipped(Exception):
    """A proof that cannot be made here, and why."""


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own; Skipped where none can be mounted."""
    place = folder / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size},mode=0777"]
    done = subprocess.run(
        ["mount", *options, "receiver-proof", place], capture_output=True, check=False
    )
    if done.returncode:
        raise Skipped(f"a tmpfs cannot be mounted: {done.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def writing_beside(path: Path, *, held: float, pause: float) -> Iterator[None]:
    """Another process locks the file again and again, for seconds."""
    command = [sys.executable, "-c", _OTHER, str(path), str(held), str(pause)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        draining = asyncio.get_running_loop().run_in_executor(None, other.stdout.read)
        try:
            yield
        finally:
            other.stdin.close()
            del draining


class Running:
    """A receiver under load, and how it ends."""

    def __init__(self, receiver: Receiver, report: Report) -> None:
        self.receiver, self.report = receiver, report
        self.acks = Acknowledgements(receiver.folder / "acknowledged")
        self.sender = Sender(receiver, self.acks, report)

    async def refused(self, connections: int = 16, events: int = 32) -> None:
        """Load until answers are 503, all of them with Retry-After; nor is it ready."""
        before, receiver = self.sender.refused, self.receiver
        for _ in range(400):
            await self.sender.load(connections, events)
            if self.sender.refused > before:
                break
        self.report.must(self.sender.refused > before, "it refuses webhooks")
        self.report.must(self.sender.retry_after, "every 503 says when to send it again")
        status, headers, _ = await receiver.get("/readyz")
        self.report.must((status, "retry-after" in headers) == (503, True), "it is not ready")
        self.report.must((await receiver.get("/healthz"))[0] == 200, "it lives")

    async def healed(self) -> None:
        """Takes all that was refused, and new ones; is ready; ends well, with nothing lost."""
        refused = self.sender.refused
        await self.sender.load(16, 64, patient=True)
        self.report.must(self.sender.refused == refused, "it works again")
        await until_ready(self.receiver)
        await self.end()

    async def end(self) -> None:
        """SIGTERM, exit code 0, nothing lost."""
        self.receiver.signal(signal.SIGTERM)
        self.report.must(await self.receiver.ended() == 0, "it ends with exit code 0")
        self.look("in the end")

    def look(self, where: str) -> None:
        look(self.receiver, self.acks.verdicts, self.report, where)
        self.report.figures["acknowledged"] = len(self.acks.verdicts)
        self.report.figures["refused with 503"] = self.sender.refused


async def until_ready(receiver: Receiver) -> None:
    end = time.monotonic() + 10
    while (await receiver.get("/readyz"))[0] != 200:
        if time.monotonic() > end:
            raise AssertionError("it does not become ready")
        await asyncio.sleep(0.05)


async def full(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """The disk fills up, 503; space is freed, and it goes on. Twice: the log and a checkpoint."""
    with small_disk(folder, "24m") as disk:
        receiver = Receiver(folder, given.tree, http=given.http, path=disk / "receiver.db")
        async with receiver:
            running = Running(receiver, report)
            await receiver.start()
            await running.sender.load(16, 64)
            filler = disk / "filler"
            for leave in (200_000, 0):
                fill(filler, leave)
                await running.refused()
                filler.unlink()
                await running.sender.load(16, 32, patient=True)
            # Nor does it lose anything if it dies while the disk is full.
            fill(filler, 0)
            await running.refused()
            await receiver.kill()
            running.look("killed while the disk was full")
            filler.unlink()
            await receiver.start()
            await running.healed()


def fill(filler: Path, leave: int) -> None:
    """Write until so many bytes are left, or nothing more is taken."""
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while (state := os.statvfs(filler)).f_bavail * state.f_bsize > leave:
            file.write(bytes(65_536 if leave else 4_096))


async def locked(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """Another process locks the file for longer than we wait: 503; let go, it goes on."""
    async with Receiver(folder, given.tree, http=given.http) as receiver:
        running = Running(receiver, report)
        await receiver.start()
        await running.sender.load(4, 16)
        with writing_beside(receiver.path, held=3600, pause=0):
            await running.refused(8, 8)
        await running.healed()


async def beside(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """Another process writes now and then: nothing is refused for that."""
    async with Receiver(folder, given.tree, http=given.http) as receiver:
        running = Running(receiver, report)
        await receiver.start()
        with writing_beside(receiver.path, held=0.001, pause=0.001):
            await running.sender.load(16, 600)
        report.must(running.sender.refused == 0, "a short lock refuses nothing")
        await running.end()


async def eio(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """One sync fails: of the log, of the file in a checkpoint, of the file at the end. It stops."""
    for name, end, when in (("log", "-wal", 7), ("checkpoint", "", 1), ("end", "", 1)):
        place = folder / name
        place.mkdir()
        async with Receiver(place, given.tree, http=given.http) as receiver:
            running = Running(receiver, report)
            await receiver.start()
            await running.sender.load(4, 16)
            await running.end()
            receiver.strace = failing("fdatasync", "EIO", when, f"{receiver.path}{end}", place)
            await receiver.start()
            running.sender.padding = 100_000 if name == "checkpoint" else 0
            asked = time.monotonic()
            if name == "end":
                await running.sender.load(8, 50)
                receiver.signal(signal.SIGTERM)
            while receiver.alive() and time.monotonic() < asked + 20:
                await running.sender.load(8, 50)
            gone = not receiver.alive()
            report.must(gone, f"{name}: it ends after a failed sync")
            if not gone:
                await receiver.kill()
                return
            code = await receiver.ended()
            report.must(code == 1, f"{name}: it ends with exit code {code}")
            report.figures[f"{name}: seconds to its end"] = time.monotonic() - asked
            said = receiver.log()
            report.must("The storage failed (disk I/O error)" in said, f"it says why: {said}")
            running.look(f"{name}: after the failed sync")
            receiver.strace = ()
            await receiver.start()
            await running.healed()


def failing(call: str, error: str, when: int, path: str, folder: Path) -> list[str]:
    """The command that lets the N-th such call on a file fail, in each thread."""
    inject = f"inject={call}:error={error}:when={when}"
    return ["strace", "-f", "-P", path, "-e", f"trace={call}", "-e", inject, "-e", "signal=none",
            "-o", str(folder / "strace.out")]  # fmt: skip


async def read_only(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """A folder, then a file, that cannot be written: refused with what to do, and left alone."""
    with small_disk(folder, "3m") as disk:
        path = disk / "receiver.db"
        async with Receiver(folder, given.tree, http=given.http, path=path) as receiver:
            running = Running(receiver, report)
            await receiver.start()
            await running.sender.load(4, 16)
            await running.end()
            for name in ("receiver.db", "none.db"):
                receiver.path = disk / name
                remount(disk, "ro")
                receiver.launch()
                report.must(await receiver.ended() == 1, f"{name}: it is refused")
                said = receiver.log()
                report.must("permissions" in said, f"{name}: it says what to do: {said}")
                remount(disk, "rw")
            report.must(not (disk / "none.db").exists(), "nothing is made")
            receiver.path = path
            await receiver.start()
            await running.healed()


def remount(place: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", place], check=True)


async def moved(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """The file is moved away under load, and put back: it ends with 1, and nothing is lost."""
    async with Receiver(folder, given.tree, http=given.http) as receiver:
        running = Running(receiver, report)
        away = receiver.path.with_name("away.db")
        for time_ in range(3):
            await receiver.start()
            await running.sender.load(8, 60)
            receiver.path.rename(away)
            asked = time.monotonic()
            while receiver.alive() and time.monotonic() < asked + 10:
                await running.sender.load(8, 50)
            gone = not receiver.alive()
            report.must(gone, "moved: it ends")
            if not gone:
                await receiver.kill()
                return
            code = await receiver.ended()
            report.must(code == 1, f"moved: it ends with exit code {code}")
            report.figures[f"seconds to its end, time {time_ + 1}"] = time.monotonic() - asked
            away.rename(receiver.path)
            running.look("put back")
        await receiver.start()
        await running.healed()


SCENARIOS = {
    "moved": moved,
    "full": full,
    "locked": locked,
    "beside": beside,
    "eio": eio,
    "read-only": read_only,
}
