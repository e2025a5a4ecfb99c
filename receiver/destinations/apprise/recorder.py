"""An attempt is heard in its own thread, and can be ended from another, by its connections."""

from __future__ import annotations

import contextlib
import http.client
import logging
import re
import socket
import threading
from collections.abc import Callable
from typing import Any

from receiver.destinations.outcome import CallRecord

_here = threading.local()


class Over(TimeoutError):
    """The deadline has ended this attempt: it makes no further connection."""


class AttemptRecorder:
    """Hears one attempt, and ends it when told to. `timeout` is the attempt's, in seconds.

    `connected`: it knows the connection of the present request; `kept`: which was there before.
    """

    def __init__(self, timeout: float) -> None:
        self.heard, self.timeout, self.command = CallRecord(), timeout, ""
        self.connected = self.kept = False
        self._sockets: list[socket.socket] = []
        self._over = False
        self._lock = threading.Lock()

    def __enter__(self) -> CallRecord:
        """Hear what this thread does from here on."""
        _here.ear = self
        return self.heard

    def __exit__(self, *_: object) -> None:
        _here.ear = None
        with self._lock:
            for copy in self._sockets:
                copy.close()
            self._sockets.clear()

    def cut(self) -> None:
        """From another thread: break its connections, so that what waits for them goes on."""
        with self._lock:
            self._over = True
            for copy in self._sockets:
                with contextlib.suppress(OSError):
                    copy.shutdown(socket.SHUT_RDWR)

    def add(self, connection: socket.socket) -> None:
        """Know a connection. Its copy stays valid when TLS takes the original away."""
        with self._lock:
            if self._over:
                raise Over("the attempt is over")
            self._sockets.append(connection.dup())

    def keep(self, connection: socket.socket) -> None:
        """Know a connection that was kept from an earlier request."""
        # Not dup(): TLS has none, and what is to be shut down is the connection below it.
        copy = socket.fromfd(connection.fileno(), connection.family, connection.type)
        with self._lock:
            self._sockets.append(copy)
        self.check()
        self.connected = self.kept = self.heard.connected = True

    @property
    def is_over(self) -> bool:
        """Whether the attempt was ended."""
        return self._over

    def check(self) -> None:
        """Raise if the attempt was ended."""
        if self._over:
            raise Over("the attempt is over")


def current() -> AttemptRecorder | None:
    """What hears this thread."""
    ear: AttemptRecorder | None = getattr(_here, "ear", None)
    return ear


def wrap(owner: Any, name: str, heard: Callable[..., Any]) -> None:
    """In threads that are heard, `heard` is called in place of the method, with ear and method."""
    original = getattr(owner, name)

    def wrapped(self: Any, *arguments: Any, **named: Any) -> Any:
        ear = current()
        if ear is None:
            return original(self, *arguments, **named)
        return heard(ear, original, self, *arguments, **named)

    setattr(owner, name, wrapped)


class Warnings(logging.Handler):
    """Keeps what Apprise warns of in a thread that makes an attempt."""

    def emit(self, record: logging.LogRecord) -> None:
        ear = current()
        if ear is not None and record.levelno >= logging.WARNING and len(ear.heard.said) < 20:
            ear.heard.said.append(record.getMessage())


def heard_connect(
    ear: AttemptRecorder, original: Any, connection: socket.socket, address: Any
) -> None:
    """Whatever makes a connection: know it, and how it went."""
    ear.add(connection)
    try:
        original(connection, address)
    except OSError as error:
        ear.heard.error = cause(error)
        raise
    # A connection that is broken while it comes about can look as if it had.
    ear.check()
    ear.connected, ear.heard.connected, ear.heard.error = True, True, ""


def throttle(last_io: object = None, wait: float | None = None) -> None:
    """In place of a plugin's: it never sleeps, it says that it would have to wait."""
    ear = current()
    if wait and ear is not None:
        ear.heard.asked_wait = float(wait)
        raise Over(f"it asks to wait {wait:g} s")


def cause(error: BaseException) -> str:
    """What went wrong in the first place, in words: libraries wrap it three times."""
    found = error
    while (inner := error.__cause__ or error.__context__) is not None and inner is not error:
        error = inner
        if isinstance(error, OSError | http.client.HTTPException):
            found = error
    text = re.sub(r"^\[.*?\] | \(_ssl.*\)$", "", getattr(found, "strerror", None) or str(found))
    if isinstance(found, http.client.BadStatusLine) and not isinstance(found, ConnectionError):
        return f"it does not speak HTTP: {text}"
    return text or type(found).__name__
