"""The command line as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from tests.support import warm

TOP = Path(__file__).parents[2]
SECONDS = 60


def run(
    folder: Path, *arguments: str, stdin: bytes = b"", **environ: str
) -> subprocess.CompletedProcess[bytes]:
    """Run `receiver …` in a folder, with nothing of our own environment's settings."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RECEIVER_")}
    settings = {**clean, "PYTHONPATH": str(TOP), **environ}
    if warm.is_possible(settings):
        return _warm(folder, arguments, stdin, settings)
    return cold(folder, arguments, stdin, settings)


def cold(
    folder: Path, arguments: Sequence[str], stdin: bytes, environ: Mapping[str, str]
) -> subprocess.CompletedProcess[bytes]:
    """Run it in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-m", "receiver", *arguments], input=stdin, capture_output=True,
        cwd=folder, timeout=SECONDS, check=False, env=environ,
    )  # fmt: skip


def _warm(
    folder: Path, arguments: Sequence[str], stdin: bytes, environ: Mapping[str, str]
) -> subprocess.CompletedProcess[bytes]:
    with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        process = warm.warm().start(
            arguments, folder, environ, given.fileno(), out.fileno(), err.fileno()
        )
        try:
            process.wait(SECONDS)
        finally:
            process.kill()
        assert process.returncode is not None
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(
            list(process.args), process.returncode, out.read(), err.read()
        )


def children(pid: int) -> list[int]:
    """Return the ids of the processes that a process has started, from /proc."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(each) for path in found for each in path.read_text("utf-8").split()]
