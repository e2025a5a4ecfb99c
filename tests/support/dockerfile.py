"""A Dockerfile without a container engine: its instructions, its RUN and COPY lines carried out.

Each stage gets the absolute folders of the image in a fresh folder: `/opt`, `/src`, `/data` and
`/etc/receiver` stand below it. What an earlier stage left is gone unless a line copies it, and only
those files of the tree are there that `.dockerignore` lets through. Left out are the base image,
the user, and whatever else only an engine does. With `uv`, packages come through it instead of pip:
the same lock and hashes in a tenth of the time.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# What is absolute in the image, and stands in the folder here.
ABSOLUTE = re.compile(r"(?<![\w./-])/(?=(?:opt|src|data|etc/receiver)\b)")


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name, what follows it, the stage it belongs to."""

    name: str
    text: str
    stage: int


def instructions(dockerfile: Path) -> list[Instruction]:
    """Read the instructions of a Dockerfile."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile.read_text("utf-8"), flags=re.M)
    found: list[Instruction] = []
    stage = -1
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        name, _, rest = line.strip().partition(" ")
        stage += name == "FROM"
        if name:
            found.append(Instruction(name, rest, stage))
    return found


def is_let_through(path: str, patterns: Sequence[str]) -> bool:
    """Return whether a file of the tree gets to the engine; the last pattern that fits decides."""
    through = True
    names = path.split("/")
    above = ["/".join(names[:n]) for n in range(1, len(names) + 1)]
    for pattern in patterns:
        bare = pattern.removeprefix("!")
        anywhere = bare.removeprefix("**/")
        tried = names if anywhere != bare else above
        if any(fnmatch.fnmatchcase(each, anywhere) for each in tried):
            through = pattern.startswith("!")
    return through


def context(tree: Path, ignore: Path, files: Sequence[str]) -> dict[str, Path]:
    """Return the files of a tree that get to the engine, by their names there."""
    lines = [line.strip() for line in ignore.read_text("utf-8").splitlines()]
    patterns = [line for line in lines if line and not line.startswith("#")]
    return {name: tree / name for name in files if is_let_through(name, patterns)}


def build(
    dockerfile: Path,
    files: Mapping[str, Path],
    root: Path,
    arguments: Mapping[str, str],
    uv: str | None = None,
    output: int | None = None,
) -> None:
    """Carry out the COPY, RUN, WORKDIR and ARG lines; the last stage's files end in `root`.

    CalledProcessError if a line fails; what the lines say goes to the descriptor `output`.
    """
    there = root.with_name(root.name + ".before")
    workdir = root
    shutil.rmtree(root, ignore_errors=True)
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for each in instructions(dockerfile):
        text = ABSOLUTE.sub(f"{root}/", each.text)
        if each.name == "FROM":
            shutil.rmtree(there, ignore_errors=True)
            if root.exists():
                root.rename(there)
            root.mkdir(parents=True)
            workdir = root
        elif each.name == "WORKDIR":
            workdir = Path(text)
            workdir.mkdir(parents=True, exist_ok=True)
        elif each.name == "ARG":
            name, _, default = text.partition("=")
            environ[name] = arguments.get(name, default.strip('"'))
        elif each.name == "COPY":
            _copy(shlex.split(text), files, root, there, workdir)
        elif each.name == "RUN":
            text = text if uv is None else _through(uv, text)
            subprocess.run(
                ["/bin/sh", "-e", "-c", text], cwd=workdir, env=environ, check=True, timeout=600,
                stdout=output, stderr=output,
            )  # fmt: skip
    shutil.rmtree(there, ignore_errors=True)


def _through(uv: str, text: str) -> str:
    """Put uv in the place of pip."""
    text = text.replace("-m venv ", "-m venv --without-pip ").replace(" --no-cache-dir", "")
    return re.sub(r"(\S+)/bin/pip (install|check)", rf"{uv} pip \2 -q --python \1/bin/python", text)


def _copy(
    words: list[str], files: Mapping[str, Path], root: Path, there: Path, workdir: Path
) -> None:
    *sources, target = words
    if sources[0].startswith("--from="):
        place = Path(sources[1])
        target_path = workdir / target
        target_path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(there / place.relative_to(root), target_path, symlinks=True)
        return
    for source in sources:
        found = {n: p for n, p in files.items() if n == source or n.startswith(f"{source}/")}
        if not found:
            raise FileNotFoundError(f"COPY {source}: nothing of that name gets to the engine")
        for name, path in found.items():
            below = name.removeprefix(source).lstrip("/")
            to = (
                workdir / target / (below or path.name)
                if _is_folder(target, below)
                else (workdir / target)
            )
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)


def _is_folder(target: str, below: str) -> bool:
    return bool(below) or target.endswith("/") or target in (".", "./")
