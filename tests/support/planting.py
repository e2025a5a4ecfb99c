"""Bugs that are planted into a copy of the program, to see that the proofs can fail.

Each names its proof, and a part of the promise that must be broken: a copy that does not even start
would be red for nothing.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import builtins
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.proving import Report
from tests.support.served import HERE


@dataclass(frozen=True)
class Bug:
    """Texts replaced in files below `receiver/` (file, old, new), the proof, what that must say."""

    name: str
    changes: tuple[tuple[str, str, str], ...]
    proof: str
    says: str


def bug(name: str, file: str, old: str, new: str, proof: str, says: str) -> Bug:
    """Return a bug of one text; the file is named from the top of the checkout."""
    return Bug(name, ((file.removeprefix("receiver/"), old, new),), proof, says)


def changed(bug: Bug, receiver: Path = HERE / "receiver") -> dict[Path, str]:
    """Return the files with the bug, by their paths; ValueError if there is no place for it."""
    texts: dict[Path, str] = {}
    for file, old, new in bug.changes:
        path = receiver / file
        text = texts.get(path) or path.read_text("utf-8")
        if text.count(old) != 1:
            raise ValueError(f"{bug.name}: {file} has {old!r} {text.count(old)} times")
        texts[path] = text.replace(old, new)
    return texts


@contextmanager
def planted(bug: Bug) -> Iterator[Path]:
    """Copy the checkout, with the bug; ValueError if there is no place for it."""
    with TemporaryDirectory(prefix="receiver-planted-") as folder:
        tree = Path(folder)
        for part in ("receiver", "tests"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(HERE / part, tree / part, ignore=ignored)
        for path, text in changed(bug, tree / "receiver").items():
            path.write_text(text, "utf-8")
        yield tree


async def plant(
    bugs: Sequence[Bug], prove: Callable[..., Report], given: argparse.Namespace, report: Report
) -> None:
    """Plant each bug, or those of `--only`: each must be found, by the promise that it breaks."""
    for bug in bugs:
        if given.only not in bug.name:
            continue
        with planted(bug) as tree:
            arguments = [*bug.proof.split(), "--seed", str(given.seed), "--tree", str(tree)]
            found = await asyncio.to_thread(prove, *arguments)
        if found.skipped and not found.broken:
            report.figures[bug.name] = report.skipped = f"skipped: {found.skipped}"
            continue
        red = any(bug.says in promise for promise in found.broken)
        report.figures[bug.name] = "found" if red else "NOT FOUND"
        print(f"{report.figures[bug.name]:>10}  {bug.name}  ({bug.proof})", flush=True)
        report.must(red, f"{bug.name}: {bug.proof} says {found.broken[:3] or 'nothing'}")


def misplaced(bug: Bug) -> list[str]:
    """Return why a bug cannot be planted as it is meant: no place, or names that are not there.

    A name that is nowhere would stop the program in another way than the bug says.
    """
    try:
        texts = changed(bug)
    except (OSError, ValueError) as error:
        return [str(error)]
    return [
        f"{bug.name}: {path.name} has no {name}"
        for path, text in texts.items()
        if path.suffix == ".py"
        for name in sorted(unknown_names(text) - unknown_names(path.read_text("utf-8")))
    ]


def unknown_names(text: str) -> set[str]:
    """Return the names, and attributes of `self`, that a module uses and nowhere sets."""
    nodes = list(ast.walk(ast.parse(text)))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    attributes = [
        node
        for node in nodes
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"
    ]
    bound = {name.id for name in names if not isinstance(name.ctx, ast.Load)} | set(dir(builtins))
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    defined = {node.name for node in nodes if isinstance(node, ast.ExceptHandler) and node.name}
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.alias):
            defined.add((node.asname or node.name).split(".")[0])
    held = {a.attr for a in attributes if not isinstance(a.ctx, ast.Load)} | bound | defined
    used = {name.id for name in names} - bound - defined
    return used | {f"self.{a.attr}" for a in attributes if a.attr not in held}
