"""Checks of the plan: each takes a parsed package and returns a line for each breach of it."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache

from tests.house import plan
from tests.house.package import (
    INIT,
    Definition,
    Imports,
    Package,
    definitions,
    functions,
    graph,
    imported,
    libraries,
    lines,
    within,
)


def room_of(name: str) -> str:
    """Return the room of a module; what stands in none is in the hall, `__main__` is the door."""
    if name == "__main__":
        return "cli"
    return name.split(".", maxsplit=1)[0] if "." in name else "hall"


def rooms_of(package: Package) -> dict[str, list[str]]:
    """Return the modules of each room that there is."""
    rooms: defaultdict[str, list[str]] = defaultdict(list)
    for name in package:
        rooms[room_of(name)].append(name)
    return dict(rooms)


# Rooms


def unplanned_places(package: Package) -> list[str]:
    """Report rooms that the plan has not or lacks, and modules that stand in no room."""
    hall = {name for name in package if "." not in name} - {INIT, "__main__"}
    rooms = set(rooms_of(package)) - {"hall"}
    planned = set(plan.ROOMS) - {"hall"}
    return [
        *(f"{name} stands in no room" for name in sorted(hall - set(plan.HALL))),
        *(f"{name} is missing in the hall" for name in sorted(set(plan.HALL) - hall)),
        *(f"{room} is no room of the plan" for room in sorted(rooms - planned)),
        *(f"the room {room} is missing" for room in sorted(planned - rooms)),
    ]


def map_differences(package: Package) -> list[str]:
    """Report what the map in the package's docstring has that the plan has not, and vice versa."""
    text = ast.get_docstring(package[INIT]) or ""
    rooms = re.findall(r"^ +([a-z_]+)/ +\S", text, re.M)
    hall = re.findall(r"^ +([a-z_]+)\.py +\S", text, re.M)
    wanted = [room for room in plan.ROOMS if room != "hall"]
    breaches = [] if rooms == wanted else [f"the map has the rooms {', '.join(rooms) or 'none'}"]
    if hall != list(plan.HALL):
        breaches.append(f"the map has in the hall {', '.join(hall) or 'nothing'}")
    return breaches


def rooms_with_code(package: Package) -> list[str]:
    """Report an `__init__` of a room or folder that is more than one docstring, or none."""
    return [
        f"{name} is not one docstring"
        for name, tree in package.items()
        if name.endswith(f".{INIT}") and not (len(tree.body) == 1 and ast.get_docstring(tree))
    ]


def room_sizes(package: Package) -> list[str]:
    """Report rooms, and folders in rooms, with too few or too many modules.

    A folder in a room counts as one module of the room.
    """
    members: defaultdict[str, set[str]] = defaultdict(set)
    for name in package:
        parts = name.split(".")
        for depth in range(1, len(parts)):
            if parts[depth] != INIT:
                members[".".join(parts[:depth])].add(parts[depth])
    return [
        f"{place} has {len(inside)} modules"
        for place, inside in sorted(members.items())
        if len(inside) not in _modules_in(place)
    ]


def _modules_in(place: str) -> range:
    """Return how many modules a room or folder may have."""
    if "." in place:
        return plan.MODULES_IN_A_FOLDER
    return plan.MODULES_IN_LARGE_ROOMS.get(place, plan.MODULES_IN_A_ROOM)


# Imports


def forbidden_imports(package: Package) -> list[str]:
    """Report imports of a room that the importing room does not know."""
    return [
        f"{name} imports {other}"
        for name, others in graph(package).items()
        for other in sorted(others)
        if not may_import(name, other)
    ]


def may_import(name: str, other: str) -> bool:
    """Return whether the plan lets one module import another."""
    room = room_of(name)
    allowed = {room, *plan.ROOMS.get(room, ())}
    for beginning, more in plan.MORE_IMPORTS.items():
        allowed |= set(more) if name.startswith(beginning) else set()
    return room_of(other) in allowed or within(other, allowed)


def cycles(package: Package) -> list[str]:
    """Report modules that import each other, be it through others."""
    imports = graph(package)
    reached = {name: reachable(imports, name) for name in imports}
    rings = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in imports
        if name in reached[name]
    }
    return [f"{', '.join(ring)} import each other" for ring in sorted(rings)]


def reachable(imports: Imports, start: str, without: str = "") -> set[str]:
    """Return what a module imports, and so on; the walk does not go on from the room `without`."""
    reached: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name == start or room_of(name) != without:
            todo += imports[name] - reached
            reached |= imports[name]
    return reached


