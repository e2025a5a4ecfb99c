"""Requests: which of them carries the message, and what in them is a secret. Pure.

A plugin may log in, look up, upload and log out around the message. The request of the message is
the one that holds its words, in whatever form the service wants them.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

# So much of a text is looked at: some services take no more of it.
_LOOKED_AT = 120
_LEAST_WORDS = 2
_WORD = re.compile(r"\w{3,}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/\r\n]{40,}={0,2}")
# Headers that hold no secret of the destination.
_OPEN_HEADERS = {
    "user-agent", "accept", "accept-encoding", "connection", "content-type", "content-length",
    "host", "date", "x-amz-date", "x-amz-target", "content-md5",
}  # fmt: skip
_SECRET_NAMES = re.compile(
    r"pass|pwd|token|secret|key|auth|sig|hash|session|jwt|credential|login|user|sid|assertion",
    re.IGNORECASE,
)
_LEAST_SECRET = 4
# Addresses of requests around a message: logins, look-ups, uploads, logouts.
_AROUND = re.compile(
    r"log_?(?:in|out|off)|auth|token|session|lookup|resolve|discover|well-known|join|upload|media"
    r"|register|whoami|verify|get[A-Z]\w+|/(?:me|users?|channels?|rooms?|groups?|list)/?$",
    re.IGNORECASE,
)
_DEPTH = 5


class MessageWords:
    """The words of a message, by which its own request is known."""

    def __init__(self, *texts: str) -> None:
        found = (set(_WORD.findall(text[:_LOOKED_AT])) for text in texts)
        self._groups = [words for words in found if words]
        # By one word alone nothing is known: then every request is taken for the message's own.
        self._are_enough = sum(map(len, self._groups)) >= _LEAST_WORDS

    def are_in(self, url: str, body: Any) -> bool:
        """Return whether most of the title's or of the body's words are in a request."""
        if not self._are_enough:
            return True
        raw = body if isinstance(body, bytes) else str(body or "").encode("utf-8", "replace")
        return any(self._match(text) for text in _readings(url, raw))

    def _match(self, text: str) -> bool:
        return any(
            2 * sum(word in text for word in words) >= len(words) + (len(words) > 1)
            for words in self._groups
        )


def may_be_own(method: str, url: str) -> bool:
    """Return whether a request without the message's words may be its own: of a template, say."""
    return method not in ("GET", "HEAD") and _AROUND.search(urlsplit(url).path) is None


def _readings(url: str, body: bytes) -> Iterator[str]:
    """Yield the text of a request as it stands, and as its reader will see it."""
    text = body.decode("utf-8", "replace")
    yield text
    plain = unquote_plus(f"{url} {text}")
    yield plain
    yield re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), html.unescape(plain))
    for piece in _BASE64.findall(plain.encode("utf-8", "replace")):
        try:
            yield base64.b64decode(piece, validate=False).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            continue


def secrets_of(url: str, headers: Mapping[str, Any], body: Any) -> set[str]:
    """Collect what a request holds that nobody else may see, as it is sent and as it is read."""
    found = {value for name, value in parse_qsl(urlsplit(url).query) if _SECRET_NAMES.search(name)}
    for name, value in headers.items():
        if name.lower() not in _OPEN_HEADERS:
            found |= set(_of_header(_text(value)))
    found |= set(_of_body(_text(body)))
    return {secret for secret in found if len(secret) >= _LEAST_SECRET}


def _of_header(value: str) -> Iterator[str]:
    """Yield a header's value, its parts, and the login in it."""
    yield value
    parts = re.split(r"[\s,;]+", value)
    yield from (part for part in parts if len(part) > 2 * _LEAST_SECRET)
    for part in parts:
        yield from re.findall(r'=\s*"?([^"\s,;]{8,})', part)
    try:
        login = base64.b64decode(parts[-1], validate=True).decode()
    except (binascii.Error, ValueError):
        return
    yield login
    yield from (part for part in login.split(":") if part)


def _of_body(text: str) -> Iterator[str]:
    try:
        yield from _named(json.loads(text))
    except (ValueError, RecursionError):
        for name, value in parse_qsl(text) if "=" in text else ():
            if _SECRET_NAMES.search(name):
                yield value


def _named(value: Any, name: str = "", depth: int = 0) -> Iterable[str]:
    """Yield the texts under a name that says that they are secret."""
    if isinstance(value, str):
        if _SECRET_NAMES.search(name):
            yield value
    elif isinstance(value, Mapping) and depth < _DEPTH:
        for key, item in value.items():
            yield from _named(item, str(key), depth + 1)
    elif isinstance(value, list) and depth < _DEPTH:
        for item in value:
            yield from _named(item, name, depth + 1)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""
