"""Turns: one person at a time acts on an execution, and the next one learns what is pending."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from receiver.sources.access import Act

# An act whose effect does not show is pending for so many seconds.
PENDING_FOR = 60.0
# So many people may act or wait for it at once: each of them holds a thread of the server.
MOST = 8

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Pending:
    """An act that the provider took, at a version of the execution and a monotonic time (s)."""

    act: Act
    who: str
    version: int
    at: float


class Turns:
    """The turns of people who act, in one process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy = set[Key]()
        self._people = 0
        self._pending: dict[Key, Pending] = {}

    @contextmanager
    def turn(self, key: Key, patience: float) -> Iterator[bool]:
        """Wait for the turn at an execution; False if it did not come within a time (seconds)."""
        with self._changed:
            is_mine = self._people < MOST
            self._people += is_mine
            if is_mine and not self._changed.wait_for(lambda: key not in self._busy, patience):
                self._people -= 1
                is_mine = False
            if is_mine:
                self._busy.add(key)
        try:
            yield is_mine
        finally:
            if is_mine:
                with self._changed:
                    self._busy.discard(key)
                    self._people -= 1
                    self._changed.notify_all()

    def note(self, key: Key, pending: Pending) -> None:
        """Remember an act until its effect shows."""
        with self._changed:
            oldest = pending.at - PENDING_FOR
            kept = {name: each for name, each in self._pending.items() if each.at > oldest}
            self._pending = {**kept, key: pending}

    def pending(self, key: Key, version: int, now: float) -> Pending | None:
        """Return the act whose effect has not shown at a version of the execution; or None."""
        with self._changed:
            found = self._pending.get(key)
        if found is None or found.version != version or now - found.at > PENDING_FOR:
            return None
        return found
