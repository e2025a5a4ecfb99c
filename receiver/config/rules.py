"""What routes.yaml says, as frozen values: its sources, destinations and routes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from receiver.deliveries import Destination
from receiver.lifecycle import Ordering
from receiver.routing.routes import Route
from receiver.sources.verification import Verification


@dataclass(frozen=True, slots=True)
class Source:
    """A configured sender: how its webhooks are verified and read.

    `rate` is how many proven ones are taken a second; None leaves it to RECEIVER_RATE.
    """

    name: str
    format: str
    verification: Verification
    agents: frozenset[str] = frozenset()
    ordering: Ordering = field(default_factory=Ordering)
    rejected_status: int = 200
    rate: float | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """All of routes.yaml. `warnings` are whole lines for people."""

    path: str
    sources: Mapping[str, Source]
    destinations: Mapping[str, Destination]
    routes: tuple[Route, ...]
    warnings: tuple[str, ...] = ()

    @property
    def orderings(self) -> dict[str, Ordering]:
        """How each source's events are put in order."""
        return {name: source.ordering for name, source in self.sources.items()}
