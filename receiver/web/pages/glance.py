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
from receiver.times import SECOND

Found = TypeVar("Found")

# How long a request waits for a new result where reads are quick; and how long the first one does
# that finds none or an old one (seconds).
PATIENCE, FIRST_PATIENCE, OLD = 0.02, 0.2, 30.0
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
        self._took = 0.0  # seconds
        self._done: threading.Event | None = None  # of the read in progress
        self._is_new = False  # nobody has waited for it

    def begin(self) -> None:
        """Begin a new read if its rest is over: several glances then read at the same time."""
        with self._lock:
            if self._done is None and time.monotonic() >= self._rests_until:
                self._done = threading.Event()
                self._is_new = True
                threading.Thread(target=self._run, args=(self._done,), daemon=True).start()

    def look(self, waited: float = 0.0) -> Seen[Found] | None:
        """Return the last result, a new one if it comes soon; None: there is none yet.

        The request has `waited` for others so long already (seconds).
        """
        self.begin()
        with self._lock:
            done, patience = self._done, self._patience() - waited
        if done is not None and patience > 0:
            done.wait(patience)
        if self._seen is None and self._error is not None:
            raise self._error
        return self._seen

    def _patience(self) -> float:
        """Return the seconds for which a request waits: none for a read that takes longer."""
        is_first, self._is_new = self._is_new, False
        is_old = self._seen is None or time.time_ns() - self._seen.at > OLD * SECOND
        if is_first and is_old:
            return FIRST_PATIENCE
        return PATIENCE if self._took <= PATIENCE else 0.0

    def forget(self) -> None:
        """Forget the result: somebody has changed what it shows."""
        with self._lock:
            self._seen = None
            self._rests_until = 0.0
            self._done = None

    def _run(self, done: threading.Event) -> None:
        began, at = time.monotonic(), time.time_ns()
        seen, error = None, None
        try:
            seen = Seen(self._read(), at)
        except StorageUnavailable as unavailable:
            error = unavailable
        finally:
            with self._lock:
                # One that was forgotten meanwhile is old news.
                if self._done is done:
                    self._seen, self._error = seen or self._seen, error
                    self._done = None
                    self._took = time.monotonic() - began
                    rest = max(self._rest, REST * self._took)
                    self._rests_until = time.monotonic() + rest
            done.set()
