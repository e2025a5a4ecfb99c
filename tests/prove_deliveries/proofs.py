"""Proves, from the outside, that nothing owed is lost, nothing untrue is sent, none slows another.

    python -m tests.prove_deliveries NAME [options] --seed 1

Each proof runs `receiver serve` as a real process with real signed webhooks and destinations on
loopback that note what arrives, and afterwards reads its file. It keeps its own list of what was
acknowledged. Figures are printed; the exit code is 1 if the promise is broken.

* **faultless**: without faults every owed message arrives exactly once and in order.
* **kills**: killed at random and at chosen moments, nothing owed is missing; the repeats are
  at most the deliveries in `sending` at a kill, each of them marked.
* **stops**: a worker that is killed or stopped at any step from before the claim to after the
  record loses nothing, and when it goes on after its lease, records over no successor.
* **hanging**: a destination that hangs (or misbehaves otherwise) delays neither the others nor the
  answers to webhooks. Windows with and without it alternate.
* **late**: of confirmations owed to a destination that is down, none is sent after its execution
  moved on; those that still wait are told once.
* **shutdown**: SIGTERM under load, with half-sent bodies, idle connections and a hanging
  destination ends with exit code 0 within 25 s, and nothing acknowledged is missing afterwards.
* **planted**: bugs planted into a copy of the program turn these proofs red.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.prove_deliveries.hanging import hanging
from tests.prove_deliveries.kills import MOMENTS, kills
from tests.prove_deliveries.late import late
from tests.prove_deliveries.planted import BUGS, planted
from tests.prove_deliveries.shutdown import shutdown
from tests.prove_deliveries.stops import stops
from tests.support.destinations import Destination
from tests.support.proving import MARK, Load, Report, arrived, in_order, rules, told
from tests.support.served import HERE, Served, until


async def faultless(given: argparse.Namespace, report: Report, folder: Path) -> None:
    to = [Destination(name) for name in ("one", "two", "three", "four")]
    async with Served(folder, to, rules(to, told(to)), given.tree, http=given.http) as served:
        load = Load(served, given.seed, most=500, events=given.count // len(to))
        started = time.monotonic()
        await load.run(workers=8)
        await until(lambda: load.on_their_way() <= 0, "all has arrived", 120)
        took = time.monotonic() - started
        ledger = await served.drained(given.patience)
        served.kill(signal.SIGTERM)
        report.must(await served.ended(25) == 0, "it ends with exit code 0")
    found, owed = arrived(served), {(d.name, e) for d in to for e in load.acked}
    repeated = sum(len(each) > 1 for each in found.values())
    marked = sum(MARK in a.text for each in found.values() for a in each)
    tries = served.rows("SELECT count(*) FROM attempt")[0][0]
    report.figures |= {
        "deliveries": len(owed), "deliveries per second": len(owed) / took,
        "missing": len(owed - set(found)), "not owed": len(set(found) - owed),
        "repeated": repeated, "marked as a possible repeat": marked,
        "attempts": tries, "imbalance": ledger["imbalance"],
    }  # fmt: skip
    report.must(owed == set(found), "what is owed arrives, and nothing else")
    report.must(repeated == 0 and tries == len(owed), "nothing repeats")
    report.must(marked == 0, "nothing is marked as a possible repeat")
    report.must(in_order(served), "an execution's messages keep their order")
    report.must(ledger["imbalance"] == 0, "the ledger is balanced")
    report.must(ledger["deliveries"] == {"sent": len(owed)}, "every delivery is sent")


async def plant(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """Every planted bug must be found, by the promise that it breaks."""
    for bug in BUGS:
        if given.only not in bug.name:
            continue
        with planted(bug) as tree:
            arguments = [*bug.proof.split(), "--seed", str(given.seed), "--tree", str(tree)]
            found = await asyncio.to_thread(prove, *arguments)
        red = any(bug.says in promise for promise in found.broken)
        report.figures[bug.name] = "found" if red else "NOT FOUND"
        report.must(red, f"{bug.name}: {bug.proof} says {found.broken or 'nothing'}")


LIMIT = 1800  # seconds for any proof
Proof = Callable[[argparse.Namespace, Report, Path], Awaitable[None]]
PROOFS: dict[str, tuple[Proof, dict[str, object]]] = {
    "faultless": (faultless, {"count": 100_000, "patience": 60.0}),
    "kills": (kills, {"kills": 200, "patience": 30.0, "moments": MOMENTS}),
    "stops": (stops, {"only": ""}),
    "hanging": (
        hanging,
        {"pairs": 60, "seconds": 2.0, "rate": 20, "timeout": 30, "settle": 15.0, "goal": 1.10,
         "how": "hang"},
    ),
    "late": (late, {"count": 1_000, "seconds": 60.0, "refuse": 0.5}),
    "shutdown": (shutdown, {"runs": 20, "drain": 0}),
    "planted": (plant, {"only": ""}),
}  # fmt: skip


def prove(*arguments: str) -> Report:
    """Run a proof as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove_deliveries")
    names = parser.add_subparsers(dest="name", required=True)
    for name, (_, options) in PROOFS.items():
        one = names.add_parser(name)
        for option, default in options.items():
            one.add_argument(f"--{option}", type=type(default), default=default)
        one.add_argument("--seed", type=int, default=1)
        one.add_argument("--http", default="h11", choices=["h11", "httptools"])
        one.add_argument("--tree", type=Path, default=HERE, help="the checkout that is proven")
    given = parser.parse_args(arguments)
    report = Report(f"{given.name}, seed {given.seed}")

    async def run() -> None:
        with tempfile.TemporaryDirectory(prefix="receiver-proof-") as folder:
            async with asyncio.timeout(LIMIT):
                await PROOFS[given.name][0](given, report, Path(folder))

    try:
        asyncio.run(run())
    except (AssertionError, ExceptionGroup, TimeoutError) as error:
        report.broken.append(str(error) or f"it ends within {LIMIT} s")
    return report


def main() -> None:
    # Whoever stops us stops what we started, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = prove(*sys.argv[1:])
    print(report)
    sys.exit(1 if report.broken else 0)
