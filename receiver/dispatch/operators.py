"""Operators' acts: give dead deliveries a new chance, take an episode, silence.

Each is an act on a transaction, for the API and the command line. An act takes items and returns
one result for each; the store's contract defines the results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from receiver.config.rules import Rules
from receiver.deliveries import Acknowledgement, OnlyIf
from receiver.messages.sanitize import clean
from receiver.routing.silences import Silence
from receiver.store.contract import Store, Transaction
from receiver.store.names import Orphan
from receiver.store.records import TakeOutcome, TakeResult
from receiver.times import span

MAX_NAME = 80


@dataclass(frozen=True, slots=True)
class Take:
    """A person who takes the present episode of an execution, and the routes that report it."""

    source: str
    execution_id: str
    taken: Acknowledgement
    routes: tuple[str, ...]
    only: OnlyIf | None = None


def take(
    source: str, execution_id: str, by: str, rules: Rules, now: int, only: OnlyIf | None = None
) -> Take | None:
    """Build the item for `acknowledge`, at a time (nanoseconds); None if `by` names nobody."""
    name = clean(by, MAX_NAME)
    routes = tuple(route.name for route in rules.routes if route.acknowledged)
    return Take(source, execution_id, Acknowledgement(name, now), routes, only) if name else None


def acknowledge(transaction: Transaction, items: Sequence[Take]) -> Sequence[TakeResult]:
    """Take episodes."""
    return [
        transaction.acknowledge(each.source, each.execution_id, each.taken, each.routes, each.only)
        for each in items
    ]


def in_words(take: Take, result: TakeResult, now: int) -> str:
    """Say what came of it that somebody took an episode, at a time (nanoseconds)."""
    by, execution, had = take.taken.by, take.execution_id, result.acknowledged
    if result.outcome is TakeOutcome.ALREADY_TAKEN and had is not None:
        since = span(now - had.at)
        return f"{had.by} has taken care of {execution} for {since}: nobody is told again."
    if result.outcome is TakeOutcome.TAKEN_OVER and had is not None:
        return f"{by} takes {execution} over from {had.taken_from}: whoever was told learns of it."
    return f"{by} takes care of {execution}: there are no more reminders of it."


def link_key(transaction: Transaction, items: Sequence[tuple[bytes, int]]) -> Sequence[bytes]:
    """Return the key of links: each item is one to keep if there is none, and the time (ns)."""
    return [transaction.link_key(*item) for item in items]


def add_silence(transaction: Transaction, items: Sequence[tuple[Silence, int]]) -> Sequence[int]:
    """Add silences, each at a time (nanoseconds); return their ids."""
    return [transaction.add_silence(*item) for item in items]


def expire_silence(
    transaction: Transaction, items: Sequence[tuple[int, int]]
) -> Sequence[bool | None]:
    """End silences, each by its id and at a time (nanoseconds); plan digests of their messages."""
    results = []
    for number, now in items:
        ended = transaction.expire_silence(number, now)
        if ended:
            transaction.list_silences(now)
        results.append(ended)
    return results


def list_silences(transaction: Transaction, times: Sequence[int]) -> Sequence[Sequence[str]]:
    """Plan digests for the silences that have ended at each time; return their destinations."""
    return [transaction.list_silences(now) for now in times]


def redeliver(transaction: Transaction, items: Sequence[tuple[int, int]]) -> Sequence[bool | None]:
    """Give dead deliveries a new chance, each by its id and at a time (nanoseconds)."""
    return [transaction.redeliver(*item) for item in items]


def redeliver_all(transaction: Transaction, items: Sequence[tuple[str, int]]) -> Sequence[int]:
    """Give all dead deliveries of a destination a new chance, at a time (nanoseconds)."""
    return [transaction.redeliver_all(*item) for item in items]


@dataclass(frozen=True, slots=True)
class Renaming:
    """A source, route or destination (`kind`) that has a new name in routes.yaml."""

    kind: str
    old: str
    new: str
    dry_run: bool = False


def rename(transaction: Transaction, items: Sequence[Renaming]) -> Sequence[dict[str, int]]:
    """Carry rows over to new names; return how many."""
    return [
        transaction.rename(each.kind, each.old, each.new, dry_run=each.dry_run) for each in items
    ]


def names_of(rules: Rules) -> dict[str, tuple[str, ...]]:
    """Return the names in the rules, by what they name: source, route, destination."""
    return {
        "source": tuple(rules.sources),
        "route": tuple(route.name for route in rules.routes),
        "destination": tuple(rules.destinations),
    }


def orphans(rules: Rules, store: Store) -> Sequence[Orphan]:
    """Return the names that the store has and the rules have not, and what hangs on them."""
    names = names_of(rules)
    return store.orphans(names["source"], names["route"], names["destination"])
