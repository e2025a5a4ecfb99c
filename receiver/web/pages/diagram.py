"""Diagram: the lifecycle with the path that an execution took, and the times. Pure.

It gives places and words; a template draws them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot

from receiver.events import Status
from receiver.lifecycle import moves
from receiver.web.pages.words import STATUSES

WIDTH, HEIGHT = 396, 292
BOX_WIDTH, BOX_HEIGHT = 126, 46
# The left upper corner of each status: waits on the left, work in the middle, ends on the right.
_PLACES = {
    Status.STARTING: (135, 4),
    Status.RUNNING: (135, 110),
    Status.PAUSED: (2, 56),
    Status.PAUSED_BY_AGENT: (2, 148),
    Status.AWAITING_CONFIRMATION: (2, 240),
    Status.COMPLETED: (268, 56),
    Status.FAILED: (268, 148),
    Status.CANCELLED: (268, 240),
}
# The most characters of a line in a box.
_LINE = 20
# The distance of two arrows that go to and fro.
_ASIDE = 5


@dataclass(frozen=True, slots=True)
class Step:
    """A status that an execution came to, and when (nanoseconds)."""

    status: Status
    at: int


@dataclass(frozen=True, slots=True)
class Box:
    """A status: its place, how often the execution came to it, and when last (nanoseconds)."""

    x: int
    y: int
    label: str
    times: int
    last_at: int | None
    is_present: bool

    @property
    def lines(self) -> list[str]:
        """The label in one line, or its last word in a second one."""
        return [self.label] if len(self.label) <= _LINE else self.label.rsplit(" ", 1)


@dataclass(frozen=True, slots=True)
class Arrow:
    """A move: from where to where, and how often the execution made it.

    `is_legal`: the table has it. A move over a gap is none of the table.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    times: int
    is_legal: bool


@dataclass(frozen=True, slots=True)
class Diagram:
    """The whole drawing: arrows, those that were taken last, and the boxes above them."""

    arrows: tuple[Arrow, ...]
    boxes: tuple[Box, ...]
    width: int = WIDTH
    height: int = HEIGHT
    box_width: int = BOX_WIDTH
    box_height: int = BOX_HEIGHT


def draw(steps: Sequence[Step], observes: frozenset[Status] | None = None) -> Diagram:
    """Draw the table in force with the path of an execution."""
    taken = Counter(
        (before.status, after.status)
        for before, after in pairwise(steps)
        if before.status is not after.status
    )
    legal = [(source, target) for source in Status for target in moves(observes).targets(source)]
    arrows = [
        _arrow(*move, taken[move], is_legal=move in legal)
        for move in dict.fromkeys([*legal, *taken])
        if move[0] is not move[1]
    ]
    visits = Counter(step.status for step in steps)
    last = {step.status: step.at for step in steps}
    boxes = [
        Box(
            *_PLACES[status], STATUSES[status], visits[status], last.get(status),
            bool(steps) and steps[-1].status is status,
        )
        for status in Status
    ]  # fmt: skip
    return Diagram(tuple(sorted(arrows, key=lambda arrow: arrow.times > 0)), tuple(boxes))


def _arrow(source: Status, target: Status, times: int, *, is_legal: bool) -> Arrow:
    """Return the arrow between two boxes, a little to its own right."""
    (x1, y1), (x2, y2) = _middle(source), _middle(target)
    length = hypot(x2 - x1, y2 - y1)
    aside_x, aside_y = -(y2 - y1) / length * _ASIDE, (x2 - x1) / length * _ASIDE
    start = _border(x1, y1, x2, y2)
    end = _border(x2, y2, x1, y1)
    places = [start[0] + aside_x, start[1] + aside_y, end[0] + aside_x, end[1] + aside_y]
    x1, y1, x2, y2 = (round(place, 1) for place in places)
    return Arrow(x1, y1, x2, y2, times, is_legal)


def _middle(status: Status) -> tuple[float, float]:
    x, y = _PLACES[status]
    return x + BOX_WIDTH / 2, y + BOX_HEIGHT / 2


def _border(x: float, y: float, to_x: float, to_y: float) -> tuple[float, float]:
    """Return where a line from the middle of a box leaves it."""
    dx, dy = to_x - x, to_y - y
    reach = min(
        BOX_WIDTH / 2 / abs(dx) if dx else float("inf"),
        BOX_HEIGHT / 2 / abs(dy) if dy else float("inf"),
    )
    return x + dx * reach, y + dy * reach
