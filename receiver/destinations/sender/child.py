"""Child: the sender's side. It makes attempts, each destination's in a thread of its own.

The receiver passes it a socket for each connection on `control`. What a connection carries: first
the destination, then one request after the other. Before each call comes BEGUN: if this process
dies without it, nothing was sent. Nothing that a request holds is written anywhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import signal
import socket
import threading
from typing import Any

from receiver import __version__
from receiver.deliveries import Attempt
from receiver.destinations import deadline, sending
from receiver.destinations.destination import Destination
from receiver.destinations.sender import wire
from receiver.destinations.sender.connection import BEGUN, set_timeout

# An idle connection calls `rest` after so many seconds.
RESTS = 1.0
# Where processors are short, the receiver's webhooks go before messages (steps of `nice`).
GIVES_WAY = 5


def serve(number: int, life: int) -> None:
    """Serve the receiver on the first descriptor, until it closes its end.

    The other one is a pipe, which the receiver closes when it ends.
    """
    _end_with(life)
    control = socket.socket(fileno=number)
    try:
        sending.prepare()
    except Exception as error:
        control.sendall(wire.framed({"error": f"{type(error).__name__}: {error}"[:300]}))
        raise
    # What is imported stays for good, so the collector need not visit it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    os.nice(GIVES_WAY)
    _close_outputs()
    control.sendall(wire.framed({"version": __version__}))
    while True:
        head, passed, _, _ = socket.recv_fds(control, 1, 1)
        if not head:
            os._exit(0)  # the receiver has ended; whatever is being sent is its to record
        for each in passed:
            threading.Thread(target=_serve_connection, args=(each,), daemon=True).start()


def _end_with(life: int) -> None:
    """Let the system end this process with the receiver, even if a plugin lets no other code run.

    On Linux a signal comes as soon as the pipe is closed, and ends the process, even a stopped one.
    Elsewhere the end of `control` has to do.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        if hasattr(fcntl, "F_SETSIG"):
            fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)


def _close_outputs() -> None:
    """Write nowhere from here on: what a library prints may hold what is secret."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nothing, number)
    os.close(nothing)


def _serve_connection(number: int) -> None:
    """Make the attempts that a connection asks for, until it is closed."""
    with socket.socket(fileno=number) as connection, contextlib.suppress(OSError):
        connection.sendall(BEGUN)
        requests = Requests(connection)
        if (first := requests.next()) is None:
            return
        destination = wire.to_destination(first)
        while (request := requests.next()) is not None:
            # A thread whose call hangs is replaced by one that says so; then this one ends.
            with contextlib.suppress(deadline.ThreadReplaced):
                _answer(connection, destination, request)
                continue
            return


def _answer(connection: socket.socket, destination: Destination, request: Any) -> None:
    if "describe" in request:
        connection.sendall(BEGUN)
        problems = sending.problems(destination)
        value: Any = [problems, "" if problems else sending.leads_to(destination)]
        connection.sendall(wire.framed(value, wire.MOST_ANSWERED))
        return
    message = wire.to_message(request)

    def tell_of_hang(attempt: Attempt) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(wire.framed(wire.from_answer(attempt, hangs=True)))

    deadline.hand_over_to(tell_of_hang)
    connection.sendall(BEGUN)
    attempt = sending.send(destination, message)
    connection.sendall(wire.framed(wire.from_answer(attempt)))


class Requests:
    """The requests of a connection. While none comes, the thread rests."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""
        set_timeout(connection, socket.SO_RCVTIMEO, RESTS)

    def next(self) -> Any:
        """Return the next request; None if the receiver has closed the connection."""
        if not self._fill(wire.HEAD):
            return None
        end = wire.HEAD + wire.length_of(self._buffer[: wire.HEAD], wire.MOST_ASKED)
        if not self._fill(end):
            return None
        text, self._buffer = self._buffer[wire.HEAD : end], self._buffer[end:]
        return wire.parsed(text)

    def _fill(self, length: int) -> bool:
        """Read until so many bytes are there; return False if no more come."""
        while len(self._buffer) < length:
            if not (more := self._more(length - len(self._buffer))):
                return False
            self._buffer += more
        return True

    def _more(self, wanted: int) -> bytes:
        try:
            return self._connection.recv(max(wanted, 65_536))
        except BlockingIOError:
            sending.rest()
        set_timeout(self._connection, socket.SO_RCVTIMEO, 0)
        more = self._connection.recv(max(wanted, 65_536))
        set_timeout(self._connection, socket.SO_RCVTIMEO, RESTS)
        return more
