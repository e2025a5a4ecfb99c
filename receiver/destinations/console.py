"""Console: a destination that prints its messages, for a first try and for `receiver demo`."""

from __future__ import annotations

import sys
import threading
import time

from receiver.deliveries import Attempt, Message, Outcome
from receiver.destinations.destination import Destination

_printing = threading.Lock()


def problems(destination: Destination) -> list[str]:
    """Return no problems: there is nothing to set wrongly."""
    return []


def warnings(destination: Destination) -> list[str]:
    """Return no warnings: nothing here may surprise."""
    return []


def send(destination: Destination, message: Message) -> Attempt:
    """Print the message as a whole, with no other console's message in between."""
    started = time.monotonic()
    lines = [f"┌ to {destination.name}: {message.title}"]
    lines += [f"│ {line}" for line in message.body.splitlines()]
    with _printing:
        sys.stdout.write("\n".join([*lines, "└"]) + "\n")
        sys.stdout.flush()
    return Attempt(Outcome.DELIVERED, "", int((time.monotonic() - started) * 1000))


def rest() -> None:
    """Do nothing: a console keeps nothing open between messages."""
