"""Series: the messages that one message becomes, mostly one.

A list may become several. If one of them fails, those before it have arrived, and the next attempt
sends the others only. This is known for as long as the process lives; after its end all are sent
again, as a possible repeat.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, replace

from receiver.deliveries import Attempt, Message, Outcome
from receiver.destinations.destination import Destination
from receiver.destinations.fitting import Part, Room, fit, without

# The number of lists of which it is known what has arrived.
_KNOWN = 1_000


@dataclass(frozen=True, slots=True)
class Arrived:
    """The part of a list that has arrived: the names of its lines, in so many messages."""

    names: frozenset[str] = frozenset()
    messages: int = 0


_lists: OrderedDict[Hashable, Arrived] = OrderedDict()
_changing = threading.Lock()


class Series:
    """Attempt at all messages that one becomes: `sent` of `total` have been accepted so far."""

    def __init__(self, destination: Destination, message: Message) -> None:
        # Lists are known by their deliveries; any other message is one.
        is_known = bool(message.listed) and message.delivery is not None
        self._name = (destination.name, message.delivery) if is_known else None
        with _changing:
            self._before = _lists.get(self._name, Arrived())
        self._pause = 1 / destination.messages_per_second
        self._parts: list[Part] = []
        self.message = without(message, self._before.names) if self._before.names else message
        self.sent = 0

    @property
    def total(self) -> int:
        """The number of all of them."""
        return max(len(self._parts), 1)

    @property
    def is_over(self) -> bool:
        """Whether all of it was accepted."""
        return self.sent >= self.total

    def next(self, message: Message, room: Room) -> Part:
        """Return the next one; `message` is that of the series, as its service wants it."""
        self._parts = self._parts or fit(message, room, self._before.messages + 1)
        return self._parts[self.sent]

    def accept(self) -> None:
        """Note that the present one was accepted."""
        arrived = self._parts[self.sent].names if self._parts else frozenset()
        self.sent += 1
        if self._name is None:
            return
        with _changing:
            before = _lists.pop(self._name, Arrived())
            if not self.is_over:
                names = before.names | arrived
                _lists[self._name] = Arrived(names, before.messages + 1)
            while len(_lists) > _KNOWN:
                _lists.popitem(last=False)

    def rest(self, left: float) -> None:
        """Keep to the destination's rate before the next one; `left` is what the deadline leaves.

        All of them are one attempt, so the pauses must not take all of its time.
        """
        time.sleep(max(min(self._pause, 1.0, left / (2 * self.total)), 0))

    def judged(self, attempt: Attempt) -> Attempt:
        """Return the outcome of the whole: if a part of it has arrived, a repeat may repeat it."""
        sent = self._before.messages + self.sent
        if attempt.outcome is Outcome.DELIVERED or not sent:
            return attempt
        total = self._before.messages + self.total
        detail = f"{sent} of {total} messages have arrived, but the next one: {attempt.detail}"
        return replace(attempt, outcome=Outcome.UNCERTAIN, detail=detail)
