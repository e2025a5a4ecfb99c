"""Every order of every short history, with every single repeat: receiver and model agree."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from receiver.intake.receive import Intake, VerifiedWebhook
from receiver.store.contract import Loaded
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


def judged(act: Intake, said: Sequence[Said]) -> Iterator[tuple[Any, Loaded]]:
    """The receiver's entries for what arrives, one after the other, and what it knows then."""
    loaded = Loaded.empty()
    for each in said:
        arrival = VerifiedWebhook("s", event("s", each), b"", START)
        yield act.judge_all([arrival], loaded)[0], loaded


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_every_order_of_a_short_legal_history_ends_the_same(length: int) -> None:
    """All of up to five events that begin in `starting` or `running`, with every single repeat."""
    act = Intake(ROUTES)
    for walk in (walk for start in ("starting", "running") for walk in walks(length, start)):
        said = [Said(f"{n}", "x", status, START + n) for n, status in enumerate(walk)]
        for order in orders(length):
            arriving = [said[number] for number in order]
            assert story(act, arriving) == told(arriving), [walk, order]


def story(act: Intake, arriving: Sequence[Said]) -> list[Any]:
    """What the receiver makes of it, after what must hold of any legal history."""
    steps: list[Any] = []
    ends = 0
    versions: list[int] = []
    for entries, loaded in judged(act, arriving):
        stands = loaded.executions["s", "x"]
        for entry in entries:
            steps.append((entry.event.event_id, entry.judgement.verdict, entry.judgement.reason))
            if entry.after is not None:
                versions.append(entry.after.version)
                ends += entry.after.status in TERMINAL
                guards = {owed.guard_version for owed in entry.owed}
                asks = entry.after.status in PASSING
                assert guards == {entry.after.version if asks else None}, steps
        steps.append(stands.status)
    last = max(arriving, key=lambda said: said.at or 0).status
    verdicts = {s[0]: s[1] for s in steps if isinstance(s, tuple) and s[2] != "event_id"}
    assert stands.status == last, steps
    assert not {"held", "rejected"} & set(verdicts.values()), steps
    # Told of once: each end was applied once, and each version was reached once.
    assert ends == (last in TERMINAL), steps
    assert versions == list(range(1, len(versions) + 1)), steps
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
