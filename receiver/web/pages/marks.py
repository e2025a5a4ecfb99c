"""Marks: pieces of HTML that stand on a page many times: moments, badges, addresses. Pure.

They are made here and not by templates, which take ten times as long for each of them.
"""

from __future__ import annotations

from datetime import tzinfo
from urllib.parse import quote

from markupsafe import Markup, escape

from receiver.messages.local_time import clock_time, full_time
from receiver.times import ago, format_time, parse_time
from receiver.web.pages.words import STATES, STATUSES, TONES, VERDICTS


def moment(at: int | str | None, now: int, zone: tzinfo) -> Markup:
    """Return a time on the clock, and how long ago it was; the whole of it is its title."""
    if at is None:
        return Markup("never")
    instant = parse_time(at) if isinstance(at, str) else at
    whole, title = format_time(instant), escape(full_time(instant, zone))
    clock = escape(clock_time(instant, now, zone))
    return Markup(  # noqa: S704  (its parts are escaped)
        f'<time datetime="{whole}" title="{title}">{clock}</time>'
        f" <small>{ago(instant, now)}</small>"
    )


def status_badge(name: str) -> Markup:
    """Return a status as people say it, in its colour."""
    return _badge(name, STATUSES.get(name, name))


def verdict_badge(name: str) -> Markup:
    """Return the same of a verdict."""
    return _badge(name, VERDICTS.get(name, name))


def state_badge(name: str) -> Markup:
    """Return the same of the state of a message."""
    return _badge(name, STATES.get(name, name))


def _badge(name: str, words: str) -> Markup:
    tone = TONES.get(name, "over")
    return Markup(f'<mark class="badge {tone}">{escape(words)}</mark>')  # noqa: S704  (the same)


def breakable(text: str) -> Markup:
    """Return a name that may be broken after each of its underscores."""
    return Markup(str(escape(text)).replace("_", "_<wbr>"))  # noqa: S704  (it is escaped)


def in_code(text: str) -> Markup:
    """Return a line of Markdown whose words in backticks are code."""
    parts = [str(escape(part)) for part in text.split("`")]
    if len(parts) % 2 == 0:
        return escape(text)
    shown = "".join(f"<code>{p}</code>" if n % 2 else p for n, p in enumerate(parts))
    return Markup(shown)  # noqa: S704  (its parts are escaped)


def address(source: str, execution_id: str) -> Markup:
    """Return the path of an execution's page."""
    path = f"/executions/{quote(source, safe='')}/{quote(execution_id, safe='')}"
    return Markup(path)  # noqa: S704  (nothing in it is left to escape)
