"""Refusals: counts each, and logs one line a minute for each cause.

So a flood of forgeries is visible in the log without flooding it, and a sender with a wrong address
leaves a trace.
"""

from __future__ import annotations

import asyncio
import logging
import time

from receiver.metrics import Counters
from receiver.web.webhooks.addresses import Addresses

log = logging.getLogger("receiver.refused")

MAX_PATHS = 3  # different paths in a line


class Refusals:
    """The counting and logging of refusals, for the event loop's thread only.

    `every` is the seconds between two lines of a kind. `addresses` clean the paths.
    """

    def __init__(
        self, counters: Counters, every: float = 60.0, addresses: Addresses | None = None
    ) -> None:
        self._counters = counters
        self._addresses = addresses or Addresses(dict)
        self._lines = OncePerMinute(every)
        # The paths of the refusals that wait for a line, by kind.
        self._paths: dict[tuple[str, ...], list[str]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def webhook(self, source: str, cause: str) -> None:
        """Note a webhook without proof that it comes from its source (401)."""
        self._counters.untrusted(source, cause)
        self._note(("webhook.untrusted", source, cause))

    def request(self, cause: str, path: str, source: str = "") -> None:
        """Note a request that was refused for its form, or found no source."""
        self._counters.refused(cause)
        self._note(("webhook.refused", source, cause), path)

    def nowhere(self, path: str) -> None:
        """Note a request to a path with nothing there."""
        self.request(self._addresses.cause(path), path)

    def connection(self, cause: str, path: str = "") -> None:
        """Note a connection or a head that was refused before its request, or a slow body."""
        self._counters.refused(cause)
        self._note(("connection.refused", "", cause), path)

    def _note(self, kind: tuple[str, ...], path: str = "") -> None:
        if path and len(paths := self._paths.setdefault(kind, [])) < MAX_PATHS:
            shown = self._addresses.shown(path)
            if shown not in paths:
                paths.append(shown)
        count = self._lines.note(kind, time.monotonic())
        if count:
            self._log(kind, count)
        if self._timer is None:
            self._start_timer()

    def _start_timer(self) -> None:
        # Refusals after a line get a line a minute later, even if no more of them come.
        rest = self._lines.rest(time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(rest, self._log_overdue)

    def flush(self) -> None:
        """Log what waits for its line: the process ends."""
        for kind, count in self._lines.overdue(float("inf")):
            self._log(kind, count)

    def _log_overdue(self) -> None:
        for kind, count in self._lines.overdue(time.monotonic()):
            self._log(kind, count)
        self._timer = None
        if self._lines.is_waiting():
            self._start_timer()

    def _log(self, kind: tuple[str, ...], count: int) -> None:
        name, source, cause = kind
        paths = self._paths.pop(kind, [])
        meant = dict.fromkeys(filter(None, map(self._addresses.meant, paths)))
        fields = {
            "source": source, "cause": cause, "path": ",".join(paths), "meant": ",".join(meant)
        }  # fmt: skip
        text = " ".join(f"{field}={value}" for field, value in fields.items() if value)
        log.warning("%s %s count=%d", name, text, count)


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

    def rest(self, now: float) -> float:
        """Return the seconds until the wait of a kind is over; one has to wait."""
        return max(min(at for at, _ in self._since.values()) + self._every - now, 0.0)

    def overdue(self, now: float) -> list[tuple[tuple[str, ...], int]]:
        """Return the kinds whose wait is over, with their counts; forget kinds without any."""
        due = [(kind, n) for kind, (at, n) in self._since.items() if now - at >= self._every]
        for kind, waiting in due:
            if waiting:
                self._since[kind] = (now, 0)
            else:
                del self._since[kind]
        return [(kind, waiting) for kind, waiting in due if waiting]
