"""The wheel on every Python that is here, installed from the lock, without its source tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.deployed import COMMIT, DEPLOY, OFFLINE, TOP
from tests.support.tools import said, tool

VERSIONS = ["3.11", "3.12", "3.13", "3.14"]
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"


def interpreter(version: str) -> str | None:
    """Return an interpreter of this version that runs, or None."""
    kept = Path(os.environ.get("PYENV_ROOT", "/root/.pyenv")) / "versions"
    found = [shutil.which(f"python{version}"), *kept.glob(f"{version}.*/bin/python{version}")]
    asked = ["-c", "import sqlite3, ssl"]
    return next((str(path) for path in found if path and said([path, *asked])[0] == 0), None)


@pytest.mark.parametrize("version", [each for each in VERSIONS if each != OWN])
def test_the_wheel_runs_the_demo_on_it(version: str, tmp_path: Path) -> None:
    uv = tool("uv")
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    environ = {**os.environ, "RECEIVER_BUILD_COMMIT": COMMIT}
    into = ["--python", str(tmp_path / "env")]
    lock = str(DEPLOY / "requirements.lock")
    for arguments in (
        ["venv", "-q", "--no-python-downloads", "--python", python, str(tmp_path / "env")],
        ["pip", "install", "-q", "--require-hashes", "-r", lock, *into],
        ["build", "-q", "--wheel", "--python", python, "-o", str(tmp_path), str(TOP)],
        ["pip", "install", "-q", "--no-deps", "--no-index", *into, str(tmp_path / "*.whl")],
    ):
        words = [str(next(tmp_path.glob("*.whl"))) if a.endswith("*.whl") else a for a in arguments]
        code, text = said([uv, *words], env=environ)
        if code and any(each in text for each in OFFLINE):
            pytest.skip("the package index is not reached")
        assert code == 0, text
    program = tmp_path / "env" / "bin" / "receiver"
    clean = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    done = subprocess.run(
        [program, "demo", "--exit"], cwd=tmp_path, env=clean, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "imbalance 0." in done.stdout
    assert COMMIT in said([program, "--version"], env=clean, cwd=tmp_path)[1]
