"""Histories by chance: legal walks in the published table, and anything at all."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.prove_order.model import EVERY, PASSING, SECOND, TABLE, TERMINAL, Said

HOUR = 3600 * SECOND
STATUSES = sorted(TABLE)
# The names under which a sender says that an execution runs.
RUNS = ("EXECUTION_STARTED", "EXECUTION_RESUMED")
STARTS = ["starting"] * 6 + ["running"] * 18 + sorted(TABLE)


def legal_walk(
    chance: random.Random, name: str, start: int, observes: frozenset[str]
) -> list[Said]:
    """A walk in the published table with distinct times; what is not observed is not sent."""
    status = chance.choice(STARTS)
    at = start
    walk: list[Said] = []
    for number in range(chance.choice((1, 2, 3, 4, 5, 5, 6, 7, 8))):
        assumed = status in ("paused", "paused_by_agent") and chance.random() < 0.3
        told = "paused" if assumed else status
        if told in observes:
            called = RUNS[number > 0] if status == "running" else ""
            walk.append(Said(f"{name}.{number}", name, told, at, assumed, called))
        onward = sorted(TABLE[status])
        if not onward:
            break
        lasting = [each for each in onward if each not in TERMINAL]
        status = chance.choice(lasting if lasting and chance.random() < 0.8 else onward)
        at += chance.choice((1, SECOND, SECOND, 7 * SECOND))
    return walk


def with_early_end(chance: random.Random, walk: Sequence[Said]) -> list[Said]:
    """The same, its end by another clock of the sender: older than what came before it."""
    *before, end = walk
    if not before or end.status not in TERMINAL:
        return list(walk)
    early = chance.choice((1, SECOND, 7 * SECOND, 240 * SECOND))
    return [*before, end._replace(at=max(said.moment for said in before) - early)]


def in_whole_seconds(walk: Sequence[Said], start: int, scale: int = 1) -> list[Said]:
    """The same as the provider writes its times: several changes fall into one second."""
    return [
        said._replace(at=start + (said.moment - start) // (scale * SECOND) * SECOND)
        for said in walk
    ]


def arrivals_of(chance: random.Random, walk: Sequence[Said]) -> list[Said]:
    """A history in any order with repeats, some under another event id."""
    sent = []
    for said in walk:
        sent.append(said)
        while chance.random() < 0.25:
            other = chance.random() < 0.5
            sent.append(said._replace(event_id=f"{said.event_id}r") if other else said)
    return shuffled(chance, sent)


def shuffled(chance: random.Random, sent: list[Said]) -> list[Said]:
    """In any order at all, or nearly in order."""
    spread = chance.choice((1, 2, 4, 100))
    places = {number: number + chance.random() * spread for number in range(len(sent))}
    return [sent[number] for number in sorted(places, key=places.__getitem__)]


def wild_events(chance: random.Random, name: str, start: int) -> list[Said]:
    """Anything at all about one execution or two, in the order of arrival."""
    form, extra = chance.random(), 0
    if form < 0.005:
        sent = flood(chance, name, start)
    elif form < 0.03:
        sent, extra = late_resume(chance, name, start), chance.choice((0, 0, 1))
    elif form < 0.12:
        sent, extra = chain(chance, name, start), chance.choice((0, 0, 1))
    elif form < 0.6:
        walk = legal_walk(chance, f"{name}.x", start, EVERY)
        walk = with_early_end(chance, walk) if chance.random() < 0.3 else walk
        sent = shuffled(chance, walk) if chance.random() < 0.5 else list(walk)
        # Some are missing, for a while or for ever; what others wait for more often.
        missing = [e for e in sent if chance.random() < (0.5 if e.status == "running" else 0.15)]
        sent = [said for said in sent if said not in missing]
        sent += [said for said in missing if chance.random() < 0.6]
        extra = chance.choice((0, 0, 1, 2))
    else:
        sent, extra = [], chance.randint(1, 8)
    for number in range(extra):
        at = start + chance.randrange(6) * SECOND
        called = chance.choice(("", *RUNS))
        any_one = Said(f"{name}.e{number}", f"{name}.x", chance.choice(STATUSES), at, name=called)
        sent.insert(chance.randint(0, len(sent)), any_one)
    if chance.random() < 0.3:
        sent = in_whole_seconds(sent, start, chance.choice((1, 2)))
    two = chance.random() < 0.1
    return [twisted(chance, said, f"{name}.y" if two and chance.random() < 0.5 else said.execution)
            for said in with_repeats(chance, sent)]  # fmt: skip


def chain(chance: random.Random, name: str, start: int) -> list[Said]:
    """Several that wait for the same one, and then also for each other; it may never come."""
    pauses = sorted(PASSING)
    statuses = [chance.choice(pauses), "running", "awaiting_confirmation"]
    statuses += chance.choices(pauses, k=chance.choice((0, 0, 1, 2)))
    statuses.append(chance.choice(("completed", "failed", "cancelled")))
    story = [
        Said(f"{name}.c{n}", f"{name}.x", status, start + n * SECOND)
        for n, status in enumerate(statuses)
    ]
    story = with_early_end(chance, story) if chance.random() < 0.3 else story
    first, missing, *waiting = story
    chance.shuffle(waiting)
    if chance.random() < 0.7:
        waiting.insert(chance.choice((len(waiting), chance.randint(0, len(waiting)))), missing)
    return [first, *waiting]


def late_resume(chance: random.Random, name: str, start: int) -> list[Said]:
    """An end that seems older than the pause before it, whose resume may come after its time."""
    story = [
        Said(f"{name}.l{n}", f"{name}.x", status, start + second * SECOND)
        for n, (status, second) in enumerate((
            (chance.choice(sorted(PASSING)), 6),
            (chance.choice(sorted(TERMINAL)), chance.choice((5, 5, 7))),
            ("running", chance.choice((4, 7, 8))),
        ))
    ]  # fmt: skip
    return story if chance.random() < 0.8 else story[:2]


def flood(chance: random.Random, name: str, start: int) -> list[Said]:
    """More events than may be held, and what they wait for somewhere after them."""
    first, middle = Said(f"{name}.a", f"{name}.x", "paused", start), chance.randint(0, 125)
    # More than is held, and sometimes far more: what was rejected can still be healed.
    size = chance.choice((chance.randint(105, 120), chance.randint(105, 120), 350))
    held = [
        Said(f"{name}.h{n}", f"{name}.x", chance.choice(("paused", "awaiting_confirmation")),
             start + (10 + n % 200) * SECOND + n) for n in range(size)
    ]  # fmt: skip
    chance.shuffle(held)
    missing = Said(f"{name}.m", f"{name}.x", "running", start + (5 + middle) * SECOND)
    return [first, *held, missing]


def with_repeats(chance: random.Random, sent: list[Said]) -> list[Said]:
    """Some come again, later: as they were, with another body, or under another event id."""
    for said in list(sent) if len(sent) < 50 else sent[:3]:
        form = chance.random()
        again = said
        if form < 0.08:
            status = chance.choice(STATUSES)
            again = said._replace(status=status, at=said.moment + SECOND, assumed=False)
        elif form < 0.16:
            again = said._replace(event_id=f"{said.event_id}r")
        elif form < 0.19:
            # The same status at the same time, and another change all the same.
            again = said._replace(event_id=f"{said.event_id}n", name=chance.choice(RUNS))
        elif form > 0.25:
            continue
        sent.insert(chance.randint(sent.index(said) + 1, len(sent)), again)
    return sent


def twisted(chance: random.Random, said: Said, execution: str) -> Said:
    """Sometimes it announces no status, an unknown one, or a pause of an assumed kind."""
    form = chance.random()
    said = said._replace(execution=execution)
    if said.status == "paused" and form < 0.4:
        return said._replace(assumed=True)
    if form > 0.98:
        return said._replace(unknown=True)
    if form > 0.94:
        name = chance.choice(("EXECUTION_ACTION_STARTED", "EXECUTION_DANCED"))
        return said._replace(status=None, name=name, at=chance.choice((None, said.at)))
    return said


def skewed(chance: random.Random, said: Said, now: int) -> Said:
    """Sometimes its clock is far off, or at one of the limits to the nanosecond."""
    if said.at is None or chance.random() > 0.05:
        return said
    limit = chance.choice((5 * 60 * SECOND, -5 * 60 * SECOND, -14 * 24 * HOUR))
    return said._replace(at=now + limit + chance.choice((-1, 0, 1, HOUR, -HOUR)))
