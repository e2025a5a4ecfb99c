"""The command line as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[2]


def run(
    folder: Path, *arguments: str, stdin: bytes = b"", **environ: str
) -> subprocess.CompletedProcess[bytes]:
    """Run `receiver …` in a folder, with nothing of our own environment's settings."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RECEIVER_")}
    return subprocess.run(
        [sys.executable, "-m", "receiver", *arguments], input=stdin, capture_output=True,
        cwd=folder, timeout=60, check=False, env={**clean, "PYTHONPATH": str(TOP), **environ},
    )  # fmt: skip
