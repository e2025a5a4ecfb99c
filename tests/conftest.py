"""Skips: at the end of a run each reason is told once; with `CI` set no tool may be missing.

Hypothesis has no deadline for an example. Tests run beside each other; those that bound real time
run alone. Their folders are in memory where there is room: most stores are made for one test, and
only the proofs, which choose their own folder, need a disk.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.support.postgres import Server

# With `CI` set to anything, a tool that is missing is a failure.
REQUIRED = bool(os.environ.get("CI"))
MISSING = re.compile(r"is not installed|could not import")

# A time for one example tells of the machine's load, not of the program.
settings.register_profile("receiver", deadline=None)
settings.load_profile("receiver")

# Whatever runs beside these would be measured, too.
_IN_SHORT = "test_short_forms.py::test_the_promise_holds_in_short"
ALONE = (
    "tests/bench/test_growth.py::test_answers_are_measured_while_much_is_removed",
    f"tests/prove_deliveries/{_IN_SHORT}[hanging]",
    f"tests/prove_deliveries/{_IN_SHORT}[shutdown]",
    f"tests/prove_durability/{_IN_SHORT}[storage --only clock]",
    "tests/wire/test_memory.py",
)
MOST_AT_A_TIME = 8
MEMORY, ROOM = Path("/dev/shm"), 2**30  # bytes: the folders of a run take a quarter of that


def pytest_configure() -> None:
    """Put the folders of tests in memory, unless somebody says where they go."""
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Run one more at a time than there are processors: there is always one that waits."""
    return min((os.cpu_count() or 1) + 1, MOST_AT_A_TIME)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put those that run alone first, so that nobody waits for them in between."""
    items.sort(key=lambda item: not item.nodeid.startswith(ALONE))


@pytest.fixture(autouse=True)
def _beside_others(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Let a test that bounds real time run alone, and all others beside each other."""
    if not hasattr(request.config, "workerinput"):
        yield
        return
    folder = tmp_path_factory.getbasetemp().parent
    is_alone = request.node.nodeid.startswith(ALONE)
    with (folder / "turn.lock").open("w") as turn, (folder / "tests.lock").open("w") as tests:
        # Whoever waits to run alone holds the turn, so that nobody begins before it.
        fcntl.flock(turn, fcntl.LOCK_EX)
        fcntl.flock(tests, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        fcntl.flock(turn, fcntl.LOCK_UN)
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let stories run on either engine."""
    parser.addoption("--store", choices=("sqlite", "postgres"), default="sqlite")


@pytest.fixture(scope="session", autouse=True)
def _chosen_store(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.config.getoption("--store") == "sqlite":
        yield
        return
    from tests.support import stores

    with stores.on(request.getfixturevalue("postgres")):
        yield


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A PostgreSQL server, one for all processes of a run."""
    from tests.support.postgres import running

    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    with running(folder) as server:
        yield server


def reason_of(report: pytest.TestReport) -> str:
    """Return why a test was skipped, in one line."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    text = text.removeprefix("Skipped: ").strip()
    # As pytest.importorskip says it.
    if found := re.match(r"could not import '([^']+)'", text):
        return f"{found[1]} is not installed (pip install '.[test]')"
    return " ".join(text.split())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip for a missing tool into a failure where `CI` is set."""
    report = yield
    # What a test printed goes to the process that reports, which takes only what UTF-8 can hold.
    report.sections = [
        (name, text.encode("utf-8", "replace").decode()) for name, text in report.sections
    ]
    if REQUIRED and report.skipped and MISSING.search(reason := reason_of(report)):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: {reason}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped and why, each reason once, as the last lines."""
    reasons = Counter(map(reason_of, terminalreporter.stats.get("skipped", [])))
    for reason, number in reasons.most_common():
        terminalreporter.write_line(f"{number} skipped: {reason}")
