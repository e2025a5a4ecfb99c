"""Rendering of the pages: the templates, their filters, and the headers of every answer.

Autoescape is on: every text of a sender is text. Nothing on a page is inline but drawings, and a
page may load nothing from elsewhere.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from functools import lru_cache, partial
from http import HTTPStatus
from pathlib import Path
from time import time_ns
from typing import Any
from urllib.parse import quote, unquote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from receiver.events import NOBODY
from receiver.intake.explain_stored import in_list, is_stopped
from receiver.lifecycle import RULES
from receiver.messages.local_time import clock_time, full_time
from receiver.messages.sanitize import safe_link
from receiver.times import ago, format_time, parse_time, span
from receiver.web.pages import marks, words
from receiver.web.pages.session import Visitor
from receiver.web.paging import is_known, tag_of

HERE = Path(__file__).parent
STATIC = HERE / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    # With `no-referrer` browsers would send forms without their origin.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# The most characters of one text of a sender on a page.
MOST = 4_000
NOTICE = "receiver_notice"
# Stands for the page's own ETag, which a part that refreshes itself sends along.
TAG = "@the-tag-of-this-page@"
_STAMP = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
TABS = (
    ("/", "Now"),
    ("/executions", "Executions"),
    ("/events", "Events"),
    ("/deliveries", "Messages"),
    ("/routes", "Routes"),
    ("/silences", "Silences"),
    ("/ledger", "Ledger"),
    ("/audit", "Audit"),
    ("/help", "Help"),
)


@dataclass(frozen=True, slots=True)
class Way:
    """A link that a page with a problem leads to, and its words."""

    address: str
    words: str


class Renderer:
    """The templates, with the time zone of the people."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters |= {
            "counted": words.counted,
            "age": lambda at, now: ago(_instant(at), now),
            "clock": lambda at, now: clock_time(_instant(at), now, zone),
            "breakable": marks.breakable,
            "in_code": marks.in_code,
            "in_list": in_list,
            "full": lambda at: full_time(_instant(at), zone),
            "link": safe_link,
            "rfc": lambda at: format_time(_instant(at)),
            "plain": self._plain,
            "segment": lambda text: quote(text, safe=""),
            "span": span,
            "shown": shown,
            "urlquery": urlencode,
        }
        self._templates.tests |= {
            "stopping": is_stopped, "printed": words.is_printed, "in_list": in_list,
        }  # fmt: skip
        self._templates.globals |= {
            "address": marks.address, "status_badge": marks.status_badge,
            "verdict_badge": marks.verdict_badge, "state_badge": marks.state_badge,
            "tag": TAG, "version_of": version_of, "tabs": TABS, "words": words, "rules_of": rule_of,
            "zip_names": lambda names: [(name, name) for name in names],
            "zone": str(zone), "nobody": NOBODY,
        }  # fmt: skip

    def _plain(self, text: str | None) -> str:
        """Return a reason in plain words, with its times as the clock shows them."""
        now = time_ns()
        return _STAMP.sub(
            lambda stamp: clock_time(parse_time(stamp[0]), now, self._zone), words.plain(text)
        )

    def page(
        self,
        request: Request,
        template: str,
        content: Mapping[str, Any],
        visitor: Visitor | None = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Answer a page. Its notice, if there is one, is shown once."""
        notice = shown(unquote(request.cookies.get(NOTICE, ""))) if visitor else ""
        now = time_ns()
        text = self._templates.get_template(template).render(
            now=now, when=partial(marks.moment, now=now, zone=self._zone), visitor=visitor,
            notice=notice, path=request.url.path, **content,
        )  # fmt: skip
        # Not the last lines, which say when it was made.
        tag = tag_of(text.rpartition("<footer>")[0].encode("utf-8", "replace"))
        known = {"ETag": tag, "Vary": "Authorization, Cookie"} if status == 200 else {}
        if known and not notice and is_known(request, tag):
            return Response(status_code=304, headers={**HEADERS, **known})
        text = text.replace(TAG, tag.strip('"'))
        answer = HTMLResponse(text, status, {**HEADERS, **(headers or {}), **known})
        if notice:
            answer.delete_cookie(NOTICE)
        return answer

    def problem(
        self, request: Request, status: int, text: str, headers: Mapping[str, str] | None = None,
        visitor: Visitor | None = None, way: Way | None = None,
    ) -> Response:  # fmt: skip
        """Answer a page that says what is wrong and what to do, and perhaps leads there."""
        title = "There is no such page" if status == 404 else HTTPStatus(status).phrase
        content = {"title": title, "text": text, "has_way": visitor is not None, "way": way}
        return self.page(request, "problem.html", content, visitor, status, headers)

    def lost(self, request: Request) -> Response:
        """Answer whoever asks for a page that there is not."""
        text = "Look at the address again, or begin at the first page."
        content = {"title": "There is no such page", "text": text, "has_way": True, "way": None}
        return self.page(request, "problem.html", content, None, 404)


def shown(value: object, limit: int = MOST) -> str:
    """Return a text that a page may show: without signs that hide or turn others, and cut."""
    text = "" if value is None else str(value)
    cut = text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in cut)


def rule_of(verdict: str, reason: str) -> str:
    """Return the rule that gave a verdict, as a sentence."""
    return RULES.get((verdict, reason), "")  # type: ignore[arg-type]  # a word is its text


@lru_cache(maxsize=32)
def version_of(name: str) -> str:
    """Return what changes in the address of a file when the file changes."""
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]


def _instant(at: int | str) -> int:
    return parse_time(at) if isinstance(at, str) else at
