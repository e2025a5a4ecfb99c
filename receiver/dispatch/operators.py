"""What operators do to what is owed: give dead deliveries a new chance, take an episode, silence.

Each is an act on a transaction, for the API and the command line alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from receiver.config.rules import Rules
from receiver.deliveries import Acknowledgement
from receiver.messages.sanitize import clean
from receiver.routing.silences import Silence
from receiver.store.contract import Transaction

MAX_NAME = 80


@dataclass(frozen=True, slots=True)
class Take:
    """Somebody takes the present episode of an execution; `routes` say whose people learn of it."""

    source: str
    execution_id: str
    taken: Acknowledgement
    routes: tuple[str, ...]


def take(source: str, execution_id: str, by: str, rules: Rules, now: int) -> Take | None:
    """What is asked for, at a time (nanoseconds); None if nobody is named."""
    name = clean(by, MAX_NAME)
    routes = tuple(route.name for route in rules.routes if route.acknowledged)
    return Take(source, execution_id, Acknowledgement(name, now), routes) if name else None


def acknowledge(transaction: Transaction, items: Sequence[Take]) -> Sequence[bool | None]:
    """The act of taking an episode; see Operating.acknowledge."""
    return [
        transaction.acknowledge(each.source, each.execution_id, each.taken, each.routes)
        for each in items
    ]


def add_silence(transaction: Transaction, items: Sequence[tuple[Silence, int]]) -> Sequence[int]:
    """The act of adding a silence at a time; its id."""
    return [transaction.add_silence(*item) for item in items]


def expire_silence(
    transaction: Transaction, items: Sequence[tuple[int, int]]
) -> Sequence[bool | None]:
    """The act of ending a silence at a time, and of listing what it kept back."""
    ended = []
    for number, now in items:
        done = transaction.expire_silence(number, now)
        if done:
            transaction.list_silences(now)
        ended.append(done)
    return ended


def redeliver(transaction: Transaction, items: Sequence[tuple[int, int]]) -> Sequence[bool | None]:
    """The act of giving dead deliveries a new chance; see Operating.redeliver."""
    return [transaction.redeliver(*item) for item in items]


def redeliver_all(transaction: Transaction, items: Sequence[tuple[str, int]]) -> Sequence[int]:
    """The act of giving a destination's dead deliveries a new chance."""
    return [transaction.redeliver_all(*item) for item in items]
