"""Signature headers: finds the time and the signatures in the forms that senders give them.

A layout shows the header as the sender's documentation does, with {timestamp} and {signature} for
the values: `t={timestamp},v1={signature}`. Entries with other names are skipped. While a sender
changes its secret, a header holds several signatures, and one that fits is enough.

Nothing here makes a check weaker. A blank is allowed only between entries, so a value has one
reading, and the signed text always holds the time as the header has it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from receiver.errors import UntrustedWebhook

# Each Ed25519 entry costs a pass over the body, and a header has room for hundreds.
MAX_SIGNATURES = 32
# Layouts that have a name.
NAMED = {"stripe": "t={timestamp},v1={signature}"}
# Times are seconds up to the year 5138; a larger number counts milli-, micro- or nanoseconds.
_MAX_SECONDS = 100_000_000_000
_FIELD = re.compile(r"([A-Za-z0-9_-]{1,20})=\{(timestamp|signature)\}")
_VERSION = re.compile(rb"v[0-9]+[a-z]?")
Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Layout:
    """The form of a header: names of its entries, and what separates them.

    `time` is empty if the header holds no time.
    """

    separator: bytes
    time: bytes
    signatures: tuple[bytes, ...]

    def read(self, value: bytes) -> tuple[bytes, list[bytes]]:
        """Return the time and the signatures of a header's value."""
        entries = [entry.partition(b"=") for entry in _entry_end(self.separator).split(value)]
        times = {content for name, _, content in entries if name == self.time} or {b""}
        found = [content for name, _, content in entries if name in self.signatures]
        # With two times, two readers of the header might check different ones.
        if len(times) > 1 or len(found) > MAX_SIGNATURES:
            raise UntrustedWebhook("malformed")
        return times.pop(), found

    def write(self, time: str, signature: str) -> str:
        """Return a header's value, as the sender writes it."""
        first = f"{self.signatures[0].decode()}={signature}"
        if not self.time:
            return first
        return f"{self.time.decode()}={time}{self.separator.decode()}{first}"


@lru_cache(maxsize=64)
def parse_layout(text: str) -> Layout | None:
    """Read a layout of routes.yaml; None if it is none."""
    template = NAMED.get(text, text).replace(" ", "")
    separator = ";" if ";" in template else ","
    fields = [_FIELD.fullmatch(part) for part in template.split(separator)]
    named = [(field[2], field[1].encode()) for field in fields if field]
    times = [name for kind, name in named if kind == "timestamp"]
    signatures = tuple(name for kind, name in named if kind == "signature")
    names = {name for _, name in named}
    if None in fields or len(names) < len(fields) or len(times) > 1 or not signatures:
        return None
    return Layout(separator.encode(), times[0] if times else b"", signatures)


@lru_cache(maxsize=16)
def _entry_end(separator: bytes) -> re.Pattern[bytes]:
    # Some senders repeat the whole header for each secret, with a blank before the repetition.
    return re.compile(re.escape(separator) + rb" *| +(?=[A-Za-z0-9_-]+=)")


def split_signatures(value: bytes, prefix: bytes) -> list[bytes]:
    """Return the signatures of a header, each with its prefix, separated by commas or blanks."""
    if b"," in prefix:
        return [value]
    # A prefix may end with a blank: `sha256 0a1b…`.
    entries = re.split(rb", *" if b" " in prefix else rb"[, ]+", value)
    if len(entries) > MAX_SIGNATURES:
        raise UntrustedWebhook("malformed")
    return entries


def split_versions(value: bytes) -> list[tuple[bytes, bytes]]:
    """Return version and signature of each entry of `v1,… v1a,…`; other text is skipped."""
    words = re.split(rb"[, ]+", re.sub(rb"(?<![^, ])(v[0-9]+[a-z]?)=", rb"\1,", value))
    pairs = [
        (version, signature)
        for version, signature in pairwise(words)
        if _VERSION.fullmatch(version) and not _VERSION.fullmatch(signature)
    ]
    if len(pairs) > MAX_SIGNATURES:
        raise UntrustedWebhook("malformed")
    return pairs


def header(headers: Headers, name: str, absent: str = "missing") -> bytes:
    """Return the one value of a header; `absent` is the cause when it is missing or empty."""
    wanted = _header_name(name)
    values = [value for key, value in headers if key.lower() == wanted]
    if len(values) > 1:
        raise UntrustedWebhook("repeated")
    if not values or not values[0]:
        raise UntrustedWebhook(absent)
    return values[0]


@lru_cache(maxsize=64)
def _header_name(name: str) -> bytes:
    return name.lower().encode("latin-1", "replace")


def decode_base64(text: bytes) -> bytes:
    """Return the bytes of canonical base64."""
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        raise UntrustedWebhook("malformed") from None
    # validate=True lets other last digits through that mean the same bytes.
    if base64.b64encode(value) != text:
        raise UntrustedWebhook("malformed")
    return value


def check_time(timestamp: bytes, now: float, tolerance: float) -> None:
    """Raise UntrustedWebhook unless the signed time is within the tolerance of now (seconds)."""
    # bytes.isdigit knows ASCII digits only; the length keeps int() cheap.
    if not timestamp.isdigit() or len(timestamp) > 20:
        raise UntrustedWebhook("malformed")
    seconds = float(int(timestamp))
    while seconds >= _MAX_SECONDS:
        seconds /= 1000
    if abs(now - seconds) > tolerance:
        raise UntrustedWebhook("expired")
