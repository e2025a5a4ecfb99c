"""`python -m tests.bench_intake`: durable, verified, judged intake beside a bare Starlette app.

Both run as one process on the same HTTP implementation, in turn, several rounds in one run, so the
ratio holds where the machine's speed drifts. The load is 64 connections, each sending its next
request when its last was answered; every webhook is RSA-signed, each a new execution, and is
committed and synced before it is answered. Then the same at a steady rate (`paced`), where an
answer's time is its own and not that of a queue. Bounded in count; everything it starts, it stops.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.cli import client
from receiver.sources import signing, verification
from receiver.times import SECOND
from tests.bench.goals import AT_LEAST, AT_MOST, Goals, show
from tests.bench.hook import processor
from tests.support.live import free_port
from tests.support.steady import Connection, Steady

ROUTES = """\
sources:
  asteroid:
    verify: {scheme: rsa-sha256, keys: ["${BENCH_PUBLIC_KEY}"]}
destinations:
  hook: {url: "json://127.0.0.1:${BENCH_HOOK_PORT}/", rate: 1000/s}
routes:
  - {name: failures, match: {status: failed}, notify: [hook]}
"""
PRIVATE, PUBLIC = signing.generate("rsa-sha256")
HOW = verification.Verification("rsa-sha256")


async def bare(request: Request) -> Response:
    """What the ratio is against: reads the body, answers 202."""
    await request.body()
    return Response(status_code=202)


def serve_bare(port: int, parser: str) -> None:
    """The bare app, on the same server with the same parser and loop."""
    app = Starlette(routes=[Route("/webhooks/asteroid", bare, methods=["POST"])])
    loop = "uvloop" if parser == "httptools" else "asyncio"
    uvicorn.run(
        app, port=port, http=parser, loop=loop, log_config=None, access_log=False, ws="none"
    )


# An execution's life as it is told; its events come in order, those of others in between.
STORY = ("STARTED", "AWAITING_CONFIRMATION", "RESUMED", "PAUSED", "RESUMED", "COMPLETED")
ABREAST = 250


def stories(count: int, prefix: str) -> list[bytes]:
    """Requests that tell whole stories, so that nearly every event meets a stored execution."""
    start = client.now_whole() - 60 * SECOND
    made: list[bytes] = []
    for block in range(-(-count // (ABREAST * len(STORY)))):
        for second, event in enumerate(STORY):
            at = start + second * SECOND
            name = f"EXECUTION_{event}"
            made += requests(ABREAST, name, f"{prefix}-{block}", occurred_at=at)
    return made[:count][::-1]  # a connection takes the last one


def requests(count: int, event: str, prefix: str, *, occurred_at: int | None = None) -> list[bytes]:
    """Whole HTTP requests, signed beforehand: the sender's cost is not measured."""
    made = []
    for number in range(count):
        body = client.asteroid_event(
            event, f"{prefix}-{number}", payload={"reason": "bench"}, occurred_at=occurred_at
        )
        made.append(signed_request(body))
    return made


