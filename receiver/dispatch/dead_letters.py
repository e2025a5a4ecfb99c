"""Dead letters: the messages about a dead delivery, so that none dies silently. Pure.

The `fallback` of its destination gets the message itself. Routes with `dead_letter` report that a
destination does not get its messages; the store leaves out reports that repeat an earlier one. If
no route does and there is no fall-back, all other destinations get the report.

A dead report is reported, too, but a dead report about a report is not: destinations of which each
fails would report each other without an end. A dead delivery about an alarm causes nothing here,
because the timer of alarms looks for another destination.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from receiver.deliveries import Claim, Kind, PlannedDelivery
from receiver.destinations.destination import Destination
from receiver.routing.conditions import Subject
from receiver.routing.routes import Route, decide

# The route name in messages that no configured route asks for.
UNWRITTEN = "dead letters"


def plan(
    dead: Claim, routes: Sequence[Route], destinations: Mapping[str, Destination]
) -> tuple[PlannedDelivery, ...]:
    """Plan the deliveries that the end of one causes elsewhere."""
    if dead.alarm is not None:
        return ()
    destination = destinations.get(dead.destination)
    fallback = destination.fallback if destination else ()
    if dead.kind is Kind.NOTICE and dead.origin is not None:
        # A report is about another destination, and not for it.
        fallback = tuple(name for name in fallback if name != dead.origin.destination)
    return (
        *(_fallback(dead, name) for name in fallback),
        *(
            _report(dead, name, route)
            for name, route in _reported(dead, routes, destinations, fallback).items()
        ),
    )


def _reported(
    dead: Claim,
    routes: Sequence[Route],
    destinations: Mapping[str, Destination],
    fallback: Sequence[str],
) -> dict[str, str]:
    """Return the destinations that get a report, each with the name of its route."""
    left_out = {dead.destination, *fallback}
    if dead.kind is Kind.NOTICE and dead.origin is not None:
        if dead.origin.is_alarm:
            return {}
        left_out.add(dead.origin.destination)
    routed = _routed(dead, routes)
    if fallback or routed.keys() - {dead.destination}:
        return {name: route for name, route in routed.items() if name not in left_out}
    return {name: UNWRITTEN for name in destinations if name not in left_out}


def subject(dead: Claim) -> Subject:
    """Return the values that the conditions of a route look at after a delivery has died."""
    facts = dead.facts
    return Subject(
        source=facts.source,
        verdict=facts.verdict,
        status=facts.status,
        agent_id=facts.agent_id,
        agent_name=facts.agent_name,
        event=facts.event,
        outcome=_detail_text(dead, "outcome"),
        reason=_detail_text(dead, "reason"),
        dead_letter=dead.destination,
        metadata=facts.metadata,
    )


def _detail_text(dead: Claim, name: str) -> str | None:
    value = dead.facts.detail.get(name)
    return value if isinstance(value, str) else None


def _routed(dead: Claim, routes: Sequence[Route]) -> dict[str, str]:
    """Return the destinations that routes tell, each with the name of its route."""
    return {
        name: decision.route.name
        for decision in decide(routes, subject(dead))
        for name in decision.destinations
    }


def _fallback(dead: Claim, destination: str) -> PlannedDelivery:
    return PlannedDelivery(
        destination=destination,
        route=dead.route,
        kind=Kind.FALLBACK,
        # One for each death: a redelivery may die again.
        dedup_key=f"fallback/{dead.delivery}/{dead.owed_at}/{destination}",
        order_key=dead.order_key,
        guard_version=dead.guard_version,
        origin=dead.delivery,
        step=dead.step,
        group_key=dead.group_key,
    )


def _report(dead: Claim, destination: str, route: str) -> PlannedDelivery:
    return PlannedDelivery(
        destination=destination,
        route=route,
        kind=Kind.NOTICE,
        # One for each death: a redelivery may die again.
        dedup_key=f"dead/{dead.delivery}/{dead.owed_at}/{destination}",
        order_key=f"dead/{dead.destination}",
        guard_version=None,
        origin=dead.delivery,
    )
