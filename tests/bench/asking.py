"""`python -m tests.bench_asking`: what intake's answers wait beside a poller at its limit.

Two receivers as processes of their own, on equal databases, get webhooks at the same steady rate,
in turn, there and back again. One of them asks a stand-in of the provider about stored executions
as often as its `rate` allows; the other one has no `api`. The figure is the ratio of their p99 in
one run. The load of the machine is printed: beside others who use its processors it says little,
and the processor time of a question says more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import intake
from tests.bench.hook import processor
from tests.support.provider import KEY, StandIn, standing_in
from tests.support.steady import Steady

API = """\
    api: {{base_url: "{url}", key: "${{API_KEY}}", rate: {rate}/s}}
    reconcile: {{every: 1m, quiet_for: 1s, discover: 1h}}
"""
NAMES = ("with", "without")


def measure(given: argparse.Namespace, folder: Path, provider: StandIn) -> dict[str, float]:
    """Return the figures of both, and what the poller asked."""
    base = intake.ROUTES
    head, line, rest = base.partition("destinations:")
    asking = head + API.format(url=provider.url, rate=given.asks) + line + rest
    now = time.time_ns()
    for number in range(given.executions):
        provider.moves(f"open-{number}", "running", now - 120 * 10**9)
    servers = {}
    took: dict[str, list[list[float]]] = {name: [] for name in NAMES}
    checkout = str(Path(__file__).parents[2])
    asked, passed = 0, 0.0
    try:
        for name, routes in zip(NAMES, (asking, base), strict=True):
            intake.ROUTES = routes
            own = str(folder / name)
            servers[name] = intake.serve_ours(checkout, given.http, 1, own, API_KEY=KEY)
        _wait(provider)
        cost = _cost(provider, {name: process.pid for name, (process, _) in servers.items()})
        for number in range(given.rounds + 1):
            for name in NAMES[:: -1 if number % 2 else 1]:
                count = int(given.rate * given.seconds)
                posts = Steady(servers[name][1], given.rate)
                prefix = f"r{number}-{name}"
                for each in range(count):  # they are asked about, too
                    provider.moves(f"{prefix}-{each}", "running", now)
                before, begun = len(provider.requests), time.monotonic()
                asyncio.run(posts.run(intake.requests(count, "EXECUTION_STARTED", prefix)))
                if number:  # the first round is to warm up
                    took[name].append(posts.took)
                    asked += len(provider.requests) - before
                    passed += time.monotonic() - begun
    finally:
        intake.ROUTES = base
        for process, _ in servers.values():
            process.terminate()
            process.wait(30)
    return {"ask_processor_ms": cost} | _figures(took, asked / passed)


def _cost(provider: StandIn, processes: dict[str, int]) -> float:
    """Return the processor time of a question (ms), while no webhook comes."""
    before = {name: processor(pid) for name, pid in processes.items()}
    asked = len(provider.requests)
    time.sleep(10)
    used = {name: processor(pid) - before[name] for name, pid in processes.items()}
    return (used["with"] - used["without"]) * 1_000 / max(len(provider.requests) - asked, 1)


def _wait(provider: StandIn) -> None:
    """Wait until the poller has found the executions, and asks about one after the other."""
    end = time.monotonic() + 120
    while len(provider.requests) < 50:
        if time.monotonic() > end:
            raise RuntimeError("the poller does not ask")
        time.sleep(0.1)


def _figures(took: dict[str, list[list[float]]], asks: float) -> dict[str, float]:
    found = {"asks_per_s": asks}
    for name, rounds in took.items():
        whole = [seconds for each in rounds for seconds in each]
        found[f"{name}_p50_ms"] = intake.percentile(whole, 0.5)
        found[f"{name}_p99_ms"] = intake.percentile(whole, 0.99)
    found["p99_ratio"] = found["with_p99_ms"] / found["without_p99_ms"]
    found["p99_ratio_median_of_rounds"] = statistics.median(
        intake.percentile(mine, 0.99) / intake.percentile(theirs, 0.99)
        for mine, theirs in zip(took["with"], took["without"], strict=True)
    )
    return found


def main() -> int:
    """Run the command; exit code 1: the goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--http", default="h11", choices=["h11", "httptools"])
    parser.add_argument("--rate", type=float, default=200, help="webhooks a second")
    parser.add_argument("--seconds", type=float, default=5, help="of a round")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--asks", type=int, default=10, help="the most requests a second")
    parser.add_argument("--executions", type=int, default=1_000, help="that are asked about")
    parser.add_argument("--goal", type=float, default=1.1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, standing_in() as provider:
        found = measure(given, Path(folder), provider)
    found["load_before"] = before
    if given.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"  {name:<28} {value:10.3f}")
    return 0 if found["p99_ratio"] <= given.goal else 1


if __name__ == "__main__":
    sys.exit(main())