def signed_request(body: bytes) -> bytes:
    """Return a whole HTTP request that posts a webhook of this body."""
    ((name, value),) = signing.sign(HOW, PRIVATE, body, message_id="", now=0)
    head = (
        f"POST /webhooks/asteroid HTTP/1.1\r\nHost: localhost\r\n{name}: {value}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def drive(port: int, waiting: list[bytes], connections: int) -> tuple[float, list[float]]:
    """All requests over so many connections; acknowledged per second, and seconds for each."""
    loop, took = asyncio.get_running_loop(), list[float]()
    count = len(waiting)
    done = [loop.create_future() for _ in range(connections)]
    started = time.perf_counter()
    for future in done:
        made = partial(Connection, waiting, took, future)
        await loop.create_connection(made, "127.0.0.1", port)
    await asyncio.gather(*done)
    return count / (time.perf_counter() - started), took


class Hook(BaseHTTPRequestHandler):
    """A destination that notes when each message arrived."""

    arrived: list[float] = []  # noqa: RUF012 (one per run)
    seen = threading.Condition()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        with self.seen:
            self.arrived.append(time.perf_counter())
            self.seen.notify_all()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: its output would be measured, too."""


def arrivals(port: int, count: int) -> list[float]:
    """Seconds from POST to the message's arrival, one after the other on an idle server."""
    latencies = []
    for request in requests(count, "EXECUTION_FAILED", f"arrival-{time.time_ns()}"):
        before, sent = len(Hook.arrived), time.perf_counter()
        asyncio.run(drive(port, [request], 1))
        with Hook.seen:
            if not Hook.seen.wait_for(lambda n=before: len(Hook.arrived) > n, timeout=30):  # type: ignore[misc]
                raise RuntimeError("the message did not arrive")
        latencies.append(Hook.arrived[before] - sent)
    return latencies


def start(
    command: list[str], port: int, environ: dict[str, str], folder: str
) -> subprocess.Popen[bytes]:
    """A server process, once it accepts connections."""
    with open(os.path.join(folder, "server.log"), "ab") as log:
        process = subprocess.Popen(command, env={**os.environ, **environ}, cwd=folder, stderr=log)
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        try:
            asyncio.run(asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 1))
            return process
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the server did not start: {Path(folder, 'server.log').read_text()}")


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(int(len(values) * part), len(values) - 1)] * 1000


def serve_ours(
    checkout: str, parser: str, hook: int, folder: str, command: Sequence[str] = ("-m", "receiver"),
    **more: str,
) -> tuple[Any, int]:  # fmt: skip
    """A receiver of this or another checkout on a database of its own; the process and its port."""
    os.makedirs(folder, exist_ok=True)
    Path(folder, "routes.yaml").write_text(ROUTES, "utf-8")
    port = free_port()
    environ = {
        "RECEIVER_PORT": str(port), "BENCH_PUBLIC_KEY": PUBLIC, "RECEIVER_LOG_FORMAT": "text",
        "BENCH_HOOK_PORT": str(hook), "PYTHONPATH": checkout, "RECEIVER_HTTP": parser, **more,
    }  # fmt: skip
    return start([sys.executable, *command, "serve"], port, environ, folder), port


def serve_theirs(parser: str, folder: str) -> tuple[Any, int]:
    port, top = free_port(), str(Path(__file__).parents[2])
    code = f"from tests.bench.intake import serve_bare; serve_bare({port}, {parser!r})"
    return start([sys.executable, "-c", code], port, {"PYTHONPATH": top}, folder), port


def measure(given: argparse.Namespace, folder: str) -> dict[str, float]:
    """Rounds of all servers in turn; medians."""
    hook = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    checkouts = {"ours": str(Path(__file__).parents[2])}
    if given.against:
        checkouts["against"] = str(Path(given.against).absolute())
    servers: dict[str, tuple[Any, int]] = {}
    rates: dict[str, list[float]] = {}
    took: dict[str, list[float]] = {}
    costs: dict[str, list[float]] = {}
    try:
        for name, checkout in checkouts.items():
            own = os.path.join(folder, name)
            servers[name] = serve_ours(checkout, given.http, hook.server_port, own)
        servers["bare"] = serve_theirs(given.http, folder)
        for number in range(given.rounds):
            # There and back again: none is always the one that comes first.
            turns = list(servers.items())[:: -1 if number % 2 else 1]
            for name, (process, port) in turns:
                prefix = f"r{number}-{name}"
                prepared = (
                    stories(given.count, prefix)
                    if given.stories
                    else requests(given.count, "EXECUTION_STARTED", prefix)
                )
                used = processor(process.pid)
                rate, seconds = asyncio.run(drive(port, prepared, given.connections))
                used = processor(process.pid) - used
                costs.setdefault(name, []).append(used / given.count * 10**6)
                rates.setdefault(name, []).append(rate)
                took.setdefault(name, []).extend(seconds)
        waits = arrivals(servers["ours"][1], 30)
        paced = at_a_rate(given, {name: port for name, (_, port) in servers.items()})
    finally:
        for process, _ in servers.values():
            process.terminate()
            process.wait(30)
        hook.shutdown()
    return figures(rates, took, waits) | of_processor(costs) | paced


