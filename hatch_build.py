"""Build of the wheel: it carries the commit that it was built from, for `receiver --version`.

The commit is RECEIVER_BUILD_COMMIT of the environment, or that of the source tree; without either
the wheel carries none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):  # type: ignore[misc,type-arg,unused-ignore]
    """A hook that adds receiver/commit.txt to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        # An editable install reads the commit from its tree.
        commit = "" if version == "editable" else _commit(Path(self.root))
        if commit:
            self._folder = tempfile.TemporaryDirectory()
            file = Path(self._folder.name, "commit.txt")
            file.write_text(f"{commit}\n", "ascii")
            build_data["force_include"][str(file)] = "receiver/commit.txt"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_folder"):
            self._folder.cleanup()


def _commit(tree: Path) -> str:
    git = shutil.which("git")
    if (given := os.environ.get("RECEIVER_BUILD_COMMIT", "")) or git is None:
        return given.strip()
    if not (tree / ".git").exists():
        return ""
    asked = [git, "-C", str(tree), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603  # fixed
    return done.stdout.strip() if done.returncode == 0 else ""
