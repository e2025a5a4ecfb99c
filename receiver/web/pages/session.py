"""Sessions: who may see the pages, by the API's token once, by a proxy's header, or on loopback.

A session is a cookie that this server has signed. The key comes from the API's token, so a new
token ends all sessions, and a restart ends none. Whoever signs out ends the session here, too.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

# Seconds: a working day.
LASTS = 12 * 3600
# Wrong tokens that one address may try within so many seconds.
MOST_ATTEMPTS, WITHIN = 5, 60.0
MAX_ADDRESSES = 1_000


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person who may use the pages: the name, if it is known, and whether a session ends."""

    name: str = ""
    has_session: bool = False
    is_named_by_proxy: bool = False


class Sessions:
    """The signed cookies. Times are Unix seconds."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    @cached_property
    def _key(self) -> bytes:
        # Slow on purpose: a cookie must not be a quick way to guess the token.
        return hashlib.scrypt(self._token, salt=b"receiver session", n=2**14, r=8, p=1)

    def begin(self, now: int) -> str:
        """Return the cookie of a new session."""
        content = f"{now + LASTS}.{secrets.token_urlsafe(18)}"
        return f"{content}.{self._sign(content)}"

    def is_open(self, cookie: str, now: int) -> bool:
        """Return whether a cookie is one of ours and its session lasts."""
        content, _, signature = cookie.rpartition(".")
        ends = content.partition(".")[0]
        if not (ends.isascii() and ends.isdigit() and len(ends) < 12 and len(cookie) < 200):
            return False
        given = signature.encode("utf-8", "replace")
        if not hmac.compare_digest(given, self._sign(content).encode()):
            return False
        return now < int(ends) and cookie not in self._ended

    def end(self, cookie: str, now: int) -> None:
        """End a session; its cookie is worth nothing from now on."""
        if not self.is_open(cookie, now):
            return
        with self._lock:
            self._ended[cookie] = int(cookie.partition(".")[0])
            for old in [each for each, ends in self._ended.items() if ends <= now]:
                del self._ended[old]

    def _sign(self, content: str) -> str:
        return hmac.new(self._key, content.encode("utf-8", "replace"), "sha256").hexdigest()


class Attempts:
    """The wrong tokens of each address within some seconds. Times are monotonic seconds.

    After the `most` of them an address has to wait.
    """

    def __init__(self, most: int = MOST_ATTEMPTS, within: float = WITHIN) -> None:
        self._most, self._within = most, within
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, address: str, now: float) -> float:
        """Return the seconds until this address may try again; 0.0: it may now."""
        with self._lock:
            recent = self._recent(address, now)
        return recent[0] + self._within - now if len(recent) >= self._most else 0.0

    def note(self, address: str, now: float) -> None:
        """Note a wrong token."""
        with self._lock:
            self._wrong[_network(address)] = [*self._recent(address, now), now]
            self._wrong.move_to_end(_network(address))
            while len(self._wrong) > MAX_ADDRESSES:
                self._wrong.popitem(last=False)

    def _recent(self, address: str, now: float) -> list[float]:
        return [at for at in self._wrong.get(_network(address), ()) if now - at < self._within]


def _network(address: str) -> str:
    """Return what counts as one address: of IPv6, one connection has a whole network."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return address
