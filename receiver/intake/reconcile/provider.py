"""Provider: requests to the API of a source's provider, bounded in time and size.

Requests go to the source's `base_url` alone: redirects are not followed. No text here holds the
key, an address or what the provider wrote.
"""

from __future__ import annotations

import json
import math
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from receiver.config.exposure import is_loopback
from receiver.sources.access import ApiAccess
from receiver.times import SECOND

if TYPE_CHECKING:
    import httpx2

# The most bytes of an answer.
MAX_ANSWER = 4 * 2**20
# A provider's clock is taken for another one than ours from here on; its `Date` has whole seconds.
_OTHER_CLOCK = 2 * SECOND
# How much later than its time an answer is given up (seconds).
_GRACE = 0.5
# The longest pause that a provider may ask for (seconds).
_LONGEST = 3600.0

# All that may have a request under way.
_OPEN: weakref.WeakSet[Provider] = weakref.WeakSet()
_LOCK = threading.Lock()


class Outcome(StrEnum):
    """The result of a request."""

    ANSWERED = "answered"
    NOT_FOUND = "not_found"
    KEY_REFUSED = "key_refused"
    REFUSED = "refused"
    BUSY = "busy"
    FAILED = "failed"
    UNREADABLE = "unreadable"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of a request, with its JSON if there is an answer.

    `at` is the time of the request by the provider's clock (nanoseconds): what the answer says was
    true then or later. `retry_after` is the pause that the provider asks for (seconds). `detail`
    says in our words what failed.
    """

    outcome: Outcome
    at: int
    content: Any = None
    retry_after: float | None = None
    detail: str = ""


class Provider:
    """The API of one provider. For one thread at a time; close it at the end.

    `owner`: when that ends, it breaks off the requests of all providers that it owns.
    """

    def __init__(self, access: ApiAccess, owner: object = None) -> None:
        self._access = access
        self._client: httpx2.Client | None = None
        self.owner = owner
        self._is_broken_off = False
        self._done = threading.Event()
        with _LOCK:
            _OPEN.add(self)

    def get(self, path: str) -> Reply:
        """Ask; the reply tells every failure."""
        return self._request("GET", path)

    def post(self, path: str) -> Reply:
        """Act; `uncertain` if the act may have happened."""
        return self._request("POST", path)

    def break_off(self) -> None:
        """Wait no longer for an answer, and make no more requests."""
        self._is_broken_off = True
        self._done.set()

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def _request(self, method: str, path: str) -> Reply:
        """Make a request in a thread of its own: no server can stretch it beyond its time."""
        replies: list[Reply] = []
        done = self._done = threading.Event()
        if self._is_broken_off:
            return Reply(Outcome.FAILED, time.time_ns(), detail="this process ends")
        client, asked_at = self._opened(), time.time_ns()

        def exchange() -> None:
            replies.append(self._exchange(client, method, path))
            done.set()

        threading.Thread(target=exchange, name="provider", daemon=True).start()
        done.wait(self._access.timeout + _GRACE)
        if replies:
            return replies[0]
        self._client = None
        with suppress(Exception):
            client.close()  # which ends the thread
        lost = Outcome.UNCERTAIN if method == "POST" else Outcome.FAILED
        detail = f"no whole answer within {self._access.timeout:g} s"
        if self._is_broken_off:
            detail = "this process ended before an answer came"
        return Reply(lost, asked_at, detail=detail)

    def _exchange(self, client: httpx2.Client, method: str, path: str) -> Reply:
        import httpx2

        asked_at = time.time_ns()
        end = time.monotonic() + self._access.timeout
        url = self._access.base_url.rstrip("/") + path
        lost = Outcome.UNCERTAIN if method == "POST" else Outcome.FAILED
        try:
            with client.stream(method, url) as answer:
                at = _by_its_clock(asked_at, answer.headers.get("date"))
                return _reply(answer, at, _read(answer, end), lost)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol,
                httpx2.ProxyError):  # fmt: skip
            return Reply(Outcome.FAILED, asked_at, detail="no connection to it")
        except (httpx2.TimeoutException, TimeoutError):
            seconds = f"{self._access.timeout:g} s"
            return Reply(lost, asked_at, detail=f"no whole answer within {seconds}")
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, UnicodeError,
                RuntimeError):  # fmt: skip
            return Reply(lost, asked_at, detail="the connection broke before a whole answer")

    def _opened(self) -> httpx2.Client:
        """Return the client, made at the first request: commands that ask nobody do without it."""
        import httpx2

        if self._client is None:
            is_here = is_loopback(urlsplit(self._access.base_url).hostname or "")
            self._client = httpx2.Client(
                headers={self._access.header: self._access.key, "Accept": "application/json"},
                timeout=self._access.timeout,
                follow_redirects=False,
                trust_env=not is_here,  # no proxy stands between us and this machine
            )
        return self._client


def break_off_all(owner: object) -> None:
    """Let nobody wait any longer for an answer to a request of an owner, who ends."""
    with _LOCK:
        owned = [each for each in _OPEN if each.owner is owner]
    for each in owned:
        each.break_off()


def _read(answer: httpx2.Response, end: float) -> bytes | None:
    """Read a body within its time; None if it is too long. Raises TimeoutError."""
    parts: list[bytes] = []
    size = 0
    for part in answer.iter_bytes():
        size += len(part)
        if size > MAX_ANSWER:
            return None
        if time.monotonic() > end:
            raise TimeoutError
        parts.append(part)
    return b"".join(parts)


def _reply(answer: httpx2.Response, at: int, body: bytes | None, lost: Outcome) -> Reply:
    status = answer.status_code
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return Reply(Outcome.KEY_REFUSED, at, detail=f"it refuses the key (HTTP {status})")
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        return Reply(Outcome.NOT_FOUND, at, detail="it does not know it")
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        pause = _retry_after(answer.headers.get("retry-after"))
        return Reply(Outcome.BUSY, at, retry_after=pause, detail=f"it is busy (HTTP {status})")
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Reply(Outcome.REFUSED, at, detail=f"it refuses that (HTTP {status})")
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Reply(lost, at, detail=f"it answers HTTP {status}")
    if body is None:
        return Reply(Outcome.UNREADABLE, at, detail=f"its answer has over {MAX_ANSWER} bytes")
    if not body.strip():
        return Reply(Outcome.ANSWERED, at)
    try:
        return Reply(Outcome.ANSWERED, at, json.loads(body))
    except (ValueError, RecursionError):
        return Reply(Outcome.UNREADABLE, at, detail="its answer is no JSON")


def _by_its_clock(asked_at: int, date: str | None) -> int:
    """Return the time of a request by the clock of the provider, if that is another one than ours.

    Webhooks are dated by it.
    """
    try:
        theirs = int(parsedate_to_datetime(date or "").timestamp()) * SECOND
    except (ValueError, TypeError, OverflowError):
        return asked_at
    ahead = theirs - time.time_ns()
    return asked_at + ahead if abs(ahead) > _OTHER_CLOCK else asked_at


def _retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After, as a number or a date; None if it says nothing."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), _LONGEST) if math.isfinite(seconds) else None
