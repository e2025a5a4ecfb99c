"""Every order of every short history, with every single repeat: receiver and model agree."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, fields
from typing import Any

import pytest

from receiver.intake.receive import Intake, VerifiedWebhook
from receiver.store.records import Loaded
from tests.prove_order.bench import ROUTES, event
from tests.prove_order.model import PASSING, TABLE, TERMINAL, Model, Said
from tests.prove_order.plans import START


def walks(length: int, start: str) -> Iterator[list[str]]:
    """Every legal history of so many events."""
    if length == 1:
        yield [start]
        return
    for after in sorted(TABLE[start]):
        for rest in walks(length - 1, after):
            yield [start, *rest]


def orders(length: int) -> Iterator[tuple[int, ...]]:
    """Every order of arrival, alone and with each event once more at every later place."""
    for order in itertools.permutations(range(length)):
        yield order
        for place in range(length):
            for later in range(place + 1, length + 1):
                yield (*order[:later], order[place], *order[later:])


@dataclass(frozen=True, slots=True)
class Reached:
    """Where the receiver stands after some arrivals, and what it said on the way."""

    loaded: Loaded
    steps: tuple[Any, ...] = ()
    ends: int = 0
    versions: tuple[int, ...] = ()


class Arrivals:
    """The orders of one history; what several of them begin with is judged once."""

    def __init__(self, act: Intake, said: Sequence[Said]) -> None:
        self._act = act
        self._webhooks = [VerifiedWebhook("s", event("s", each), b"", START) for each in said]
        self._reached: dict[tuple[int, ...], Reached] = {(): Reached(Loaded.empty())}

    def after(self, order: tuple[int, ...]) -> Reached:
        """Judge the events of these numbers, one after the other."""
        if order not in self._reached:
            self._reached[order] = self._next(self.after(order[:-1]), order[-1])
        return self._reached[order]

    def _next(self, before: Reached, number: int) -> Reached:
        loaded, ends = copied(before.loaded), before.ends
        steps, versions = list(before.steps), list(before.versions)
        for entry in self._act.judge_all([self._webhooks[number]], loaded)[0]:
            assert entry.event is not None
            steps.append((entry.event.event_id, entry.judgement.verdict, entry.judgement.reason))
            if entry.after is not None:
                versions.append(entry.after.version)
                ends += entry.after.status in TERMINAL
                guards = {owed.guard_version for owed in entry.owed}
                asks = entry.after.status in PASSING
                assert guards == {entry.after.version if asks else None}, steps
        steps.append(loaded.executions["s", "x"].status)
        return Reached(loaded, tuple(steps), ends, tuple(versions))


def copied(loaded: Loaded) -> Loaded:
    """What is known, so that judging more leaves it as it is."""
    held = {key: list(waiting) for key, waiting in loaded.held.items()}
    others = {f.name: copy(getattr(loaded, f.name)) for f in fields(loaded) if f.name != "held"}
    return Loaded(held=held, **others)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_every_order_of_a_short_legal_history_ends_the_same(length: int) -> None:
    """All of up to five events that begin in `starting` or `running`, with every single repeat."""
    act = Intake(ROUTES)
    for walk in (walk for start in ("starting", "running") for walk in walks(length, start)):
        said = [Said(f"{n}", "x", status, START + n) for n, status in enumerate(walk)]
        arrivals = Arrivals(act, said)
        for order in orders(length):
            assert story(arrivals, order, walk) == told([said[n] for n in order]), [walk, order]


def story(arrivals: Arrivals, order: tuple[int, ...], walk: Sequence[str]) -> list[Any]:
    """What the receiver makes of it, after what must hold of any legal history."""
    reached = arrivals.after(order)
    steps, last = list(reached.steps), walk[-1]
    verdicts = {s[0]: s[1] for s in steps if isinstance(s, tuple) and s[2] != "event_id"}
    assert steps[-1] == last, steps
    assert not {"held", "rejected"} & set(verdicts.values()), steps
    # Told of once: each end was applied once, and each version was reached once.
    assert reached.ends == (last in TERMINAL), steps
    assert reached.versions == tuple(range(1, len(reached.versions) + 1)), steps
    return steps


def told(arriving: Sequence[Said]) -> list[Any]:
    """What the model makes of it, in the same words."""
    model = Model()
    steps: list[Any] = []
    for said in arriving:
        heard = {id(stored): len(stored.steps) for stored in model.events["x"]}
        steps.append((said.event_id, *model.receive(said, START)))
        again = [s for s in model.events["x"] if 0 < heard.get(id(s), 0) < len(s.steps)]
        again.sort(key=lambda s: s.said.at or 0)
        steps += [(stored.said.event_id, *stored.steps[-1]) for stored in again]
        steps.append(model.executions["x"].status)
    return steps
