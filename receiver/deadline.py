"""Calls that are over by a deadline, whatever they do.

A call runs in a thread of its own, which is kept for the next call of the same key. One that hangs
even after its connections were cut is given up with its thread, since nothing in Python could end
it; when too many of a key hang, further calls are not made until one of them comes back.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

RESTS, IDLE = 1.0, 600.0
GRACE = 0.5
MOST_HANGING = 4


class End(Enum):
    """How a call ended: by itself, after it was cut, not at all; or it was never made."""

    DONE = "done"
    CUT = "cut"
    HANGS = "hangs"
    NOT_MADE = "not made"


_lock = threading.Lock()
_idle: dict[Hashable, list[_Caller]] = {}
_hanging: Counter[Hashable] = Counter()


def nothing() -> None:
    """Do nothing."""


def within(
    key: Hashable,
    timeout: float,
    call: Callable[[], T],
    cut: Callable[[], None],
    rest: Callable[[], None] = nothing,
) -> tuple[End, T | None]:
    """Make the call in a thread of `key`. `call` must not raise.

    After `timeout` seconds `cut` is called, which should end it; half a second later it is given
    up. The result is None where there is none. When no call has come for a second, the thread
    calls `rest`, which must not raise.
    """
    with _lock:
        if _hanging[key] >= MOST_HANGING:
            return End.NOT_MADE, None
        waiting = _idle.get(key)
        caller = waiting.pop() if waiting else None
    if caller is None:
        caller = _Caller(key, rest)
        caller.start()
    caller.calls.put(call)
    end = End.DONE
    try:
        result = caller.results.get(timeout=timeout)
    except Empty:
        cut()
        end = End.CUT
        try:
            result = caller.results.get(timeout=GRACE)
        except Empty:
            if caller.give_up():
                return End.HANGS, None
            result = caller.results.get()
    with _lock:
        _idle.setdefault(key, []).append(caller)
    return end, result


class _Caller(threading.Thread):
    """The thread of one key: takes calls until it was idle for long, or was given up."""

    def __init__(self, key: Hashable, rest: Callable[[], None]) -> None:
        super().__init__(name="attempt", daemon=True)
        self.calls: SimpleQueue[Callable[[], Any]] = SimpleQueue()
        self.results: SimpleQueue[Any] = SimpleQueue()
        self._key, self._rest, self._given_up = key, rest, False

    def run(self) -> None:
        while (call := self._next()) is not None:
            result = call()
            del call
            with _lock:
                if self._given_up:
                    _hanging[self._key] -= 1
                    return
                self.results.put(result)

    def _next(self) -> Callable[[], Any] | None:
        try:
            return self.calls.get(timeout=RESTS)
        except Empty:
            self._rest()
        while True:
            try:
                return self.calls.get(timeout=IDLE)
            except Empty:
                with _lock:
                    waiting = _idle.get(self._key, [])
                    if self in waiting:
                        waiting.remove(self)
                        if not waiting:
                            del _idle[self._key]
                        return None

    def give_up(self) -> bool:
        """Leave it behind; False if its call has just ended after all."""
        with _lock:
            if not self.results.empty():
                return False
            self._given_up = True
            _hanging[self._key] += 1
            return True
