"""Templates of routes.yaml: Jinja2 in a sandbox where nothing runs long or grows large. Pure.

An event's text is data for a template, never a template. A template may branch, loop over the
values of the event and format words. It has no ranges, macros, powers or paddings, so that every
template is quick.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Set
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_LENGTH, MAX_LOOPS = 10_000, 2
FILTERS = {
    "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float",
    "int", "items", "join", "last", "length", "list", "lower", "max", "min", "reject", "replace",
    "round", "select", "selectattr", "sort", "string", "title", "tojson", "trim", "truncate",
    "unique", "upper",
}  # fmt: skip
METHODS = {
    "capitalize", "endswith", "find", "isalnum", "isalpha", "isdigit", "lower", "lstrip",
    "removeprefix", "removesuffix", "replace", "rstrip", "split", "splitlines", "startswith",
    "strip", "title", "upper",
}  # fmt: skip
_REFUSED = (nodes.Macro, nodes.CallBlock, nodes.Include, nodes.Import, nodes.FromImport,
            nodes.Extends, nodes.Block)  # fmt: skip


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        # "x" * 10**9 and "%999999999d" would fill the memory.
        if operator == "**" or not all(isinstance(v, (int, float)) for v in (left, right)):
            raise SecurityError(f"{operator} is for numbers only, and ** for none")
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> None:
        """Forbid every form of str.format: even those that Jinja allows can pad."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str):
            return attr in METHODS
        return super().is_safe_attribute(obj, attr, value)


def _environment() -> _Sandbox:
    sandbox = _Sandbox(undefined=StrictUndefined, autoescape=False)
    sandbox.globals.clear()
    sandbox.filters = {name: f for name, f in sandbox.filters.items() if name in FILTERS}
    return sandbox


_ENVIRONMENT = _environment()


def render(text: str, variables: Mapping[str, Any]) -> str:
    """Render a template with these variables; it may raise any exception."""
    return _template(text).render(variables)


def problem(text: str, variables: Set[str]) -> str | None:
    """Return the problem of a template that may use these variables, or None."""
    if len(text) > MAX_LENGTH:
        return f"the template has more than {MAX_LENGTH} characters"
    try:
        tree = _ENVIRONMENT.parse(text)
        _template(text)
        unknown = meta.find_undeclared_variables(tree) - variables
    except TemplateError as error:
        return f"the template cannot be read: {error}"
    if next(tree.find_all(_REFUSED), None) is not None:
        return "the template has a macro, block or include: write it out"
    if any(loop.recursive for loop in tree.find_all(nodes.For)) or _loops(tree) > MAX_LOOPS:
        return f"the template has more than {MAX_LOOPS} loops inside each other"
    for name in sorted(unknown):
        close = difflib.get_close_matches(name, variables, 1)
        hint = (
            f": did you mean {close[0]!r}?"
            if close
            else f"; known are {', '.join(sorted(variables))}"
        )
        return f"the template uses {name!r}, which is unknown{hint}"
    return None


def _loops(node: nodes.Node) -> int:
    """Return the depth of its nested loops."""
    below = max((_loops(child) for child in node.iter_child_nodes()), default=0)
    return below + isinstance(node, nodes.For)


@lru_cache(maxsize=512)
def _template(text: str) -> Template:
    return _ENVIRONMENT.from_string(text)
