"""Source: a configured sender."""

from __future__ import annotations

from dataclasses import dataclass, field

from receiver.lifecycle import Ordering
from receiver.sources.access import Act, ApiAccess, Reconciliation
from receiver.sources.verification import Verification


@dataclass(frozen=True, slots=True)
class Source:
    """A configured sender: how its webhooks are verified and read.

    `agents` are the only agents whose webhooks are accepted (empty: all). `ordering` puts its
    events in order. With `spool` its webhooks are kept in a file while the database is away.
    `rejected_status` is the HTTP status for a rejected event. `rate` is the most proven webhooks a
    second; None stands for RECEIVER_RATE. People are told if it is silent for `quiet_after` seconds
    (None: never). `api` is the way to its provider, which is asked by `reconcile`; people may do
    `acts` through it. `line` is its line in routes.yaml.
    """

    name: str
    format: str
    verification: Verification
    agents: frozenset[str] = frozenset()
    ordering: Ordering = field(default_factory=Ordering)
    rejected_status: int = 200
    rate: float | None = None
    quiet_after: float | None = None
    api: ApiAccess | None = None
    reconcile: Reconciliation | None = None
    acts: frozenset[Act] = frozenset()
    spool: bool = False
    line: int = 0
