"""One message to one destination, through Apprise: the only file that knows it.

`console://` is a destination of ours: it prints. Everything else is whatever Apprise speaks.
What went wrong is told in one readable line; the URL and every secret in it never are.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from receiver import conversation
from receiver.deliveries import Attempt, Destination, Message, Outcome

CONSOLE = "console"
MAX_DETAIL = 300
# Destinations of these kinds are told from others by their rate: people read them.
MAIL_KINDS = {"mailto", "mailtos"}
SLOW_KINDS = {"slack", *MAIL_KINDS}
# Here the host is an address to look at when something fails; elsewhere it may be a token.
OPEN_HOSTS = {"json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos"}
PERMANENT_STATUSES = {400, 401, 403, 404, 405, 410}


def problems(destination: Destination) -> list[str]:
    """What makes the destination unusable; never shows its URL."""
    if not destination.url.strip():
        return ["its URL is empty: give an Apprise URL, or console://"]
    if _kind(destination) == CONSOLE:
        return []
    if _plugin(destination) is None:
        return [
            "its URL is not one that Apprise understands: compare it with the service's page in"
            " Apprise's documentation"
        ]
    return []


def warnings(destination: Destination) -> list[str]:
    """What works but may surprise."""
    if _kind(destination) == CONSOLE or (plugin := _plugin(destination)) is None:
        return []
    found = []
    if len(plugin) > 1:
        found.append(
            f"destination {destination.name} names {len(plugin)} targets; a retry goes to all of"
            " them: split it"
        )
    if _kind(destination) == "mailto" and urlsplit(destination.url).password:
        found.append(
            f"destination {destination.name} may send its password in the clear: use mailtos://"
        )
    return found


def rate(destination: Destination) -> float:
    """Messages per second: what routes.yaml says, or 1 for Slack and e-mail and 10 for others."""
    if destination.rate is not None:
        return destination.rate
    return 1.0 if _kind(destination) in SLOW_KINDS else 10.0


def send(destination: Destination, message: Message) -> Attempt:
    """Try once, for at most `destination.timeout` seconds. Never raises."""
    started = time.monotonic()
    if _kind(destination) == CONSOLE:
        _print(destination, message)
        attempt = Attempt(Outcome.DELIVERED, "")
    else:
        attempt = _within(destination, lambda: _try(destination, message))
    return replace(attempt, duration_ms=int((time.monotonic() - started) * 1000))


def _kind(destination: Destination) -> str:
    url = destination.url.strip()
    # Apprise takes Slack's own address, too.
    if url.startswith("https://hooks.slack.com/"):
        return "slack"
    return url.partition(":")[0].lower()


_printing = threading.Lock()


def _print(destination: Destination, message: Message) -> None:
    lines = [f"┌ to {destination.name}: {message.title}"]
    lines += [f"│ {line}" for line in message.body.splitlines()]
    with _printing:
        sys.stdout.write("\n".join([*lines, "└"]) + "\n")
        sys.stdout.flush()


def _within(destination: Destination, call: Callable[[], Attempt]) -> Attempt:
    """The result, or uncertain after the destination's time-out. Apprise has no deadline.

    The thread that hangs is left behind: nothing in Python could end it.
    """
    result: list[Attempt] = []
    thread = threading.Thread(target=lambda: result.append(call()), name="send", daemon=True)
    thread.start()
    thread.join(destination.timeout)
    if result:
        return result[0]
    _forget(destination)  # the call that hangs keeps the old object
    return Attempt(Outcome.UNCERTAIN, f"no answer within {destination.timeout:g} s")


@dataclass(slots=True)
class _Heard:
    """What happened below Apprise during one call, in the thread that made it."""

    status: int | None = None
    retry_after: float | None = None
    error: Exception | None = None


_hearing = threading.local()
_importing = threading.Lock()
_apprise: Any = None
_objects: dict[Destination, Any] = {}


def _library() -> Any:
    """Apprise, imported when it is first needed (160 ms), once, with its log kept to us."""
    global _apprise
    with _importing:
        if _apprise is None:
            logger = logging.getLogger("apprise")
            # At DEBUG it logs addresses and tokens: nothing of it reaches the process's log.
            logger.propagate = False
            logger.setLevel(logging.DEBUG)
            logger.addHandler(_Ears())
            import apprise
            import requests

            _listen(requests.adapters.HTTPAdapter)
            _apprise = apprise
        return _apprise


def _listen(adapter: Any) -> None:
    """Note the answer of every request: Apprise tells neither Retry-After nor what failed."""
    original = adapter.send

    def heard_send(self: Any, *arguments: Any, **named: Any) -> Any:
        heard: _Heard | None = getattr(_hearing, "heard", None)
        try:
            response = original(self, *arguments, **named)
        except Exception as error:
            if heard is not None:
                heard.error = error
            raise
        if heard is not None:
            heard.status = response.status_code
            seconds = response.headers.get("Retry-After", "")
            heard.retry_after = float(seconds) if re.fullmatch("[0-9]{1,6}", seconds) else None
        return response

    adapter.send = heard_send


class _Ears(logging.Handler):
    """Keeps Apprise's log records of the thread that sends."""

    def emit(self, record: logging.LogRecord) -> None:
        records: list[logging.LogRecord] | None = getattr(_hearing, "records", None)
        if records is not None and len(records) < 100:
            records.append(record)


