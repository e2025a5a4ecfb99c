"""The program as parsed text: its modules by name, and what each imports.

A package is a mapping from a module's name below `receiver` (`sources.keys`, `sources.__init__`)
to its syntax tree, so that a test can add to it in memory what must be reported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

RECEIVER = Path(__file__).parents[2] / "receiver"
INIT = "__init__"
Package = Mapping[str, ast.Module]
Imports = Mapping[str, set[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


@cache
def parsed(folder: Path = RECEIVER) -> Package:
    """Parse every module below a folder."""
    return {
        ".".join(path.relative_to(folder).with_suffix("").parts): ast.parse(
            path.read_text("utf-8"), str(path)
        )
        for path in sorted(folder.rglob("*.py"))
    }


def planted(package: Package, name: str, text: str) -> Package:
    """Return the package with text added to the end of a module, new or not."""
    body = [*(package[name].body if name in package else []), *ast.parse(text).body]
    return {**package, name: ast.Module(body, [])}


def within(name: str, places: Iterable[str]) -> bool:
    """Return whether a module is one of the places or stands below one of them."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


@cache
def imported(tree: ast.AST) -> frozenset[str]:
    """Return the dotted names that a piece of code imports, wherever it does it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            names |= {f"{dots}{node.module or ''}.{alias.name}" for alias in node.names}
    return frozenset(names)


def libraries(tree: ast.AST) -> set[str]:
    """Return the top-level packages that a piece of code imports."""
    return {name.split(".")[0] for name in imported(tree)}


def graph(package: Package) -> Imports:
    """Return for each module the others of the package that it imports."""
    resolved = {
        name: {resolve(package, other) for other in imported(tree)}
        for name, tree in package.items()
    }
    return {
        name: {other for other in others if other is not None and other != name}
        for name, others in resolved.items()
    }


def resolve(package: Package, dotted: str) -> str | None:
    """Return the module that a dotted name stands for or stands in; None if it is not ours."""
    first, *parts = dotted.split(".")
    if first != "receiver":
        return None
    for end in range(len(parts), 0, -1):
        name = ".".join(parts[:end])
        if name in package:
            return name
        if f"{name}.{INIT}" in package:
            return f"{name}.{INIT}"
    return INIT


@cache
def functions(tree: ast.AST) -> tuple[tuple[str, Function], ...]:
    """Return each function by its name within the module, such as `Store.write`."""
    return tuple(
        (name, node) for name, node in definitions(tree) if not isinstance(node, ast.ClassDef)
    )


def definitions(tree: ast.AST, above: str = "") -> Iterator[tuple[str, Definition]]:
    """Yield each function and class by its name within the module, the outer before the inner."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield f"{above}{node.name}", node
            yield from definitions(node, f"{above}{node.name}.")
        else:
            yield from definitions(node, above)


def lines(node: Definition | ast.Module) -> int:
    """Return how many lines a definition or a module has."""
    if isinstance(node, ast.Module):
        return (node.body[-1].end_lineno or 0) if node.body else 0
    return (node.end_lineno or 0) - node.lineno + 1
