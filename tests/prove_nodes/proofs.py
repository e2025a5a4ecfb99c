"""Proves that receivers on one PostgreSQL are one receiver, whatever is killed or restarted.

    python -m tests.prove_nodes NAME [options] --seed 1

Each proof runs several `receiver serve` as real processes on a real PostgreSQL of its own, which
syncs each commit, with a sender that spreads signed webhooks over them and repeats what got no
2xx. Figures are printed; the exit code is 1 if the promise is broken.

* **kills**: nodes are killed (SIGKILL) at random and at chosen moments: nothing acknowledged is
  missing, only what a killed node was sending repeats, and says so.
* **restarts**: nodes are ended and started again in turn: besides that nothing repeats at all.
* **database**: the database is stopped, `immediate` or `fast`, and started again: nothing
  acknowledged is missing, each node is ready within 5 s, and none ends.
* **one**: a rate of 5/s is that over all nodes, a group of the events of all is one digest, and a
  reminder comes once.
* **moves**: `receiver migrate` is killed at random moments, goes on, and ends with the same rows.
* **planted**: bugs planted into a copy of the program turn these proofs red.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.prove_nodes.faults import database, kills, restarts
from tests.prove_nodes.moves import moves
from tests.prove_nodes.one import one
from tests.prove_nodes.planted import BUGS
from tests.support import planting
from tests.support.proving import Proofs, Report, command, parsed, proven


async def plant(given: argparse.Namespace, report: Report, _: Path) -> None:
    """Every planted bug must be found, by the promise that it breaks."""
    await planting.plant(BUGS, prove, given, report)


LIMIT = 3_600  # seconds for any proof
PROOFS: Proofs = {
    "kills": (kills, {"kills": 50, "nodes": 3, "patience": 60.0, "pause": 1.0}),
    "restarts": (restarts, {"restarts": 50, "nodes": 3, "patience": 60.0}),
    "database": (
        database,
        {"restarts": 20, "nodes": 3, "patience": 60.0, "pause": 2.0, "within": 5.0},
    ),
    "one": (one, {"count": 100, "nodes": 3, "patience": 60.0}),
    "moves": (moves, {"kills": 50, "executions": 20_000}),
    "planted": (plant, {"only": ""}),
}


def prove(*arguments: str) -> Report:
    """Make a proof as the command line says."""
    given = parsed("tests.prove_nodes", PROOFS, arguments, stores=("postgres",))
    given.stops = given.name == "database"
    if given.name == "planted":
        given.store = "sqlite"  # each proof has its own
    return proven(given, PROOFS[given.name][0], LIMIT)


def main() -> None:
    """Make the proof that the command line names."""
    command(prove)
