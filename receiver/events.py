"""Events: the words and frozen values that flow from a webhook to the history.

Times are nanoseconds since 1970 (see `times`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Category(StrEnum):
    """The group of a status."""

    PROCESSING = "processing"
    PAUSED = "paused"
    AWAITING = "awaiting"
    TERMINAL = "terminal"


class Status(StrEnum):
    """Status of an execution (source: the provider's page "Execution Statuses")."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    PAUSED_BY_AGENT = "paused_by_agent"
    AWAITING_CONFIRMATION = "awaiting_confirmation"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def category(self) -> Category:
        """Its group."""
        return CATEGORIES[self]


CATEGORIES = {
    Status.STARTING: Category.PROCESSING,
    Status.RUNNING: Category.PROCESSING,
    Status.PAUSED: Category.PAUSED,
    Status.PAUSED_BY_AGENT: Category.PAUSED,
    Status.AWAITING_CONFIRMATION: Category.AWAITING,
    Status.COMPLETED: Category.TERMINAL,
    Status.FAILED: Category.TERMINAL,
    Status.CANCELLED: Category.TERMINAL,
}


# Takes an execution that its provider does not know any more: it has ended there, for nothing else
# can be deleted, so nobody has to do anything.
NOBODY = "nobody: its provider no longer knows it"


class Verdict(StrEnum):
    """The receiver's decision about an event."""

    APPLIED = "applied"
    HELD = "held"
    DUPLICATE = "duplicate"
    STALE = "stale"
    REJECTED = "rejected"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Event:
    """The content of a trusted webhook. Everything in it except `source` is the sender's text.

    `status` is None for an event that announces none; `unknown_status` then holds a status that
    no lifecycle knows. `execution_id` and `occurred_at` are None only if no status is announced.
    `detail` is the provider's reason, outcome, question …; `flags` may hold `assumed` and `polled`
    (learnt by asking the provider, without a webhook).
    `is_known_without_status`: its sender is known to send such an event without a change of status.
    """

    source: str
    event_id: str
    event: str
    status: Status | None
    execution_id: str | None
    occurred_at: int | None
    agent_id: str | None = None
    agent_name: str | None = None
    execution_url: str | None = None
    metadata: Mapping[str, Any] | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    unknown_status: str | None = None
    flags: frozenset[str] = frozenset()
    is_known_without_status: bool = False


@dataclass(frozen=True, slots=True)
class Execution:
    """The stored truth about one execution after `version` applied events.

    `since` is the start of the present status, `mark` the time up to which its state is known; both
    are the sender's times. `first_seen` is the receiver's. `polled`: the present status was learnt
    by asking the provider.
    """

    source: str
    execution_id: str
    status: Status
    since: int
    mark: int
    version: int
    first_seen: int
    agent_id: str | None = None
    agent_name: str | None = None
    execution_url: str | None = None
    metadata: Mapping[str, Any] | None = None
    gap: bool = False
    assumed: bool = False
    polled: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reason; `flags` are the flags of the judged event.

    A held event waits for one of the statuses in `missing`.
    """

    verdict: Verdict
    reason: str
    flags: frozenset[str] = frozenset()
    missing: tuple[Status, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A stored event that waits for its predecessors (held), or waited in vain (rejected: gap).

    The event has the flags of its judgement. It waits for one of the statuses in `missing`, `until`
    that time (nanoseconds).
    """

    event: Event
    received_at: int
    verdict: Verdict
    missing: tuple[Status, ...]
    until: int | None
