"""Recorder: records an attempt in the thread that makes it, and can end it from another one.

The probes find the recorder of their thread with `current_recorder`. Without one, the thread makes
no attempt, and they change nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import re
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, cast

from receiver.destinations.apprise.exchanges import MessageWords, may_be_own, secrets_of
from receiver.destinations.apprise.vendors import UNKNOWN, Vendor
from receiver.destinations.record import CallRecord, Exchange

_recording = threading.local()
_NO_WORDS = MessageWords()


class AttemptOver(TimeoutError):
    """The end of an attempt by its deadline: it makes no further connection."""


class AttemptRecorder:
    """The recorder of one attempt, which can also end it. `timeout` is that of the attempt (s).

    `words` are those of its message, `vendor` is what is known of the service.
    `record` holds the observations so far. `command` is the SMTP command in progress. `connected`:
    the connection of the present request is registered; `reused`: an earlier request made it.
    """

    def __init__(self, timeout: float, words: MessageWords | None = None) -> None:
        self.record = CallRecord()
        self.timeout = timeout
        self.words = words or _NO_WORDS
        self.vendor: Vendor = UNKNOWN
        self._requests: list[Any] = []
        self.command = ""
        self.connected = False
        self.reused = False
        self._sockets: list[_Copied] = []
        self._over = False
        self._lock = threading.Lock()

    def __enter__(self) -> CallRecord:
        """Begin to record the work of this thread."""
        _recording.recorder = self
        return self.record

    def __exit__(self, *_: object) -> None:
        _recording.recorder = None
        with self._lock:
            _kept().extend(self._sockets)
            self._sockets.clear()
        close_copies()

    def begin_exchange(self, request: Any) -> Exchange:
        """Register a new HTTP request."""
        self._requests.append(request)
        self.connected = False
        self.reused = False
        url, method = str(request.url or ""), str(request.method)
        own = self._is_own(url, request.body)
        login = hash(str(request.headers.get("Authorization", "")))
        exchange = Exchange(own=own, may_be_own=own or may_be_own(method, url), login=login)
        self.record.exchanges.append(exchange)
        return exchange

    def mark_written(self) -> None:
        """Record that something of the present request was written."""
        if self.record.exchanges:
            self.record.exchanges[-1].written = True
        else:
            self.record.written = True

    def secrets(self) -> set[str]:
        """Collect the secrets that its requests hold, in the form in which they were sent."""
        found = set[str]()
        for request in self._requests:
            found |= secrets_of(request.url or "", request.headers, request.body)
        return found

    def _is_own(self, url: str, body: Any) -> bool:
        if self.vendor.own and re.search(self.vendor.own, url):
            return True
        return self.words.are_in(url, body)

    def cut(self) -> None:
        """Break its connections from another thread, so that the waiting calls on them end."""
        with self._lock:
            self._over = True
            for copied in self._sockets:
                with contextlib.suppress(OSError):
                    copied.copy.shutdown(socket.SHUT_RDWR)

    def add_connection(self, connection: socket.socket) -> None:
        """Register a new connection. Its copy stays valid when TLS takes the original away."""
        with self._lock:
            if self._over:
                raise AttemptOver("the attempt is over")
            self._sockets.append(_Copied(connection, connection.dup()))

    def reuse_connection(self, connection: socket.socket) -> None:
        """Register a kept connection of an earlier request."""
        copied = next((each for each in _kept() if each.original() is connection), None)
        if copied is None:
            # Not dup(): TLS has none, and the connection below TLS has to be shut down.
            copy = socket.fromfd(connection.fileno(), connection.family, connection.type)
            copied = _Copied(connection, copy)
        else:
            _kept().remove(copied)
        with self._lock:
            self._sockets.append(copied)
        self.raise_if_over()
        self.connected = True
        self.reused = True
        self.record.connected = True

    @property
    def is_over(self) -> bool:
        """Whether the attempt is over."""
        return self._over

    def raise_if_over(self) -> None:
        """Raise AttemptOver if the attempt is over."""
        if self._over:
            raise AttemptOver("the attempt is over")


def current_recorder() -> AttemptRecorder | None:
    """Return the recorder of this thread's attempt; None if the thread makes none."""
    recorder: AttemptRecorder | None = getattr(_recording, "recorder", None)
    return recorder


