"""Backtests of the pages: edited rules against the stored events. Nothing is filled in or read.

The form begins with the rules in force as their file has them, if no secret is written out there.
Their variables stay names, and empty: the environment of the server is no business of the page. One
backtest at a time, for a few seconds.
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
DAY = 86_400 * SECOND


class Backtests:
    """The page of a backtest, for visitors whom the gate has let in."""

    def __init__(self, store: Store, in_force: LiveRules[object], renderer: Renderer) -> None:
        self._store, self._in_force, self._render = store, in_force, renderer
        self._turn = threading.Lock()

    def ask(self, request: Request, visitor: Visitor) -> Response:
        """Ask for other rules."""
        text = self._in_force.rules.text
        return self._page(request, visitor, {"rules": text if len(text) <= MAX_RULES else ""})

    def compare(self, request: Request, visitor: Visitor, form: Mapping[str, str]) -> Response:
        """Show who would have been told more or less by the rules in the form."""
        text, days = form.get("rules", ""), whole_number(form.get("days", "").strip())
        raw = text.encode("utf-8", "replace")
        if days is None or not 1 <= days <= MAX_DAYS:
            return self._wrong(request, visitor, form, f"Days are 1 to {MAX_DAYS}.")
        if len(raw) > MAX_RULES:
            wrong = f"At most {MAX_RULES} bytes: use `receiver backtest` for more."
            return self._wrong(request, visitor, form, wrong)
        try:
            others = routes_file.read(NAME, raw, UNFILLED)
        except ConfigurationError as error:
            return self._wrong(request, visitor, form, *error.problems)
        if not self._turn.acquire(blocking=False):
            return self._wrong(request, visitor, form, "Another backtest is under way: wait.")
        try:
            now, ends = time.time_ns(), time.monotonic() + MAX_SECONDS
            since = (now - days * DAY) // SECOND * SECOND
            found = backtest(
                self._store, self._in_force.rules, others, since, now, MAX_EVENTS,
                lambda: time.monotonic() > ends,
            )  # fmt: skip
        finally:
            self._turn.release()
        return self._page(request, visitor, form, found)

    def _wrong(
        self, request: Request, visitor: Visitor, form: Mapping[str, str], *problems: str
    ) -> Response:
        return self._page(request, visitor, form, None, problems)

    def _page(
        self, request: Request, visitor: Visitor, form: Mapping[str, str],
        found: Mapping[str, Any] | None = None, problems: tuple[str, ...] = (),
    ) -> Response:  # fmt: skip
        content = {
            "title": "Backtest",
            "form": {"rules": "", "days": "7", **form},
            "found": found,
            "problems": problems,
            "file": self._in_force.rules.path,
            "written_out": self._in_force.rules.written_out,
        }
        status = 422 if problems else 200
        return self._render.page(request, "backtest.html", content, visitor, status)
