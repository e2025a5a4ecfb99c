"""Requests at a steady rate, whatever becomes of earlier ones: a sender that does not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.bench.intake import Connection


class Steady:
    """Posts so many a second over connections it keeps. `took`: from sending to the answer."""

    def __init__(self, port: int, rate: float) -> None:
        self._port, self._rate, self._free = port, rate, list[Connection]()
        self.took: list[float] = []

    async def run(self, requests: Sequence[bytes]) -> None:
        """Post all of them; returns when all are acknowledged."""
        loop = asyncio.get_running_loop()
        begin = loop.time() + 0.05
        posts = []
        for number, request in enumerate(requests):
            await asyncio.sleep(begin + number / self._rate - loop.time())
            posts.append(asyncio.ensure_future(self._post(request)))
        await asyncio.gather(*posts)
        for connection in self._free:
            connection.transport.close()

    async def _post(self, request: bytes) -> None:
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
        self._free.append(connection)


class _Kept(Connection):
    """A connection that stays open when it has nothing to send."""

    def next(self) -> None:
        if self.waiting:
            super().next()
        elif not self.done.done():
            self.done.set_result(None)
