"""Explanation of a stored event: which routes tell of it, and why the others do not. Pure.

The event is decided anew as it was judged, with the execution of that time, by the rules in force:
by the very functions that planned its messages. What became of those messages is what the store
says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from receiver.config.rules import Rules
from receiver.deliveries import Kind, Outcome, State
from receiver.events import Verdict
from receiver.intake.plan import no_wait_begins, subject
from receiver.routing.routes import STOPS, Decision, decide
from receiver.store.records import JudgedWebhook

Document = dict[str, Any]


def explain_stored(
    entry: JudgedWebhook, seq: int, deliveries: Sequence[Mapping[str, Any]], rules: Rules
) -> list[Document]:
    """Return each route, why it does not match, and what became of its messages.

    `deliveries` are those about the event, whose number is `seq`, or about its whole execution.
    A route that matches tells each of its destinations by a delivery, or `why` says why not.
    """
    about = subject(entry, entry.after or entry.before)
    notices = _notices(entry, deliveries)
    served: dict[str, str] = {}
    shown = []
    for decision in decide(rules.routes, about):
        route, why_not = decision.route, decision.why_not
        if route.stuck is not None:
            why_not = no_wait_begins(route, entry, about)
        destinations = [] if why_not else _destinations(entry, seq, decision, notices, served)
        shown.append({
            "name": route.name,
            "line": route.line,
            "why_not": why_not,
            "destinations": destinations,
        })  # fmt: skip
        if not why_not and route.stuck is None:
            served.update(dict.fromkeys(decision.destinations, route.name))
    return shown


def is_stopped(why_not: str) -> bool:
    """Return whether a route was not asked because one above it stops."""
    return why_not.endswith(STOPS)


def in_list(delivery: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the attempt by which a list told of a message that a silence kept back, if one did."""
    if delivery["state"] != State.SUPERSEDED or None in (delivery["silence"], delivery["digest"]):
        return None
    arrived = [each for each in delivery["attempts"] if each["outcome"] != Outcome.FAILED]
    return arrived[-1] if arrived else None


def _notices(
    entry: JudgedWebhook, deliveries: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return the notices that events with this verdict caused."""
    return [
        each
        for each in deliveries
        if each["kind"] == Kind.NOTICE
        and each["origin"] is None
        and each["verdict"] == entry.judgement.verdict
    ]


def _destinations(
    entry: JudgedWebhook,
    seq: int,
    decision: Decision,
    notices: Sequence[Mapping[str, Any]],
    served: Mapping[str, str],
) -> list[Document]:
    """Return what became of the message to each destination of a route that matches."""
    route = decision.route
    own = [notice for notice in notices if notice["event_seq"] == seq]
    shown = []
    for name in route.notify:
        above = "" if route.stuck else served.get(name, "")
        became = _destination(name, route.name, own, above)
        if not became["why"] and became["delivery"] is None:
            became["why"] = _why_none(name, route.name, entry, notices)
        shown.append(became)
    return shown


def _destination(name: str, route: str, own: Sequence[Mapping[str, Any]], above: str) -> Document:
    shown: Document = {"destination": name, "delivery": None, "state": None, "why": ""}
    if above:
        return {**shown, "why": f"route {above!r} above it tells {name}"}
    to_it = [notice for notice in own if notice["destination"] == name]
    for notice in to_it:
        if notice["route"] == route:
            more = {"delivery": notice["id"], "state": notice["state"], "why": notice["reason"]}
            return {**shown, **more}
    if to_it:
        return {**shown, "why": f"route {to_it[0]['route']!r} told {name} by the rules of then"}
    return shown


def _why_none(
    name: str, route: str, entry: JudgedWebhook, notices: Sequence[Mapping[str, Any]]
) -> str:
    """Say why a route that matches planned no message (see `plan`)."""
    verdict = entry.judgement.verdict
    if verdict is Verdict.APPLIED:
        return "the rules were others when it came"
    if verdict is Verdict.QUARANTINED:
        return "only the first of its kind within a day is told"
    earlier = [n["id"] for n in notices if n["destination"] == name and n["route"] == route]
    by = f", by message {min(earlier)}" if earlier else ""
    return f"only the first of its kind in an episode is told{by}"
