"""Sanitizer: makes the hostile text of an event harmless for people to see. Pure.

It removes control and direction characters, mentions that a destination would act on, and links
that hide their target. The text stays readable.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

MAX_PART, MAX_LINK = 600, 300

# An active sign becomes a similar wide letter: readable, and without effect.
_MENTION = re.compile(r"@(?=(?:everyone|here|channel|all)\b)|(?<![\w.+-])@(?=[\w&])", re.IGNORECASE)
_MASKED = re.compile(r"\](?=\()")  # Discord and Mattermost read [click](https://…) in plain text
_ANGLE = re.compile(r"<(?=[!@#]|https?:|mailto:|tel:)", re.IGNORECASE)
_DROPPED = {"Cc", "Cf", "Cs", "Co", "Cn"}
_BREAKS = {"\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"}


def clean(text: object, limit: int = MAX_PART, *, lines: bool = False) -> str:
    """Return the text without control and direction characters, mentions and disguised links.

    It has at most `limit` characters. With `lines`, line breaks stay; else they become spaces.
    """
    # Cut before the work as well: a huge text must not cost more than a small one.
    raw = str(text)[: limit * 4].replace("\r\n", "\n")
    # A printable text loses no character here.
    printable = (raw.replace("\n", "") if lines else raw).isprintable()
    plain = raw if printable else "".join(_plain(character, lines) for character in raw)
    harmless = _MASKED.sub("］", _ANGLE.sub("＜", _MENTION.sub("＠", plain))).strip()
    return harmless if len(harmless) <= limit else harmless[: limit - 1].rstrip() + "…"


def _plain(character: str, lines: bool) -> str:
    if character in _BREAKS:
        return "\n" if lines else " "
    if character == "\t":
        return " "
    return "" if unicodedata.category(character) in _DROPPED else character


def safe_link(url: str | None) -> str:
    """Return the URL if it is http(s) and shows its target, else an empty text."""
    if not url or len(url) > MAX_LINK or not url.isprintable() or re.search(r"[\s<>|\"'`]", url):
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    is_safe = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in url
    return url if is_safe else ""
