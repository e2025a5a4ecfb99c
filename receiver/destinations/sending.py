"""Sending: the registry of the kinds of destinations, and the functions for all of them.

A kind is a module with the five functions of `DestinationKind`. A new kind needs such a module and
an entry in KINDS. Apprise gets every URL whose scheme has no entry.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from receiver.deliveries import Attempt, Message, Outcome
from receiver.destinations import console
from receiver.destinations.apprise import adapter
from receiver.destinations.destination import CONSOLE, Destination
from receiver.destinations.redaction import redact
from receiver.metrics import SendersState


class DestinationKind(Protocol):
    """Functions of a kind's module. Their texts never show a URL, because it is a secret."""

    def problems(self, destination: Destination) -> list[str]:
        """Return the mistakes that make the destination unusable, without using the network."""

    def warnings(self, destination: Destination) -> list[str]:
        """Return settings that work but may surprise."""

    def leads_to(self, destination: Destination) -> str:
        """Say in one line where its messages go; see `leads_to` below."""

    def send(self, destination: Destination, message: Message) -> Attempt:
        """Try once; see `send` below."""

    def rest(self) -> None:
        """Close the connections that this thread keeps between messages; must not raise."""


class Sending(Protocol):
    """A way of sending: in this process, as this module does, or in others (`sender.pool`)."""

    def send(self, destination: Destination, message: Message) -> Attempt:
        """Try once; see `send` below."""

    def problems(self, destination: Destination) -> list[str]:
        """Return the mistakes that make the destination unusable, without its URL."""

    def leads_to(self, destination: Destination) -> str:
        """Say in one line where its messages go; see `leads_to` below."""

    def expect(self, destinations: Collection[Destination]) -> None:
        """Get ready for these destinations, without waiting for that."""

    def follow(self, destinations: Collection[Destination]) -> None:
        """Forget what is kept of other destinations than these."""

    def state(self) -> SendersState | None:
        """Return the state of the processes that send; None if there are none."""

    def close(self) -> None:
        """End all that it has started."""


KINDS: Mapping[str, DestinationKind] = {CONSOLE: console}
OTHERS: DestinationKind = adapter


def kind_of(destination: Destination) -> DestinationKind:
    """Return the kind that sends to the destination."""
    return KINDS.get(destination.kind, OTHERS)


def problems(destination: Destination) -> list[str]:
    """Return the mistakes that make the destination unusable, without its URL."""
    if not destination.url.strip():
        return ["its URL is empty: give an Apprise URL, or console://"]
    return kind_of(destination).problems(destination)


def warnings(destination: Destination) -> list[str]:
    """Return settings that work but may surprise."""
    return kind_of(destination).warnings(destination)


def leads_to(destination: Destination) -> str:
    """Say in one line where its messages go: the kind, and a hint of the place without secrets."""
    return kind_of(destination).leads_to(destination)


def send(destination: Destination, message: Message) -> Attempt:
    """Try once, for at most one second more than `destination.timeout`. Never raises.

    The one exception is ThreadReplaced, in a thread whose registered successor
    (deadline.hand_over_to) has gone on.
    """
    try:
        return kind_of(destination).send(destination, message)
    except Exception as error:
        # Whatever a kind does not foresee is an attempt with an outcome, too: without one the
        # delivery would stay `sending`, and its worker would fail at it again and again.
        return Attempt(Outcome.FAILED, redact(destination.url, f"{type(error).__name__}: {error}"))


def prepare() -> None:
    """Import what is slow to import, in a process that does nothing but send."""
    adapter.prepare()


def expect(destinations: Collection[Destination]) -> None:
    """Do nothing: what is slow to import is imported when it is needed."""


def follow(destinations: Collection[Destination]) -> None:
    """Do nothing: threads keep what they need, and end with their destination."""


def state() -> SendersState | None:
    """Return that there are no processes that send: this one does."""
    return None


def close() -> None:
    """Do nothing: nothing was started."""


def rest() -> None:
    """Close the connections that this thread keeps. Idle threads of workers call it."""
    for kind in (*KINDS.values(), OTHERS):
        kind.rest()
