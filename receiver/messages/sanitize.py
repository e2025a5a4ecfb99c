"""Hostile text made harmless: what an event says, as people may see it.

No control or direction characters, no mention that a destination would act on, no link that does
not show where it leads; and the text stays readable.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

MAX_PART, MAX_LINK = 600, 300

# What a destination would act on gets a wider letter: readable, and nothing is hidden in it.
_MENTION = re.compile(r"@(?=(?:everyone|here|channel|all)\b)|(?<![\w.+-])@(?=[\w&])", re.IGNORECASE)
_MASKED = re.compile(r"\](?=\()")  # Discord and Mattermost read [click](https://…) in plain text
_ANGLE = re.compile(r"<(?=[!@#]|https?:|mailto:|tel:)", re.IGNORECASE)
_DROPPED = {"Cc", "Cf", "Cs", "Co", "Cn"}
_BREAKS = {"\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"}


def clean(text: object, limit: int = MAX_PART, *, lines: bool = False) -> str:
    """The text without control and direction characters, mentions and links in disguise.

    At most `limit` characters; with `lines` line breaks stay, else they become spaces.
    """
    # Cut before the work, too: a huge text must not cost more than a small one.
    raw = str(text)[: limit * 4].replace("\r\n", "\n")
    # Nothing of what is printable would be dropped or changed one by one.
    printable = (raw.replace("\n", "") if lines else raw).isprintable()
    kept = raw if printable else "".join(_plain(character, lines) for character in raw)
    kept = _MASKED.sub("］", _ANGLE.sub("＜", _MENTION.sub("＠", kept))).strip()
    return kept if len(kept) <= limit else kept[: limit - 1].rstrip() + "…"


def _plain(character: str, lines: bool) -> str:
    if character in _BREAKS:
        return "\n" if lines else " "
    if character == "\t":
        return " "
    return "" if unicodedata.category(character) in _DROPPED else character


def safe_link(url: str | None) -> str:
    """The URL if it is http(s) and shows where it leads; else nothing."""
    if not url or len(url) > MAX_LINK or not url.isprintable() or re.search(r"[\s<>|\"'`]", url):
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    fits = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in url
    return url if fits else ""
