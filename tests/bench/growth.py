"""What growth costs: `python -m tests.bench_growth NAME`. Figures are printed; what is compared is
measured in turn in one run, so the ratios hold where the machine's speed drifts.

* **intake**: webhooks a second, and processor time for each, with a million stored executions
  beside a thousand: of new executions, and of such as are stored.
* **prune**: how long answers take at a fixed rate while much is removed (by the server itself, or
  `--by command` beside it), and while nothing is; the longest that the write-ahead log was.
* **log**: the longest that the write-ahead log was under as much load as it takes; alone, while
  somebody keeps reading, and after that.
"""

from __future__ import annotations

import argparse
import asyncio
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
from contextlib import closing, contextmanager, suppress
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen
from uuid import uuid4

from receiver.cli import client
from receiver.sources import signing
from receiver.store.pruning import FIRST
from receiver.store.sqlite.store import SqliteStore
from receiver.times import SECOND
from tests.bench.goals import AT_LEAST, AT_MOST, Goals, show
from tests.bench.intake import HOW, PRIVATE, Hook, drive, percentile, serve_ours
from tests.support.grown import grow

TOP = str(Path(__file__).parents[2])
TICK = os.sysconf("SC_CLK_TCK")


def used(process: subprocess.Popen[bytes]) -> float:
    """Seconds of processor time that it took so far."""
    text = Path(f"/proc/{process.pid}/stat").read_text("utf-8")
    fields = text.rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def request(event: str, execution: str, occurred_at: int) -> bytes:
    """A whole signed HTTP request."""
    body = client.asteroid_event(
        f"EXECUTION_{event}", execution, payload={"reason": "bench"}, occurred_at=occurred_at
    )
    ((name, value),) = signing.sign(HOW, PRIVATE, body, message_id="", now=0)
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
    """A receiver on the database in a folder, once it is ready: its process and its port.

    It listens before it has read the whole file, so what came then would wait for that.
    """
    process, port = serve_ours(TOP, http, hook, str(folder))
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=600):
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
        self._begin = client.now_whole()

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
    return [request("STARTED", str(uuid4()), client.now_whole()) for _ in range(count)]


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
            found[f"{key}_max_ms"] = max(took[key]) * 1000
    for name, path in paths.items():
        store = SqliteStore(path)
        found[f"imbalance_{name}"] = store.ledger()["imbalance"]
        store.close()
    return found


