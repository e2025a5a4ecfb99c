"""Webhooks go first: whoever tells people rests while many of them wait, and no longer."""

from __future__ import annotations

import threading
import time

import pytest

from receiver.dispatch import worker
from receiver.dispatch.worker import IntakeFirst


class Answers:
    """Answers to whether intake is busy: so often yes, then no."""

    def __init__(self, busy: int) -> None:
        self.left, self.asked = busy, 0

    def __call__(self) -> bool:
        """Return the next one."""
        self.asked += 1
        self.left -= 1
        return self.left >= 0


def work(seconds: float) -> None:
    """Use so much of a processor in this thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LONGEST", 60.0)


def test_a_rest_ends_as_soon_as_intake_is_not_busy() -> None:
    is_busy = Answers(3)
    work(0.5)
    IntakeFirst(is_busy).rest(threading.Event())
    assert is_busy.asked == 4


def test_a_rest_ends_at_once_when_the_worker_stops() -> None:
    is_busy, stopping = Answers(10**6), threading.Event()
    stopping.set()
    work(0.5)
    IntakeFirst(is_busy).rest(stopping)
    assert is_busy.asked == 1


def test_a_rest_is_as_long_as_the_work_says_and_ends_however_busy_intake_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, stopping = IntakeFirst(Answers(10**6)), threading.Event()
    monkeypatch.setattr(worker, "LONGEST", 0.0)
    first.rest(stopping)  # what this thread did before is not counted
    monkeypatch.setattr(worker, "LONGEST", 60.0)
    work(0.01)
    began = time.monotonic()
    first.rest(stopping)
    assert time.monotonic() - began >= worker.TIMES * 0.01


def test_one_thread_rests_at_a_time() -> None:
    """Two threads that worked as long rest twice as long, so that intake gets the rest."""
    resting, most = set[int](), list[int]()

    def is_busy() -> bool:
        resting.add(threading.get_ident())
        most.append(len(resting))
        return True

    first, stopping = IntakeFirst(is_busy), threading.Event()

    def rest() -> None:
        work(0.003)
        first.rest(stopping)
        resting.discard(threading.get_ident())

    threads = [threading.Thread(target=rest) for _ in range(4)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began >= 4 * worker.TIMES * 0.003
    # The next one may begin before the one before is counted out.
    assert max(most) <= 2
