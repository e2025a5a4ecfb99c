"""Rehearsal: what a plugin would do with a message, up to its first request, which is not made.

Some plugins have nobody to send to, or cannot make a request of what the URL says, and find that
out only when they send. So `check` lets them send, and stops them at the first thing that would go
over the network.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

from receiver.destinations.apprise.recorder import AttemptOver, AttemptRecorder

# What a plugin imports if it reaches the network by another way than through HTTP.
_OTHER_WAYS = ("smtplib", "socket", "ssl", "asyncio", "threading", "paho", "slixmpp", "smpplib")


class Rehearsal(AttemptRecorder):
    """The recorder of an attempt that ends where it would go over the network."""

    def __init__(self) -> None:
        super().__init__(timeout=1.0)
        self.is_reached = False

    def raise_if_over(self) -> None:
        """Raise AttemptOver: this is the network."""
        self.is_reached = True
        raise AttemptOver("the rehearsal ends here")

    def add_connection(self, connection: socket.socket) -> None:
        """Raise AttemptOver: this is the network."""
        self.raise_if_over()


def problem(plugin: Any, send: Callable[[], object]) -> str | None:
    """Return why the plugin cannot send, in its own words; None if it can, or nobody knows.

    `send` sends a message through it.
    """
    if not _speaks_only_http(plugin):
        return None
    rehearsal = Rehearsal()
    with rehearsal as record:
        try:
            send()
        except Exception as error:
            record.warnings.append(f"{type(error).__name__}: {error}")
    if rehearsal.is_reached:
        return None
    return record.unsendable or " ".join(record.warnings[:2]) or "it makes no request"


def _speaks_only_http(plugin: Any) -> bool:
    modules = [
        sys.modules[kind.__module__]
        for kind in type(plugin).__mro__
        if kind.__module__.startswith("apprise.plugins.")
        and not kind.__module__.endswith("plugins.base")
    ]
    names = {name for module in modules for name in vars(module)}
    return "requests" in names and names.isdisjoint(_OTHER_WAYS)