def meetings(package: Package) -> list[str]:
    """Report how the rooms that the law keeps apart reach each other but through the store."""
    imports = graph(package)
    return [
        f"{name} reaches {other}"
        for name in imports
        if room_of(name) in plan.APART
        for other in sorted(reachable(imports, name, plan.HAND_OVER))
        if room_of(other) in plan.APART and room_of(other) != room_of(name)
    ]


def bypassed_registries(package: Package) -> list[str]:
    """Report imports of an engine, a format or a kind of destination past its registry."""
    imports = graph(package)
    found = {
        (name, other): registry
        for folder, registry in plan.REGISTRIES.items()
        for name in imports
        if name != registry and not within(name, [folder])
        for other in sorted(imports[name])
        if other != registry and within(other, [folder])
    }
    return [
        *(
            f"{name} imports {other} past {registry}"
            for (name, other), registry in found.items()
            if (name, other) not in plan.REGISTRY_EXCEPTIONS
        ),
        *(
            f"{name} imports {other} no longer"
            for name, other in plan.REGISTRY_EXCEPTIONS
            if name in package and (name, other) not in found
        ),
    ]


def late_imports(package: Package) -> list[str]:
    """Report imports inside functions, but those of the plan, and those it lists for nothing."""
    late = {
        (name, library): function
        for name, tree in package.items()
        for function, node in functions(tree)
        for library in libraries(node)
    }
    return [
        *(
            f"{name}.{function} imports {library} inside"
            for (name, library), function in late.items()
            if (name, library) not in plan.LATE_IMPORTS
        ),
        *(f"{n} imports no {lib} inside" for n, lib in plan.LATE_IMPORTS if (n, lib) not in late),
    ]


def imports_by_text(package: Package) -> list[str]:
    """Report modules that import others by a text, and relative imports: nothing here sees them."""
    return [
        *(
            f"{name} imports by a text"
            for name, tree in package.items()
            if name not in plan.IMPORTS_BY_TEXT
            and calls(tree) & {"import_module", "__import__", "exec", "eval"}
        ),
        *(
            f"{name} imports {other}"
            for name, tree in package.items()
            for other in sorted(imported(tree))
            if other.startswith(".")
        ),
    ]


@cache
def calls(tree: ast.AST) -> set[str]:
    """Return the last names of what a piece of code calls."""
    return {
        node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)
    }


# Libraries and purity


def trespasses(package: Package) -> list[str]:
    """Report libraries that are imported by others than their owners, or have none."""
    outside = libraries_outside(package)
    return [
        f"{name} imports {library}" + ("" if library in plan.OWNERS else ", which has no owner")
        for name, library in outside
        if not within(name, plan.OWNERS.get(library, ()))
    ]


def libraries_outside(package: Package) -> list[tuple[str, str]]:
    """Return (module, library) for what is neither ours nor free for all."""
    return [
        (name, library)
        for name, tree in package.items()
        for library in sorted(libraries(tree))
        if library in plan.OWNERS
        or (library not in sys.stdlib_module_names and library not in ("receiver", ""))
    ]


def impurities(package: Package) -> list[str]:
    """Report clocks, chance, threads, logs and the world outside in the pure rooms."""
    return [
        f"{name} uses {thing}"
        for name, tree in package.items()
        if room_of(name) in plan.PURE
        for thing in sorted(impure_things(tree))
        if not {(name, thing), (name, "*")} & set(plan.IMPURE_EXCEPTIONS)
    ]


@cache
def impure_things(tree: ast.AST) -> set[str]:
    """Return the impure libraries and calls of a piece of code; `urllib.parse` only reads text."""
    parsing = {name for name in imported(tree) if name.startswith("urllib.parse")}
    used = {name.split(".")[0] for name in imported(tree) - parsing}
    return (used & plan.IMPURE_LIBRARIES) | (bare_calls(tree) & plan.IMPURE_CALLS)


def bare_calls(tree: ast.AST) -> set[str]:
    """Return what is called by its name, or as an attribute of `datetime`, `date` or `time`."""
    return {
        node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (
            isinstance(node.func, ast.Name)
            or (
                isinstance(node.func, ast.Attribute)
                and ast.unparse(node.func.value).split(".")[-1] in ("datetime", "date", "time")
            )
        )
    }


# Sizes


