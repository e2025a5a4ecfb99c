"""Replanning: lets what waits about episodes follow the rules in force; see routing.episodes.

It is done after a start and after a reload for all episodes that last, and for one episode when a
message about it was sent or died by rules that have changed since it was claimed.

All episodes are read beside the writer, some at a time. Only those of which something changes are
written, in parts that hold the writer for a short time each. A reload that changes nothing about
some statuses leaves their episodes alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from receiver.config.rules import Rules
from receiver.deliveries import Claim
from receiver.routing.episodes import changes
from receiver.routing.planned import Changes, Episode
from receiver.routing.routes import Route
from receiver.store.contract import Store, Transaction
from receiver.store.portions import HOLD

# The most episodes that are read at once.
AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the walk over the episodes: these of `which` (see the store) behind a number."""

    which: str = "of_statuses"
    after: int = 0


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk over episodes that are to follow the rules in force.

    `statuses` are those for which the rules may plan. `is_partial`: only they are looked at,
    because the rules have changed about no others.
    """

    rules: Rules
    statuses: tuple[str, ...]
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """Episodes, by source and execution, that have to follow rules at a time (nanoseconds).

    The transaction may take `hold` seconds.
    """

    executions: tuple[tuple[str, str], ...]
    rules: Rules
    now: int
    hold: float = HOLD


@dataclass(frozen=True, slots=True)
class Replanned:
    """The first `n` of the episodes follow the rules now: how many changed. It took `seconds`."""

    n: int
    changed: int
    seconds: float


def whole(rules: Rules) -> Walk:
    """Return the walk over all episodes."""
    return Walk(rules, _statuses(rules.routes))


def difference(before: Rules, after: Rules) -> Walk | None:
    """Return the walk over the episodes for which other rules plan something else; None: none."""
    if before.sources.keys() != after.sources.keys():
        return whole(after)
    old, new = _planning(before.routes), _planning(after.routes)
    if [route for route in old if route in new] != [route for route in new if route in old]:
        return whole(after)
    changed = [route for route in (*old, *new) if route not in old or route not in new]
    return Walk(after, _statuses(changed), is_partial=True) if changed else None


def _planning(routes: Sequence[Route]) -> list[Route]:
    """Return the routes that plan more than a notice or end the search, and of them what counts."""
    return [
        replace(
            route, title=None, body=None, line=0, quiet=None, urgent=False, resolved=False,
            acknowledged=False,
        )
        for route in routes
        if route.remind or route.escalate or route.stuck or route.stop
    ]  # fmt: skip


def look(
    store: Store, walk: Walk, place: Place, now: int
) -> tuple[tuple[tuple[str, str], ...], Place | None]:
    """Return the next executions of which something has to change, and the following place."""
    sources = tuple(walk.rules.sources)
    episodes, after = store.open_episodes(
        place.which, sources, walk.statuses, place.after, AT_ONCE, now
    )
    routes = walk.rules.routes
    due = tuple((e.source, e.execution_id) for e in episodes if changes(e, routes, now))
    if after is not None:
        return due, replace(place, after=after)
    is_end = walk.is_partial or place.which == "waited_for"
    return due, None if is_end else Place("waited_for")


def replan_in_parts(
    store: Store, due: Sequence[tuple[str, str]], rules: Rules, now: int, hold: float = HOLD
) -> Iterator[Replanned]:
    """Let episodes follow the rules, in transactions that hold the writer for so long (seconds)."""
    while due:
        done = store.write_now(replan, Due(tuple(due), rules, now, hold))
        due = due[done.n :]
        yield done


def replan(transaction: Transaction, items: Sequence[Due]) -> Sequence[Replanned]:
    """Let the episodes of each item follow its rules, as many as its time allows."""
    return [_replan_some(transaction, due) for due in items]


def _replan_some(transaction: Transaction, due: Due) -> Replanned:
    begun, seconds, n, changed = time.perf_counter(), 0.0, 0, 0
    for source, execution_id in due.executions:
        if n and seconds >= due.hold:
            break
        done = replan_one(transaction, source, execution_id, due.rules, due.now)
        n, changed = n + 1, changed + bool(done)
        seconds = time.perf_counter() - begun
    return Replanned(n, changed, seconds)


def replan_one(
    transaction: Transaction, source: str, execution_id: str, rules: Rules, now: int
) -> Changes:
    """Let the episode of one execution follow the rules, if it lasts."""
    episode = transaction.open_episode(source, execution_id, now)
    if episode is None or source not in rules.sources:
        return Changes()
    return _replan(transaction, episode, rules, now)


def replan_after(transaction: Transaction, claims: Iterable[Claim], rules: Rules, now: int) -> None:
    """Do the same for the episodes of these deliveries."""
    for claim in claims:
        if claim.version is not None and claim.facts.execution_id is not None:
            source, execution_id = claim.facts.source, claim.facts.execution_id
            replan_one(transaction, source, execution_id, rules, now)


def _replan(transaction: Transaction, episode: Episode, rules: Rules, now: int) -> Changes:
    found = changes(episode, rules.routes, now)
    if found:
        transaction.replan(episode, found, now)
    return found


def _statuses(routes: Sequence[Route]) -> tuple[str, ...]:
    """Return the statuses for which some of the routes may plan more than a notice."""
    found = set[str]()
    for route in routes:
        if route.stuck is not None:
            found.update(route.stuck.statuses)
        elif route.remind is not None or route.escalate or route.stop:
            found.update(route.statuses())
    return tuple(sorted(found))
