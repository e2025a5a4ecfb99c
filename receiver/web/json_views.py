"""JSON views: documents about executions, events, deliveries and silences.

The store gives instants (nanoseconds); here they become RFC 3339. The rules say what the store does
not know: which routes match an event, and until when quiet hours last. The API and the command line
show the same documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from receiver.audit import at_provider
from receiver.config.rules import Rules
from receiver.dispatch.waits import Wait, waits
from receiver.intake.explain_stored import explain_stored
from receiver.times import format_time

View = Mapping[str, Any]
Document = dict[str, Any]


def known(view: View, rules: Rules | None, now: int) -> Document:
    """Return an execution with its events and deliveries: its story.

    Without rules nobody knows which routes matched, and why the others did not.
    """
    return {
        "execution": execution(view["execution"]),
        "events": [_explained(each, view["deliveries"], rules) for each in view["events"]],
        "deliveries": deliveries(view["deliveries"], rules, now),
        "acts": [{**audit(each), "text": at_provider(each)} for each in view["acts"]],
    }


def audit(view: View) -> Document:
    """Return what somebody did."""
    return {**view, "at": format_time(view["at"])}


def known_event(view: View, rules: Rules | None, now: int) -> Document:
    """Return an event with its raw body, its routes and its deliveries."""
    body: bytes | None = view["body"]
    return {
        "event": _explained(view["event"], view["deliveries"], rules),
        "body": None if body is None else body.decode("utf-8", "replace"),
        "deliveries": deliveries(view["deliveries"], rules, now),
    }


def _explained(view: View, about: Sequence[View], rules: Rules | None) -> Document:
    judged, seq = view["judged"], view["seq"]
    routes = None if rules is None else explain_stored(judged, seq, about, rules)
    return {**event(view), "routes": routes}


def execution(view: View) -> Document:
    """Return an execution."""
    taken = view["acknowledged"]
    return {
        **_with_times(view, "since", "first_seen"),
        "acknowledged": None if taken is None else _with_times(taken, "at"),
    }


def event(view: View) -> Document:
    """Return an event with the steps of its judgement."""
    document = {
        **_with_times(view, "occurred_at", "received_at", "held_until"),
        "steps": [_with_times(step, "at") for step in view["steps"]],
    }
    document.pop("judged", None)
    return document


def deliveries(views: Sequence[View], rules: Rules | None, now: int) -> list[Document]:
    """Return deliveries with their attempts, and why each of them still waits."""
    found = waits(views, rules, now)
    return [_delivery(view, found.get(view["id"])) for view in views]


def _delivery(view: View, wait: Wait | None) -> Document:
    until = None if wait is None else wait.until
    document = {
        **_with_times(view, "created_at", "planned_at", "due_at"),
        "waits_for": None if wait is None else wait.words,
        "until": None if until is None else format_time(until),
        "attempts": [_with_times(attempt, "at") for attempt in view["attempts"]],
    }
    del document["obstacles"]
    return document


def silence(view: View) -> Document:
    """Return a silence; its conditions are nested as in routes.yaml."""
    match: Document = {}
    for name, patterns in view["match"].items():
        key, _, inner = name.partition(".")
        if inner:
            match.setdefault(key, {})[inner] = patterns
        else:
            match[name] = patterns
    return {**_with_times(view, "from", "until", "created_at", "listed_at"), "match": match}


def _with_times(view: View, *names: str) -> Document:
    """Return the members in order, with the times of these names as text."""
    instants = {name: view[name] for name in names}
    texts = {name: None if at is None else format_time(at) for name, at in instants.items()}
    return {**view, **texts}
