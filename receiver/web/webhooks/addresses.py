"""Addresses that senders asked for: as the log may show them, and which one was meant.

A path is text that somebody made up, and some senders put a token into it. So the log gets it
without its query, control characters and anything that may be a secret, and not in full length.
"""

from __future__ import annotations

import base64
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from receiver.sources.source import Source

WEBHOOKS = "/webhooks/"
MAX_PATH = 80  # characters
_MASK = "***"
# A name of this length with digits or capitals in it may be a token.
_MAX_NAME = 11
_QUERY = re.compile(r"[?#&;]")
_UNSAFE = re.compile(r"[^!-~]|[\"'\\,]")
_TELLING = frozenset({"hook", "hooks", "webhook", "webhooks"})


class Addresses:
    """The addresses that were asked for, beside those of the sources in force.

    `token` is the API's; like the sources' secrets it must not be shown.
    """

    def __init__(self, sources: Callable[[], Mapping[str, Source]], token: str = "") -> None:
        self._sources = sources
        self._token = token

    def cause(self, path: str) -> str:
        """Return why nothing is at a path: a webhook's wrong address, or anything else."""
        names = {*path.lower().split("/")}
        is_webhook = not names.isdisjoint(_TELLING) or not names.isdisjoint(self._sources())
        return "address" if is_webhook else "not_found"

    def shown(self, path: str) -> str:
        """Return a path as the log may show it."""
        sources = self._sources()
        for secret in sorted(self._secrets(sources.values()), key=len, reverse=True):
            path = path.replace(secret, _MASK)
        path = _QUERY.split(path, maxsplit=1)[0][:1_000]
        segments = (
            segment if segment in sources else _masked(segment) for segment in path.split("/")
        )
        text = _UNSAFE.sub("?", "/".join(segments))
        return text if len(text) <= MAX_PATH else f"{text[: MAX_PATH - 1]}…"

    def meant(self, shown: str) -> str:
        """Return the source's address that a shown path resembles; "" if there is none."""
        sources = self._sources()
        names = [name for name in reversed(shown.lower().split("/")) if name]
        close = (difflib.get_close_matches(name, sources, 1, 0.75) for name in names[:4])
        nearest = next((name for name in names if name in sources), None) or next(
            (matches[0] for matches in close if matches), None
        )
        return f"{WEBHOOKS}{nearest}" if nearest and f"{WEBHOOKS}{nearest}" != shown else ""

    def _secrets(self, sources: Iterable[Source]) -> Iterator[str]:
        if self._token:
            yield self._token
        for source in sources:
            verification = source.verification
            if verification.secret_header is not None:
                yield verification.secret_header[1]
            for key in verification.keys:
                if isinstance(key, bytes) and verification.scheme == "standard-webhooks":
                    yield base64.b64encode(key).decode().rstrip("=")
                elif isinstance(key, bytes):
                    yield key.decode()


def _masked(segment: str) -> str:
    """Return a part of a path without what may be a secret."""
    if "@" in segment or ":" in segment:
        return _MASK
    name, equals, value = segment.partition("=")
    if equals and value:
        return f"{_masked(name)}={_MASK}"
    is_word = segment.islower() and not any(map(str.isdigit, segment))
    return segment if is_word or len(segment) <= _MAX_NAME else _MASK
