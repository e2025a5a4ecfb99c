"""Trial: a message to one destination that is marked as a test, sent now and recorded nowhere."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache

from receiver.deliveries import Attempt, Message
from receiver.destinations import sending
from receiver.destinations.destination import Destination
from receiver.messages.sanitize import clean


class Trials:
    """Tests of destinations, of each one at a time. `send` makes an attempt; see `sending`."""

    def __init__(self, send: Callable[[Destination, Message], Attempt] = sending.send) -> None:
        self._send = send
        self._changing = threading.Lock()
        self._under_way: set[str] = set()

    def try_destination(self, destination: Destination, sender: str) -> Attempt | None:
        """Send a test message the way that every message goes; return what came of it.

        `sender` says who sends it and how. It returns None while another test of it is under way.
        """
        with self._changing:
            if destination.name in self._under_way:
                return None
            self._under_way.add(destination.name)
        try:
            return self._send(destination, trial_message(destination, sender))
        finally:
            with self._changing:
                self._under_way.discard(destination.name)


@lru_cache(maxsize=256)
def place_of(destination: Destination) -> str:
    """Say in one line where messages of a destination go, without any secret."""
    return sending.leads_to(destination)


def trial_message(destination: Destination, sender: str) -> Message:
    """Write the message of a test: nobody may take it for news."""
    body = (
        "This is only a test: nothing has happened, and nobody has to do anything.",
        f"Sent by {clean(sender, 200)}, to see whether messages of the receiver arrive here.",
    )
    return Message(f"Test of destination {destination.name}", "\n".join(body))
