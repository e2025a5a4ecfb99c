"""Backtests of the pages: edited rules against the stored events. Nothing is filled in or read.

The form begins with the rules in force as their file has them, without comments, if all of it is
known to hold no secret. Their variables stay names, and empty: the environment of the server is no
business of the page. One backtest at a time, for a few seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from receiver.config import routes_file
from receiver.config.live_rules import LiveRules
from receiver.config.variables import UNFILLED
from receiver.errors import ConfigurationError
from receiver.intake.backtest import backtest
from receiver.store.contract import Store
from receiver.times import SECOND
from receiver.web.pages.rendering import Renderer
from receiver.web.pages.session import Visitor
from receiver.web.paging import whole_number

NAME = "the edited rules"
# The most bytes of rules, days, events and seconds of one backtest.
MAX_RULES, MAX_DAYS, MAX_EVENTS, MAX_SECONDS = 200_000, 90, 50_000, 5.0
# What else the page may say.
NOTHING_SAID = {"found": None, "problems": (), "wrong": "", "is_prefilled": False, "most_bytes": 0}
DAY = 86_400 * SECOND


class Backtests:
    """The page of a backtest, for visitors whom the gate has let in."""

    def __init__(self, store: Store, in_force: LiveRules[object], renderer: Renderer) -> None:
        self._store, self._in_force, self._render = store, in_force, renderer
        self._turn = threading.Lock()

    def ask(self, request: Request, visitor: Visitor) -> Response:
        """Ask for other rules."""
        text = self._in_force.rules.text
        is_large = len(text.encode()) > MAX_RULES
        how = {"is_prefilled": bool(text) and not is_large, "most_bytes": is_large and MAX_RULES}
        return self._page(request, visitor, {"rules": "" if is_large else text}, how)

    def compare(self, request: Request, visitor: Visitor, form: Mapping[str, str]) -> Response:
        """Show who would have been told more or less by the rules in the form."""
        text, days = form.get("rules", ""), whole_number(form.get("days", "").strip())
        raw = text.encode("utf-8", "replace")
        if days is None or not 1 <= days <= MAX_DAYS:
            return self._refused(request, visitor, form, f"Days are 1 to {MAX_DAYS}.")
        if len(raw) > MAX_RULES:
            wrong = f"At most {MAX_RULES} bytes: use `receiver backtest` for more."
            return self._refused(request, visitor, form, wrong)
        try:
            others = routes_file.read(NAME, raw, UNFILLED)
        except ConfigurationError as error:
            problems = {"problems": error.problems}
            return self._page(request, visitor, form, problems, 422)
        if not self._turn.acquire(blocking=False):
            wrong = "Another backtest is under way: try again in some seconds."
            return self._refused(request, visitor, form, wrong)
        try:
            now, ends = time.time_ns(), time.monotonic() + MAX_SECONDS
            since = (now - days * DAY) // SECOND * SECOND
            found = backtest(
                self._store, self._in_force.rules, others, since, now, MAX_EVENTS,
                lambda: time.monotonic() > ends,
            )  # fmt: skip
        finally:
            self._turn.release()
        return self._page(request, visitor, form, {"found": found})

    def _refused(
        self, request: Request, visitor: Visitor, form: Mapping[str, str], wrong: str
    ) -> Response:
        """Say what is wrong with the form, or with the time, and not with the rules in it."""
        return self._page(request, visitor, form, {"wrong": wrong}, 422)

    def _page(
        self, request: Request, visitor: Visitor, form: Mapping[str, str],
        said: Mapping[str, Any], status: int = 200,
    ) -> Response:  # fmt: skip
        content = {
            "title": "Backtest",
            "form": {"rules": "", "days": "7", **form},
            "file": self._in_force.rules.path,
            "written_out": self._in_force.rules.written_out,
            **NOTHING_SAID,
            **said,
        }
        return self._render.page(request, "backtest.html", content, visitor, status)
