"""Connection: the receiver's end of a socket to a sender, for the attempts of one destination.

One thread at a time uses it and waits by itself: no other thread has to hand it the answer, and the
system ends the wait. The word BEGUN alone wakes nobody: both words of an answer are read as one.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import Any

from receiver.destinations.sender import wire

# Before the answer of each request, and as the first word of a connection.
BEGUN = b"B"


class SenderGone(Exception):
    """The end of a connection without an answer; `has_begun`: the request may have had effects."""

    def __init__(self, *, has_begun: bool) -> None:
        super().__init__()
        self.has_begun = has_begun


class SenderSilent(SenderGone):
    """The end of the time for an answer."""


class Connection:
    """A connection to a sender."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours
        self._waits: float | None = None

    def close(self) -> None:
        """Close it: the sender's thread of it ends."""
        self._socket.close()

    def end(self) -> None:
        """End it from another thread: who waits on it gets SenderGone."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def expect_begun(self, within: float) -> None:
        """Wait for the first word of a connection; SenderGone if it does not come."""
        self._allow(within)
        if self._received(len(BEGUN), time.monotonic() + within, has_begun=False) != BEGUN:
            raise wire.GarbledFrame("another word than the first one of a connection")

    def tell(self, value: Any) -> None:
        """Send a value that has no answer; SenderGone if it cannot be sent."""
        try:
            self._socket.sendall(wire.framed(value))
        except OSError:
            raise SenderGone(has_begun=False) from None

    def ask(self, frame: bytes, within: float) -> Any:
        """Send a request and return its answer.

        It raises SenderGone if the sender ends, SenderSilent if no answer comes within so many
        seconds, GarbledFrame if what comes is none.
        """
        self._allow(within)
        end = time.monotonic() + within
        try:
            self._socket.sendall(frame)
        except BlockingIOError:
            raise SenderSilent(has_begun=False) from None
        except OSError:
            raise SenderGone(has_begun=False) from None
        head = self._received(len(BEGUN) + wire.HEAD, end, has_begun=False)
        if head[:1] != BEGUN:
            raise wire.GarbledFrame("another word than the first one of an answer")
        length = wire.length_of(head[1:], wire.MOST_ANSWERED)
        return wire.parsed(self._received(length, end, has_begun=True))

    def await_end(self, within: float) -> bool:
        """Wait until the sender's thread ends, at most so many seconds; return whether it has."""
        self._allow(within)
        try:
            return self._socket.recv(1) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _received(self, length: int, end: float, *, has_begun: bool) -> bytes:
        """Wait for so many bytes. Any of them says that the request has begun."""
        data = b""
        while len(data) < length:
            try:
                more = self._socket.recv(length - len(data), socket.MSG_WAITALL)
            except BlockingIOError:
                more = None
            except OSError:
                more = b""
            data += more or b""
            if more == b"":
                raise SenderGone(has_begun=has_begun or bool(data))
            if len(data) < length and time.monotonic() >= end:
                raise SenderSilent(has_begun=has_begun or bool(data))
        return data

    def _allow(self, within: float) -> None:
        if within != self._waits:
            set_timeout(self._socket, socket.SO_RCVTIMEO, within)
            set_timeout(self._socket, socket.SO_SNDTIMEO, within)
            self._waits = within


def set_timeout(connection: socket.socket, which: int, seconds: float) -> None:
    """Let the system end a read or a write after some seconds (0: never).

    Unlike a time-out of Python's own, it costs nothing in each call.
    """
    whole = int(seconds)
    value = struct.pack("ll", whole, int((seconds - whole) * 1e6))
    connection.setsockopt(socket.SOL_SOCKET, which, value)
