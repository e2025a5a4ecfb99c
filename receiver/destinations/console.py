"""Console: a destination that prints its messages, for a first try and for `receiver demo`.

A message is printed whole, in bytes and past Python's buffer: text that a closed pipe did not take
must not stay behind, or it would be tried again at each print and at the end of the process.
"""

from __future__ import annotations

import errno
import sys
import threading
import time
from dataclasses import replace
from typing import Any, TextIO

from receiver import deliveries
from receiver.deliveries import Attempt, Message, Outcome
from receiver.destinations import deadline
from receiver.destinations.deadline import CallEnd
from receiver.destinations.destination import Destination

PRINTED = f"{deliveries.PRINTED}nobody but who reads the server's console has it"
_WHAT_TO_DO = "start it with a standard output that is read, or give this destination another URL"
_printing = threading.Lock()


def problems(destination: Destination) -> list[str]:
    """Return no problems: there is nothing to set wrongly."""
    return []


def warnings(destination: Destination) -> list[str]:
    """Return no warnings: nothing here may surprise."""
    return []


def leads_to(destination: Destination) -> str:
    """Say that nobody but a reader of the console gets the messages."""
    return "console: prints only"


def send(destination: Destination, message: Message) -> Attempt:
    """Print the message as a whole, with no other console's message in between."""
    started = time.monotonic()
    lines = [f"┌ to {destination.name}: {message.title}"]
    lines += [f"│ {line}" for line in message.body.splitlines()]
    text = "\n".join([*lines, "└"]) + "\n"

    def attempt_of(end: CallEnd, problem: str | None) -> Attempt:
        attempt = _attempt(end, problem, destination.timeout)
        return replace(attempt, duration_ms=int((time.monotonic() - started) * 1000))

    timeout = destination.timeout
    return deadline.call_watched(
        destination, timeout, lambda: _print(text), deadline.nothing, attempt_of
    )


def rest() -> None:
    """Do nothing: a console keeps nothing open between messages."""


def _attempt(end: CallEnd, problem: str | None, timeout: float) -> Attempt:
    if end is CallEnd.NOT_MADE:
        return Attempt(Outcome.FAILED, f"earlier messages still wait to be printed: {_WHAT_TO_DO}")
    if problem is None:
        detail = f"the standard output was not read within {timeout:g} s: {_WHAT_TO_DO}"
        return Attempt(Outcome.UNCERTAIN, detail)
    if problem:
        detail = f"the standard output cannot be written ({problem}): {_WHAT_TO_DO}"
        return Attempt(Outcome.FAILED, detail)
    return Attempt(Outcome.DELIVERED, PRINTED)


def _print(text: str) -> str:
    """Print the text; return the reason if it cannot be printed, else an empty text."""
    try:
        with _printing:
            if sys.stdout is None:
                return "it is closed"
            _write(sys.stdout, text)
    except (OSError, ValueError) as error:  # ValueError: the stream is closed
        return getattr(error, "strerror", None) or str(error)
    return ""


def _write(stream: TextIO, text: str) -> None:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    printable = text.encode(encoding, "replace")
    file = getattr(getattr(stream, "buffer", None), "raw", None)
    stream.flush()
    if file is None:
        # A stream in memory has no file below it.
        stream.write(printable.decode(encoding))
        stream.flush()
    else:
        _write_all(file, printable)


def _write_all(file: Any, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        written = file.write(rest)
        if written is None:
            raise BlockingIOError(errno.EAGAIN, "it takes no more at present")
        rest = rest[written:]
