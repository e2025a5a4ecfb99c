"""How the messages of each route go out to a destination at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from receiver.routing.conditions import Subject
from receiver.routing.quiet_hours import QuietHours, until
from receiver.routing.routes import Route


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """How the messages of one route go out, as its destination and the time of asking have it.

    All nanoseconds. It is quiet until `quiet_until`. A digest takes what is due within `wait`, and
    there is one each `every` at most. Where it is about executions that are stuck, nothing was
    heard of them for `stuck_after`. After a message that was sent there is a reminder each
    `remind_every`, at most `at_most` of them. Who was told is told who takes it (`acknowledged`)
    and how it ends (`resolved`).
    """

    quiet_until: int | None = None
    wait: int = 0
    every: int = 0
    stuck_after: int | None = None
    remind_every: int | None = None
    at_most: int | None = None
    acknowledged: bool = False
    resolved: bool = False


@dataclass(frozen=True, slots=True)
class SendPolicy:
    """How a destination may be told: messages per second, in bursts of a second's worth.

    `overdue` (ns): what was owed earlier than this is dead if the destination fails as a whole.
    `options` are those of the routes, by name; `other` holds for messages of routes that are gone.
    """

    rate: float
    overdue: int = -(2**63)
    options: Mapping[str, RouteOptions] = field(default_factory=dict)
    other: RouteOptions = field(default_factory=RouteOptions)

    @property
    def burst(self) -> float:
        return burst(self.rate)

    def options_for(self, route: str) -> RouteOptions:
        """How the messages of a route go out."""
        return self.options.get(route, self.other)


def burst(rate: float) -> float:
    """Return how many may go at once at a rate: a second's worth, and never less than one."""
    return max(rate, 1.0)


def tokens_left(tokens: float, passed: float, rate: float) -> float:
    """Return how many may go at once after `passed` seconds, `tokens` being what was left.

    It gains `rate` a second, up to a burst. A clock that was set back gives nothing and takes
    nothing.
    """
    return min(tokens + max(passed, 0.0) * rate, burst(rate))


def route_options(
    routes: Sequence[Route], destination: QuietHours | None, instant: int
) -> tuple[dict[str, RouteOptions], RouteOptions]:
    """How the messages of each route go out to a destination at an instant (nanoseconds).

    The second is that of messages whose route is not there any more.
    """
    other = RouteOptions(quiet_until=until((destination,) if destination else (), instant))
    found = {}
    for route in routes:
        quiet_until = None if route.urgent else other.quiet_until
        if route.quiet is not None:
            windows = (route.quiet,) if destination is None else (route.quiet, destination)
            quiet_until = until(windows, instant)
        found[route.name] = RouteOptions(
            quiet_until=quiet_until,
            wait=route.group.wait if route.group else 0,
            every=route.group.every if route.group else 0,
            stuck_after=route.stuck.after if route.stuck else None,
            remind_every=route.remind.every if route.remind else None,
            at_most=route.remind.at_most if route.remind else None,
            acknowledged=route.acknowledged,
            resolved=route.resolved,
        )
    return found, other


def group_key(route: Route, subject: Subject) -> str | None:
    """What the messages of a group have in common; None where the route asks for no groups."""
    if route.group is None:
        return None
    # An agent is its id, or its name where it has no id.
    said = [[name, *subject.values(name)[:1]] for name in route.group.by]
    # The sender's words may be long and hostile: only whether they are the same matters.
    digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
    return f"{route.name}/{digest}"
