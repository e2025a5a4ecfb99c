"""Who is told when a delivery dies, so that none does so silently. Pure.

The `fallback` of its destination gets the message itself. Routes with `dead_letter` say that a
destination cannot be told, at most once in an hour for each; where they tell nobody and there is no
fall-back, all the other destinations hear of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from receiver.deliveries import Claim, Kind, PlannedDelivery
from receiver.destinations.destination import Destination
from receiver.routing.conditions import Subject
from receiver.routing.routes import Route, decide
from receiver.times import SECOND

HOUR = 3600 * SECOND
# The name under which the rule that nobody wrote down tells people.
UNWRITTEN = "dead letters"


def owed(
    dead: Claim, routes: Sequence[Route], destinations: Mapping[str, Destination], now: int
) -> tuple[PlannedDelivery, ...]:
    """What the end of a delivery owes to others than its own destination. `now` is nanoseconds."""
    gone = destinations.get(dead.destination)
    fallback = gone.fallback if gone else ()
    told = {name: route for name, route in _told(dead, routes).items() if name != dead.destination}
    if not told and not fallback:
        told = {name: UNWRITTEN for name in destinations if name != dead.destination}
    return (
        *(_fallback(dead, name) for name in fallback),
        *(_alarm(dead, name, route, now) for name, route in told.items()),
    )


def subject(dead: Claim) -> Subject:
    """What the conditions of a route look at when a delivery has died."""
    facts = dead.facts
    return Subject(
        source=facts.source,
        verdict=facts.verdict,
        status=facts.status,
        agent_id=facts.agent_id,
        agent_name=facts.agent_name,
        event=facts.event,
        outcome=_text(facts.detail.get("outcome")),
        reason=_text(facts.detail.get("reason")),
        dead_letter=dead.destination,
        metadata=facts.metadata,
    )


def _told(dead: Claim, routes: Sequence[Route]) -> dict[str, str]:
    """Destinations that the routes tell, with the route that does."""
    return {
        name: decision.route.name
        for decision in decide(routes, subject(dead))
        for name in decision.destinations
    }


def _fallback(dead: Claim, name: str) -> PlannedDelivery:
    return PlannedDelivery(
        destination=name,
        route=dead.route,
        kind=Kind.FALLBACK,
        # One for each of its ends: a redelivery may die again.
        dedup_key=f"fallback/{dead.delivery}/{dead.owed_at}/{name}",
        order_key=dead.order_key,
        guard_version=dead.guard_version,
        origin=dead.delivery,
        step=dead.step,
        group_key=dead.group_key,
    )


def _alarm(dead: Claim, name: str, route: str, now: int) -> PlannedDelivery:
    return PlannedDelivery(
        destination=name,
        route=route,
        kind=Kind.NOTICE,
        dedup_key=f"dead/{dead.destination}/{now // HOUR}/{name}",
        order_key=f"dead/{dead.destination}",
        guard_version=None,
        origin=dead.delivery,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
