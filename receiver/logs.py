"""The log on standard error: a line an act, as text or JSON; no event can forge one."""

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
    """`time level logger message`; whatever would start a new line is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{_time(record)} {record.levelname.lower()} {record.name} {_message(record)}"


class Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "time": _time(record),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": _message(record),
            }
        )


def configure(log_format: str, level: str) -> None:
    """Log to standard error from here on."""
    _Together.stream = _Together(sys.stderr)
    handler = logging.StreamHandler(_Together.stream)
    handler.setFormatter(Json() if log_format == "json" else Text())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # What no line of ours shows need not be found out for each (see Python's "Logging HOWTO").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # What libraries say below a warning is theirs; some of it holds addresses and tokens. Apprise
    # is not among them: its probes keep its log from this one, and read in it why a send failed.
    for name in ("uvicorn", "asyncio", "requests"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # The one warns of each request that is no HTTP; we tell of those once a minute. The other warns
    # of an answer that is no HTTP with the address it came from, which may hold a token.
    for name in ("uvicorn.error", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """What is logged inside goes out as one write: for the lines of acts that end together."""
    stream = _Together.stream
    if stream is None:
        yield
        return
    stream.waits = True
    try:
        yield
    finally:
        stream.waits = False
        # Nobody is there who could be told of a log that cannot be written, as with a single line.
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


class _Together:
    """A stream that keeps what it is given while it `waits`. One thread at a time makes it wait."""

    stream: _Together | None = None  # the one that is logged to

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lines, self.waits = stream, list[str](), False
        # A signal's handler may log while its own thread is in here: it must neither wait for
        # itself nor write into the middle of a write.
        self._lock, self._is_writing = threading.RLock(), False

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


def _time(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03d}Z"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    if record.exc_info:
        message += " " + logging.Formatter().formatException(record.exc_info)
    if not (message.isascii() and message.isprintable()):
        message = "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode() for c in message
        )
    if len(message) > MAX_LINE:
        # What went wrong stands at the end of a traceback, what was being done at its start.
        message = f"{message[: MAX_LINE // 2]} … {message[-MAX_LINE // 2 :]}"
    return message
