"""Behaviour of a run: a skip is told with its reason; with `CI` set a missing tool is a failure;
what runs alone is there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ALONE

TOP = Path(__file__).parents[2]
CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = """\
import pytest

def test_fine(): pass

@pytest.mark.parametrize("number", range(3))
def test_by_a_tool(number): pytest.skip("strace is not installed (apt-get install strace)")

def test_by_a_library(): pytest.importorskip("no_such_library")

def test_by_a_right(): pytest.skip("a tmpfs cannot be mounted")
"""


@pytest.mark.parametrize("ci", ["", "1"])
def test_each_reason_is_told_once_and_ci_takes_no_missing_tool(tmp_path: Path, ci: str) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text("utf-8"), "utf-8")
    (tmp_path / "test_it.py").write_text(TESTS, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-qq", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    skips = [line for line in done.stdout.splitlines() if " skipped: " in line]
    right = "1 skipped: a tmpfs cannot be mounted"
    if ci:
        assert (done.returncode, skips) == (1, [right])
        assert done.stdout.count("strace is not installed") >= 3
    else:
        assert done.returncode == 0
        assert skips == [
            "3 skipped: strace is not installed (apt-get install strace)",
            "1 skipped: no_such_library is not installed (pip install '.[test]')",
            right,
        ]


def test_what_runs_alone_is_there() -> None:
    for each in ALONE:
        file, name, case = re.fullmatch(r"([^:]+)(?:::(\w+))?(?:\[(.+)\])?", each).groups()  # type: ignore[union-attr]
        text = (TOP / file).read_text("utf-8")
        assert name is None or f"def {name}(" in text, each
        assert case is None or re.search(rf'"{re.escape(case)}[" ]', text), each
