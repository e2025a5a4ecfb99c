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
    """A page of the executions that have not ended: its number, of which page `last` is the last.

    Nobody says from where a provider counts: a page without a number was the first one.
    """

    executions: tuple[Answer, ...]
    number: int = 1
    last: int = 1


class Pages:
    """The order in which the pages of a list are read: the first, then all from its end.

    Executions that end meanwhile move the later ones forward. Read from the end, with the oldest on
    the first page, the list loses none of those that stay.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._left: list[int] | None = None  # the next one at the end; None: the first page

    @property
    def following(self) -> int | None:
        """The number of the page to ask for; None: that without a number."""
        return self._left[-1] if self._left else None

    def took(self, page: ActiveExecutions) -> bool:
        """Go on behind a page that was read; return whether it was the last one."""
        if self._left is None:
            last = min(page.last, page.number + self._most - 1)
            self._left = list(range(page.number, last + 1)) if last > page.number else []
        else:
            self._left.pop()
        return not self._left
