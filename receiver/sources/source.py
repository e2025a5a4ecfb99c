"""Source: a configured sender."""

from __future__ import annotations

from dataclasses import dataclass, field

from receiver.lifecycle import Ordering
from receiver.sources.verification import Verification


@dataclass(frozen=True, slots=True)
class Source:
    """A configured sender: how its webhooks are verified and read.

    `agents` are the only ones whose webhooks are believed, if there are any. `ordering` puts its
    events in order. `rejected_status` is the HTTP status for a rejected event. `rate` is how many
    proven webhooks are taken a second; None leaves it to RECEIVER_RATE. `line` is where it stands
    in routes.yaml.
    """

    name: str
    format: str
    verification: Verification
    agents: frozenset[str] = frozenset()
    ordering: Ordering = field(default_factory=Ordering)
    rejected_status: int = 200
    rate: float | None = None
    line: int = 0
