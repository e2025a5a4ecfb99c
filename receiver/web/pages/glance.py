"""Glance: a read that may take long, made beside the requests, and shown as it was seen last.

So a page answers at once, however much is stored, and a page that is refreshed by many people costs
as much as one of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from receiver.errors import StorageUnavailable

Found = TypeVar("Found")

# How long a request waits for a new result, and the first of all for the first one (seconds).
PATIENCE, FIRST_PATIENCE = 0.02, 0.2
# A read rests for so many times as long as it took.
REST = 10


@dataclass(frozen=True, slots=True)
class Seen(Generic[Found]):
    """A result, and the time at which its read began (nanoseconds)."""

    value: Found
    at: int


class Glance(Generic[Found]):
    """The last result of `read`, which is called in a thread when somebody looks.

    It rests for `rest` seconds at least.
    """

    def __init__(self, read: Callable[[], Found], rest: float = 0.0) -> None:
        self._read, self._rest = read, rest
        self._lock = threading.Lock()
        self._seen: Seen[Found] | None = None
        self._error: StorageUnavailable | None = None
        self._rests_until = 0.0  # monotonic seconds
        self._done: threading.Event | None = None  # of the read in progress

    def look(self) -> Seen[Found] | None:
        """Return the last result, a new one if it comes soon; None: there is none yet."""
        patience = PATIENCE
        with self._lock:
            if self._done is None and time.monotonic() >= self._rests_until:
                self._done = threading.Event()
                threading.Thread(target=self._run, args=(self._done,), daemon=True).start()
                patience = PATIENCE if self._seen else FIRST_PATIENCE
            done = self._done
        if done is not None:
            done.wait(patience)
        if self._seen is None and self._error is not None:
            raise self._error
        return self._seen

    def forget(self) -> None:
        """Forget the result: somebody has changed what it shows."""
        with self._lock:
            self._seen = None
            self._rests_until = 0.0
            self._done = None

    def _run(self, done: threading.Event) -> None:
        began, at = time.monotonic(), time.time_ns()
        seen = None
        try:
            seen = Seen(self._read(), at)
            error = None
        except StorageUnavailable as unavailable:
            error = unavailable
        finally:
            with self._lock:
                # One that was forgotten meanwhile is old news.
                if self._done is done:
                    self._seen, self._error = seen or self._seen, error
                    self._done = None
                    rest = max(self._rest, REST * (time.monotonic() - began))
                    self._rests_until = time.monotonic() + rest
            done.set()
