"""Sending: the registry of the kinds of destinations, and the way to all of them.

A kind is a module with the four functions of `DestinationKind`. A new kind is such a module and
an entry in KINDS; every URL whose scheme has no entry there is Apprise's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from receiver.deliveries import Attempt, Message
from receiver.destinations import console
from receiver.destinations.apprise import adapter
from receiver.destinations.destination import Destination


class DestinationKind(Protocol):
    """Functions of a kind's module. The texts never show a URL: it is a secret."""

    def problems(self, destination: Destination) -> list[str]:
        """Return what makes the destination unusable, without asking the network."""

    def warnings(self, destination: Destination) -> list[str]:
        """Return what works but may surprise."""

    def send(self, destination: Destination, message: Message) -> Attempt:
        """Try once; see `send` below."""

    def rest(self) -> None:
        """Give up what this thread keeps open between messages; must not raise."""


KINDS: Mapping[str, DestinationKind] = {"console": console}
OTHERS: DestinationKind = adapter


def kind_of(destination: Destination) -> DestinationKind:
    """Return the kind that sends to the destination."""
    return KINDS.get(destination.kind, OTHERS)


def problems(destination: Destination) -> list[str]:
    """Return what makes the destination unusable; never shows its URL."""
    if not destination.url.strip():
        return ["its URL is empty: give an Apprise URL, or console://"]
    return kind_of(destination).problems(destination)


def warnings(destination: Destination) -> list[str]:
    """Return what works but may surprise."""
    return kind_of(destination).warnings(destination)


def send(destination: Destination, message: Message) -> Attempt:
    """Try once, for at most `destination.timeout` seconds and one more. Never raises.

    In a thread that has registered a successor (deadline.hand_over_to) it raises ThreadReplaced
    instead, if the successor has gone on.
    """
    return kind_of(destination).send(destination, message)


def rest() -> None:
    """Close what this thread keeps open. Threads that send call it when they have nothing to do."""
    for kind in (*KINDS.values(), OTHERS):
        kind.rest()
