"""Deadlines: every call ends in time.

A late call is cut, which should end it. If it still hangs, it is abandoned with its thread, because
Python cannot end a thread. If too many calls of a key hang, no further ones are made until one
comes back.

A thread that has registered a successor (`hand_over_to`) makes its calls itself, and one watchdog
watches all of them: to hand a call to another thread and get its result back would cost a fifth of
a delivery. For any other thread, a call runs in a thread of its own, which then waits for the next
call of the same key.
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

# An idle thread calls `rest` after RESTS seconds and ends after IDLE seconds.
RESTS = 1.0
IDLE = 600.0
# The time in which a call has to end after it was cut (seconds).
GRACE = 0.5
MOST_HANGING = 4


class CallEnd(Enum):
    """The end of a call: by itself, after a cut, none so far; or the call was never made."""

    DONE = "done"
    CUT = "cut"
    HANGS = "hangs"
    NOT_MADE = "not made"


class ThreadReplaced(BaseException):
    """A late return of a hanging call: a successor has gone on, and this thread has to end."""


_lock = threading.Lock()
_idle: dict[Hashable, list[_CallThread]] = {}
_hanging: Counter[Hashable] = Counter()
_this_thread = threading.local()


def hand_over_to(successor: Callable[[Any], None]) -> None:
    """Register a successor for this thread, in case its next call hangs.

    `successor` runs in a new thread. Its argument is the result that `call_watched` cannot return.
    """
    _this_thread.successor = successor


def nothing() -> None:
    """Do nothing."""


def call_watched(
    key: Hashable,
    timeout: float,
    call: Callable[[], T],
    cut: Callable[[], None],
    judge: Callable[[CallEnd, T | None], R],
    rest: Callable[[], None] = nothing,
) -> R:
    """Make the call, in this thread if it has a successor; return the judgement of its end.

    The arguments are those of `call_in_thread`; `judge` gets the two results of that function.
    """
    successor: Callable[[Any], None] | None = getattr(_this_thread, "successor", None)
    if successor is None:
        return judge(*call_in_thread(key, timeout, call, cut, rest))
    _this_thread.successor = None
    go_on = successor
    due = time.monotonic() + timeout
    watched = _WatchedCall(key, due, cut, lambda: go_on(judge(CallEnd.HANGS, None)))
    if not _watchdog.begin(watched):
        return judge(CallEnd.NOT_MADE, None)
    try:
        result = call()
    except BaseException:
        # This thread goes on with the error: a successor besides it would be one too many.
        _watchdog.end(watched)
        raise
    return judge(_watchdog.end(watched), result)


def call_in_thread(
    key: Hashable,
    timeout: float,
    call: Callable[[], T],
    cut: Callable[[], None],
    rest: Callable[[], None] = nothing,
) -> tuple[CallEnd, T | None]:
    """Make the call in a thread of `key`. An error of `call` is raised here.

    After `timeout` seconds it calls `cut`, which should end the call; half a second later it
    abandons the call. The second result is None if there is none from the call. After a second
    without calls the thread calls `rest`, which must not raise.
    """
    with _lock:
        if _hanging[key] >= MOST_HANGING:
            return CallEnd.NOT_MADE, None
        waiting = _idle.get(key)
        thread = waiting.pop() if waiting else None
    if thread is None:
        thread = _CallThread(key, rest)
        thread.start()
    thread.calls.put(call)
    end = CallEnd.DONE
    try:
        result = thread.results.get(timeout=timeout)
    except Empty:
        cut()
        end = CallEnd.CUT
        try:
            result = thread.results.get(timeout=GRACE)
        except Empty:
            if thread.abandon():
                return CallEnd.HANGS, None
            result = thread.results.get()
    with _lock:
        _idle.setdefault(key, []).append(thread)
    if isinstance(result, _CallError):
        raise result.error
    return end, result


class _CallError:
    """The error that a call has raised in its thread."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _WatchedCall:
    """A call in progress. `due` is the time at which the watchdog has to act (monotonic seconds).

    `cut` should end the call; `hung` starts the successor.
    """

    def __init__(
        self, key: Hashable, due: float, cut: Callable[[], None], hung: Callable[[], None]
    ) -> None:
        self.key = key
        self.due = due
        self.cut = cut
        self.hung = hung
        self.end = CallEnd.DONE


class _Watchdog:
    """A thread that cuts late calls and replaces hanging threads. It starts with the first call."""

    def __init__(self) -> None:
        self._waking = threading.Condition(_lock)
        self._calls: set[_WatchedCall] = set()
        self._looks_at: float | None = None  # the time at which it wakes up
        self._thread: threading.Thread | None = None

    def begin(self, call: _WatchedCall) -> bool:
        """Watch the call from now on; return False if too many calls hang."""
        with self._waking:
            if _hanging[call.key] >= MOST_HANGING:
                return False
            self._calls.add(call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
                self._thread.start()
            # No wake-up for a call that is due after the next check: most calls are over by then.
            elif self._looks_at is None or call.due < self._looks_at:
                self._waking.notify()
            return True

    def end(self, call: _WatchedCall) -> CallEnd:
        """Return the end of a call that has come back; ThreadReplaced if it is too late."""
        with self._waking:
            if call.end is CallEnd.HANGS:
                _hanging[call.key] -= 1
                raise ThreadReplaced
            self._calls.discard(call)
            return call.end

    def _run(self) -> None:
        with self._waking:
            while True:
                now = time.monotonic()
                for call in [call for call in self._calls if call.due <= now]:
                    self._act_on(call, now)
                self._looks_at = min((call.due for call in self._calls), default=None)
                self._waking.wait(None if self._looks_at is None else self._looks_at - now)

    def _act_on(self, call: _WatchedCall, now: float) -> None:
        """Cut a late call; replace the thread of a call that hangs after its cut."""
        if call.end is CallEnd.DONE:
            call.end = CallEnd.CUT
            call.due = now + GRACE
            # Even if the cut fails, the other calls have to be watched.
            with contextlib.suppress(Exception):
                call.cut()
            return
        try:
            threading.Thread(target=call.hung, name="attempt", daemon=True).start()
        except RuntimeError:
            call.due = now + GRACE  # the system has no thread left: try again later
            return
        call.end = CallEnd.HANGS
        self._calls.discard(call)
        _hanging[call.key] += 1


_watchdog = _Watchdog()


class _CallThread(threading.Thread):
    """A thread of one key: it makes calls until it is idle for long or abandoned."""

    def __init__(self, key: Hashable, rest: Callable[[], None]) -> None:
        super().__init__(name="attempt", daemon=True)
        self.calls: SimpleQueue[Callable[[], Any]] = SimpleQueue()
        self.results: SimpleQueue[Any] = SimpleQueue()
        self._key = key
        self._rest = rest
        self._abandoned = False

    def run(self) -> None:
        """Make one call after the other."""
        while (call := self._next_call()) is not None:
            result: Any
            try:
                result = call()
            except BaseException as error:
                result = _CallError(error)
            del call
            with _lock:
                if self._abandoned:
                    _hanging[self._key] -= 1
                    return
                self.results.put(result)

    def _next_call(self) -> Callable[[], Any] | None:
        """Wait for the next call; return None if the thread may end after a long idle time."""
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

    def abandon(self) -> bool:
        """Abandon the thread with its call; return False if the call has just ended after all."""
        with _lock:
            if not self.results.empty():
                return False
            self._abandoned = True
            _hanging[self._key] += 1
            return True
