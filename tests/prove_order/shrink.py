"""Smaller plans that still disagree, and how a plan is told to people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from tests.prove_order.model import EVERY, SECOND
from tests.prove_order.plans import DESTINATIONS, START, Plan, history
from tests.prove_order.trial import run


def smallest(plan: Plan, wrong: dict[str, str], tries: int = 300) -> tuple[Plan, str]:
    """Return a smaller plan that still disagrees, and how."""
    plan, why = fewest_histories(plan, wrong)
    shrinking = True
    while shrinking and tries > 0:
        shrinking = False
        for smaller in filter(is_whole, pieces(plan)):
            tries -= 1
            if found := disagreement(smaller):
                plan, why, shrinking = smaller, found, True
                break
            if tries <= 0:
                break
    return plan, why


def disagreement(plan: Plan) -> str:
    """Carry a plan out and return its first disagreement, or nothing."""
    return next(iter(run(plan).values()), "") if plan.ops and plan.names else ""


def fewest_histories(plan: Plan, wrong: dict[str, str]) -> tuple[Plan, str]:
    """Return a plan with one history that still disagrees; with several, if it takes several."""
    sizes = Counter(history(said.execution) for op in plan.ops for _, said in op.batch)
    for name in sorted(wrong, key=lambda name: sizes[name])[:10]:
        if alone := disagreement(plan.only({name})):
            return plan.only({name}), alone
    # Halve them as long as one half still shows it.
    why, names = next(iter(wrong.values())), plan.names
    while len(names) > 1:
        half = len(names) // 2
        for part in (names[:half], names[half:]):
            if found := disagreement(plan.only(set(part))):
                plan, why, names = plan.only(set(part)), found, part
                break
        else:
            break
    return plan, why


def is_whole(plan: Plan) -> bool:
    """Whether all of its legal histories arrive: only then is anything promised about them."""
    arrive = {said.event_id for op in plan.ops for _, said in op.batch}
    drained = {op.destination for op in plan.ops[-len(DESTINATIONS) :]} == set(DESTINATIONS)
    return not plan.walks or (
        drained and all(said.event_id in arrive for walk in plan.walks.values() for said in walk)
    )


def pieces(plan: Plan) -> Iterator[Plan]:
    """The same without one operation, or without some events of one, the most first."""
    for place, op in enumerate(plan.ops):
        before, after = plan.ops[:place], plan.ops[place + 1 :]
        yield replace(plan, ops=before + after)
        width = len(op.batch) // 2
        while width:
            for index in range(0, len(op.batch), width):
                less = replace(op, batch=op.batch[:index] + op.batch[index + width :])
                yield replace(plan, ops=(*before, less, *after))
            width //= 2


def told(plan: Plan, why: str) -> str:
    """A plan for people: what was done, in seconds since its start, and what differs."""
    sources = {source for op in plan.ops for source, _ in op.batch}
    lines = [
        f"source {s}: gaps {r.gaps}, gap_timeout {r.gap_timeout // SECOND}s, observes "
        + ("all" if r.observes == EVERY else ", ".join(sorted(r.observes)))
        for s, r in plan.rules.items()
        if s in sources
    ]
    for op in plan.ops:
        lines.append(f"{seconds(op.now)}  {op.kind} {op.destination} {'slow' if op.slow else ''}")
        for source, said in op.batch:
            marks = [mark for mark in ("assumed", "unknown") if getattr(said, mark)]
            lines.append(
                f"    {source}/{said.execution} id {said.event_id}: {said.status} {said.name}"
                f" at {seconds(said.at)} {' '.join(marks)}"
            )
    return "\n".join([*lines, why])


def seconds(at: int | None) -> str:
    """Seconds since the start, to the nanosecond."""
    return "no time" if at is None else f"{(at - START) // SECOND:+d}.{(at - START) % SECOND:09d}s"
