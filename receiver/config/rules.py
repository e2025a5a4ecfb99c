"""Rules: the content of routes.yaml as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from receiver.destinations.destination import Destination
from receiver.lifecycle import Ordering
from receiver.routing.policy import SendPolicy, route_options
from receiver.routing.routes import Route
from receiver.sources.source import Source
from receiver.times import SECOND


@dataclass(frozen=True, slots=True)
class Rules:
    """All of routes.yaml. `warnings` are whole lines for people."""

    path: str
    sources: Mapping[str, Source]
    destinations: Mapping[str, Destination]
    routes: tuple[Route, ...]
    warnings: tuple[str, ...] = ()

    def route(self, name: str) -> Route | None:
        """Return the route of this name; None if there is none."""
        return next((route for route in self.routes if route.name == name), None)

    def policy_at(self, destination: Destination, now: int) -> SendPolicy:
        """Return the policy of a destination at a time (nanoseconds)."""
        by_route, other = route_options(self.routes, destination.quiet, now)
        overdue = now - int(destination.retry_for * SECOND)
        return SendPolicy(
            destination.messages_per_second, overdue, by_route, other, destination.opens_incidents
        )

    @property
    def orderings(self) -> dict[str, Ordering]:
        """The ordering of each source's events, by the source's name."""
        return {name: source.ordering for name, source in self.sources.items()}
