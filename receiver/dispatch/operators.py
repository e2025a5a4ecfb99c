"""Operators' acts: give dead deliveries a new chance, take an episode, silence.

Each is an act on a transaction, for the API and the command line. An act takes items and returns
one result for each; the store's contract defines the results.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from receiver.audit import Act, Actor, Door, Entry
from receiver.config.rules import Rules
from receiver.deliveries import Acknowledgement, OnlyIf
from receiver.errors import StorageUnavailable
from receiver.messages.sanitize import clean
from receiver.routing.silences import Silence
from receiver.store.contract import Store, Transaction, Writing
from receiver.store.names import Orphan
from receiver.store.portions import Portions, SilencePlace, SilencesListed
from receiver.store.records import TakeOutcome, TakeResult
from receiver.times import span

log = logging.getLogger("receiver")

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_NAME, MAX_REASON = 80, 300


@dataclass(frozen=True, slots=True)
class Take:
    """A person who takes the present episode of an execution, and the routes that report it."""

    source: str
    execution_id: str
    taken: Acknowledgement
    routes: tuple[str, ...]
    only: OnlyIf | None = None
    door: Door | None = None
    place: str = ""


def take(
    source: str, execution_id: str, by: Actor, rules: Rules, now: int, only: OnlyIf | None = None
) -> Take | None:
    """Build the item for `acknowledge`, at a time (nanoseconds); None if `by` names nobody."""
    name = clean(by.who, MAX_NAME)
    routes = tuple(route.name for route in rules.routes if route.acknowledged)
    if not name:
        return None
    taken = Acknowledgement(name, now)
    return Take(source, execution_id, taken, routes, only, by.door, by.place)


def signed(by: Actor, reason: str) -> tuple[Actor, str] | None:
    """Return who acts and why, as they can be kept and shown; None if `by` names nobody."""
    name = clean(by.who, MAX_NAME)
    return (replace(by, who=name), clean(reason, MAX_REASON)) if name else None


def acknowledge(transaction: Transaction, items: Sequence[Take]) -> Sequence[TakeResult]:
    """Take episodes."""
    return [_acknowledge(transaction, each) for each in items]


def _acknowledge(transaction: Transaction, item: Take) -> TakeResult:
    result = transaction.acknowledge(
        item.source, item.execution_id, item.taken, item.routes, item.only
    )
    is_new = result.outcome in (TakeOutcome.TAKEN, TakeOutcome.TAKEN_OVER)
    if is_new and item.door is not None and result.acknowledged is not None:
        had = result.acknowledged.taken_from
        actor = Actor(item.taken.by, item.door, item.place)
        entry = Entry(item.taken.at, Act.TAKE, actor, item.source, item.execution_id)
        transaction.note([entry.with_result(f"taken over from {had}" if had else "taken")])
    return result


def in_words(take: Take, result: TakeResult, now: int) -> str:
    """Say what came of it that somebody took an episode, at a time (nanoseconds)."""
    by, execution, had = take.taken.by, take.execution_id, result.acknowledged
    if result.outcome is TakeOutcome.ALREADY_TAKEN and had is not None:
        since = span(now - had.at)
        return f"{had.by} has taken care of {execution} for {since}: nobody is told again."
    if result.outcome is TakeOutcome.TAKEN_OVER and had is not None:
        return f"{by} takes {execution} over from {had.taken_from}: whoever was told learns of it."
    return f"{by} takes care of {execution}: there are no more reminders of it."


@dataclass(frozen=True, slots=True)
class Noted(Generic[Item]):
    """An item of an act, and the row of the audit about it, still without its result."""

    item: Item
    entry: Entry


def _noting(
    act: Callable[[Transaction, Sequence[Item]], Sequence[Result]],
    ended: Callable[[Entry, Result], Entry | None],
) -> Callable[[Transaction, Sequence[Noted[Item]]], Sequence[Result]]:
    """Return the act as it also writes the audit; `ended` gives None if nothing changed."""

    def both(transaction: Transaction, items: Sequence[Noted[Item]]) -> Sequence[Result]:
        results = act(transaction, [each.item for each in items])
        entries = [ended(each.entry, result) for each, result in zip(items, results, strict=True)]
        transaction.note([entry for entry in entries if entry is not None])
        return results

    return both


def note(transaction: Transaction, entries: Sequence[Entry]) -> Sequence[None]:
    """Add rows to the audit about acts that change nothing in the store."""
    transaction.note(entries)
    return [None] * len(entries)


def write_down(store: Writing, entry: Entry) -> None:
    """Do the same from a door; if the storage fails, the log has it."""
    try:
        store.write_now(note, entry)
    except StorageUnavailable as error:
        log.warning("audit.lost act=%s door=%s error=%s", entry.act, entry.by.door, error)


def link_key(transaction: Transaction, items: Sequence[tuple[bytes, int]]) -> Sequence[bytes]:
    """Return the key of links: each item is one to keep if there is none, and the time (ns)."""
    return [transaction.link_key(*item) for item in items]


def add_silence(transaction: Transaction, items: Sequence[tuple[Silence, int]]) -> Sequence[int]:
    """Add silences, each at a time (nanoseconds); return their ids."""
    return [transaction.add_silence(*item) for item in items]


def expire_silence(
    transaction: Transaction, items: Sequence[tuple[int, int]]
) -> Sequence[bool | None]:
    """End silences, each by its id and at a time (nanoseconds); plan digests of their messages.

    If there are many, the timer of silences goes on with them.
    """
    results = []
    for number, now in items:
        ended = transaction.expire_silence(number, now)
        if ended:
            list_silences_in_part(transaction, [SilencesToList(now)])
        results.append(ended)
    return results


@dataclass(frozen=True, slots=True)
class SilencesToList:
    """The silences that have ended at `now` (ns), from a place on; look at so many messages."""

    now: int
    place: SilencePlace = field(default_factory=SilencePlace)
    most: int = 500


@dataclass(frozen=True, slots=True)
class SilencesInPart:
    """A part of the listing of silences, and how long it took (seconds)."""

    listed: SilencesListed
    seconds: float


def list_silences_in_part(
    transaction: Transaction, items: Sequence[SilencesToList]
) -> Sequence[SilencesInPart]:
    """Plan digests for silences that have ended, in a transaction that is short."""
    done = []
    for each in items:
        begun = time.perf_counter()
        listed = transaction.list_silences(each.now, each.place, each.most)
        done.append(SilencesInPart(listed, time.perf_counter() - begun))
    return done


def list_silences(store: Store, now: int, portions: Portions | None = None) -> list[str]:
    """Plan digests for all silences that have ended at a time; return their destinations."""
    portions = portions or Portions(first=200)
    place: SilencePlace | None = SilencePlace()
    destinations = list[str]()
    while place is not None:
        item = SilencesToList(now, place, portions.size)
        done = store.write_now(list_silences_in_part, item)
        portions.took(item.most, done.seconds)
        destinations += done.listed.destinations
        place = done.listed.place
    return destinations


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


redeliver_noted = _noting(redeliver, lambda e, done: e.with_result("waits again") if done else None)
redeliver_all_noted = _noting(
    redeliver_all, lambda e, n: e.with_result(f"{n} wait again") if n else None
)
add_silence_noted = _noting(
    add_silence, lambda e, number: e.with_result(e.result or "kept", str(number))
)
expire_silence_noted = _noting(
    expire_silence, lambda e, done: e.with_result("ended") if done else None
)
rename_noted = _noting(
    rename,
    lambda e, counts: e.with_result(
        ", ".join(f"{n} {name}" for name, n in counts.items() if name != "left")
    ),
)


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
