"""What was refused: each counted, and told in the log once a minute and cause.

So a flood of forgeries is not a flood of lines, and still looks different from silence.
"""

from __future__ import annotations

import asyncio
import logging
import time

from receiver.metrics import Counters

log = logging.getLogger("receiver.refused")


class Refusals:
    """Lives in the event loop's thread. `every` is seconds between two lines of a kind."""

    def __init__(self, counters: Counters, every: float = 60.0) -> None:
        self._counters, self._every = counters, every
        self._told = OncePerMinute(every)
        self._timer: asyncio.TimerHandle | None = None

    def webhook(self, source: str, cause: str) -> None:
        """A webhook was not proven to come from its source: 401."""
        self._counters.untrusted(source, cause)
        self._tell(("webhook.untrusted", source, cause))

    def connection(self, cause: str) -> None:
        """A connection or a head was refused before there was a request."""
        self._counters.refused(cause)
        self._tell(("connection.refused", "", cause))

    def _tell(self, kind: tuple[str, ...]) -> None:
        count = self._told.note(kind, time.monotonic())
        if count:
            _log(kind, count)
        if self._timer is None:
            self._rest()

    def _rest(self) -> None:
        # What came after a line is told a minute later even if nothing more comes.
        self._timer = asyncio.get_running_loop().call_later(self._every, self._sum_up)

    def _sum_up(self) -> None:
        for kind, count in self._told.overdue(time.monotonic()):
            _log(kind, count)
        self._timer = None
        if self._told.is_waiting():
            self._rest()


def _log(kind: tuple[str, ...], count: int) -> None:
    act, source, cause = kind
    of = f" source={source}" if source else ""
    log.warning("%s%s cause=%s count=%d", act, of, cause, count)


class OncePerMinute:
    """Lets the first of a kind through at once, and then one sum a minute. `now` is seconds."""

    def __init__(self, every: float = 60.0) -> None:
        self._every = every
        self._since: dict[tuple[str, ...], tuple[float, int]] = {}

    def note(self, kind: tuple[str, ...], now: float) -> int:
        """How many to tell of now, this one among them; 0 if it has to wait."""
        began, waiting = self._since.get(kind, (float("-inf"), 0))
        if now - began < self._every:
            self._since[kind] = (began, waiting + 1)
            return 0
        self._since[kind] = (now, 0)
        return waiting + 1

    def is_waiting(self) -> bool:
        """Whether anything was told so lately that more of it would have to wait."""
        return bool(self._since)

    def overdue(self, now: float) -> list[tuple[tuple[str, ...], int]]:
        """What has waited long enough, with its count; what was told long ago is forgotten."""
        old = [(kind, n) for kind, (at, n) in self._since.items() if now - at >= self._every]
        for kind, waiting in old:
            if waiting:
                self._since[kind] = (now, 0)
            else:
                del self._since[kind]
        return [(kind, waiting) for kind, waiting in old if waiting]
