"""Links: the signed addresses at which people take what waits. Pure.

A link holds no secret of a sender: the number of a message, a mark of what it is about, its end,
and a signature of all three. It is checked before anything is looked up, so a forged one costs
nothing and tells nothing. The mark is of the episode (one stay of an execution in one status) and
of the destination: a number that another message got after a restored backup opens nothing.

The alphabet has letters and digits only: programs that find links in texts cut no part of it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from receiver.times import SECOND, UNITS

# A link is worth nothing after so many nanoseconds.
LASTS = 7 * UNITS["d"] * SECOND
MIN_KEY = 16
# Bytes of a token: the name of its key, its end (s), the mark, the message, the signature.
_KEY, _END, _MARK, _DELIVERY, _SIGNATURE = 2, 4, 4, 5, 16
_BYTES = _KEY + _END + _MARK + _DELIVERY + _SIGNATURE
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTH = 42  # 62 ** 42 > 256 ** 31
_PURPOSE = b"receiver: take an episode\0"
PATH = "/take/"


class Fault(StrEnum):
    """Why a link opens nothing."""

    FORGED = "forged"
    OTHER_KEY = "other_key"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Ticket:
    """The content of a link: a message, the mark of what it is about, and its end (seconds)."""

    delivery: int
    mark: bytes
    ends: int


@dataclass(frozen=True, slots=True)
class Links:
    """The links of this installation: where others reach it, and the keys, the present one first.

    Without an address there are no links. Without a key a link shows its form only.
    """

    public_url: str = ""
    keys: Sequence[bytes] = field(default=(), repr=False)

    def to(self, delivery: int, mark: bytes, now: int) -> str:
        """Return the link in a message that is sent now (nanoseconds); empty without an address."""
        if not self.public_url:
            return ""
        begin = self.public_url.rstrip("/") + PATH
        if not self.keys:
            return f"{begin}…"
        return begin + sign(self.keys[0], Ticket(delivery, mark, (now + LASTS) // SECOND))


NO_LINKS = Links()


def mark_of(source: str, execution_id: str, version: int, destination: str) -> bytes:
    """Return the mark of an episode and of a destination that is told of it."""
    names = "\0".join((source, execution_id, str(version), destination))
    return hashlib.sha256(names.encode("utf-8", "backslashreplace")).digest()[:_MARK]


def sign(key: bytes, ticket: Ticket) -> str:
    """Return the token of a ticket."""
    content = (
        _name_of(key)
        + ticket.ends.to_bytes(_END, "big")
        + ticket.mark
        + ticket.delivery.to_bytes(_DELIVERY, "big")
    )
    return _written(content + _signature(key, content))


def read(token: str, keys: Sequence[bytes], now: int) -> Ticket | Fault:
    """Return what a token holds, by one of these keys, or why it opens nothing. `now` is in ns."""
    raw = _unwritten(token)
    if raw is None:
        return Fault.FORGED
    content, signature = raw[:-_SIGNATURE], raw[-_SIGNATURE:]
    named = [key for key in keys if _name_of(key) == content[:_KEY]]
    if not named:
        return Fault.OTHER_KEY
    if not any(hmac.compare_digest(signature, _signature(key, content)) for key in named):
        return Fault.FORGED
    end, mark = content[_KEY : _KEY + _END], content[-_DELIVERY - _MARK : -_DELIVERY]
    ticket = Ticket(int.from_bytes(content[-_DELIVERY:], "big"), mark, int.from_bytes(end, "big"))
    return Fault.EXPIRED if now >= ticket.ends * SECOND else ticket


def form_token(key: bytes, token: str, browser: str) -> str:
    """Return the proof that a form was shown by the page of this token to this browser."""
    content = f"{token}\0{browser}".encode("utf-8", "backslashreplace")
    return hmac.new(key, b"receiver: form\0" + content, "sha256").hexdigest()[:32]


def _signature(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, _PURPOSE + content, "sha256").digest()[:_SIGNATURE]


def _name_of(key: bytes) -> bytes:
    """Return what tells a key from others, and nothing about it."""
    return hmac.new(key, b"receiver: name", "sha256").digest()[:_KEY]


def _written(raw: bytes) -> str:
    """Write bytes as letters and digits, always as many."""
    number, signs = int.from_bytes(raw, "big"), []
    for _ in range(_LENGTH):
        number, place = divmod(number, len(_ALPHABET))
        signs.append(_ALPHABET[place])
    return "".join(reversed(signs))


def _unwritten(token: str) -> bytes | None:
    """Return the bytes of a token in its only spelling; None if it is none."""
    if len(token) != _LENGTH or not (token.isascii() and token.isalnum()):
        return None
    number = 0
    for sign_ in token:
        number = number * len(_ALPHABET) + _ALPHABET.index(sign_)
    return number.to_bytes(_BYTES, "big") if number < 256**_BYTES else None
