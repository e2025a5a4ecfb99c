"""JSON views: documents about executions, deliveries and silences for people.

The store gives instants (nanoseconds); here they become RFC 3339. The API and the command line show
the same documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from receiver.times import format_time

View = Mapping[str, Any]
Document = dict[str, Any]


def known(view: View) -> Document:
    """Return an execution with its events and deliveries."""
    return {
        "execution": execution(view["execution"]),
        "events": [event(each) for each in view["events"]],
        "deliveries": [delivery(each) for each in view["deliveries"]],
    }


def execution(view: View) -> Document:
    """Return an execution."""
    taken = view["acknowledged"]
    return {
        **_with_times(view, "since", "first_seen"),
        "acknowledged": None if taken is None else _with_times(taken, "at"),
    }


def event(view: View) -> Document:
    """Return an event with the steps of its judgement."""
    return {
        **_with_times(view, "occurred_at", "received_at", "held_until"),
        "steps": [_with_times(step, "at") for step in view["steps"]],
    }


def delivery(view: View) -> Document:
    """Return a delivery with its attempts."""
    return {
        **_with_times(view, "created_at", "due_at"),
        "attempts": [_with_times(attempt, "at") for attempt in view["attempts"]],
    }


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
