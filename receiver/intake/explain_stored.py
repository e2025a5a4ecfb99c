"""Explanation of a stored event: which routes tell of it, and why the others do not. Pure.

The event is decided anew as it was judged, with the execution of that time, by the rules in force:
by the very functions that planned its messages. What became of those messages is what the store
says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from receiver.config.rules import Rules
from receiver.deliveries import Kind
from receiver.events import Verdict
from receiver.intake.plan import no_wait_begins, subject
from receiver.routing.routes import Decision, decide
from receiver.store.records import JudgedWebhook

Document = dict[str, Any]


def explain_stored(
    entry: JudgedWebhook, deliveries: Sequence[Mapping[str, Any]], rules: Rules
) -> list[Document]:
    """Return each route, why it does not match, and what became of its messages.

    `deliveries` are those about the event. A route that matches tells each of its destinations by a
    delivery, or `why` says why not.
    """
    about = subject(entry, entry.after or entry.before)
    notices = _notices(entry, deliveries)
    served: dict[str, str] = {}
    shown = []
    for decision in decide(rules.routes, about):
        route, why_not = decision.route, decision.why_not
        if route.stuck is not None:
            why_not = no_wait_begins(route, entry, about)
        destinations = [] if why_not else _destinations(entry, decision, notices, served)
        shown.append({
            "name": route.name,
            "line": route.line,
            "why_not": why_not,
            "destinations": destinations,
        })  # fmt: skip
        if not why_not and route.stuck is None:
            served.update(dict.fromkeys(decision.destinations, route.name))
    return shown


def _notices(
    entry: JudgedWebhook, deliveries: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return the notices that the event caused with its present verdict."""
    return [
        each
        for each in deliveries
        if each["kind"] == Kind.NOTICE
        and each["origin"] is None
        and each["verdict"] == entry.judgement.verdict
    ]


def _destinations(
    entry: JudgedWebhook,
    decision: Decision,
    notices: Sequence[Mapping[str, Any]],
    served: Mapping[str, str],
) -> list[Document]:
    """Return what became of the message to each destination of a route that matches."""
    route = decision.route
    return [
        _destination(name, route.name, entry, notices, "" if route.stuck else served.get(name, ""))
        for name in route.notify
    ]


def _destination(
    name: str, route: str, entry: JudgedWebhook, notices: Sequence[Mapping[str, Any]], above: str
) -> Document:
    shown: Document = {"destination": name, "delivery": None, "state": None, "why": ""}
    if above:
        return {**shown, "why": f"route {above!r} above it tells {name}"}
    to_it = [notice for notice in notices if notice["destination"] == name]
    for notice in to_it:
        if notice["route"] == route:
            more = {"delivery": notice["id"], "state": notice["state"], "why": notice["reason"]}
            return {**shown, **more}
    if entry.judgement.verdict is Verdict.QUARANTINED:
        return {**shown, "why": "only the first of its kind is told each day"}
    if to_it:
        return {**shown, "why": f"route {to_it[0]['route']!r} told {name} by the rules of then"}
    return {**shown, "why": "the rules were others when it came"}
