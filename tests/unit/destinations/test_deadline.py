"""Calls end by their deadline, and what hangs is bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

import pytest

from receiver.destinations.deadline import (
    MOST_HANGING,
    CallEnd,
    ThreadReplaced,
    call_in_thread,
    call_watched,
    hand_over_to,
)
from tests.support.live import until

# How a call ended, with its result; and whether that was said in the thread that made it.
Ended = tuple[tuple[CallEnd, object], bool]


def nothing() -> None:
    pass


def test_a_call_gives_its_result_in_a_thread_that_is_kept() -> None:
    first, second = (call_in_thread("kept", 5, threading.get_ident, nothing) for _ in range(2))
    assert first == second
    assert first[0] is CallEnd.DONE
    assert first[1] != threading.get_ident()


def test_each_key_has_its_own_thread() -> None:
    assert call_in_thread("a", 5, threading.get_ident, nothing) != call_in_thread(
        "b", 5, threading.get_ident, nothing
    )


def test_a_call_that_ends_when_it_is_cut_keeps_its_thread() -> None:
    cut = threading.Event()
    before = call_in_thread("cut", 5, threading.get_ident, nothing)
    assert call_in_thread("cut", 0.05, lambda: cut.wait(20), cut.set) == (CallEnd.CUT, True)
    assert call_in_thread("cut", 5, threading.get_ident, nothing) == before


def test_calls_that_hang_are_given_up_and_bounded_until_they_end() -> None:
    over = threading.Event()
    for _ in range(MOST_HANGING):
        assert call_in_thread("hung", 0.01, lambda: over.wait(20), nothing) == (CallEnd.HANGS, None)
    assert call_in_thread("hung", 5, lambda: 1, nothing) == (CallEnd.NOT_MADE, None)
    assert call_in_thread("other", 5, lambda: 1, nothing) == (CallEnd.DONE, 1)
    over.set()
    until(lambda: call_in_thread("hung", 5, lambda: 1, nothing) == (CallEnd.DONE, 1))
    hanging = [thread for thread in threading.enumerate() if "hung" in repr(vars(thread))]
    until(lambda: sum(thread.is_alive() for thread in hanging) == 1)


def test_two_calls_of_a_key_at_once_do_not_wait_for_each_other() -> None:
    both = threading.Barrier(2, timeout=10)
    results: list[CallEnd] = []

    def one() -> None:
        results.append(call_in_thread("both", 10, both.wait, nothing)[0])

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [CallEnd.DONE, CallEnd.DONE]


def run(key: str, timeout: float, call: Callable[[], object], cut: Callable[[], None]) -> Ended:
    """A thread that may be left makes this call; what it, or who goes on without it, was given."""
    given: SimpleQueue[Ended] = SimpleQueue()
    quits: SimpleQueue[bool] = SimpleQueue()

    def own() -> None:
        here = threading.get_ident()
        hand_over_to(lambda end: given.put((end, threading.get_ident() == here)))
        try:
            end = call_watched(key, timeout, call, cut, lambda end, result: (end, result))
            given.put((end, threading.get_ident() == here))
            quits.put(False)
        except ThreadReplaced:
            quits.put(True)

    threading.Thread(target=own, daemon=True).start()
    ended = given.get(timeout=20)
    left.append(quits)
    return ended


left: list[SimpleQueue[bool]] = []


def test_a_thread_that_may_be_left_makes_its_calls_itself() -> None:
    assert run("own", 5, lambda: 1, nothing) == ((CallEnd.DONE, 1), True)
    cut = threading.Event()
    assert run("own", 0.05, lambda: cut.wait(20), cut.set) == ((CallEnd.CUT, True), True)


def test_when_its_call_hangs_another_thread_goes_on_and_it_ends_once_the_call_does() -> None:
    over = threading.Event()
    for _ in range(MOST_HANGING):
        assert run("left", 0.01, lambda: over.wait(20), nothing) == ((CallEnd.HANGS, None), False)
    assert run("left", 5, lambda: 1, nothing) == ((CallEnd.NOT_MADE, None), True)
    hung = left[-MOST_HANGING - 1 : -1]
    over.set()
    assert [quits.get(timeout=20) for quits in hung] == [True] * MOST_HANGING
    assert run("left", 5, lambda: 1, nothing) == ((CallEnd.DONE, 1), True)


def test_a_call_that_is_due_before_all_others_is_not_overslept() -> None:
    over = threading.Event()
    slow = threading.Thread(target=run, args=("slow", 15, lambda: over.wait(20), over.set))
    slow.start()
    assert run("fast", 0.05, lambda: over.wait(20), over.set) == ((CallEnd.CUT, True), True)
    slow.join()


def raises() -> None:
    raise LookupError("no such thing")


def test_an_error_of_a_call_is_raised_where_the_call_was_asked_for() -> None:
    for _ in range(2):
        with pytest.raises(LookupError):
            call_in_thread("raises", 5, raises, nothing)
    assert call_in_thread("raises", 5, lambda: 1, nothing) == (CallEnd.DONE, 1)


def test_after_an_error_a_watched_thread_gets_no_successor() -> None:
    succeeded = threading.Event()
    hand_over_to(lambda _: succeeded.set())
    with pytest.raises(LookupError):
        call_watched("watched", 0.01, raises, nothing, lambda *ended: ended)
    hand_over_to(lambda _: succeeded.set())
    # A call that is watched for longer lets the watchdog look at all that is due before.
    over = threading.Event()
    assert call_watched("watched", 0.7, lambda: over.wait(20), over.set, lambda end, _: end) is (
        CallEnd.CUT
    )
    assert not succeeded.is_set()