class _Copied:
    """A connection of this thread, and a copy of it that stays valid while others use the first."""

    def __init__(self, original: socket.socket, copy: socket.socket) -> None:
        self.original = weakref.ref(original)
        self.copy = copy

    def is_open(self) -> bool:
        """Return whether the first is open."""
        original = self.original()
        return original is not None and original.fileno() >= 0


def _kept() -> list[_Copied]:
    """Return the connections that this thread keeps between attempts."""
    if (kept := getattr(_recording, "kept", None)) is None:
        kept = _recording.kept = []
    return cast(list[_Copied], kept)


def close_copies() -> None:
    """Close the copies of connections that this thread has closed: they would keep them open."""
    kept = _kept()
    for copied in [each for each in kept if not each.is_open()]:
        copied.copy.close()
        kept.remove(copied)


def wrap(owner: Any, name: str, probe: Callable[..., Any]) -> None:
    """Replace a method by `probe(recorder, method, self, …)` during attempts."""
    original = getattr(owner, name)

    def wrapped(self: Any, *arguments: Any, **named: Any) -> Any:
        recorder = current_recorder()
        if recorder is None:
            return original(self, *arguments, **named)
        return probe(recorder, original, self, *arguments, **named)

    setattr(owner, name, wrapped)


class WarningCollector(logging.Handler):
    """A log handler that collects Apprise's warnings in threads that make an attempt."""

    def emit(self, record: logging.LogRecord) -> None:
        said: list[str] | None = getattr(_recording, "said", None)
        if said is not None and record.levelno >= logging.WARNING:
            said.append(record.getMessage())
            return
        recorder = current_recorder()
        if recorder is None or record.levelno < logging.WARNING:
            return
        if len(recorder.record.warnings) < 20:
            recorder.record.warnings.append(record.getMessage())


@contextlib.contextmanager
def said_by_apprise() -> Iterator[list[str]]:
    """Collect what Apprise warns of in this thread, outside of attempts."""
    _recording.said = said = list[str]()
    try:
        yield said
    finally:
        _recording.said = None


def record_connect(
    recorder: AttemptRecorder, original: Any, connection: socket.socket, address: Any
) -> None:
    """Register a new connection of any library, and record its success or failure."""
    recorder.add_connection(connection)
    try:
        original(connection, address)
    except OSError as error:
        recorder.record.error = root_cause(error)
        raise
    # A connection that is broken while it is being made can look like a success.
    recorder.raise_if_over()
    recorder.connected = True
    recorder.record.connected = True
    recorder.record.error = ""


def record_throttle(last_io: object = None, wait: float | None = None) -> None:
    """Record that a plugin wants to wait, and end the attempt. Replaces the plugin's `throttle`."""
    recorder = current_recorder()
    if wait and recorder is not None:
        recorder.record.wanted_wait = float(wait)
        raise AttemptOver(f"it asks to wait {wait:g} s")


def is_lack(error: BaseException) -> bool:
    """Return whether this process had no descriptor, thread or memory left, or cannot import."""
    if type(error) is RuntimeError:
        return "thread" in str(error)
    # Without a descriptor, the module of a codec cannot be read, and then is called unknown.
    return isinstance(error, OSError | MemoryError) or type(error) in (LookupError, ImportError)


def _inner(error: BaseException) -> BaseException | None:
    """Return the error that another one comes from; some only hold it as their argument."""
    held = error.args[0] if error.args else None
    return error.__cause__ or error.__context__ or (held if isinstance(held, OSError) else None)


def root_cause(error: BaseException) -> str:
    """Describe the first cause of an error: libraries wrap it up to three times."""
    first = error
    while (inner := _inner(error)) is not None and inner is not error:
        error = inner
        if isinstance(error, OSError | http.client.HTTPException):
            first = error
    text = re.sub(r"^\[.*?\] | \(_ssl.*\)$", "", getattr(first, "strerror", None) or str(first))
    if isinstance(first, http.client.BadStatusLine) and not isinstance(first, ConnectionError):
        return f"it does not speak HTTP: {text}"
    return text or type(first).__name__