@contextmanager
def _hear() -> Iterator[tuple[_Heard, list[logging.LogRecord]]]:
    _hearing.heard, _hearing.records = _Heard(), []
    try:
        yield _hearing.heard, _hearing.records
    finally:
        _hearing.heard = _hearing.records = None


def _object(destination: Destination) -> Any:
    """The destination's own Apprise object, or None if the URL is not understood."""
    apprise = _library()
    with _importing:
        if destination not in _objects:
            # No pool, no throttle, no retries, no redirects of its own: those are ours to decide.
            asset = apprise.AppriseAsset(service_timeout=0, http_redirects=False)
            made = apprise.Apprise(asset=asset)
            if not made.add(destination.url.strip()) or len(made) < 1:
                return None
            plugin = made[0]
            plugin.request_rate_per_sec = 0
            plugin.redirects = False
            plugin.socket_connect_timeout = min(destination.timeout, 10.0)
            plugin.socket_read_timeout = destination.timeout
            _objects[destination] = made
        return _objects[destination]


def _plugin(destination: Destination) -> Any:
    with _hear():
        made = _object(destination)
    return made[0] if made is not None else None


def _forget(destination: Destination) -> None:
    with _importing:
        _objects.pop(destination, None)


def _try(destination: Destination, message: Message) -> Attempt:
    with _hear() as (heard, records):
        try:
            made = _object(destination)
            if made is None:
                return Attempt(Outcome.FAILED, "its URL is not understood", permanent=True)
            if _kind(destination) in MAIL_KINDS:
                conversation.join(made[0], message.thread)
            done = bool(
                made.notify(
                    body=message.body, title=message.title, body_format=_apprise.NotifyFormat.TEXT
                )
            )
        except Exception as error:
            # Whatever a plugin does wrong must not end the lane; the line says which it was.
            return Attempt(Outcome.FAILED, _redact(destination, f"{type(error).__name__}: {error}"))
    if done:
        return Attempt(Outcome.DELIVERED, "")
    return _failure(destination, heard, records)


def _failure(destination: Destination, heard: _Heard, records: list[logging.LogRecord]) -> Attempt:
    said = [record.getMessage() for record in records if record.levelno >= logging.WARNING]
    below = [m for record in records if (m := record.getMessage()).startswith("Socket Exception")]
    line = " ".join(said[:1] + below[:1]) or "Apprise says that it failed, and not why"
    detail = _redact(destination, line)
    if heard.status is not None and heard.error is None:
        permanent = heard.status in PERMANENT_STATUSES
        detail = detail if str(heard.status) in detail else f"HTTP {heard.status}. {detail}"
        return Attempt(Outcome.FAILED, detail, permanent=permanent, retry_after=heard.retry_after)
    smtp = re.search(r"[(,: ]([45])[0-9]{2}\b", " ".join(below))
    if smtp is not None:
        return Attempt(Outcome.FAILED, detail, permanent=smtp[1] == "5")
    return Attempt(Outcome.UNCERTAIN if _maybe_sent(heard, below) else Outcome.FAILED, detail)


def _maybe_sent(heard: _Heard, below: list[str]) -> bool:
    """Whether the request may have arrived although no answer came."""
    if heard.error is not None:
        name = type(heard.error).__name__
        return (
            name == "ReadTimeout"
            or "RemoteDisconnected" in repr(heard.error)
            or ("Connection aborted" in str(heard.error))
        )
    return any("timed out" in text or "unexpectedly closed" in text for text in below)


def _redact(destination: Destination, line: str) -> str:
    """The line without any part of the destination's URL that could be a secret."""
    for secret in sorted(_secrets(destination), key=len, reverse=True):
        line = line.replace(secret, "***")
    line = " ".join("".join(c if c.isprintable() else " " for c in line).split())
    return line if len(line) <= MAX_DETAIL else line[: MAX_DETAIL - 1] + "…"


def _secrets(destination: Destination) -> set[str]:
    url = destination.url.strip()
    parts = urlsplit(url)
    authority, _, host = parts.netloc.rpartition("@")
    pieces = [
        url,
        parts.path,
        parts.query,
        authority,
        *authority.split(":"),
        *parts.path.split("/"),
    ]
    pieces += [value for _, value in parse_qsl(parts.query)]
    if _kind(destination) not in OPEN_HOSTS:
        pieces += [host, host.partition(":")[0]]
    return {each for piece in pieces for each in (piece, unquote(piece)) if len(each) >= 4}
