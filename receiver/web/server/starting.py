"""Start: the steps of a process that begins to serve, also while its database is away.

Without a spool a failed step ends the process, and whoever supervises it starts it again. With one
it takes webhooks at once, and does its steps when the database is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import overload

import anyio.to_thread

from receiver.errors import StorageUnavailable
from receiver.web.webhooks.spool import Spooling

log = logging.getLogger("receiver")

Step = Callable[[], object]

# Seconds between two tries of a step.
AGAIN = 0.5


class Start:
    """Steps to be done in their order, each in a thread; with a spool they may wait."""

    def __init__(self, steps: Sequence[Step], spooling: Spooling | None) -> None:
        self._steps = list(steps)
        self._spooling = spooling
        self._waiting: asyncio.Task[None] | None = None

    def is_over(self) -> bool:
        """Return whether all steps are done."""
        return not self._steps

    def is_alive(self) -> bool:
        """Return whether all steps are done, or still will be."""
        return self.is_over() or (self._waiting is not None and not self._waiting.done())

    async def begin(self) -> None:
        """Do the steps, or let them wait for the database; StorageUnavailable if they may not."""
        try:
            await self._go_on()
        except StorageUnavailable as error:
            if self._spooling is None or not self._spooling.is_enough():
                raise
            log.warning("serve.waits: webhooks are spooled until the database is there (%s)", error)
            self._waiting = asyncio.create_task(self._insist(), name="start")

    async def stop(self) -> None:
        """Leave out the steps that still wait; one that is being done is waited for."""
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait([self._waiting])

    async def _go_on(self) -> None:
        while self._steps:
            await anyio.to_thread.run_sync(self._steps[0])
            del self._steps[0]

    async def _insist(self) -> None:
        while not self.is_over():
            await asyncio.sleep(AGAIN)
            try:
                await self._go_on()
            except StorageUnavailable as error:
                log.debug("serve.waits: %s", error)
        log.warning("serve.complete: the database is there")


class LateKeys(Sequence[bytes]):
    """Keys that the store has, read once: at a start, or when one is needed."""

    def __init__(self, read: Callable[[], Sequence[bytes]]) -> None:
        self._read = read
        self._keys: Sequence[bytes] = ()

    def read(self) -> Sequence[bytes]:
        """Return the keys; StorageUnavailable while the database is away."""
        self._keys = self._keys or self._read()
        return self._keys

    def __len__(self) -> int:
        return len(self.read())

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | Sequence[bytes]:
        return self.read()[at]
