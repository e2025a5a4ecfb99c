"""Proves that a 2xx means on disk, whatever happens to the process and its storage.

    python -m tests.prove_durability NAME [options] --seed 1

Each proof runs `receiver serve` with real webhooks over loopback and keeps its own synced list of
what was acknowledged. Figures are printed; the exit code is 1 if a promise is broken.

* **kills**: the process is killed at the N-th pwrite64, fdatasync, write and sendto for
  N = 1, 2, 3 … (by strace), while it starts, creates its file, stores, checkpoints, sends and
  answers; and at random moments under load. After each kill nothing acknowledged is missing, the
  ledger is balanced, integrity_check is clean, and the next start comes up and goes on; what is
  told again is a duplicate. Every `--cold`-th start is a new interpreter, the others are forked
  from one that has imported everything (`tests.prove_durability.forks`), but for that the same.
* **order**: a record of all system calls says of each acknowledged webhook that its frames were
  written into the log, that a sync of the log began after that and ended well, and that the answer
  began after that.
* **losses**: the power goes. From such a record the files are built anew as they may stand on the
  disk at any moment, without what was not synced, or with any part of it, torn; nothing
  acknowledged is missing, and the file is one to start on.
* **storage**: the disk fills up and is freed, another process locks the file or writes beside, a
  sync fails, the file is moved away, a folder is read-only, a file is damaged, foreign, newer or
  older, the clock jumps:
  webhooks are refused with 503 and when to come again, or the start is with what to do; nothing
  acknowledged is lost, and what can heal goes on. `--only NAME` for one of them.
* **stops**: SIGTERM and SIGINT under load with a hundred half-sent bodies end with exit code 0
  within 25 s, and nothing is lost.
* **planted**: bugs planted into a copy of the program turn these proofs red.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.prove_durability.clock import clock
from tests.prove_durability.files import files
from tests.prove_durability.kills import kills
from tests.prove_durability.losses import losses
from tests.prove_durability.order import order
from tests.prove_durability.planted import BUGS
from tests.prove_durability.stops import stops
from tests.prove_durability.storage import SCENARIOS, Skipped
from tests.support import planting
from tests.support.proving import Proofs, Report, command, parsed, proven


async def storage(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """Each way in which storage fails, or one of them."""
    for name, scenario in {**SCENARIOS, "files": files, "clock": clock}.items():
        if given.only not in ("", name):
            continue
        place, one = folder / name, Report(name)
        place.mkdir()
        try:
            await scenario(given, one, place)
        except Skipped as skipped:
            one.figures["skipped"] = report.skipped = str(skipped)
        except AssertionError as failed:
            one.broken.append(str(failed))
        report.figures |= {f"{name}: {what}": value for what, value in one.figures.items()}
        report.broken += [f"{name}: {promise}" for promise in one.broken]


async def plant(given: argparse.Namespace, report: Report, _: Path) -> None:
    """Every planted bug must be found, by the promise that it breaks."""
    await planting.plant(BUGS, prove, given, report)


LIMIT = 4 * 3600  # seconds for any proof
PROOFS: Proofs = {
    "kills": (
        kills,
        {"points": 10_000, "kills": 1_000, "cold": 10, "seconds": 7200.0, "calls": "", "fresh": 0},
    ),
    "order": (order, {"events": 3_000}),
    "losses": (losses, {"events": 600, "losses": 2_000}),
    "storage": (storage, {"only": ""}),
    "stops": (stops, {"runs": 200, "halves": 100}),
    "planted": (plant, {"only": ""}),
}


def prove(*arguments: str) -> Report:
    """Make a proof as the command line says."""
    given = parsed("tests.prove_durability", PROOFS, arguments)
    return proven(given, PROOFS[given.name][0], LIMIT)


def main() -> None:
    """Make the proof that the command line names."""
    command(prove)
