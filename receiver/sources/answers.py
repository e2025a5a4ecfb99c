"""Answers of a provider's API, as values: where an execution stands, and how it came there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from receiver.events import Status


@dataclass(frozen=True, slots=True)
class Answer:
    """An execution as the provider describes it; times are nanoseconds.

    `word` is its status in the provider's own word. `status` is None for one that no lifecycle
    knows, such as `queued`: it changes nothing.
    """

    execution_id: str
    status: Status | None
    word: str
    agent_id: str | None = None
    agent_name: str | None = None
    execution_url: str | None = None
    metadata: Mapping[str, Any] | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    ended_at: int | None = None


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A move into a status at a time (nanoseconds), with what the provider says of it."""

    at: int
    status: Status
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ActiveExecutions:
    """A page of the executions that have not ended."""

    executions: tuple[Answer, ...]
    is_last: bool
