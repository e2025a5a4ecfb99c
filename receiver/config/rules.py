"""Rules: the content of routes.yaml as frozen values, and the digest by which they are compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from enum import Enum
from hashlib import sha256
from typing import Any

from receiver.destinations.destination import Destination
from receiver.lifecycle import Ordering
from receiver.routing.policy import SendPolicy, route_options
from receiver.routing.routes import Route
from receiver.sources.access import ApiAccess
from receiver.sources.source import Source
from receiver.sources.verification import Verification
from receiver.times import SECOND

# What does not change what the rules do.
_NO_MEANING = frozenset({"line", "path", "warnings", "text", "written_out"})


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules: all of routes.yaml. `warnings` are whole lines for people.

    `text` is the file as it is written, without comments; empty if secrets may be `written_out` in
    it, at these places.
    """

    path: str
    sources: Mapping[str, Source]
    destinations: Mapping[str, Destination]
    routes: tuple[Route, ...]
    warnings: tuple[str, ...] = ()
    text: str = field(default="", repr=False)
    written_out: tuple[str, ...] = ()

    def digest(self) -> str:
        """Return twelve digits that are the same for the same rules, whatever the file looks like.

        Comments, white space and the order of sources and destinations do not count, nor does a key
        with its default. No secret does either: of a key only that it is there, with its label; of
        a destination only the kind of its URL.
        """
        text = json.dumps(_meaning(self), sort_keys=True, default=str)
        return sha256(text.encode()).hexdigest()[:12]

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


def _meaning(value: Any) -> Any:
    """Return JSON for a value of the rules, without its secrets."""
    if isinstance(value, Destination):
        return {**_fields(value), "url": value.kind}
    if isinstance(value, Verification):
        secret = value.secret_header and value.secret_header[0]
        return {**_fields(value), "keys": len(value.keys), "secret_header": secret}
    if isinstance(value, ApiAccess):
        return {**_fields(value), "key": bool(value.key)}
    if is_dataclass(value):
        return _fields(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(name): _meaning(inner) for name, inner in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, map(_meaning, value)))
    if isinstance(value, (list, tuple)):
        return [_meaning(inner) for inner in value]
    return value


def _fields(value: Any) -> dict[str, Any]:
    """Return what differs from the defaults, which another version may not know."""
    found = {}
    for each in fields(value):
        inner = getattr(value, each.name)
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        if each.name not in _NO_MEANING and inner != default:
            found[each.name] = _meaning(inner)
    return found
