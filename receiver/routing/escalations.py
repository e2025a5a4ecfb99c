"""Escalations: whom the routes of an episode tell later, each once; and which of them are known.

Nobody hears the same twice at one time: the first route that names a destination at a time tells
it, as with notices. An escalation is known by its destination and by how long after the beginning
it comes, so that a list may be edited. Where two lists differ, those between two known ones are the
same in their order: one that is shortened or put off is no second one. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from receiver.routing.routes import Route, Stuck


@dataclass(frozen=True, slots=True)
class Later:
    """A destination that a route tells `after` some time (ns); the `place` in the route's list.

    `number` counts the escalations of the route that name the destination.
    """

    route: Route
    destination: str
    after: int
    place: int
    number: int


class Timed(Protocol):
    """An escalation, planned or stored, with the time for which it is planned (ns)."""

    @property
    def planned_at(self) -> int: ...


Stored = TypeVar("Stored", bound=Timed)
Planned = TypeVar("Planned", bound=Timed)


def escalations(routes: Sequence[Route]) -> Iterator[Later]:
    """Yield whom these routes tell later; each destination once at a time, by the first route."""
    told = set[tuple[str, int]]()
    for route in routes:
        numbers = dict[str, int]()
        for place, escalation in enumerate(route.escalate, 1):
            for destination in escalation.notify:
                numbers[destination] = number = numbers.get(destination, 0) + 1
                if (destination, escalation.after) not in told:
                    told.add((destination, escalation.after))
                    yield Later(route, destination, escalation.after, place, number)


def watchers(watching: Sequence[Route]) -> Iterator[tuple[Route, Stuck, str]]:
    """Yield each destination that these routes tell if nothing is heard, with its route.

    Of those that tell it after the same time it hears from the first one.
    """
    told = set[tuple[str, int]]()
    for route in watching:
        for destination in route.notify if route.stuck is not None else ():
            assert route.stuck is not None
            if (destination, route.stuck.after) not in told:
                told.add((destination, route.stuck.after))
                yield route, route.stuck, destination


def aligned(
    plans: Sequence[Planned], stored: Sequence[Stored]
) -> Iterator[tuple[Planned, Stored | None]]:
    """Yield each plan with the stored escalation that it is; None: it is new.

    All are of one route and one destination.
    """
    left = sorted(stored, key=lambda each: each.planned_at)
    plans = sorted(plans, key=lambda each: each.planned_at)
    between = list[Planned]()
    for plan in plans:
        same = next((n for n, s in enumerate(left) if s.planned_at == plan.planned_at), None)
        if same is None:
            between.append(plan)
            continue
        yield from _in_order(between, left[:same])
        yield plan, left[same]
        between, left = [], left[same + 1 :]
    yield from _in_order(between, left)


def _in_order(
    plans: Sequence[Planned], stored: Sequence[Stored]
) -> Iterator[tuple[Planned, Stored | None]]:
    for n, plan in enumerate(plans):
        yield plan, stored[n] if n < len(stored) else None
