"""Webhooks of the spool that are passed over: judged already, or refused by the database."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from receiver.store.spooling import Spool

log = logging.getLogger("receiver.spool")

# So often the database refuses a webhook, and takes others, before it is set aside.
TRIES = 3


class Passed:
    """Numbers of webhooks that are in the file and are not handed out again.

    `judged` are those that the database has. They stay there while nothing can be written, as on a
    full disk, and hold up nothing.
    """

    def __init__(self) -> None:
        self.judged: set[int] = set()
        self._refused: dict[int, int] = {}  # how often

    def numbers(self) -> Sequence[int]:
        """Return the numbers of all."""
        aside = {number for number, n in self._refused.items() if n >= TRIES}
        return sorted(aside | self.judged)

    def count_refusal(self, number: int, error: Exception) -> None:
        """Set a webhook aside that the database refuses, so that it holds up nothing else."""
        self._refused[number] = self._refused.get(number, 0) + 1
        if self._refused[number] == TRIES:
            log.error("spool.aside number=%d error=%s; the next start tries again", number, error)

    async def remove_judged(self, spool: Spool) -> None:
        """Remove what the database has; StorageUnavailable if that fails, and they stay here."""
        if self.judged:
            await spool.remove(sorted(self.judged))
            self.judged.clear()
