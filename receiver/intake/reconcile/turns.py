"""Turns: one person at a time acts on an execution, whatever the process or the machine.

What is about to be asked of the provider is written down before it leaves, and what came of it
afterwards. If the process dies in between, the act may have happened: it stands so in the audit, a
server asks the provider what is true, and the turn is over after a while.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from receiver import audit
from receiver.errors import StorageUnavailable
from receiver.sources.source import Source
from receiver.store.contract import Transaction, Writing
from receiver.times import SECOND

log = logging.getLogger("receiver.reconcile")

# So many people may act or wait for it at once: each of them holds a thread of the server.
MOST = 8
# How often somebody who waits for a turn looks again (seconds).
LOOKS_EVERY = 0.1
# The most requests of an act, and how much longer than its requests a turn lasts (seconds).
_REQUESTS, _MORE = 5, 5.0
_PEOPLE = threading.BoundedSemaphore(MOST)


class HeldTurn:
    """The turn of somebody at an execution, until it is given back."""

    def __init__(self, store: Writing, turn: audit.Turn, lasts: int) -> None:
        self.turn = turn
        self._store, self._lasts = store, lasts
        self._number: int | None = None
        self._is_given = False

    def begin(self, entry: audit.Entry, version: int) -> bool:
        """Write down what is about to be asked of the provider; False: the turn is over."""
        now = time.time_ns()
        item = _Step(replace(self.turn, version=version), now, now + self._lasts, entry)
        self._number = self._store.write_now(_begin, item)
        return self._number is not None

    def end(self, result: str) -> None:
        """Give the turn back with what came of the act that was begun."""
        self._give_back(result)

    def close(self) -> None:
        """Give the turn back, unless an act was begun: nobody knows what came of that."""
        if not self._is_given and self._number is None:
            self._give_back("")

    def _give_back(self, result: str) -> None:
        """Give the turn back; if the storage fails, it ends by itself."""
        self._is_given = True
        now = time.time_ns()
        item = _Step(self.turn, now, now, None, self._number, result)
        try:
            self._store.write_now(_give, item)
        except StorageUnavailable as error:
            log.warning("audit.lost execution_id=%r result=%s error=%s",
                        self.turn.execution_id, result, error)  # fmt: skip


@contextmanager
def turn_at(
    store: Writing, source: Source, execution_id: str, patience: float
) -> Iterator[HeldTurn | None]:
    """Wait for the turn at an execution; None if it did not come within a time (seconds)."""
    if not _PEOPLE.acquire(blocking=False):
        yield None
        return
    try:
        held = _wait_for(store, source, execution_id, patience)
        try:
            yield held
        finally:
            if held is not None:
                held.close()
    finally:
        _PEOPLE.release()


def settle(store: Writing, source: str, execution_id: str) -> None:
    """End a turn that was never given back, if it is over: its act is uncertain."""
    now = time.time_ns()
    turn = audit.Turn(source, execution_id, secrets.token_hex(8))
    if store.write_now(_take_turn, _Step(turn, now, now + SECOND)) is not None:
        store.write_now(_give, _Step(turn, now, now))


def _wait_for(
    store: Writing, source: Source, execution_id: str, patience: float
) -> HeldTurn | None:
    assert source.api is not None
    lasts = round((_REQUESTS * (source.api.timeout + 1.0) + _MORE) * SECOND)
    end = time.monotonic() + patience
    while True:
        turn = audit.Turn(source.name, execution_id, secrets.token_hex(8))
        now = time.time_ns()
        taken = store.write_now(_take_turn, _Step(turn, now, now + lasts))
        if taken is not None:
            return HeldTurn(store, taken, lasts)
        if time.monotonic() > end:
            return None
        time.sleep(LOOKS_EVERY)


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of a turn at a time, which then lasts until another one (nanoseconds)."""

    turn: audit.Turn
    now: int
    until: int
    entry: audit.Entry | None = None
    number: int | None = None
    result: str = ""


def _take_turn(transaction: Transaction, steps: Sequence[_Step]) -> Sequence[audit.Turn | None]:
    return [transaction.take_turn(each.turn, each.until, each.now) for each in steps]


def _begin(transaction: Transaction, steps: Sequence[_Step]) -> Sequence[int | None]:
    return [
        transaction.begin_act(each.turn, each.entry, each.until, each.now)
        for each in steps
        if each.entry is not None
    ]


def _give(transaction: Transaction, steps: Sequence[_Step]) -> Sequence[None]:
    for each in steps:
        transaction.give_turn(each.turn, each.number, each.result, each.now)
    return [None] * len(steps)
