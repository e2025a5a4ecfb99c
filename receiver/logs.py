"""Logs: one line an act on standard error, as text or JSON; no event can forge one."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import TextIO

MAX_LINE = 8_000  # characters of a message


class Text(logging.Formatter):
    """Formatter of `time level logger message`; it escapes whatever would start a new line."""

    def format(self, record: logging.LogRecord) -> str:
        return (
            f"{_timestamp(record)} {record.levelname.lower()} {record.name} {_safe_message(record)}"
        )


class Json(logging.Formatter):
    """Formatter of one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "time": _timestamp(record),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": _safe_message(record),
            }
        )


def configure(log_format: str, level: str) -> None:
    """Log to standard error from here on."""
    _BatchingStream.stream = _BatchingStream(sys.stderr)
    handler = logging.StreamHandler(_BatchingStream.stream)
    handler.setFormatter(Json() if log_format == "json" else Text())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Do not look up the caller for each line: no line shows it (see Python's "Logging HOWTO").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # Below a warning, some lines of libraries hold addresses and tokens. Apprise is not here:
    # its probes keep its log from this one, and read in it why a send failed.
    for name in ("uvicorn", "asyncio", "requests", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # uvicorn warns of each request that is no HTTP; we log those once a minute. urllib3 warns of an
    # answer that is no HTTP with the address it came from, which may hold a token.
    for name in ("uvicorn.error", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Write all lines from inside the context at once: for acts that end together."""
    stream = _BatchingStream.stream
    if stream is None:
        yield
        return
    stream.waits = True
    try:
        yield
    finally:
        stream.waits = False
        # As with a single line, there is no place to report that the log cannot be written.
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


class _BatchingStream:
    """A stream that collects lines while it `waits`. One thread at a time makes it wait."""

    stream: _BatchingStream | None = None  # the stream of the root logger's handler

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self.waits = False
        # A signal's handler may log while its own thread is in here: it must neither wait for
        # itself nor write into the middle of a write.
        self._lock = threading.RLock()
        self._is_writing = False

    def write(self, text: str) -> None:
        with self._lock:
            self._lines.append(text)

    def flush(self) -> None:
        with self._lock:
            if self.waits or self._is_writing:
                return
            self._is_writing = True
            try:
                while self._lines:
                    lines, self._lines = self._lines, []
                    self._stream.write("".join(lines))
                    self._stream.flush()
            finally:
                self._is_writing = False


def _timestamp(record: logging.LogRecord) -> str:
    return f"{_whole_second(int(record.created))}.{int(record.msecs):03d}Z"


@lru_cache(maxsize=16)
def _whole_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _safe_message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    if record.exc_info:
        message += " " + logging.Formatter().formatException(record.exc_info)
    if not (message.isascii() and message.isprintable()):
        message = "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode() for c in message
        )
    if len(message) > MAX_LINE:
        # A traceback has the error at its end and the act at its start.
        message = f"{message[: MAX_LINE // 2]} … {message[-MAX_LINE // 2 :]}"
    return message
