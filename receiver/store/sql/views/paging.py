"""Paging of the views: the values of a page's query, and the cursor of the next page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from receiver.store.sql.reads import MAX_ID

View = dict[str, Any]


def page_values(
    names: tuple[str, ...], conditions: Mapping[str, str], limit: int, after: int | None
) -> dict[str, Any]:
    """Return the values of a page's query; KeyError if it has no such condition."""
    if unknown := set(conditions) - set(names):
        raise KeyError(f"unknown conditions: {', '.join(unknown)}")
    given = {name: conditions.get(name) for name in names}
    return {**given, "limit": limit + 1, "after": MAX_ID if after is None else after}


def cursor_after(records: list[View], limit: int, *, number: str = "id") -> int | None:
    """Return where the next page begins; None if there is none."""
    return int(records[limit - 1][number]) if len(records) > limit else None
