"""Paging of the views: the values of a page's query, and the cursor of the next page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from receiver.store.sql.database import Database, Statement
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


def floor_of(db: Database, newest: Statement, after: int, most: int | None) -> int:
    """Return the number of a row, 0 for none: at most `most` rows lie between it and `after`.

    `newest` finds the highest number below one: numbers have holes where rows were removed.
    """
    top = None if most is None else db.value(newest, {"below": after})
    return 0 if most is None or top is None else max(top - most, 0)


def cursor_below(db: Database, newest: Statement, floor: int) -> int | None:
    """Return where a search goes on that looked down to a floor; None if nothing is left."""
    rest = db.value(newest, {"below": floor + 1}) if floor else None
    return None if rest is None else int(rest) + 1


def cursor_after(records: list[View], limit: int, *, number: str = "id") -> int | None:
    """Return where the next page begins; None if there is none."""
    return int(records[limit - 1][number]) if len(records) > limit else None