async def steadily(port: int, prepared: list[bytes], rate: float) -> list[float]:
    """Send at a fixed rate, whatever the answers; seconds from when each was due to its answer."""
    # The one that was used last is used next; what was idle for long the server closes.
    free: list[tuple[float, tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = []
    took: list[float] = []

    async def one(content: bytes, due: float) -> None:
        idle, streams = free.pop() if free else (0.0, None)
        if streams is None or time.perf_counter() - idle > 2:
            streams = await asyncio.open_connection("127.0.0.1", port)
        streams[1].write(content)
        head = await streams[0].readuntil(b"\r\n\r\n")
        await streams[0].readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r")[0]))
        if head[9:12] not in (b"200", b"202"):
            raise RuntimeError(f"answered {head[:60]!r}")
        took.append(time.perf_counter() - due)
        free.append((time.perf_counter(), streams))

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, content in enumerate(prepared):
            due = begun + number / rate
            if (rest := due - time.perf_counter()) > 0:
                await asyncio.sleep(rest)
            group.create_task(one(content, due))
    for _, (_, writer) in free:
        writer.close()
    return took


class Watched:
    """Looks often how long a file is; the longest, in MiB."""

    def __init__(self, path: Path) -> None:
        self._path, self._over, self.longest = path, threading.Event(), 0.0
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._over.wait(0.01):
            with suppress(FileNotFoundError):
                self.longest = max(self.longest, self._path.stat().st_size / 2**20)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def count(path: Path, what: str) -> int:
    """How many rows there are of something."""
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute(f"SELECT count(*) FROM {what}").fetchone()[0])


def prune(given: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Windows with and without pruning."""
    path = folder / "receiver.db"
    grow(path, given.old, days=(200, 95))
    grow(path, given.kept, days=(29, 1))
    before = count(path, "execution")
    took: dict[str, list[float]] = {"without": [], "with": []}
    longest, sent, ratios = 0.0, 0, []
    with hooked() as hook, Watched(folder / "receiver.db-wal") as log:
        windows = _by_command if given.by == "command" else _by_server
        for pair in windows(given, folder, hook):
            sent += len(pair.pop("warm"))
            for name, seconds in pair.items():
                took[name] += seconds
                sent += len(seconds)
            ratios.append(percentile(pair["with"], 0.99) / percentile(pair["without"], 0.99))
        longest = log.longest
    left = count(path, "execution")
    found = {"removed": float(before + sent - left), "log_mb": longest}
    for name, seconds in took.items():
        for part in (0.5, 0.99, 0.999):
            found[f"{name}_p{part * 100:g}_ms"] = percentile(seconds, part)
        found[f"{name}_max_ms"] = max(seconds) * 1000
    store = SqliteStore(path)
    found |= {"ratio_p99": found["with_p99_ms"] / found["without_p99_ms"],
              "ratio_p99_of_pairs": statistics.median(ratios),
              "imbalance": store.ledger()["imbalance"]}  # fmt: skip
    store.close()
    return found


Pairs = Iterator[dict[str, list[float]]]


def _window(given: argparse.Namespace, port: int, seconds: float) -> list[float]:
    prepared = new(int(given.rate * seconds))
    return asyncio.run(steadily(port, prepared, given.rate))


def _by_server(given: argparse.Namespace, folder: Path, hook: int) -> Pairs:
    """A server begins to prune a minute after its start: what it takes before and after that."""
    for _ in range(given.rounds):
        began = time.monotonic()
        with served(folder, given.http, hook) as (_, port):
            pair = {"warm": _window(given, port, 2)}
            pair["without"] = _window(given, port, given.seconds)
            if time.monotonic() > began + FIRST - 1:
                raise RuntimeError(f"--seconds {given.seconds:g} does not fit before it prunes")
            before = count(folder / "receiver.db", "execution")
            while count(folder / "receiver.db", "execution") >= before:
                time.sleep(0.5)
            yield {**pair, "with": _window(given, port, given.seconds)}


def _by_command(given: argparse.Namespace, folder: Path, hook: int) -> Pairs:
    """`receiver prune` runs beside the server, and is stopped, in turn."""
    with served(folder, given.http, hook) as (_, port):
        warm = _window(given, port, 2)
        for _ in range(given.rounds):
            pair = {"warm": warm, "without": _window(given, port, given.seconds)}
            warm = []
            command = [sys.executable, "-m", "receiver", "prune"]
            beside = subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONPATH": TOP},
                                      stdout=subprocess.DEVNULL)  # fmt: skip
            pair["with"] = _window(given, port, given.seconds)
            beside.terminate()
            beside.wait(30)
            yield pair


def log(given: argparse.Namespace, folder: Path) -> dict[str, float]:
    """As much load as it takes: alone, with a reader that stays, and after it has gone."""
    path = folder / "receiver.db"
    grow(path, given.stored, days=(29, 1))
    found: dict[str, float] = {}
    with hooked() as hook, served(folder, given.http, hook) as (_, port):
        for name in ("alone", "reader", "after"):
            prepared = new(given.count)
            with closing(sqlite3.connect(path)) as reader, Watched(Path(f"{path}-wal")) as watched:
                if name == "reader":
                    reader.execute("BEGIN")
                    reader.execute("SELECT count(*) FROM event").fetchone()
                rate, took = asyncio.run(drive(port, prepared, 64))
            if name == "reader":  # what it does once the reader has gone
                asyncio.run(steadily(port, new(given.count // 20), 200))
            found |= {f"{name}_log_mb": watched.longest, f"{name}_per_s": rate,
                      f"{name}_p99_ms": percentile(took, 0.99)}  # fmt: skip
    store = SqliteStore(path)
    found["imbalance"] = store.ledger()["imbalance"]
    store.close()
    return found


_RATIOS = ("new_ratio", "new_processor_ratio", "moves_ratio", "moves_processor_ratio")
GOALS: Goals = {
    **dict.fromkeys(_RATIOS, (AT_LEAST, 0.85)),
    **dict.fromkeys(("new_many_max_ms", "moves_many_max_ms"), (AT_MOST, 100.0)),
}
Bench = Callable[[argparse.Namespace, Path], dict[str, float]]
BENCHES: dict[str, tuple[Bench, dict[str, Any]]] = {
    "intake": (intake, {"stored": 1_000_000, "few": 1_000, "count": 3_000, "rounds": 5,
                        "folder": ""}),
    "prune": (prune, {"old": 300_000, "kept": 200_000, "rate": 200.0, "seconds": 20.0,
                      "rounds": 3, "by": "server"}),
    "log": (log, {"stored": 200_000, "count": 10_000}),
}  # fmt: skip


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
    if not given.json:
        print(f"{given.name}, {given.http}:")
    show(found, GOALS, as_json=given.json)
    return found


def main() -> None:
    bench(*sys.argv[1:])
