"""Proves that a 2xx means on disk, whatever happens to the process and its storage.

    python -m tests.prove_durability NAME [options] --seed 1

Each proof runs `receiver serve` with real webhooks over loopback and keeps its own synced list of
what was acknowledged. Figures are printed; the exit code is 1 if a promise is broken.

* **kills**: the process is killed at the N-th pwrite64, fdatasync, write and sendto for
  N = 1, 2, 3 … (by strace), while it starts, creates its file, stores, checkpoints, sends and
  answers; and at random moments under load. After each kill nothing acknowledged is missing, the
  ledger is balanced, integrity_check is clean, and the next start comes up and goes on; what is
  told again is a duplicate. Every `--cold`-th start is a new interpreter, the others are forked
  from one that has imported everything (`tests.durable_forks`) and are otherwise the same command.
* **order**: a record of all system calls says of each acknowledged webhook that its frames were
  written into the log, that a sync of the log began after that and ended well, and that the answer
  began after that.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.durable_clock import clock
from tests.durable_driver import HERE, Report
from tests.durable_files import files
from tests.durable_kills import kills
from tests.durable_order import order
from tests.durable_stops import stops
from tests.durable_storage import SCENARIOS, Skipped


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


LIMIT = 4 * 3600  # seconds for any proof
Proof = Callable[[argparse.Namespace, Report, Path], Awaitable[None]]
PROOFS: dict[str, tuple[Proof, dict[str, object]]] = {
    "kills": (kills, {"points": 10_000, "kills": 1_000, "cold": 10, "seconds": 7200.0}),
    "order": (order, {"events": 3_000}),
    "storage": (storage, {"only": ""}),
    "stops": (stops, {"runs": 200, "halves": 100}),
}


def prove(*arguments: str) -> Report:
    """Run a proof as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove_durability")
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


if __name__ == "__main__":
    main()
