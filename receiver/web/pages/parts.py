"""Parts: what is counted by hours or days. Those that are over are read once, and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from receiver.store.records import Happened, Waited
from receiver.times import SECOND

Counted = TypeVar("Counted", Happened, Waited)

# A piece is read until so long after its end: what was held then is judged by now.
SETTLED = 300 * SECOND


class Parts(Generic[Counted]):
    """The counts of equal parts of time. `read` takes a begin and the length of a piece (ns).

    A part is read in `pieces`, so that little is read of a long one that is not over. One thread at
    a time may ask.
    """

    def __init__(
        self, read: Callable[[int, int], Sequence[Counted]], length: int, pieces: int = 1
    ) -> None:
        self._read: Callable[[int, int], Sequence[Counted]] = read
        self._part, self._length = length, length // pieces
        self._known: dict[int, list[Counted]] = {}

    def since(self, begin: int, now: int) -> list[Counted]:
        """Return what is counted from `begin` on, with parts numbered from there."""
        length, settled = self._length, now - SETTLED
        first, known = begin, {}
        while first in self._known and first + length <= settled:
            known[first] = self._known[first]
            first += length
        found: dict[int, list[Counted]] = {}
        for each in self._read(first, length):
            found.setdefault(first + each.part * length, []).append(each)
        over = range(first, settled - length + 1, length)
        self._known = known | {at: found.get(at, []) for at in over}
        return [
            replace(each, part=(at - begin) // self._part)
            for at, some in (known | found).items()
            for each in some
        ]
