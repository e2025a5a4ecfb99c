"""Redaction: one readable line without the secrets of a URL."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MAX_DETAIL = 300
# In these URLs the host is an address that helps to find a fault; elsewhere it may be a token.
OPEN_HOSTS = {
    "json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos", "mmost", "mmosts",
    "gotify", "gotifys",
}  # fmt: skip
# Values of options that are words and not secrets: without them a line makes no sense.
_OPEN_VALUES = {
    "yes", "no", "true", "false", "on", "off", "starttls", "ssl", "insecure", "text", "html",
    "markdown", "upstream", "truncate", "split", "get", "post", "put", "patch",
}  # fmt: skip
_SHORT = 6
# So much of a line is looked at, and in so many readings.
_LONGEST_LINE = 20_000
_READINGS = 24
# As base64 a shorter text than this would be too short to be told from other words.
_LONG = 8


def redact(url: str, line: str, more: Iterable[str] = ()) -> str:
    """Return the line, at most 300 printable characters, without any secret of the URL.

    `more` are further secrets, such as a login as it was sent. A line that shows one only once it
    is decoded, as a page, as JSON or as a URL, comes out decoded.
    """
    secrets = sorted(_spellings(url) | _signs(more), key=len, reverse=True)
    patterns = [re.compile(_pattern(secret), re.IGNORECASE) for secret in secrets]
    plain = _without(patterns, line[:_LONGEST_LINE])
    seen, left = {plain}, [plain]
    while left and len(seen) < _READINGS:
        reading = left.pop(0)
        for decoded in (decode(reading) for decode in _DECODERS):
            if decoded in seen:
                continue
            seen.add(decoded)
            hidden = _without(patterns, decoded)
            if hidden != _one_line(decoded):
                # Nothing but this reading goes on: the others still show the secret.
                plain, left = hidden, [hidden]
                break
            left.append(decoded)
    plain = plain or "no reason was given"
    return plain if len(plain) <= MAX_DETAIL else plain[: MAX_DETAIL - 1] + "…"


def _without(patterns: Iterable[re.Pattern[str]], text: str) -> str:
    """Return a text as one line, without what the patterns of secrets match."""
    text = _one_line(text)
    for pattern in patterns:
        text = pattern.sub("***", text)
    return text


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _pattern(secret: str) -> str:
    pattern = re.escape(secret)
    # A short secret counts only as a whole word: else it would make holes in other words.
    return pattern if len(secret) >= _SHORT else rf"(?<![A-Za-z0-9]){pattern}(?![A-Za-z0-9])"


def _from_json(text: str) -> str:
    """Decode the escapes of JSON, however often they were escaped themselves."""
    text = re.sub(
        r"\\+(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))",
        lambda found: chr(int(found[1] or found[2], 16)),
        text,
    )
    text = re.sub(r"\\+(?=[/\"'])|\\(?=\\)", "", text)
    # A letter beyond the first plane is escaped as two halves.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


# How a secret is written in a page, in JSON and in a URL.
_DECODERS: tuple[Callable[[str], str], ...] = (html.unescape, _from_json, unquote, unquote_plus)


def _spellings(url: str) -> set[str]:
    """Collect every secret in each of its spellings: percent-encoded or not, base64 of a login."""
    # A byte that is no UTF-8 comes from the environment as half a letter, which cannot be encoded.
    url = url.encode("utf-8", "replace").decode().strip()
    scheme, _, rest = url.partition("://")
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    login, _, host = authority.rpartition("@")
    user, _, password = login.partition(":")
    secrets = {url, rest, *_encodings(4, path, login, user, *re.split(r"[/@:#]", path))}
    secrets |= {*_encodings(4, *_query_values(query)), *_encodings(1, password)}
    if scheme.lower() not in OPEN_HOSTS:
        secrets |= {*_encodings(4, host, *host.split(":"))}
    secrets |= set(_logins(unquote(user), unquote(password)))
    tokens = [unquote(each) for each in secrets if len(each) >= _LONG]
    for token in tokens:
        # A token that is base64 itself may be echoed without the signs at its end.
        secrets |= {*_in_base64(token), html.escape(token), token.rstrip("=")}
    return {secret for secret in secrets if secret and secret.lower() not in _OPEN_VALUES}


def _signs(secrets: Iterable[str]) -> set[str]:
    """Collect each secret as it may stand in a text, in a page, in a URL and in base64."""
    found = set[str]()
    for secret in secrets:
        found |= {*_encodings(1, secret), html.escape(secret), *_in_base64(secret)}
    return {secret for secret in found if secret.lower() not in _OPEN_VALUES}


def _encodings(least: int, *pieces: str) -> Iterator[str]:
    """Yield each piece of at least `least` characters in every spelling of URLs."""
    for piece in pieces:
        plain = unquote(piece)
        for spelling in (piece, plain, unquote_plus(piece), quote(plain, ""), quote_plus(plain)):
            if len(spelling) >= least:
                yield " ".join(spelling.split())


def _query_values(query: str) -> Iterable[str]:
    """Yield the values of a query, and the list items in them."""
    for pair in re.split(r"[&;]", query):
        name, _, value = pair.partition("=")
        value = value or name  # a token may stand alone
        yield value
        yield from re.split(r"[,\s]|%2C|%20", value, flags=re.IGNORECASE)


def _logins(user: str, password: str) -> Iterator[str]:
    """Yield the forms of a login in HTTP and SMTP."""
    if not password:
        return
    for text in (f"{user}:{password}", f"\0{user}\0{password}", password, user):
        yield from _in_base64(text)


def _in_base64(text: str) -> Iterator[str]:
    encoded = base64.b64encode(text.encode("utf-8", "replace")).decode()
    web = encoded.replace("+", "-").replace("/", "_")
    yield from (encoded, encoded.rstrip("="), web, web.rstrip("="))
