"""`python -m tests.bench_startup`: processor time of commands that only look, and what they import;
and how long `receiver serve` takes until it is ready.

User and system time of a process of its own; the least of several, because whatever else runs on
the machine can only add to it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

from receiver.store.sqlite.store import SqliteStore
from tests.bench.goals import AT_MOST, show
from tests.bench.hook import processor
from tests.support.live import free_port

TOP = Path(__file__).parents[2]
COMMANDS = (("--help",), ("executions",), ("deliveries",), ("prune", "--dry-run"), ("check",))
# Libraries that take long, and are for those who serve, send or read rules.
HEAVY = (
    "apprise",
    "requests",
    "starlette",
    "uvicorn",
    "jinja2",
    "yaml",
    "pydantic",
    "sqlite_utils",
)
ROUTES = """\
sources:
  s: {verify: {scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}}
destinations:
  ops: "json://127.0.0.1:9/"
routes:
  - {name: failures, match: {status: failed}, notify: [ops]}
"""
_MODULES = (
    "import sys; sys.argv[0] = 'receiver'\n"
    "from receiver.cli.main import main\n"
    "try: main()\n"
    "finally: print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
)


def environ() -> dict[str, str]:
    """Ours without settings."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RECEIVER_")}
    return {**clean, "PYTHONPATH": str(TOP)}


def _seconds(folder: Path, *arguments: str) -> float:
    """Return the processor time of one run of Python."""
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=environ(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, took = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return took.ru_utime + took.ru_stime


def seconds(folder: Path, *arguments: str, runs: int = 5) -> float:
    """Return the least processor time of so many runs of `receiver …`."""
    return min(_seconds(folder, "-m", "receiver", *arguments) for _ in range(runs))


def times_as_long(folder: Path, *arguments: str, libraries: str, runs: int = 5) -> float:
    """Return how many times the processor time of importing its libraries `receiver …` takes.

    Both take turns, and each counts by its least: machines differ by three, this does not.
    """
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(_seconds(folder, "-m", "receiver", *arguments))
        theirs.append(_seconds(folder, "-c", f"import {libraries}"))
    return min(ours) / min(theirs)


def ready(folder: Path, runs: int) -> tuple[float, float]:
    """Return the seconds from the start of `receiver serve` to /readyz, and its processor time.

    The least of so many runs; those of a program that is compiled, as an installed one is.
    """
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    took = []
    for _ in range(runs + 1):
        port, began = free_port(), time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "receiver", "serve", "--port", str(port)], cwd=folder,
            env={**environ(), **compiled}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            while process.poll() is None:
                with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/readyz"):
                    break
            took.append((time.perf_counter() - began, processor(process.pid)))
        finally:
            process.terminate()
            process.wait(30)
    return min(each for each, _ in took), min(each for _, each in took)


def imports(folder: Path, *arguments: str) -> set[str]:
    """The top-level modules that `receiver …` has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", _MODULES, *arguments], cwd=folder, env=environ(),
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    return set(done.stderr.decode().split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="receiver-bench-") as made:
        folder = Path(made)
        (folder / "routes.yaml").write_bytes((TOP / "routes.yaml").read_bytes())
        SqliteStore(folder / "receiver.db").close()
        for command in COMMANDS:
            heavy = sorted(imports(folder, *command) & set(HEAVY))
            took = seconds(folder, *command, runs=runs)
            print(f"receiver {' '.join(command):<18} {took:.3f} s  {', '.join(heavy)}")
        (folder / "routes.yaml").write_text(ROUTES, "utf-8")
        seconds_to_ready, used = ready(folder, min(runs, 5))
        show(
            {"serve_to_ready_s": seconds_to_ready, "serve_to_ready_processor_s": used},
            {"serve_to_ready_s": (AT_MOST, 1.0)},
        )
