"""A worker that was stopped or killed at any step loses nothing and records over nobody."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.support.destinations import Destination
from tests.support.proving import MARK, Report, rules, store_of, told
from tests.support.served import Served, event

STEPS = (
    "before-claim", "after-claim", "before-send", "after-send", "before-record", "after-record",
)  # fmt: skip
HELD = STEPS[1:5]  # at these the first worker has the claim
CASES = (
    *(f"{step}-{how}" for step in STEPS for how in ("kill", "stop")),
    *(f"{step}-overlap" for step in HELD),
)
# Seconds. On PostgreSQL sixteen workers have to connect in that time.
LEASE, LEASE_IN_POSTGRES = 1.0, 4.0


async def stops(given: argparse.Namespace, report: Report, folder: Path) -> None:
    to = [Destination(name) for name in CASES if given.only in name]
    async with Served(
        folder,
        to,
        rules(to, told(to)),
        given.tree,
        arguments=("--no-dispatch",),
        store=store_of(given),
    ) as served:
        await served.post(event("FAILED", "x", "x"))
        served.kill(signal.SIGTERM)
        await served.ended(25)
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.prove_deliveries.worker", str(folder),
            str(LEASE_IN_POSTGRES if served.database_url else LEASE),
            served.database_url,
            cwd=given.tree, env={**os.environ, "PYTHONPATH": str(given.tree)},
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(worker.communicate(), 60)
    cases = [json.loads(line) for line in said.splitlines()]
    report.must(len(cases) == len(to), "every case comes to its end")
    for one in sorted(cases, key=lambda one: CASES.index(one["case"])):
        judge(report, one, next(d for d in to if d.name == one["case"]))


def judge(report: Report, one: dict[str, Any], to: Destination) -> None:
    """Hold what became of both workers and what arrived against what must."""
    name = one["case"]
    step, _, how = name.rpartition("-")
    arrivals = to.arrivals
    report.figures[f"{name}: first, second, arrivals"] = (
        f"{one['first']}, {one['second']}, {len(arrivals)}"
    )
    first = {"before-claim": "nothing", "after-record": "recorded"}.get(step, "lost")
    report.must(one["first"] == ("killed" if how == "kill" else first), f"{name}: first worker")
    second = "nothing" if step == "after-record" else "recorded"
    report.must(one["second"] == second, f"{name}: its successor")
    report.must(one["states"] == ["sent"] and not one["imbalance"], f"{name}: it is sent")
    if how != "kill":
        report.must(one["before"] == one["after"], f"{name}: nothing is recorded over a successor")
    sent_by_first = step in ("after-send", "before-record") or (how != "kill" and step in HELD)
    expected = 2 if sent_by_first else 1
    report.must(len(arrivals) == expected, f"{name}: it arrives {expected} times")
    marked = sum(MARK in a.text for a in arrivals)
    report.must(marked == (step in HELD), f"{name}: what may be a repeat says so, and nothing else")
