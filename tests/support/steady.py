"""Requests at a steady rate, whatever becomes of earlier ones: a sender that does not wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence


class Connection(asyncio.Protocol):
    """Sends the next request when the last was answered."""

    def __init__(self, waiting: list[bytes], took: list[float], done: asyncio.Future[None]) -> None:
        self.waiting, self.took, self.done = waiting, took, done
        self.buffer, self.sent_at = b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.next()

    def next(self) -> None:
        if not self.waiting:
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self.sent_at = time.perf_counter()
        self.transport.write(self.waiting.pop())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        if len(rest) < length:
            return
        if not head.startswith((b"HTTP/1.1 202", b"HTTP/1.1 200")):
            self.done.set_exception(RuntimeError(f"answered {head[:80]!r} {rest[:300]!r}"))
            self.transport.close()
            return
        self.took.append(time.perf_counter() - self.sent_at)
        self.buffer = b""
        self.next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError("the connection was closed"))


class Steady:
    """Posts so many a second over connections it keeps, whatever becomes of earlier requests.

    `took`: seconds from sending to the answer. `since_due`: from when it was due to the answer.
    """

    def __init__(self, port: int, rate: float) -> None:
        self._port, self._rate, self._free = port, rate, list[Connection]()
        self.took: list[float] = []
        self.since_due: list[float] = []
        self.began = 0  # monotonic nanoseconds

    async def run(self, requests: Sequence[bytes]) -> None:
        """Post all of them; returns when all are acknowledged."""
        loop = asyncio.get_running_loop()
        begin = loop.time() + 0.05
        self.began = time.monotonic_ns()
        posts = []
        for number, request in enumerate(requests):
            due = begin + number / self._rate
            await asyncio.sleep(due - loop.time())
            posts.append(asyncio.ensure_future(self._post(request, due)))
        await asyncio.gather(*posts)
        for connection in self._free:
            connection.transport.close()

    async def _post(self, request: bytes, due: float) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        if self._free:
            connection = self._free.pop()
        else:
            unused: asyncio.Future[None] = loop.create_future()
            unused.set_result(None)
            _, connection = await loop.create_connection(
                lambda: _Kept([], self.took, unused), "127.0.0.1", self._port
            )
        connection.waiting, connection.done = [request], done
        connection.next()
        await done
        self.since_due.append(loop.time() - due)
        self._free.append(connection)


class _Kept(Connection):
    """A connection that stays open when it has nothing to send."""

    def next(self) -> None:
        if self.waiting:
            super().next()
        elif not self.done.done():
            self.done.set_result(None)
