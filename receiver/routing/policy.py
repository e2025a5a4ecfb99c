"""Policy: the options and limits of a destination's messages at a time. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from receiver.routing.conditions import Subject
from receiver.routing.quiet_hours import QuietHours, until
from receiver.routing.routes import Route

# The end of the group key of escalations: they go out together if they are due together, and wait
# for no digest.
ESCALATIONS = "#escalation"


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """Options for the messages of one route to one destination, at one time.

    All times are nanoseconds. Quiet hours last until `quiet_until`. A digest takes the messages due
    within `wait` that have the fields `group_by` in common, with at most one digest in `every`.
    Executions are stuck after `stuck_after` without a new event. A sent message causes a reminder
    every `remind_every`, at most `at_most` of them, for those whom the route `names` (None: for
    all) and who stand in for them. People who got a message get one about the person who takes the
    episode (`acknowledged`) and one about its end (`resolved`).
    """

    quiet_until: int | None = None
    wait: int = 0
    every: int = 0
    group_by: tuple[str, ...] = ()
    stuck_after: int | None = None
    remind_every: int | None = None
    at_most: int | None = None
    names: tuple[str, ...] | None = None
    acknowledged: bool = False
    resolved: bool = False


@dataclass(frozen=True, slots=True)
class SendPolicy:
    """The policy of a destination: `rate` messages per second, in bursts of a second's worth.

    If the destination fails as a whole, deliveries owed before `overdue` (ns) are dead. `options`
    holds those of each route, by name; `other` is for messages of routes that are gone. `alone`:
    its messages never go out together as a digest.
    """

    rate: float
    overdue: int = -(2**63)
    options: Mapping[str, RouteOptions] = field(default_factory=dict)
    other: RouteOptions = field(default_factory=RouteOptions)
    alone: bool = False

    @property
    def burst(self) -> float:
        """The number of messages that may go out at once."""
        return burst(self.rate)

    def options_for(self, route: str) -> RouteOptions:
        """Return the options for the messages of a route."""
        return self.options.get(route, self.other)


def burst(rate: float) -> float:
    """Return the most messages at once for a rate: a second's worth, and never less than one."""
    return max(rate, 1.0)


def tokens_left(tokens: float, passed: float, rate: float) -> float:
    """Return the messages that may go at once after `passed` seconds, if `tokens` were left.

    They grow by `rate` a second, up to a burst. A clock that was set back changes nothing.
    """
    return min(tokens + max(passed, 0.0) * rate, burst(rate))


def route_options(
    routes: Sequence[Route], destination: QuietHours | None, instant: int
) -> tuple[dict[str, RouteOptions], RouteOptions]:
    """Return the options of each route by its name, for a destination's quiet hours and an instant.

    The second result is for messages whose route is gone. The instant is nanoseconds.
    """
    other = RouteOptions(quiet_until=until((destination,) if destination else (), instant))
    options = {}
    for route in routes:
        quiet_until = None if route.urgent else other.quiet_until
        if route.quiet is not None:
            windows = (route.quiet,) if destination is None else (route.quiet, destination)
            quiet_until = until(windows, instant)
        options[route.name] = RouteOptions(
            quiet_until=quiet_until,
            wait=route.group.wait if route.group else 0,
            every=route.group.every if route.group else 0,
            group_by=route.group.by if route.group else (),
            stuck_after=route.stuck.after if route.stuck else None,
            remind_every=route.remind.every if route.remind else None,
            at_most=route.remind.at_most if route.remind else None,
            names=tuple(route.notify),
            acknowledged=route.acknowledged,
            resolved=route.resolved,
        )
    return options, other


def group_key(route: Route, subject: Subject) -> str | None:
    """Return the common key of a group's messages; None if the route has no groups."""
    return None if route.group is None else common_key(route.name, route.group.by, subject)


def common_key(route: str, group_by: Sequence[str], subject: Subject) -> str:
    """Return the same for a route by its name, and the fields of its group."""
    # An agent counts by its id, or by its name if it has no id.
    values = [[name, *subject.values(name)[:1]] for name in group_by]
    # The sender's words may be long and hostile, and only their equality matters.
    digest = hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]
    return f"{route}/{digest}"
