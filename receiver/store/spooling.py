"""Spool: webhooks that wait in a local file for a database that is away.

The contract of the file. What it has acknowledged is on disk, in the order of receipt, and stays
until somebody says that the database has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


@dataclass(frozen=True, slots=True)
class SpooledWebhook:
    """An authentic webhook as it came: enough to read it again, whatever the rules say then.

    `format` and `message_id` are those by which it is read, `key` is the label of the key that
    proved it, `received_at` is nanoseconds. `problem` says in a sentence of ours what cannot be
    read; its sender was answered so.
    """

    source: str
    format: str
    key: str
    message_id: str | None
    received_at: int
    body: bytes
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SpoolState:
    """Content of a spool: webhooks, their bytes, and the receipt of the first (nanoseconds)."""

    waiting: int
    size: int
    most: int
    oldest: int | None = None


class Spool(Protocol):
    """A spool that one process has."""

    def keep(self, webhook: SpooledWebhook) -> asyncio.Future[bool]:
        """Keep a webhook. True once it is on disk, False if it is full; StorageUnavailable.

        Those kept later stand behind it.
        """

    async def remove(self, numbers: Sequence[int]) -> None:
        """Remove webhooks that the database has."""

    def first(self, n: int, *, without: Sequence[int] = ()) -> Sequence[tuple[int, SpooledWebhook]]:
        """Return at most the first `n` with their numbers, in the order of their receipt.

        They hold some megabytes at most. Those `without` are left out.
        """

    def state(self) -> SpoolState:
        """Return how much waits. StorageUnavailable if the file can no longer be trusted."""

    def close(self) -> None:
        """Finish what is being written, and let another process have the file."""
