"""What growth costs: `python -m tests.bench_growth NAME`. Figures are printed; what is compared is
measured in turn in one run, so the ratios hold where the machine's speed drifts.

* **intake**: webhooks a second, and processor time for each, with a million stored executions
  beside a thousand: of new executions, and of such as are stored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

from receiver import sender, signatures
from receiver.events import SECOND
from receiver.store.sqlite import SqliteStore
from tests.bench_intake import HOW, PRIVATE, Hook, drive, percentile, serve_ours
from tests.grown import grow

TOP = str(Path(__file__).parent.parent)
TICK = os.sysconf("SC_CLK_TCK")


def used(process: subprocess.Popen[bytes]) -> float:
    """Seconds of processor time that it took so far."""
    text = Path(f"/proc/{process.pid}/stat").read_text("utf-8")
    fields = text.rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def request(event: str, execution: str, occurred_at: int) -> bytes:
    """A whole signed HTTP request."""
    body = sender.asteroid_event(
        f"EXECUTION_{event}", execution, payload={"reason": "bench"}, occurred_at=occurred_at
    )
    ((name, value),) = signatures.sign(HOW, PRIVATE, body, message_id="", now=0)
    head = (
        f"POST /webhooks/asteroid HTTP/1.1\r\nHost: localhost\r\n{name}: {value}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextmanager
def hooked() -> Iterator[int]:
    """A destination on loopback; its port."""
    hook = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    try:
        yield hook.server_port
    finally:
        hook.shutdown()
        hook.server_close()


@contextmanager
def served(folder: Path, http: str, hook: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A receiver on the database in a folder: its process and its port."""
    process, port = serve_ours(TOP, http, hook, str(folder))
    try:
        yield process, port
    finally:
        process.terminate()
        process.wait(60)


def still_open(path: Path) -> Iterator[str]:
    """Stored executions that have not ended, in no order, again and again."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT execution_id FROM execution WHERE status = 'running'")
        found = [name for (name,) in rows]
    random.Random(1).shuffle(found)
    while True:
        yield from found


class Moves:
    """Events of stored executions: each pauses, then resumes, and so on."""

    def __init__(self, path: Path) -> None:
        self._executions, self._told = still_open(path), dict[str, int]()
        self._begin = sender.now_whole()

    def requests(self, count: int) -> list[bytes]:
        """The next so many; the last one first, as a connection takes them."""
        made = []
        for _ in range(count):
            name = next(self._executions)
            told = self._told[name] = self._told.get(name, 0) + 1
            at = self._begin + told * SECOND
            made.append(request("PAUSED" if told % 2 else "RESUMED", name, at))
        return made[::-1]


def new(count: int) -> list[bytes]:
    """The first events of so many executions."""
    return [request("STARTED", str(uuid4()), sender.now_whole()) for _ in range(count)]


def intake(given: argparse.Namespace, folder: Path) -> dict[str, float]:
    """A file with much and a file with little, in turn."""
    folder = Path(given.folder or folder)
    paths = {name: folder / name / "receiver.db" for name in ("many", "few")}
    began = time.monotonic()
    if not paths["many"].exists():
        for path in paths.values():
            path.parent.mkdir(parents=True)
        grow(paths["many"], given.stored, days=(29, 1))
        grow(paths["few"], given.few, days=(29, 1), is_open=True)
    found = {"built_s": time.monotonic() - began,
             "many_mb": paths["many"].stat().st_size / 2**20}  # fmt: skip
    rates: dict[str, list[float]] = {}
    costs: dict[str, list[float]] = {}
    took: dict[str, list[float]] = {}
    with hooked() as hook:
        began = time.monotonic()
        with served(folder / "many", given.http, hook) as many:
            found["many_start_s"] = time.monotonic() - began
            with served(folder / "few", given.http, hook) as few:
                servers = {"many": many, "few": few}
                moves = {name: Moves(path) for name, path in paths.items()}
                for number in range(given.rounds):
                    for name in list(servers)[:: -1 if number % 2 else 1]:
                        process, port = servers[name]
                        sorts = {"new": new, "moves": moves[name].requests}
                        for sort, prepare in sorts.items():
                            prepared, before = prepare(given.count), used(process)
                            rate, seconds = asyncio.run(drive(port, prepared, 64))
                            key = f"{sort}_{name}"
                            rates.setdefault(key, []).append(rate)
                            costs.setdefault(key, []).append((used(process) - before) / given.count)
                            took.setdefault(key, []).extend(seconds)
    for sort in ("new", "moves"):
        many_few = zip(rates[f"{sort}_many"], rates[f"{sort}_few"], strict=True)
        found[f"{sort}_ratio"] = statistics.median(a / b for a, b in many_few)
        cost = zip(costs[f"{sort}_few"], costs[f"{sort}_many"], strict=True)
        found[f"{sort}_processor_ratio"] = statistics.median(a / b for a, b in cost)
        for name in paths:
            key = f"{sort}_{name}"
            found[f"{key}_per_s"] = statistics.median(rates[key])
            found[f"{key}_us"] = statistics.median(costs[key]) * 10**6
            found[f"{key}_p99_ms"] = percentile(took[key], 0.99)
    for name, path in paths.items():
        store = SqliteStore(path)
        found[f"imbalance_{name}"] = store.ledger()["imbalance"]
        store.close()
    return found


Bench = Callable[[argparse.Namespace, Path], dict[str, float]]
BENCHES: dict[str, tuple[Bench, dict[str, Any]]] = {
    "intake": (
        intake,
        {"stored": 1_000_000, "few": 1_000, "count": 3_000, "rounds": 5, "folder": ""},
    ),
}


def bench(*arguments: str) -> dict[str, float]:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench_growth")
    names = parser.add_subparsers(dest="name", required=True)
    for name, (_, options) in BENCHES.items():
        one = names.add_parser(name)
        for option, default in options.items():
            one.add_argument(f"--{option}", type=type(default), default=default)
        one.add_argument("--http", default="h11", choices=["h11", "httptools"])
        one.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="receiver-bench-") as folder:
        found = BENCHES[given.name][0](given, Path(folder))
    if given.json:
        print(json.dumps(found))
    else:
        print(f"{given.name}, {given.http}:")
        for name, value in found.items():
            print(f"  {name:<26} {value:12.2f}")
    return found


if __name__ == "__main__":
    bench(*sys.argv[1:])