def sizes(package: Package) -> list[str]:
    """Report modules and functions over their ceilings."""
    return [
        *(
            f"{name} has {lines(tree)} lines"
            for name, tree in package.items()
            if lines(tree) > (plan.STORE_LINES if room_of(name) == "store" else plan.MODULE_LINES)
        ),
        *(
            f"{name}.{function} has {lines(node)} lines"
            for name, tree in package.items()
            for function, node in functions(tree)
            if lines(node) > plan.FUNCTION_LINES
        ),
    ]


def protocol_sizes(package: Package) -> list[str]:
    """Report protocols of the store with too many methods of their own."""
    return [
        f"{protocol.name} has {len(methods)} methods"
        for protocol, methods in protocols(package)
        if len(methods) > plan.METHODS_OF_A_PROTOCOL
    ]


def protocols(package: Package) -> Iterator[tuple[ast.ClassDef, list[str]]]:
    """Yield each protocol of the store's contract with the names of its own methods."""
    tree = package.get("store.contract", ast.Module([], []))
    for _, node in definitions(tree):
        if isinstance(node, ast.ClassDef) and any(
            ast.unparse(above).startswith("Protocol") for above in node.bases
        ):
            yield node, [name for name, _ in functions(node) if "." not in name]


# Names and sentences


def forbidden_names(package: Package) -> list[str]:
    """Report modules and folders whose names say nothing."""
    return [
        f"{name} is called so" for name in package if set(name.split(".")) & plan.FORBIDDEN_NAMES
    ]


def shared_private_names(package: Package) -> list[str]:
    """Report private names at the top of more modules than one would find by a search."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for name, tree in package.items():
        for private in {n for n in top_names(tree) if re.match(r"_[^_]", n)}:
            places[private].append(name)
    return [
        f"{private} stands in {', '.join(sorted(names))}"
        for private, names in sorted(places.items())
        if len(names) > plan.SAME_PRIVATE_NAME
    ]


def top_names(tree: ast.Module) -> Iterator[str]:
    """Yield what a module defines and assigns at its top."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))


def missing_docstrings(package: Package) -> list[str]:
    """Report modules, and public functions and classes at their top, without a docstring."""
    return [
        *(f"{name} has no docstring" for name, tree in package.items() if not documented(tree)),
        *(
            f"{name}.{node.name} has no docstring"
            for name, tree in package.items()
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and not documented(node)
        ),
    ]


def documented(node: Definition | ast.Module) -> bool:
    """Return whether it has a docstring."""
    return bool(ast.get_docstring(node))


def docstrings_without_verb(package: Package) -> list[str]:
    """Report functions whose docstring begins with a word that is certainly no verb.

    A property is read like a value: its docstring may begin with a noun.
    """
    return [
        f"{name}.{function}: {text.split()[0]} …"
        for name, tree in package.items()
        for function, node in functions(tree)
        if (text := ast.get_docstring(node))
        and re.sub(r"\W", "", text.split()[0]).lower() in plan.NO_VERBS
        and not any("property" in ast.unparse(each) for each in node.decorator_list)
    ]


# Errors


def broad_excepts(package: Package) -> list[str]:
    """Report what catches whatever comes and is not in the plan, and what the plan lists twice."""
    there = set(broad_handlers(package))
    return [
        *(
            f"{name}.{function} catches everything"
            for name, function in sorted(there - set(plan.BROAD_EXCEPTS))
        ),
        *(
            f"{name}.{function} catches everything no longer"
            for name, function in sorted(set(plan.BROAD_EXCEPTS) - there)
        ),
    ]


def broad_handlers(package: Package) -> Iterable[tuple[str, str]]:
    """Yield (module, function) for each `except` of everything; the innermost function."""
    for name, tree in package.items():
        if not any(is_broad(node) for node in ast.walk(tree)):
            continue
        innermost = {
            handler: function
            for function, node in [("", tree), *functions(tree)]  # the inner come later
            for handler in ast.walk(node)
            if is_broad(handler)
        }
        yield from ((name, function) for function in innermost.values())


def is_broad(node: ast.AST) -> bool:
    """Return whether it is an `except` of everything."""
    if not isinstance(node, ast.ExceptHandler):
        return False
    types = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(t is None or ast.unparse(t) in ("Exception", "BaseException") for t in types)


CHECKS: Collection[Callable[[Package], list[str]]] = (
    unplanned_places, map_differences, rooms_with_code, room_sizes,
    forbidden_imports, cycles, meetings, bypassed_registries, late_imports, imports_by_text,
    trespasses, impurities, sizes, protocol_sizes, forbidden_names, shared_private_names,
    missing_docstrings, docstrings_without_verb, broad_excepts,
)  # fmt: skip
