"""Portions: how much of a long piece of work goes into one transaction, so that it stays short."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

# The time for which one transaction should hold the writer at most (seconds).
HOLD = 0.05
FIRST, MOST = 20, 2000

Item = TypeVar("Item")


class Portions:
    """Size of the portions of a long piece of work, which follows from how long the last took."""

    def __init__(self, first: int = FIRST) -> None:
        self.size = first

    def took(self, n: int, seconds: float) -> None:
        """Note that a portion of `n` took so long."""
        if n and seconds > 0:
            fitting = int(n * HOLD / seconds)
            # It grows slowly: the next ones may be harder.
            self.size = max(1, min(fitting, 2 * self.size, MOST))

    def of(self, items: Sequence[Item]) -> Iterator[Sequence[Item]]:
        """Yield the items in portions of the size that is right by then."""
        begin = 0
        while begin < len(items):
            end = begin + self.size
            yield items[begin:end]
            begin = end


@dataclass(frozen=True, slots=True)
class SilencePlace:
    """A place in the listing of what silences kept back: behind a delivery, in one of two rounds.

    First what waits besides is kept back, then what another silence covers is handed over to it.
    """

    silence: int = 0
    is_handing_over: bool = False
    after: int = 0


@dataclass(frozen=True, slots=True)
class SilencesListed:
    """The destinations that are owed digests of silences, and where to go on (None: all done)."""

    destinations: tuple[str, ...]
    place: SilencePlace | None = None
