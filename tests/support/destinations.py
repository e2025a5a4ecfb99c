"""Destinations on loopback: they note what arrives, and answer or misbehave as they are told.

They live in the event loop that opens them. A message is noted the moment its request was read
completely, whatever follows, so what a hanging destination has read counts as arrived.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

FLOOD = 200 * 2**20
CHUNK = b"x" * 2**18


class Behaviour(StrEnum):
    """What a destination does with a request."""

    ANSWER = "answer"
    REFUSE = "refuse"  # nobody listens
    HANG = "hang"  # read, never answered
    TRICKLE = "trickle"  # an answer that never ends, a byte at a time
    CLOSE = "close"  # read, cut without an answer
    REDIRECT = "redirect"
    LATER = "later"  # 429 with Retry-After
    BROKEN = "broken"  # 503
    GONE = "gone"  # 404
    FLOOD = "flood"  # 200 with 200 MB


PLAIN = {
    Behaviour.ANSWER: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    Behaviour.REDIRECT: b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\n"
    b"Content-Length: 0\r\n\r\n",
    Behaviour.LATER: b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\n"
    b"Content-Length: 0\r\n\r\n",
    Behaviour.BROKEN: b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    Behaviour.GONE: b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
}


@dataclass(slots=True)
class Arrival:
    """A message that arrived at `at` (nanoseconds); `answered` says that it was accepted."""

    at: int
    title: str
    text: str
    answered: bool = False


class Destination:
    """One destination. `watch` is told of each moment before what follows from it.

    The moments of a request are "connected", "received" and "answered". Unless it `keeps` its
    connections, each request has one of its own.
    """

    def __init__(
        self, name: str, behaviour: Behaviour = Behaviour.ANSWER, *, keeps: bool = True
    ) -> None:
        self.name, self.behaviour, self.port, self.keeps = name, behaviour, 0, keeps
        self.arrivals: list[Arrival] = []
        self.watch: Callable[[str], None] = lambda moment: None
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()

    @property
    def url(self) -> str:
        """Its Apprise URL."""
        return f"json://127.0.0.1:{self.port}/"

    async def open(self) -> None:
        """Listen, always on the same port."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self), "127.0.0.1", self.port, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        if self.behaviour is Behaviour.REFUSE:
            self._deaf()

    async def behave(self, behaviour: Behaviour) -> None:
        """Change its ways with requests to come. What hangs goes on hanging: see `release`."""
        self.behaviour = behaviour
        if behaviour is Behaviour.REFUSE:
            self._deaf()
        elif self._server is None:
            await self.open()

    def release(self) -> None:
        """Answer what hangs."""
        for connection in tuple(self._open):
            connection.release()

    def close(self) -> None:
        """Stop listening and cut what is open."""
        self._deaf()

    def texts(self) -> dict[str, list[Arrival]]:
        """Return what arrived, by title, in the order of arrival."""
        found: dict[str, list[Arrival]] = {}
        for arrival in self.arrivals:
            found.setdefault(arrival.title, []).append(arrival)
        return found

    def _deaf(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self._open):
            connection.abort()


class _Connection(asyncio.Protocol):
    """Requests of one client, one after the other."""

    def __init__(self, to: Destination) -> None:
        self._to, self._buffer, self._left = to, b"", 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._hung: list[Arrival] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._to._open.add(self)
        self._to.watch("connected")

    def connection_lost(self, error: Exception | None) -> None:
        self._to._open.discard(self)
        self._flowing.set()

    def pause_writing(self) -> None:
        self._flowing.clear()

    def resume_writing(self) -> None:
        self._flowing.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (request := self._next()) is not None:
            said = json.loads(request)
            arrival = Arrival(time.time_ns(), said["title"], said["message"])
            self._to.arrivals.append(arrival)
            self._to.watch("received")
            self._answer(arrival)

    def _next(self) -> bytes | None:
        """Take the body of a request that is there completely."""
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        _, _, after = head.lower().partition(b"content-length:")
        length = int(after.split(b"\r\n", 1)[0])
        if len(rest) < length:
            return None
        self._buffer = rest[length:]
        return rest[:length]

    def _answer(self, arrival: Arrival) -> None:
        behaviour = self._to.behaviour
        if behaviour in PLAIN:
            last = b"" if self._to.keeps else b"Connection: close\r\n"
            self._transport.write(PLAIN[behaviour].replace(b"\r\n", b"\r\n" + last, 1))
            arrival.answered = behaviour is Behaviour.ANSWER
            self._to.watch("answered")
            if not self._to.keeps:
                self._transport.close()
        elif behaviour is Behaviour.HANG:
            self._hung.append(arrival)
        elif behaviour is Behaviour.TRICKLE:
            self._transport.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            self._trickle()
        elif behaviour is Behaviour.FLOOD:
            self._task = asyncio.ensure_future(self._flood())
        else:
            self._transport.close()

    def release(self) -> None:
        """Answer what hangs."""
        for arrival in self._hung:
            if not self._transport.is_closing():
                self._transport.write(PLAIN[Behaviour.ANSWER])
                arrival.answered = True
        self._hung.clear()

    def abort(self) -> None:
        self._transport.abort()

    def _trickle(self) -> None:
        if self._to.behaviour is not Behaviour.TRICKLE:
            self._transport.close()
        if not self._transport.is_closing():
            self._transport.write(b"x")
            asyncio.get_running_loop().call_later(0.1, self._trickle)

    async def _flood(self) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % FLOOD)
        for _ in range(FLOOD // len(CHUNK)):
            with suppress(ConnectionError):
                self._transport.write(CHUNK)
            await self._flowing.wait()
            if self._transport.is_closing():
                return