def at_a_rate(given: argparse.Namespace, ports: dict[str, int]) -> dict[str, float]:
    """How long an answer takes at a fixed rate, far below what either can do: p50 and p99."""
    took: dict[str, list[float]] = {name: [] for name in ports}
    for number in range(given.rounds):
        for name, port in list(ports.items())[:: -1 if number % 2 else 1]:
            posts = Steady(port, given.rate)
            count = max(int(given.rate * given.seconds), 1)
            asyncio.run(posts.run(requests(count, "EXECUTION_STARTED", f"p{number}-{name}")))
            took[name] += posts.took
    found = {"paced_p99_ratio": percentile(took["ours"], 0.99) / percentile(took["bare"], 0.99)}
    for name, seconds in took.items():
        found[f"{name}_paced_p50_ms"] = percentile(seconds, 0.5)
        found[f"{name}_paced_p99_ms"] = percentile(seconds, 0.99)
    return found


def figures(
    rates: dict[str, list[float]], took: dict[str, list[float]], waits: list[float]
) -> dict[str, float]:
    """Ratios round by round, so that they hold where the machine's speed drifts; medians."""

    def ratio(other: str) -> float:
        pairs = zip(rates["ours"], rates[other], strict=True)
        return statistics.median(mine / theirs for mine, theirs in pairs)

    found = {"ratio": ratio("bare")}
    if "against" in rates:
        found["ratio_against"] = ratio("against")
    for name, of in rates.items():
        found[f"{name}_per_s"] = statistics.median(of)
        found[f"{name}_p50_ms"] = percentile(took[name], 0.5)
        found[f"{name}_p99_ms"] = percentile(took[name], 0.99)
    found["post_to_arrival_p50_ms"] = percentile(waits, 0.5)
    found["post_to_arrival_p99_ms"] = percentile(waits, 0.99)
    return found


def of_processor(costs: dict[str, list[float]]) -> dict[str, float]:
    """The same ratio by processor time, which others on the machine disturb less; medians."""
    medians = {name: statistics.median(of) for name, of in costs.items()}
    found = {"processor_ratio": medians["bare"] / medians["ours"]}
    if "against" in medians:
        found["processor_ratio_against"] = medians["against"] / medians["ours"]
    return found | {f"{name}_us": of for name, of in medians.items()}


def goals(parser: str) -> Goals:
    """Return the goals by figure, with this parser."""
    least = (AT_LEAST, 0.50 if parser == "h11" else 0.25)
    return {"ratio": least, "processor_ratio": least, "paced_p99_ratio": (AT_MOST, 4.0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--http", default="h11", choices=["h11", "httptools"])
    parser.add_argument("--count", type=int, default=3_000, help="webhooks in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1_000, help="a second, for the paced p99")
    parser.add_argument("--seconds", type=float, default=3, help="of a paced round")
    parser.add_argument(
        "--stories", action="store_true", help="six events of each execution instead of one"
    )
    parser.add_argument("--against", help="the folder of another checkout, measured in turn")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--store", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--processes", type=int, default=3, help="that share a PostgreSQL")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="receiver-bench-") as folder:
        if given.store == "postgres":
            from tests.bench.postgres import measure_postgres

            found = measure_postgres(given, folder)
        else:
            found = measure(given, folder)
    if not given.json:
        print(f"{given.http}, {given.connections} connections, {given.rounds} × {given.count}:")
    show(found, goals(given.http), as_json=given.json)
