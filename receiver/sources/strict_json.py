"""Strict JSON: only documents that every parser reads in the same way, with bounded depth."""

from __future__ import annotations

import json
import math
from typing import Any

from receiver.errors import MalformedBody

MAX_DEPTH = 64
# Longer integers stay text: Python refuses to convert them, and nobody calculates with them.
MAX_DIGITS = 4_000


def parse_json(body: bytes) -> Any:
    """Return the content of a body; MalformedBody if parsers may disagree on it.

    So it refuses duplicate members, NaN, Infinity and more than 64 levels, besides invalid JSON.
    """
    try:
        content = _DECODER.decode(body.decode("utf-8"))
    except RecursionError:
        raise MalformedBody("The JSON has more than 64 levels.") from None
    except ValueError as error:  # also UnicodeDecodeError and JSONDecodeError
        raise MalformedBody(_without_content(error)) from None
    # Nearly every body has fewer brackets, and so cannot be too deep.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_deeper(content, MAX_DEPTH):
        raise MalformedBody("The JSON has more than 64 levels.")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("duplicate member")
    return content


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= MAX_DIGITS else text


def _fraction(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text


def _no_constant(text: str) -> Any:
    raise ValueError("NaN and Infinity are not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_int=_integer,
    parse_float=_fraction,
    parse_constant=_no_constant,
)


def _without_content(error: ValueError) -> str:
    """Describe the error without a piece of the body: problems repeat nothing of the request."""
    if isinstance(error, json.JSONDecodeError):
        return f"Not JSON at line {error.lineno}, column {error.colno}."
    if isinstance(error, UnicodeDecodeError):
        return f"Not UTF-8 at byte {error.start}."
    return f"Not JSON: {error}."


def _is_deeper(content: Any, levels: int) -> bool:
    """Return whether objects and arrays are nested deeper than `levels`."""
    containers = [content] if isinstance(content, (dict, list)) else []
    for _ in range(levels):
        containers = [
            inner
            for container in containers
            for inner in (container.values() if isinstance(container, dict) else container)
            if isinstance(inner, (dict, list))
        ]
    return bool(containers)
