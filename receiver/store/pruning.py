"""Pruning: the serving process removes once an hour what has been kept for long enough, and so does
`receiver prune`. Portion by portion, each a short transaction between those of others.
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

# How often it looks (seconds), when after the start for the first time, and how often it sees
# whether it should end or others' writing should be tidied away.
EVERY, FIRST, POLL = 3600.0, 60.0, 1.0
# After each portion it leaves the storage to others for so many times as long as that took: some
# hundred executions a second go, and an answer seldom meets a portion.
REST = 10.0
# A clock that jumped by so much (seconds) is not believed for a while.
JUMP = 60.0
# How long a command waits for the server to copy the log back (seconds).
PATIENCE = 30.0


def prune(
    transaction: Transaction, items: Sequence[tuple[Limits, PruneCursor]]
) -> Sequence[Pruned]:
    """Remove a portion: an act; see contract.Operating.prune."""
    return [transaction.prune(*item) for item in items]


def together(one: Pruned, other: Pruned) -> Pruned:
    """Return what both removed, and where the other one goes on."""
    names = [count.name for count in fields(Pruned) if count.name != "after"]
    return replace(other, **{name: getattr(one, name) + getattr(other, name) for name in names})


def removed(pruned: Pruned) -> dict[str, int]:
    """Return how much of what it removed, by name."""
    return {
        count.name: getattr(pruned, count.name) for count in fields(Pruned) if count.name != "after"
    }


def walk(store: Store, limits: Limits) -> Iterator[Pruned]:
    """Remove all that may go, a portion at each step; yield what one removed."""
    place: PruneCursor | None = PruneCursor()
    while place is not None:
        portion = store.write_now(prune, (limits, place))
        yield portion
        place = portion.after


def prune_all(store: Store, limits: Limits, pause: Callable[[float], object]) -> Pruned:
    """Remove all that may go beside a server: `pause` (seconds) leaves the storage to others.

    StorageUnavailable if nobody copies back the log, which must not grow for ever.
    """
    whole = Pruned(None)
    goes_on = True
    while goes_on:  # what a walk passed over may go once others have gone
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
    """A thread that removes what has been kept for long enough, and tidies up behind writes.

    It rests between portions, so that nobody else waits long. A clock that jumps while it runs is
    not believed before the next round: what is removed does not come back.
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

        A portion that fails is the last one of its round: the walk has ended with its error.
        """
        if not self._store.leads("pruning"):
            return POLL
        if time.monotonic() >= self._round_at:
            self._round_at = time.monotonic() + EVERY
            self._begin()
        begun = time.monotonic()
        portion = next(self._walk, None)
        if portion is None:
            self._store.tidy()  # a command beside us may have written
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
    """Return how far the clock is from the time that only passes (seconds)."""
    return time.time_ns() / SECOND - time.monotonic()
