"""Periodic work: a thread that rests as its step says, and goes on whatever fails."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import pytest

from receiver.errors import StorageUnavailable
from receiver.store.periodic import Periodic

FOREVER = 3600.0


class Steps(Periodic):
    """A thread whose steps come from a list; it is woken after each, and never ends a rest."""

    def __init__(self, steps: list[Callable[[], float]], first_rest: float = 0.0) -> None:
        super().__init__("steps", first_rest, rest_after_failure=0.0)
        self._steps = iter(steps)
        self.done: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._number = 0

    def step(self) -> float:
        self._number += 1
        self.done.put(self._number)
        return next(self._steps)()


def failing(error: Exception) -> Callable[[], float]:
    def step() -> float:
        raise error

    return step


def resting() -> float:
    return FOREVER


def test_it_goes_on_after_a_failure_and_says_what_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    steps = Steps([failing(StorageUnavailable("it is locked")), failing(KeyError("x")), resting])
    steps.start()
    assert [steps.done.get(timeout=20) for _ in range(3)] == [1, 2, 3]
    assert steps.is_alive()
    steps.stop()
    assert not steps.is_alive()
    assert [(r.levelname, r.name, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "receiver.steps", "steps.storage error=it is locked"),
        ("ERROR", "receiver.steps", "steps.failed"),
    ]
    assert caplog.records[0].exc_info is None
    assert caplog.records[1].exc_info is not None


def test_who_wakes_it_ends_its_rest() -> None:
    steps = Steps([resting, resting], first_rest=FOREVER)
    steps.start()
    assert steps.done.empty()
    for number in (1, 2):
        steps.wake()
        assert steps.done.get(timeout=20) == number
    steps.stop()


def test_to_stop_it_ends_its_rest_without_a_further_step() -> None:
    steps = Steps([resting])
    steps.start()
    assert steps.done.get(timeout=20) == 1
    steps.stop()
    assert steps.done.empty()


def test_stopping_waits_for_the_present_step_as_long_as_it_is_told() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def step() -> float:
        begun.set()
        may_end.wait(20)
        return FOREVER

    steps = Steps([step])
    steps.start()
    assert begun.wait(20)
    steps.stop(timeout=0)
    assert steps.is_alive()
    may_end.set()
    steps.stop()
    assert not steps.is_alive()
