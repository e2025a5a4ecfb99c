"""Proves that the state holds: in a storm, in a backup, and from older programs on.

    python -m tests.prove_state NAME [options] --seed 1

Figures are printed; the exit code is 1 if a promise is broken.

* **storm**: `receiver serve` takes whole stories of many executions over many connections, while
  others read the API, run commands and prune, and is killed at random moments. Nothing acknowledged
  is missing, no event is stored twice, the ledger is balanced, and every reader gets an answer.
* **people**: waits that people hear of, in a storm of kills, reloads, silences, acknowledgements
  and destinations that fail, refuse or do not answer. When all has ended and works again, nothing
  waits that should have gone, and whoever was told of a wait, or may have been, was told its end
  once.
* **backups**: copies of the file are taken while it is written, by SQLite's backup and by
  `VACUUM INTO`. Each opens, is whole and in balance, and has all that was acknowledged before it
  began.
* **older**: a store of every earlier schema, with rows of each kind that it knows, is opened by
  this program. The rows are the same, what waits is due when it was, and the ledger is balanced.
"""

from __future__ import annotations

from tests.prove_state.backups import backups
from tests.prove_state.older import older
from tests.prove_state.people import people
from tests.prove_state.storm import storm
from tests.support.proving import Proofs, Report, command, parsed, proven

LIMIT = 2 * 3600  # seconds for any proof
PROOFS: Proofs = {
    "storm": (storm, {"events": 12_000, "kills": 8, "connections": 32}),
    "people": (people, {"kills": 39, "executions": 60, "seconds": 1.5}),
    "backups": (backups, {"events": 12_000, "backups": 8}),
    "older": (older, {}),
}


def prove(*arguments: str) -> Report:
    """Make a proof as the command line says."""
    given = parsed("tests.prove_state", PROOFS, arguments)
    return proven(given, PROOFS[given.name][0], LIMIT)


def main() -> None:
    """Make the proof that the command line names."""
    command(prove)
