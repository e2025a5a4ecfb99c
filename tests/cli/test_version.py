"""`receiver --version`: the commit of the source tree, where there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from receiver import __version__
from tests.support.commands import TOP, run


@pytest.mark.skipif(not (TOP / ".git").exists(), reason="this is no clone of a repository")
def test_a_source_tree_says_its_commit(tmp_path: Path) -> None:
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed (apt-get install git)")
    head = subprocess.check_output([git, "-C", str(TOP), "rev-parse", "HEAD"], text=True)
    words = run(tmp_path, "--version").stdout.decode()
    assert words.removesuffix("-dirty)\n").removesuffix(")\n") == (
        f"receiver {__version__} (commit {head[:12]}"
    )
