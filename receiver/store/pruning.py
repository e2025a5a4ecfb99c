"""Pruning: removes old rows, once an hour in the serving process and on `receiver prune`.

It removes one portion at a time, in short transactions between those of others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace

from receiver.errors import StorageUnavailable
from receiver.retention import Limits, Retention
from receiver.store.contract import Store, Transaction
from receiver.store.periodic import Periodic
from receiver.store.records import PruneCursor, Pruned
from receiver.times import SECOND

log = logging.getLogger("receiver.pruning")

# Seconds between two rounds, from the start to the first round, and between two checks whether the
# timer has to end or has to tidy up after other processes.
EVERY, FIRST, POLL = 3600.0, 60.0, 1.0
# The rest after each portion, as a multiple of the portion's time. So it removes some hundred
# executions a second, and answers to webhooks seldom wait for a portion.
REST = 10.0
# After a jump of the clock by more than this (seconds), a round is left out.
JUMP = 60.0
# How long a command waits until the server copies the log back (seconds).
PATIENCE = 30.0


def prune(
    transaction: Transaction, items: Sequence[tuple[Limits, PruneCursor]]
) -> Sequence[Pruned]:
    """Remove a portion. This is an act; see contract.Operating.prune."""
    return [transaction.prune(*item) for item in items]


def together(one: Pruned, other: Pruned) -> Pruned:
    """Add up what both removed; the result continues where the other one does."""
    names = [count.name for count in fields(Pruned) if count.name != "after"]
    return replace(other, **{name: getattr(one, name) + getattr(other, name) for name in names})


def removed(pruned: Pruned) -> dict[str, int]:
    """Return the numbers of removed rows by their names."""
    return {
        count.name: getattr(pruned, count.name) for count in fields(Pruned) if count.name != "after"
    }


def walk(store: Store, limits: Limits) -> Iterator[Pruned]:
    """Remove all prunable rows, one portion a step; yield the result of each portion."""
    place: PruneCursor | None = PruneCursor()
    while place is not None:
        portion = store.write_now(prune, (limits, place))
        yield portion
        place = portion.after


def prune_all(store: Store, limits: Limits, pause: Callable[[float], object]) -> Pruned:
    """Remove all prunable rows beside a server; `pause` (seconds) leaves the storage to others.

    StorageUnavailable if no process copies the log back: it must not grow for ever.
    """
    whole = Pruned(None)
    goes_on = True
    while goes_on:  # rows that a walk passed over may go after others are gone
        goes_on = False
        begun = time.monotonic()
        for portion in walk(store, limits):
            whole = together(whole, portion)
            goes_on = goes_on or any(removed(portion).values())
            pause(REST * (time.monotonic() - begun))
            _until_short(store, pause, whole)
            begun = time.monotonic()
    return whole


def _until_short(store: Store, pause: Callable[[float], object], so_far: Pruned) -> None:
    end = time.monotonic() + PATIENCE
    while not store.tidy():
        if time.monotonic() > end:
            raise StorageUnavailable(
                "The server that uses this file does not tidy up behind it. See its log, then go on"
                f" with `receiver prune`. So far it removed {so_far.executions} executions,"
                f" {so_far.events} events and {so_far.bodies} bodies."
            )
        pause(0.1)


class PruneTimer(Periodic):
    """A thread that removes old rows and tidies up after writes.

    It rests between portions, so that nobody else waits long. After a jump of the clock it leaves
    out a round, because removed rows do not come back.
    """

    def __init__(self, store: Store, retention: Retention, first: float = FIRST) -> None:
        super().__init__("pruning", first_rest=POLL, rest_after_failure=POLL)
        self._store, self._retention = store, retention
        self._walk: Iterator[Pruned] = iter(())
        self._whole = Pruned(None)
        self._round_at = time.monotonic() + first
        self._apart = _apart()

    def step(self) -> float:
        """Remove a portion if it is time; return how long to rest (seconds).

        A failed portion is the last one of its round, because its error ends the walk.
        """
        if not self._store.leads("pruning"):
            return POLL
        if time.monotonic() >= self._round_at:
            self._round_at = time.monotonic() + EVERY
            self._begin()
        begun = time.monotonic()
        portion = next(self._walk, None)
        if portion is None:
            self._store.tidy()  # a command may have written meanwhile
            return POLL
        self._whole = together(self._whole, portion)
        if portion.after is None and any(removed(self._whole).values()):
            counts = " ".join(f"{name}={n}" for name, n in removed(self._whole).items())
            log.info("pruning.done %s", counts)
        return min(REST * (time.monotonic() - begun), POLL)

    def _begin(self) -> None:
        before, self._apart = self._apart, _apart()
        if abs(self._apart - before) > JUMP:
            log.warning("pruning.clock_jumped: nothing is removed before the next round")
            return
        self._whole = Pruned(None)
        self._walk = walk(self._store, self._retention.limits(time.time_ns()))


def _apart() -> float:
    """Return the difference between the clock and monotonic time (seconds)."""
    return time.time_ns() / SECOND - time.monotonic()
