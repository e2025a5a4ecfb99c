"""Calls that are over by a deadline, whatever they do.

One that hangs even after its connections were cut is given up with its thread, since nothing in
Python could end it; when too many of a key hang, further calls are not made until one comes back.

A thread that has said who goes on without it (`left_to`) makes its calls itself, and one thread
watches all of them: to hand a call to another thread and its result back cost a fifth of a
delivery. For others a call runs in a thread of its own, which is kept for the next one of its key.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

RESTS, IDLE = 1.0, 600.0
GRACE = 0.5
MOST_HANGING = 4


class End(Enum):
    """How a call ended: by itself, after it was cut, not at all; or it was never made."""

    DONE = "done"
    CUT = "cut"
    HANGS = "hangs"
    NOT_MADE = "not made"


class GivenUp(BaseException):
    """The call has come back after all, and another thread has gone on: this one has to end."""


_lock = threading.Lock()
_idle: dict[Hashable, list[_Caller]] = {}
_hanging: Counter[Hashable] = Counter()
_here = threading.local()


def hand_over_to(go_on: Callable[[Any], None]) -> None:
    """Say who goes on without this thread, should its next call hang.

    `go_on` is called in a new thread, with what `within` would have given here.
    """
    _here.go_on = go_on


def nothing() -> None:
    """Do nothing."""


def call_watched(
    key: Hashable,
    timeout: float,
    call: Callable[[], T],
    cut: Callable[[], None],
    judge: Callable[[End, T | None], R],
    rest: Callable[[], None] = nothing,
) -> R:
    """Make the call, here or as `within` does; `judge` says what end and result come to."""
    go_on: Callable[[Any], None] | None = getattr(_here, "go_on", None)
    if go_on is None:
        return judge(*call_in_thread(key, timeout, call, cut, rest))
    _here.go_on, others = None, go_on
    due = time.monotonic() + timeout
    watched = _WatchedCall(key, due, cut, lambda: others(judge(End.HANGS, None)))
    if not _watch.begin(watched):
        return judge(End.NOT_MADE, None)
    result = call()
    return judge(_watch.end(watched), result)


def call_in_thread(
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


class _WatchedCall:
    """A call that is being made. `due`: when something has to be done about it."""

    def __init__(
        self, key: Hashable, due: float, cut: Callable[[], None], hung: Callable[[], None]
    ) -> None:
        self.key, self.due, self.cut, self.hung = key, due, cut, hung
        self.end = End.DONE


class _Watchdog:
    """Cuts and gives up what takes too long. Its thread starts with the first call."""

    def __init__(self) -> None:
        self._waking = threading.Condition(_lock)
        self._calls: set[_WatchedCall] = set()
        self._looks_at: float | None = None  # when it wakes up by itself
        self._thread: threading.Thread | None = None

    def begin(self, call: _WatchedCall) -> bool:
        """Watch it from here on; False if too many hang."""
        with self._waking:
            if _hanging[call.key] >= MOST_HANGING:
                return False
            self._calls.add(call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
                self._thread.start()
            # It is not woken for what is due later than it looks: most calls are over by then.
            elif self._looks_at is None or call.due < self._looks_at:
                self._waking.notify()
            return True

    def end(self, call: _WatchedCall) -> End:
        """How it ended, now that it has come back; GivenUp if that is too late."""
        with self._waking:
            if call.end is End.HANGS:
                _hanging[call.key] -= 1
                raise GivenUp
            self._calls.discard(call)
            return call.end

    def _run(self) -> None:
        with self._waking:
            while True:
                now = time.monotonic()
                for call in [call for call in self._calls if call.due <= now]:
                    self._late(call, now)
                self._looks_at = min((call.due for call in self._calls), default=None)
                self._waking.wait(None if self._looks_at is None else self._looks_at - now)

    def _late(self, call: _WatchedCall, now: float) -> None:
        if call.end is End.DONE:
            call.end, call.due = End.CUT, now + GRACE
            # Whatever it does wrong, there are others to watch.
            with contextlib.suppress(Exception):
                call.cut()
            return
        try:
            threading.Thread(target=call.hung, name="attempt", daemon=True).start()
        except RuntimeError:
            call.due = now + GRACE  # the system has no thread left: nobody can go on yet
            return
        call.end = End.HANGS
        self._calls.discard(call)
        _hanging[call.key] += 1


_watch = _Watchdog()


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
