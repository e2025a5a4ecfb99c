"""A store moves from its file to PostgreSQL, and is killed at random moments on the way."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psycopg

from tests.support.grown import grow
from tests.support.moved import has_all_or_none, is_same
from tests.support.proving import Report


async def moves(given: argparse.Namespace, report: Report, folder: Path) -> None:
    path, chance = folder / "receiver.db", random.Random(given.seed)
    await asyncio.to_thread(grow, path, given.executions, days=(30, 1))
    before = path.read_bytes()
    took = await moved(given, folder, given.server.schema())
    killed = runs = 0
    while killed < given.kills:
        url = given.server.schema()
        while killed < given.kills:
            process = started(given, folder, url)
            await copies(process, folder, url)
            await asyncio.sleep(chance.uniform(0, took))
            killed += process.poll() is None
            process.kill()
            if process.wait(20) == 0:
                break
            if await taken(given, folder, url) == 0:
                report.add("kills before the first step or after the last")
                is_part = not await asyncio.to_thread(has_all_or_none, path, url)
                report.must(not is_part, "nobody opens a part of the rows")
        await moved(given, folder, url)
        runs += 1
        report.must(await asyncio.to_thread(is_same, path, url), "it ends with the same rows")
        report.must(await taken(given, folder, url) == 0, "it is opened in the end")
        given.server.do(f"DROP SCHEMA {given.server.schemas[-1]} CASCADE")
    report.figures |= {
        "executions": given.executions, "seconds without a kill": took, "kills": killed,
        "stores that were moved": runs + 1,
    }  # fmt: skip
    report.must(path.read_bytes() == before, "the file stays as it is")


def started(given: argparse.Namespace, folder: Path, url: str) -> subprocess.Popen[bytes]:
    """A run of the command."""
    source = f"sqlite:///{folder / 'receiver.db'}"
    return run(given, folder, "migrate", "--from", source, "--to", url)


def run(
    given: argparse.Namespace, folder: Path, *arguments: str, **more: str
) -> subprocess.Popen[bytes]:
    with (folder / "migrate.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "receiver", *arguments], cwd=folder, stdout=log, stderr=log,
            env={**os.environ, "PYTHONPATH": str(given.tree), **more},
        )  # fmt: skip


async def moved(given: argparse.Namespace, folder: Path, url: str) -> float:
    """Let a run come to its end; return how long it copies (seconds)."""
    process = started(given, folder, url)
    await copies(process, folder, url)
    begun = time.monotonic()
    code = await asyncio.to_thread(process.wait, 600)
    log = (folder / "migrate.log").read_text("utf-8")
    assert code == 0, f"it ends with exit code {code}: {log[-500:]}"
    return time.monotonic() - begun


async def copies(process: subprocess.Popen[bytes], folder: Path, url: str) -> None:
    """Wait until a run has begun, or goes on: most of a short one is the start of a process."""
    log = folder / "migrate.log"
    said = log.stat().st_size
    with psycopg.connect(url, autocommit=True) as database:

        def is_moving() -> bool:
            row = database.execute("SELECT to_regclass('moving')").fetchone()
            return row != (None,)

        goes_on = is_moving()
        while process.poll() is None and log.stat().st_size == said:
            if not goes_on and is_moving():
                return
            await asyncio.sleep(0.01)


async def taken(given: argparse.Namespace, folder: Path, url: str) -> int:
    """The exit code of a command that opens the database."""
    command = run(given, folder, "deliveries", "--limit", "1", RECEIVER_DATABASE_URL=url)
    return await asyncio.to_thread(command.wait, 60)
