"""Replanning: lets what waits about episodes follow the rules in force; see routing.episodes.

It is done after a start and after a reload for all episodes that last, some at a time, and for one
episode when a message about it was sent or died by rules that have changed since it was claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from receiver.config.rules import Rules
from receiver.deliveries import Claim
from receiver.routing.episodes import changes
from receiver.routing.planned import Changes, Episode
from receiver.store.contract import Transaction

# The most episodes in one transaction: it blocks every commit.
AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Part:
    """The episodes behind a place, by the rules in force at a time (nanoseconds)."""

    rules: Rules
    now: int
    after: int = 0


@dataclass(frozen=True, slots=True)
class Replanned:
    """The number of episodes that changed, the destinations with more, and the next place."""

    changed: int
    destinations: frozenset[str]
    after: int | None


def replan(transaction: Transaction, parts: Sequence[Part]) -> Sequence[Replanned]:
    """Let the episodes of each part follow its rules."""
    return [_replan_part(transaction, part) for part in parts]


def replan_one(
    transaction: Transaction, source: str, execution_id: str, rules: Rules, now: int
) -> Changes:
    """Do the same for the episode of one execution, if it lasts."""
    episode = transaction.open_episode(source, execution_id, now)
    if episode is None or source not in rules.sources:
        return Changes()
    return _replan(transaction, episode, rules, now)


def replan_after(
    transaction: Transaction, claims: Iterable[Claim], rules: Rules, now: int
) -> list[str]:
    """Do the same for the episodes of these deliveries; return the destinations with more."""
    destinations = list[str]()
    for claim in claims:
        if claim.version is not None and claim.facts.execution_id is not None:
            source, execution_id = claim.facts.source, claim.facts.execution_id
            changed = replan_one(transaction, source, execution_id, rules, now)
            destinations += _destinations(changed)
    return destinations


def _replan_part(transaction: Transaction, part: Part) -> Replanned:
    rules = part.rules
    episodes, following = transaction.open_episodes(
        tuple(rules.sources), _statuses(rules), part.after, AT_ONCE, part.now
    )
    done = [_replan(transaction, episode, rules, part.now) for episode in episodes]
    destinations = frozenset(name for each in done for name in _destinations(each))
    return Replanned(sum(map(bool, done)), destinations, following)


def _replan(transaction: Transaction, episode: Episode, rules: Rules, now: int) -> Changes:
    found = changes(episode, rules.routes, now)
    if found:
        transaction.replan(episode, found, now)
    return found


def _destinations(changed: Changes) -> set[str]:
    plans = (*changed.added, *(plan for _, plan in changed.moved))
    return {plan.destination for plan in plans}


def _statuses(rules: Rules) -> tuple[str, ...]:
    """Return the statuses for which some route may plan more than a notice."""
    found = set[str]()
    for route in rules.routes:
        if route.stuck is not None:
            found.update(route.stuck.statuses)
        elif route.remind is not None or route.escalate:
            found.update(route.statuses())
    return tuple(sorted(found))
