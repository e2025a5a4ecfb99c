"""Nodes that are killed or restarted, and a database that is, all of it under load."""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.prove_nodes.cluster import QUICK, Cluster, judge
from tests.support.destinations import Destination
from tests.support.proving import Load, Report, rules, told
from tests.support.served import CUT, Served, until

MOMENTS = ("random", "acknowledged", "connected", "received", "answered")


@asynccontextmanager
async def loaded(
    given: argparse.Namespace, report: Report, folder: Path
) -> AsyncIterator[tuple[Cluster, Load]]:
    """Several nodes under load; in the end what arrived is judged."""
    to = [Destination(name, keeps=name == "one") for name in ("one", "two", "three")]
    async with Cluster(folder, to, rules(to, told(to), more=QUICK), given) as cluster:
        load = Load(cluster, given.seed, most=60)
        working = asyncio.create_task(load.run(workers=6))
        await until(lambda: len(load.acked) > 20, "events are acknowledged")
        yield cluster, load
        load.stopping = True
        await working
        ledger = await cluster.end(report, given.patience)
        judge(report, cluster, load.acked, ledger)


async def kills(given: argparse.Namespace, report: Report, folder: Path) -> None:
    chance, moments = random.Random(given.seed), Counter[str]()
    async with loaded(given, report, folder) as (cluster, load):
        armed = Armed(cluster, load)
        for _ in range(given.kills):
            moment, node = chance.choice(MOMENTS), chance.choice(cluster.nodes)
            moments[moment] += 1
            if moment == "random":
                await asyncio.sleep(chance.uniform(0, 0.5))
            else:
                await armed.wait_for(moment, chance.randint(1, 20), node)
            await cluster.kill(node)
            await asyncio.sleep(chance.uniform(0, given.pause))
            await node.start()
        report.figures |= {"nodes": len(cluster.nodes), "kills": moments.total()}
        report.figures |= {f"kills, {moment}": n for moment, n in sorted(moments.items())}


class Armed:
    """A moment at which a node dies on the spot: destinations and acknowledgements tell of it."""

    def __init__(self, cluster: Cluster, load: Load) -> None:
        self._moment, self._count, self._node = "", 0, cluster.nodes[0]
        for destination in cluster.destinations:
            destination.watch = self._happened
        load.on_ack = lambda: self._happened("acknowledged")

    def _happened(self, moment: str) -> None:
        if moment == self._moment:
            self._count -= 1
            if self._count == 0:
                self._moment = ""
                self._node.kill()

    async def wait_for(self, moment: str, count: int, node: Served) -> None:
        """Kill the node when that happens for the so many-th time."""
        self._moment, self._count, self._node = moment, count, node
        await until(lambda: not self._moment, f"killed when {moment}")


async def restarts(given: argparse.Namespace, report: Report, folder: Path) -> None:
    longest = 0.0
    async with loaded(given, report, folder) as (cluster, load):
        for number in range(given.restarts):
            node = cluster.nodes[number % len(cluster.nodes)]
            before = len(load.acked)
            longest = max(longest, await cluster.stop(node, report))
            await until(lambda n=before: len(load.acked) > n, "the others go on")  # type: ignore[misc]
            await node.start()
        report.figures |= {
            "nodes": len(cluster.nodes), "rolling restarts": given.restarts,
            "longest end (s)": longest,
        }  # fmt: skip
    report.must(longest <= 25, "a node ends within 25 s")
    report.must(cluster.sending.total() == 0, "nothing is left in sending")
    report.must(report.figures["repeats"] == 0, "a restart repeats nothing")


async def database(given: argparse.Namespace, report: Report, folder: Path) -> None:
    chance, modes, slowest = random.Random(given.seed), Counter[str](), 0.0
    async with loaded(given, report, folder) as (cluster, load):
        processes = [node.process for node in cluster.nodes]
        for _ in range(given.restarts):
            before = len(load.acked)
            await until(lambda n=before: len(load.acked) > n + 20, "events come")  # type: ignore[misc]
            mode = chance.choice(("immediate", "fast"))
            modes[mode] += 1
            await asyncio.sleep(chance.uniform(0, 0.3))
            await asyncio.to_thread(given.server.stop, mode)
            await asyncio.sleep(chance.uniform(0, given.pause))
            await asyncio.to_thread(given.server.start)
            back = time.monotonic()
            cluster.note_sending()
            for node in cluster.nodes:
                await ready(node)
            slowest = max(slowest, time.monotonic() - back)
        report.figures |= {
            "nodes": len(cluster.nodes), **{f"restarts, {mode}": n for mode, n in modes.items()},
            "slowest to be ready again (s)": slowest,
        }  # fmt: skip
        report.must(
            [node.process for node in cluster.nodes] == processes
            and all(process is not None and process.poll() is None for process in processes),
            "no process ends or is restarted",
        )
    report.must(slowest <= given.within, f"all nodes are ready within {given.within:g} s")


async def ready(node: Served) -> None:
    """Wait until a node says that it is ready."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if node.process is None or node.process.poll() is not None:
            raise AssertionError("no process ends or is restarted")
        try:
            if (await node.request("GET", "/readyz"))[0] == 200:
                return
        except CUT:
            pass
        await asyncio.sleep(0.02)
    raise AssertionError("a node is not ready 60 s after the database is")
