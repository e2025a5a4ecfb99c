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
* **senders**: the process that sends is killed at random and at chosen moments: nothing owed is
  missing, no webhook is cut, and only messages that it had begun repeat, each of them marked.
* **shutdown**: SIGTERM under load, with half-sent bodies, idle connections and a hanging
  destination ends with exit code 0 within 25 s, and nothing acknowledged is missing afterwards.
* **planted**: bugs planted into a copy of the program turn these proofs red.
"""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path

from tests.prove_deliveries.hanging import hanging
from tests.prove_deliveries.kills import MOMENTS, kills
from tests.prove_deliveries.late import late
from tests.prove_deliveries.planted import BUGS
from tests.prove_deliveries.senders import SENDER_MOMENTS, senders
from tests.prove_deliveries.shutdown import shutdown
from tests.prove_deliveries.stops import stops
from tests.support import planting
from tests.support.destinations import Destination
from tests.support.proving import (
    MARK,
    Load,
    Proofs,
    Report,
    arrived,
    command,
    in_order,
    parsed,
    proven,
    rules,
    store_of,
    told,
)
from tests.support.served import Served, until


async def faultless(given: argparse.Namespace, report: Report, folder: Path) -> None:
    to = [Destination(name) for name in ("one", "two", "three", "four")]
    text, store = rules(to, told(to)), store_of(given)
    async with Served(folder, to, text, given.tree, http=given.http, store=store) as served:
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


async def plant(given: argparse.Namespace, report: Report, _: Path) -> None:
    """Every planted bug must be found, by the promise that it breaks."""
    await planting.plant(BUGS, prove, given, report)


LIMIT = 1800  # seconds for any proof
PROOFS: Proofs = {
    "faultless": (faultless, {"count": 100_000, "patience": 60.0}),
    "kills": (kills, {"kills": 200, "patience": 30.0, "moments": MOMENTS}),
    "stops": (stops, {"only": ""}),
    "hanging": (
        hanging,
        {"pairs": 60, "seconds": 2.0, "rate": 20, "timeout": 30, "settle": 15.0, "goal": 1.10,
         "how": "hang"},
    ),
    "late": (late, {"count": 1_000, "seconds": 60.0, "refuse": 0.5}),
    "senders": (
        senders, {"kills": 1_000, "patience": 120.0, "timeout": 20.0, "moments": SENDER_MOMENTS}
    ),
    "shutdown": (shutdown, {"runs": 20, "drain": 0}),
    "planted": (plant, {"only": ""}),
}  # fmt: skip


def prove(*arguments: str) -> Report:
    """Make a proof as the command line says."""
    given = parsed("tests.prove_deliveries", PROOFS, arguments, stores=("sqlite", "postgres"))
    return proven(given, PROOFS[given.name][0], LIMIT)


def main() -> None:
    """Make the proof that the command line names."""
    command(prove)
