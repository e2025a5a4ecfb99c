"""Backups that are taken while the file is written."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from receiver.store import opening
from tests.prove_durability.driver import Receiver
from tests.prove_durability.file import look, look_at
from tests.prove_durability.sender import Acknowledgements, Sender
from tests.support.proving import Report


def by_backup(path: Path, copy: Path) -> None:
    """Copy it with SQLite's backup, as `sqlite3 receiver.db .backup` does."""
    with closing(sqlite3.connect(path, timeout=30)) as source, closing(sqlite3.connect(copy)) as to:
        source.backup(to)


def by_vacuum(path: Path, copy: Path) -> None:
    """Copy it with `VACUUM INTO`."""
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as source:
        source.execute("VACUUM INTO ?", (str(copy),))


def by_command(path: Path, copy: Path) -> None:
    """Copy it as `receiver backup` does."""
    assert opening.back_up(f"sqlite:///{path}", copy) is not None


WAYS: tuple[Callable[[Path, Path], None], ...] = (by_backup, by_vacuum, by_command)


async def backups(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """Load it and take one backup after another; each has all that was acknowledged before."""
    async with Receiver(folder, given.tree, http=given.http) as receiver:
        acks = Acknowledgements(folder / "acknowledged")
        sender = Sender(receiver, acks, report)
        await receiver.start()
        part = given.events // given.backups
        for number in range(given.backups):
            way = WAYS[number % len(WAYS)]
            copy = folder / f"backup-{number}" / "receiver.db"
            copy.parent.mkdir()
            loading = asyncio.create_task(sender.load(16, part))
            await asyncio.sleep(0.05)  # it is written before, during and after
            before, during = dict(acks.verdicts), len(acks.verdicts)
            await asyncio.to_thread(way, receiver.path, copy)
            report.add("acknowledged during backups", len(acks.verdicts) - during)
            await loading
            look_at(copy, before, report, f"{way.__name__}, backup {number + 1}")
            report.add("backups")
        report.must(report.figures["acknowledged during backups"] != 0, "it was written meanwhile")
        receiver.signal(signal.SIGTERM)
        report.must(await receiver.ended() == 0, "it ends with exit code 0")
        look(receiver, acks.verdicts, report, "in the end")
        report.figures["acknowledged"] = len(acks.verdicts)
        acks.close()
