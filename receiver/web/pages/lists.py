"""Lists of the pages: executions, events, messages and silences, with filters, newest first."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from receiver.config.live_rules import LiveRules
from receiver.dispatch.waits import waits
from receiver.events import Category, Status
from receiver.store.contract import Store
from receiver.web import json_views
from receiver.web.pages.rendering import Renderer
from receiver.web.pages.session import Visitor
from receiver.web.paging import PARAMETER_VALUES, Query, searching, whole_number

# The rows of a page, and the characters of a filter.
ROWS, MOST = 30, 200
_WAITING = (Category.AWAITING, Category.PAUSED)
# The seconds of a search: what is left of it is another page.
SEARCH_SECONDS = 0.02
# What is searched, with the time by which its numbers are in order.
_SEARCHED = {"executions": "first_seen", "events": "received_at", "deliveries": "created_at"}
_FILTERS = {
    "executions": ("status", "category", "source", "agent", "q"),
    "events": ("verdict", "source", "execution_id", "event"),
    "deliveries": ("state", "destination", "execution_id", "kind"),
    "silences": (),
    "audit": ("act", "door", "who", "execution_id"),
}


class Lists:
    """The pages that list things, for visitors whom the gate has let in."""

    def __init__(self, store: Store, in_force: LiveRules[object], renderer: Renderer) -> None:
        self._store, self._in_force, self._render = store, in_force, renderer

    def executions(self, request: Request, visitor: Visitor) -> Response:
        """List executions."""
        return self._answer(request, visitor, "executions", "Executions")

    def events(self, request: Request, visitor: Visitor) -> Response:
        """List events, those in quarantine among them."""
        return self._answer(request, visitor, "events", "Events")

    def deliveries(self, request: Request, visitor: Visitor) -> Response:
        """List messages, and why each waits."""
        return self._answer(request, visitor, "deliveries", "Messages")

    def audit(self, request: Request, visitor: Visitor) -> Response:
        """List what people did."""
        return self._answer(request, visitor, "audit", "Audit")

    def silences(self, request: Request, visitor: Visitor) -> Response:
        """List silences, with a form that adds one."""
        return self.silences_with(request, visitor)

    def silences_with(
        self, request: Request, visitor: Visitor, form: Mapping[str, str] | None = None,
        problems: tuple[str, ...] = (),
    ) -> Response:  # fmt: skip
        """List silences, with a form that is filled in."""
        given = {name: text[:MOST] for name, text in request.query_params.items()}
        blank = dict.fromkeys(("source", "agent", "status", "other", "reason", "for"), "")
        more = {"form": {**blank, **given, **(form or {})}, "problems": problems}
        return self._answer(
            request, visitor, "silences", "Silences", more, 422 if problems else 200
        )

    def _answer(
        self, request: Request, visitor: Visitor, name: str, title: str,
        more: Mapping[str, Any] | None = None, status: int = 200,
    ) -> Response:  # fmt: skip
        given = dict(request.query_params)
        conditions = {
            key: given[key].strip() for key in _FILTERS[name] if given.get(key, "").strip()
        }
        after = whole_number(given["after"]) if "after" in given else None
        wrong = [
            f"{key} is one of {', '.join(values)}."
            for key, values in PARAMETER_VALUES.items()
            if key in conditions and conditions[key] not in values
        ]
        if wrong or ("after" in given and after is None):
            text = " ".join(wrong) or "Begin again at the first page of the list."
            return self._render.problem(request, 400, text, visitor=visitor)
        query = self._query(name)
        rows, following = query(conditions, ROWS, after)
        is_whole = following is None or len(rows) == ROWS
        exact = self._exact(conditions) if name == "executions" else []
        found = [each for each in exact if each not in rows]
        # They come first, so no page further back shows them again.
        rows = [*found, *rows] if after is None else [each for each in rows if each not in exact]
        content = {
            "title": title,
            "rows": self._shaped(name, rows),
            "reached": None if is_whole else self._reached(name, following),
            "has_exact": after is None and bool(found),
            "given": {key: conditions.get(key, "") for key in _FILTERS[name]},
            "conditions": conditions,
            "after": after,
            "following": following,
            "values": PARAMETER_VALUES,
            "rules": self._in_force.rules,
            "standings": self._store.standings(time.time_ns()) if name == "deliveries" else {},
            **(more or {}),
        }
        return self._render.page(request, f"{name}.html", content, visitor, status)

    def _query(self, name: str) -> Query:
        query = getattr(self._store, name)
        return searching(query, SEARCH_SECONDS) if name in _SEARCHED else query

    def _exact(self, conditions: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the executions whose id is the text that is searched for: an index has them."""
        if "q" not in conditions:
            return []
        others = {name: text for name, text in conditions.items() if name != "q"}
        return self._store.executions({**others, "execution_id": conditions["q"]}, ROWS, None)[0]

    def _reached(self, name: str, following: int | None) -> int | None:
        """Return the time down to which a search has come; None if nothing is left below it."""
        below, _ = getattr(self._store, name)({}, 1, following)
        return below[0][_SEARCHED[name]] if below else None

    def _shaped(self, name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if name == "executions":
            return self._with_untold(rows)
        if name != "deliveries":
            return [dict(row) for row in rows]
        now = time.time_ns()
        shaped = json_views.deliveries(rows, self._in_force.rules, now)
        planned = {n for n, wait in waits(rows, None, now).items() if wait.is_planned}
        return [{**each, "is_planned": each["id"] in planned} for each in shaped]

    def _with_untold(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Mark what failed or waits for a person, if nobody was told of it or has taken it.

        What was only printed is marked apart.
        """
        needing = {
            (each["source"], each["execution_id"])
            for each in rows
            if (each["status"] == Status.FAILED or each["category"] in _WAITING)
            and not each["acknowledged"]
        }
        told = self._store.told_of(needing)
        marks = {key: "printed only" if told.get(key) else "nobody told" for key in needing}
        marks = {key: mark for key, mark in marks.items() if told.get(key, True)}
        return [{**row, "untold": marks.get((row["source"], row["execution_id"]))} for row in rows]
