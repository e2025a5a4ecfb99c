"""Sanitizer: makes the hostile text of an event harmless for people to see. Pure.

It removes control and direction characters, mentions that a destination would act on, and links
that hide their target. The text stays readable. It does so for all services at once: a message may
go to several, and what is a mention in one is mere text in the others.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote, urlsplit

MAX_PART, MAX_LINK, MAX_NAME = 600, 300, 80

# An active sign becomes a similar wide letter: readable, and without effect. Mentions begin with @:
# @name, @all, Zulip's @**all** and @_*group*, Threema's @[ID], Nextcloud's @"name". An @ stays only
# before a space and in the address of an e-mail.
_MENTION = re.compile(
    r"@(?=(?:everyone|here|channel|all)\b)"
    r"|(?<![a-z0-9])@(?=\S)|@(?![\w-]+(?:\.[\w-]+)+)(?=\S)",
    re.IGNORECASE,
)
_MASKED = re.compile(r"\](?=\()")  # Discord and Mattermost read [click](https://…) in plain text
# Slack and Discord: <!here>, <@U1>, <#C1>; Revolt: <%ROLE>; Teams, Lark and Feishu: <at …>; Google
# Chat: <users/all>; Webex: <spark-mention …>; and links that hide their target.
_ANGLE = re.compile(
    r"<(?=[!@#%]|/?(?:at|spark-mention|mention)\b|users/|https?:|mailto:|tel:)", re.IGNORECASE
)
# KOOK: (met)all(met), (rol)1(rol), (chn)1(chn); OneBot and QQ: [CQ:at,qq=all].
_ROUND = re.compile(r"\((?=(?:met|rol|chn)\))", re.IGNORECASE)
_SQUARE = re.compile(r"\[(?=\s*CQ:)", re.IGNORECASE)
# Mattermost and others read &#64; and &commat; as an @, and what they make so as markup: every
# character reference loses its effect, with or without its end.
_REFERENCE = re.compile(r"&(?=#[0-9]|#x[0-9a-f]|[a-z][a-z0-9]*;)", re.IGNORECASE)
# A fence or a spoiler that is not closed would take the rest of the message, with its link.
_FENCE = re.compile(r"`(?=``)|(?<=``)`|~(?=~~)|(?<=~~)~|\|(?=\|)|(?<=\|)\|")
_WIDE = (
    (_REFERENCE, "＆"), (_MENTION, "＠"), (_ANGLE, "＜"), (_MASKED, "］"), (_ROUND, "（"),
    (_SQUARE, "［"),
)  # fmt: skip
# Without any of these signs nothing above has an effect.
_SIGNS = re.compile(r"[&@<\](\[`~|]")
# Services make links of addresses in plain text, too.
_LINKS = re.compile(
    r":(?=//)|(?<=\bmailto):|(?<=\btel):|(?<=\bjavascript):|(?<=\bdata):|(?<=\bwww)\.",
    re.IGNORECASE,
)
# From a sign of ASCII to its wide form.
_FULL_WIDTH = 0xFEE0
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
    harmless = _without_effect(plain).strip()
    return harmless if len(harmless) <= limit else harmless[: limit - 1].rstrip() + "…"


def person(text: object, limit: int = MAX_NAME) -> str:
    """Return the name of a person: cleaned, and no service makes a link of a part of it."""
    return _LINKS.sub(_as_wide, clean(text, limit))


def _without_effect(text: str) -> str:
    if _SIGNS.search(text) is None:  # nearly every text
        return text
    for active, wide in _WIDE:
        text = active.sub(wide, text)
    return _FENCE.sub(_as_wide, text)


def _as_wide(sign: re.Match[str]) -> str:
    return chr(ord(sign[0]) + _FULL_WIDTH)


def _plain(character: str, lines: bool) -> str:
    if character in _BREAKS:
        return "\n" if lines else " "
    if character == "\t":
        return " "
    return "" if unicodedata.category(character) in _DROPPED else character


def safe_link(url: str | None) -> str:
    """Return the URL if it is http(s) and shows its target, else an empty text.

    Brackets and stars in its path are written as %28 and the like, which leads to the same place.
    """
    if not url or len(url) > MAX_LINK or not url.isprintable() or re.search(r"[\s<>|\"'`]", url):
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in url:
        return ""
    start = len(f"{parts.scheme}://{parts.netloc}")
    path = re.sub(r"[()*\[\]\\^{}]", lambda sign: quote(sign[0], safe=""), url[start:])
    return url[:start] + path if len(path) + start <= MAX_LINK else ""
