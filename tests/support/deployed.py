"""What is built to be deployed: the files that the Dockerfile's own lines make, without its engine.

They are made once for all processes of a run. The program in them is the wheel, installed from the
lock, without its source tree: `Image.run` runs it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from receiver.config.settings import FROM_FILES, PREFIX, Settings, load_settings
from tests.support import dockerfile
from tests.support.tools import tool

TOP = Path(__file__).parents[2]
DEPLOY = TOP / "deploy"
COMMIT = "0123456789ab"
# What an index that is not reached says, and what a wrong hash does not.
OFFLINE = ("error sending request", "Could not connect", "dns error", "Temporary failure in name")


@dataclass(frozen=True)
class Image:
    """The files of the image, below a folder."""

    root: Path

    @property
    def program(self) -> Path:
        """The command `receiver`."""
        return self.root / "opt/receiver/bin/receiver"

    def environ(self, **more: str) -> dict[str, str]:
        """Return an environment that leads to nothing of the source tree."""
        return {"PATH": f"{self.program.parent}:/usr/bin:/bin", "LANG": "C.UTF-8", **more}

    def run(
        self, folder: Path, *arguments: str, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `receiver …` of the image in a folder."""
        return subprocess.run(
            [self.program, *arguments], cwd=folder, env=self.environ(**environ),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip


def tracked() -> list[str]:
    """Return the files of the tree as a clone of it has them, and those that are new."""
    asked = [tool("git"), "-C", str(TOP), "ls-files", "-co", "--exclude-standard"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no clone of a repository")
    return [name for name in done.stdout.splitlines() if (TOP / name).is_file()]


@contextmanager
def built(folder: Path) -> Iterator[Image]:
    """Build the image's files in a folder that the processes of a run share."""
    uv, root = tool("uv"), folder / "image"
    with (folder / "image.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "image.done"
        if not done.exists():
            files = dockerfile.context(TOP, DEPLOY / "Dockerfile.dockerignore", tracked())
            with (folder / "image.log").open("w") as log:
                _build(files, root, uv, log.fileno())
            done.touch()
    yield Image(root)


def _build(files: dict[str, Path], root: Path, uv: str, log: int) -> None:
    try:
        dockerfile.build(DEPLOY / "Dockerfile", files, root, {"COMMIT": COMMIT}, uv, log)
    except subprocess.CalledProcessError:
        shutil.rmtree(root, ignore_errors=True)
        text = Path(f"/proc/self/fd/{log}").read_text("utf-8")
        if any(words in text for words in OFFLINE):
            pytest.skip("the package index is not reached")
        raise AssertionError(f"the image cannot be built:\n{text[-3000:]}") from None


def variables_of_rules() -> set[str]:
    """Return the variables of the shipped routes.yaml."""
    text = re.sub(r"#.*", "", (TOP / "routes.yaml").read_text("utf-8"))
    return set(re.findall(r"\$\{(\w+)", text))


def check_variables(variables: Mapping[str, str]) -> Settings:
    """Hold variables of a deploy file to the program: settings, or names of the shipped rules.

    AssertionError for one that is neither; ConfigurationError for a value that it refuses. What
    comes from a file (…_FILE) is not there: its setting keeps its default.
    """
    in_rules = variables_of_rules()
    fields = {PREFIX + name.upper() for name in Settings.model_fields}
    from_files = {f"{PREFIX}{name.upper()}_FILE" for name in FROM_FILES}
    known = fields | from_files | in_rules | {f"{name}_FILE" for name in in_rules}
    assert set(variables) <= known, set(variables) - known
    return load_settings({n: v for n, v in variables.items() if not n.endswith("_FILE")})


def is_root() -> bool:
    """Return whether file systems may be mounted."""
    return os.geteuid() == 0
