"""Plans: what happens to one database, in which order and when.

A plan is a list of operations over many histories, made by chance from a seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from receiver.events import Status
from receiver.lifecycle import Ordering
from tests.prove_order.histories import (
    HOUR,
    STATUSES,
    arrivals_of,
    in_whole_seconds,
    legal_walk,
    skewed,
    wild_events,
    with_early_end,
)
from tests.prove_order.model import EVERY, SECOND, Said

START = 1_800_000_000 * SECOND
DESTINATIONS = ("ops", "audit")


class Rules(NamedTuple):
    """How a source is judged."""

    observes: frozenset[str] = EVERY
    gaps: str = "reject"
    gap_timeout: int = 30 * SECOND

    def ordering(self) -> Ordering:
        """The same in the receiver's words."""
        observes = None if self.observes == EVERY else frozenset(map(Status, self.observes))
        return Ordering(observes, self.gaps, self.gap_timeout)


Sent = tuple[str, Said]  # a source and what it says


@dataclass(frozen=True)
class Op:
    """Something that happens at `now`: receive a batch, tick, drain or restart.

    A drain takes `most` messages for a destination; with `slow` their results are written down
    only before the next drain.
    """

    kind: str
    now: int
    batch: tuple[Sent, ...] = ()
    destination: str = ""
    most: int = 1_000_000
    slow: bool = False


@dataclass(frozen=True)
class Plan:
    """What happens to one database. `walks` are the legal histories in it, by their names."""

    rules: dict[str, Rules]
    ops: tuple[Op, ...]
    walks: dict[str, list[Said]] = field(default_factory=dict)

    def only(self, names: set[str]) -> Plan:
        """The same with these histories alone."""
        ops = []
        for op in self.ops:
            batch = tuple(sent for sent in op.batch if history(sent[1].execution) in names)
            if batch or op.kind != "receive":
                ops.append(replace(op, batch=batch))
        return Plan(self.rules, tuple(ops), {n: w for n, w in self.walks.items() if n in names})

    @property
    def names(self) -> list[str]:
        """Its histories."""
        return sorted({history(said.execution) for op in self.ops for _, said in op.batch})


def history(execution: str) -> str:
    """The name of the history that an execution belongs to; some have two executions."""
    return execution.partition(".")[0]


def legal_plan(chance: random.Random, count: int) -> Plan:
    """Legal histories that arrive within 25 seconds, by one clock or with an end by another."""
    rules = {"s": Rules(), "a": Rules(gaps="apply"), "f": Rules(any_of(chance))}
    walks: dict[str, list[Said]] = {}
    sent: list[tuple[float, Sent]] = []
    moments = [START + second * SECOND for second in range(1, 26, 3)]
    for number in range(count):
        source = chance.choice("ssssaf")
        start = START - chance.choice((0, 60, 600, 86_400)) * SECOND
        if walk := legal_walk(chance, f"{number}", start, rules[source].observes):
            walk, arrivals = told_of(chance, walk, start)
            walks[f"{number}"] = walk
            sent += spread(chance, [(source, said) for said in arrivals], len(moments))
    return Plan(rules, tuple(scheduled(chance, sent, moments, restarts=0.1)), walks)


def told_of(chance: random.Random, walk: list[Said], start: int) -> tuple[list[Said], list[Said]]:
    """A legal history as its sender writes its times, and the order in which it arrives."""
    form = chance.random()
    if form < 0.15:
        walk = with_early_end(chance, walk)
    elif form < 0.3:
        whole = in_whole_seconds(walk, start)
        # Two equal changes within a second cannot be told from one that is sent twice.
        if len({(said.name, said.status, said.at) for said in whole}) == len(whole):
            return whole, whole  # in order: nothing else tells what came first in a second
    return walk, arrivals_of(chance, walk)


def wild_plan(chance: random.Random, count: int) -> Plan:
    """Histories of all kinds over some minutes, with time-outs and restarts between."""
    rules = {
        "s": Rules(),
        "a": Rules(gaps="apply"),
        "f": Rules(any_of(chance)),
        "g": Rules(any_of(chance), "apply", 5 * SECOND),
        "h": Rules(any_of(chance), gap_timeout=5 * SECOND),
    }
    moments, now = [], START + 10 * SECOND
    for _ in range(10):
        moments.append(now)
        # Multiples of five meet the ends of both time-outs to the nanosecond.
        now += chance.choice((0, 1, 5, 5, 25, 30)) * SECOND
    sent: list[tuple[float, Sent]] = []
    for number in range(count):
        source = chance.choice("ssaafgh")
        start = START - chance.choice((0, 0, 0, 600)) * SECOND
        events = wild_events(chance, f"{number}", start)
        placed = spread(chance, [(source, said) for said in events], len(moments))
        sent += [
            (when, (s, skewed(chance, said, moments[int(when)]))) for when, (s, said) in placed
        ]
    return Plan(rules, tuple(scheduled(chance, sent, moments, restarts=0.15)))


def any_of(chance: random.Random) -> frozenset[str]:
    """Some statuses, at least one."""
    return frozenset(chance.sample(STATUSES, chance.randint(1, len(STATUSES) - 1)))


def spread(chance: random.Random, sent: list[Sent], moments: int) -> list[tuple[float, Sent]]:
    """When each comes, in units of moments: within a few of them, or over all."""
    widths = (1, moments) if len(sent) > 50 else (1, 1, 2, 3, moments, moments, moments)
    width = chance.choice(widths)
    shift = chance.randrange(moments - width + 1)
    whens = sorted(shift + chance.random() * width for _ in sent)
    return list(zip(whens, sent, strict=True))


def scheduled(
    chance: random.Random, sent: list[tuple[float, Sent]], moments: list[int], restarts: float
) -> Iterator[Op]:
    """Batches of any size at their moments; ticks, drains and restarts between them."""
    sent = sorted(sent, key=lambda each: each[0])
    for number, now in enumerate(moments):
        if chance.random() < 0.7:
            yield Op("tick", now - chance.choice((0, 1)))
        waits = [each for when, each in sent if int(when) == number]
        while waits:
            size = chance.choice((1, 8, 256, 256, len(waits)))
            yield Op("receive", now, tuple(waits[:size]))
            waits = waits[size:]
            if chance.random() < 0.3:
                most = chance.choice((1, 20, 1_000_000))
                yield Op("drain", now, (), chance.choice(DESTINATIONS), most, chance.random() < 0.3)
        if chance.random() < restarts:
            yield Op("restart", now)
    if chance.random() < 0.8:
        yield Op("tick", moments[-1] + HOUR)
    for destination in DESTINATIONS:
        yield Op("drain", moments[-1] + HOUR, (), destination)
