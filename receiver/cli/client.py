"""Client of a receiver: makes, signs and posts test events, for `send`, `demo` and the tests."""

from __future__ import annotations

import ipaddress
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from receiver.errors import ReceiverError
from receiver.sources import signing
from receiver.sources.formats import asteroid
from receiver.sources.formats.registry import FORMATS
from receiver.sources.verification import Verification
from receiver.times import SECOND

# The most that is read of an answer about readiness, in bytes.
MAX_ANSWER = 65_536


def sample(
    source_format: str,
    event: str,
    execution_id: str,
    *,
    event_id: str = "",
    occurred_at: int | None = None,
    **more: Any,
) -> bytes:
    """Make a test webhook's body; `occurred_at` is nanoseconds, now if None.

    `more` goes to the format's `sample`.
    """
    return _compact_json(
        FORMATS[source_format].sample(
            event,
            execution_id,
            event_id=event_id or str(uuid4()),
            occurred_at=time.time_ns() if occurred_at is None else occurred_at,
            **more,
        )
    )


def asteroid_event(
    event: str,
    execution_id: str,
    *,
    event_id: str = "",
    occurred_at: int | None = None,
    **more: Any,
) -> bytes:
    """Make a webhook body of Asteroid's V2; `more` goes to `asteroid.sample`."""
    return _compact_json(
        asteroid.sample(
            event,
            execution_id,
            event_id=event_id or str(uuid4()),
            occurred_at=time.time_ns() if occurred_at is None else occurred_at,
            **more,
        )
    )


def plain_event(status: str, execution_id: str, **more: Any) -> bytes:
    """Make a webhook body of the format `plain`; `more` goes to its `sample`."""
    return sample("plain", status, execution_id, **more)


def post(
    url: str, body: bytes, verification: Verification, private: str, *, now: float = 0.0
) -> tuple[int, dict[str, Any]]:
    """Sign a body like the source's sender and post it; return status and answer.

    `now` is Unix seconds for schemes that sign a time; 0 stands for the current time.
    """
    headers = signing.sign(
        verification, private, body, message_id=str(uuid4()), now=now or time.time()
    )
    return post_raw(url, body, dict(headers))


def post_raw(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """Post a body with these headers; raise ReceiverError if there is no answer.

    The headers hold secrets: they go neither to a proxy on the way to this machine, nor to where an
    answer redirects.
    """
    _check_address(url)
    # As UTF-8, which is what the receiver compares.
    values = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    request = urllib.request.Request(
        url, body, {"Content-Type": "application/json", **values}, method="POST"
    )
    handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
    if urllib.request.getproxies() and _is_this_machine(urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=30) as answer:
            return answer.status, _answer_content(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, _answer_content(error.read())
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error) or type(error).__name__
        raise ReceiverError(
            f"Nobody answers at {url} ({reason}). Is `receiver serve` running there?"
            " RECEIVER_HOST and RECEIVER_PORT, or --url, say where."
        ) from error


def ask_readiness(host: str, port: int, *, timeout: float) -> str:
    """Return "" if a receiver at this address is ready, else why it is not, in a sentence.

    It goes past every proxy. `host` may be the address that stands for all of this machine.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # it binds nothing
    connection = HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        content = _answer_content(answer.read(MAX_ANSWER))
    except (OSError, HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return (
            f"Nobody answers at {host} port {port} ({reason}). Is `receiver serve` running there?"
            " RECEIVER_HOST and RECEIVER_PORT, or --host and --port, say where."
        )
    finally:
        connection.close()
    # With a spool it takes webhooks while the database is away.
    if answer.status == 200 and content.get("status") in ("ready", "spooling"):
        return ""
    if answer.status == 503 and isinstance(content.get("detail"), str):
        return f"Not ready: {content['detail']}"
    return (
        f"What answers at {host} port {port} is no receiver (status {answer.status}). Compare"
        " RECEIVER_HOST and RECEIVER_PORT."
    )


def wait_for(url: str, seconds: float) -> None:
    """Wait until somebody takes connections at an address, or the time is over."""
    _check_address(url)
    parts = urlsplit(url)
    place = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(place, timeout=1):
            return
        time.sleep(0.1)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A handler that follows no redirect: the answer itself is the result."""

    def redirect_request(self, *arguments: Any, **more: Any) -> None:
        return None


def _check_address(url: str) -> None:
    """Raise ReceiverError, without the address, unless it is one of HTTP without a login."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or parts.username is not None or parts.query or not url.isprintable():
        raise ReceiverError(
            "--url: is no address like http://127.0.0.1:8000, without a login or a question mark."
        )


def _is_this_machine(host: str) -> bool:
    """Return whether a host is this machine, in whatever spelling, such as 127.1 or a name."""
    try:
        found = {item[4][0] for item in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    addresses = [ipaddress.ip_address(str(text).partition("%")[0]) for text in found]
    mapped = [getattr(address, "ipv4_mapped", None) or address for address in addresses]
    return all(address.is_loopback or address.is_unspecified for address in mapped)


def now_whole() -> int:
    """Return the current second in nanoseconds: senders write whole seconds."""
    return time.time_ns() // SECOND * SECOND


def _compact_json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def _answer_content(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
