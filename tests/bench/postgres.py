"""Intake on PostgreSQL: `python -m tests.bench_intake --store postgres`.

All on one server that syncs each commit, in turn: a transaction for each event, one process,
several processes, and a file beside them. What bounds them is seen by the processor time that
receivers, server and sender spend on a webhook (`…_cpu_ms`): with all processors of this machine
for themselves they could do so many a second (`…_at_most_per_s`), and one process, which has one
interpreter, `one_receiver_at_most_per_s`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import time
from pathlib import Path

from tests.bench import intake
from tests.support.postgres import Server, running
from tests.support.steady import Steady

EACH = (
    "from receiver.store import committer; committer.MAX_BATCH = 1;"
    " from receiver.__main__ import main; main()"
)
TOP = str(Path(__file__).parents[2])


def measure_postgres(given: argparse.Namespace, folder: str) -> dict[str, float]:
    """Rounds of all in turn: medians of acknowledged a second, and answers at a steady rate."""
    rates: dict[str, list[float]] = {}
    took: dict[str, list[float]] = {}
    spent: dict[str, list[float]] = {}
    with running(Path(folder), "") as server:
        started = _started(given, folder, server)
        try:
            for number in range(given.rounds):
                for name, ports in started.items():
                    prefix = f"r{number}-{name}"
                    before = _spent(name, server)
                    rate = asyncio.run(_drive(ports, given, prefix))
                    rates.setdefault(name, []).append(rate)
                    for who, now in _spent(name, server).items():
                        costs = spent.setdefault(f"{name}_{who}_cpu_ms", [])
                        costs.append((now - before[who]) / given.count * 1000)
            for name in ("file", "one"):
                posts = Steady(started[name][0], given.rate)
                count = int(given.rate * given.seconds)
                prepared = intake.requests(count, "EXECUTION_STARTED", f"paced-{name}")
                asyncio.run(posts.run(prepared))
                took[name] = posts.took
        finally:
            for process in (each for of in _PROCESSES.values() for each in of):
                process.terminate()
                process.wait(30)
    found = {f"{name}_per_s": statistics.median(of) for name, of in rates.items()}
    found |= {name: statistics.median(of) for name, of in spent.items()}
    processors = found["processors"] = float(os.cpu_count() or 1)
    for name in rates:
        all_ms = sum(found[f"{name}_{who}_cpu_ms"] for who in ("receivers", "server", "sender"))
        found[f"{name}_at_most_per_s"] = processors * 1000 / all_ms
    found["one_receiver_at_most_per_s"] = 1000 / found["one_receivers_cpu_ms"]
    found["one_to_each"] = found["one_per_s"] / found["each_per_s"]
    found["several_to_one"] = found["several_per_s"] / found["one_per_s"]
    for name, seconds in took.items():
        found[f"{name}_paced_p50_ms"] = intake.percentile(seconds, 0.5)
        found[f"{name}_paced_p99_ms"] = intake.percentile(seconds, 0.99)
    return found


_PROCESSES: dict[str, list[subprocess.Popen[bytes]]] = {}


def _spent(name: str, server: Server) -> dict[str, float]:
    """Return the processor time (seconds) that receivers, server and sender have spent so far."""
    found = {"receivers": sum(_seconds(process.pid) for process in _PROCESSES[name])}
    if server.engine is not None:
        root = server.engine.get_pid()
        found["server"] = _seconds(root) + sum(
            _seconds(int(path.name))
            for path in Path("/proc").glob("[0-9]*")
            if _parent(path) == root
        )
    return found | {"sender": time.process_time()}


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _parent(path: Path) -> int:
    try:
        return int((path / "stat").read_text("utf-8").rpartition(")")[2].split()[1])
    except OSError:  # it has ended
        return 0


def _started(given: argparse.Namespace, folder: str, server: Server) -> dict[str, list[int]]:
    """Start all; the ports of each."""

    def serve(name: str, url: str, *command: str) -> int:
        process, port = intake.serve_ours(
            TOP, given.http, 1, f"{folder}/{name}", command or ("-m", "receiver"),
            RECEIVER_DATABASE_URL=url,
        )  # fmt: skip
        _PROCESSES.setdefault(name.partition("-")[0], []).append(process)
        return port

    shared = server.schema()
    return {
        "file": [serve("file", "sqlite:///receiver.db")],
        "each": [serve("each", server.schema(), "-c", EACH)],
        "one": [serve("one", server.schema())],
        "several": [serve(f"several-{n}", shared) for n in range(given.processes)],
    }


async def _drive(ports: list[int], given: argparse.Namespace, prefix: str) -> float:
    """Drive all processes at the same time; acknowledged a second, over all of them."""
    share = given.count // len(ports)
    drives = [
        intake.drive(
            port, intake.requests(share, "EXECUTION_STARTED", f"{prefix}-{port}"),
            given.connections // len(ports),
        )
        for port in ports
    ]  # fmt: skip
    begun = time.perf_counter()
    await asyncio.gather(*drives)
    return float(share * len(ports) / (time.perf_counter() - begun))
