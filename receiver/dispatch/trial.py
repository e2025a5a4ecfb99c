"""Trial: a message to one destination that is marked as a test, sent now and recorded nowhere."""

from __future__ import annotations

import threading

from receiver.deliveries import Attempt, Message
from receiver.destinations import sending
from receiver.destinations.destination import Destination
from receiver.messages.sanitize import clean

_lock = threading.Lock()
_under_way: set[str] = set()


def try_destination(destination: Destination, sender: str) -> Attempt | None:
    """Send a test message the way that every message goes; return what came of it.

    `sender` says who sends it and how. It returns None while another test of it is under way.
    """
    with _lock:
        if destination.name in _under_way:
            return None
        _under_way.add(destination.name)
    try:
        return sending.send(destination, trial_message(destination, sender))
    finally:
        with _lock:
            _under_way.discard(destination.name)


def trial_message(destination: Destination, sender: str) -> Message:
    """Write the message of a test: nobody may take it for news."""
    body = (
        "This is only a test: nothing has happened, and nobody has to do anything.",
        f"Sent by {clean(sender, 200)}, to see whether messages of the receiver arrive here.",
    )
    return Message(f"Test of destination {destination.name}", "\n".join(body))
