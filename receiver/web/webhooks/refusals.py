"""Refusals: counts each, and logs one line a minute for each cause.

So a flood of forgeries is visible in the log without flooding it.
"""

from __future__ import annotations

import asyncio
import logging
import time

from receiver.metrics import Counters

log = logging.getLogger("receiver.refused")


class Refusals:
    """The counting and logging of refusals, for the event loop's thread only.

    `every` is the seconds between two lines of a kind.
    """

    def __init__(self, counters: Counters, every: float = 60.0) -> None:
        self._counters = counters
        self._every = every
        self._lines = OncePerMinute(every)
        self._timer: asyncio.TimerHandle | None = None

    def webhook(self, source: str, cause: str) -> None:
        """Note a webhook without proof that it comes from its source (401)."""
        self._counters.untrusted(source, cause)
        self._note(("webhook.untrusted", source, cause))

    def connection(self, cause: str) -> None:
        """Note a connection or a head that was refused before its request."""
        self._counters.refused(cause)
        self._note(("connection.refused", "", cause))

    def _note(self, kind: tuple[str, ...]) -> None:
        count = self._lines.note(kind, time.monotonic())
        if count:
            _log_refusals(kind, count)
        if self._timer is None:
            self._start_timer()

    def _start_timer(self) -> None:
        # Refusals after a line get a line a minute later, even if no more of them come.
        self._timer = asyncio.get_running_loop().call_later(self._every, self._log_overdue)

    def _log_overdue(self) -> None:
        for kind, count in self._lines.overdue(time.monotonic()):
            _log_refusals(kind, count)
        self._timer = None
        if self._lines.is_waiting():
            self._start_timer()


def _log_refusals(kind: tuple[str, ...], count: int) -> None:
    name, source, cause = kind
    source_field = f" source={source}" if source else ""
    log.warning("%s%s cause=%s count=%d", name, source_field, cause, count)


class OncePerMinute:
    """A limit for log lines: the first of a kind at once, then one sum a minute.

    `now` is monotonic seconds.
    """

    def __init__(self, every: float = 60.0) -> None:
        self._every = every
        self._since: dict[tuple[str, ...], tuple[float, int]] = {}

    def note(self, kind: tuple[str, ...], now: float) -> int:
        """Note one of a kind; return the number for a line now, 0 if the line has to wait."""
        began, waiting = self._since.get(kind, (float("-inf"), 0))
        if now - began < self._every:
            self._since[kind] = (began, waiting + 1)
            return 0
        self._since[kind] = (now, 0)
        return waiting + 1

    def is_waiting(self) -> bool:
        """Return whether a line of any kind has to wait now."""
        return bool(self._since)

    def overdue(self, now: float) -> list[tuple[tuple[str, ...], int]]:
        """Return the kinds whose wait is over, with their counts; forget kinds without any."""
        due = [(kind, n) for kind, (at, n) in self._since.items() if now - at >= self._every]
        for kind, waiting in due:
            if waiting:
                self._since[kind] = (now, 0)
            else:
                del self._since[kind]
        return [(kind, waiting) for kind, waiting in due if waiting]
