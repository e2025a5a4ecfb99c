"""Pacing: the times of the requests to a provider, of all processes and machines together."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from receiver.sources.access import ApiAccess
from receiver.store.contract import Transaction, Writing
from receiver.times import SECOND


@dataclass(frozen=True, slots=True)
class Clock:
    """The clocks that count: `monotonic` is seconds, `time_ns` nanoseconds.

    `rest` lets seconds pass; it returns whether the event came, which ends the rest.
    """

    monotonic: Callable[[], float] = time.monotonic
    time_ns: Callable[[], int] = time.time_ns
    rest: Callable[[threading.Event, float], bool] = threading.Event.wait


@dataclass(frozen=True, slots=True)
class _Reservation:
    """A request to a provider that takes an interval; those of a burst go at once (ns)."""

    provider: str
    interval: int
    burst: int
    now: int


class Pace:
    """The rate of one key at one address, kept in the store.

    Each request has its own time, so that whoever asks first goes first, whatever the process.
    """

    def __init__(self, store: Writing, access: ApiAccess, clock: Clock | None = None) -> None:
        self._store, self._clock = store, clock or Clock()
        # The key is high in entropy, and stands nowhere.
        of = f"{access.base_url.rstrip('/')}\n{access.key}".encode()
        self._name = hashlib.sha256(of).hexdigest()[:32]
        self._interval = max(round(SECOND / access.rate), 1)
        # So long a request waits behind those of others, if nobody holds them back (seconds).
        self.patience = 60.0 + 4.0 / access.rate

    def reserve(self) -> float:
        """Reserve the time of the next request; return the seconds to wait for it."""
        return self._reserve(self._interval, SECOND) / SECOND

    def hold_back(self, seconds: float) -> None:
        """Let nobody ask for a while, because the provider asks for that."""
        self._reserve(int(seconds * SECOND) + SECOND, 0)

    def _reserve(self, interval: int, burst: int) -> int:
        item = _Reservation(self._name, interval, burst, self._clock.time_ns())
        return self._store.write_now(_reserve, item)


def _reserve(transaction: Transaction, items: Sequence[_Reservation]) -> Sequence[int]:
    return [transaction.reserve(*_parts(each)) for each in items]


def _parts(each: _Reservation) -> tuple[str, int, int, int]:
    return each.provider, each.interval, each.burst, each.now
