"""Differences: how what waits about an episode differs from what is planned for it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

from receiver.deliveries import Kind
from receiver.routing.escalations import aligned
from receiver.routing.planned import Changes, Plan, Told


def compared(stored: Sequence[Told], plans: Sequence[Plan]) -> Changes:
    """Return how the stored messages about an episode differ from what is planned."""
    waiting = {each.number: each.why_ended for each in stored if each.is_plan}
    added, moved = [], []
    for plan, found in _paired(stored, plans):
        if found is None:
            added.append(plan)
            continue
        waiting.pop(found.number, None)
        # The claim puts off what is due only if nothing was heard.
        is_later = plan.is_if_silent and plan.planned_at >= found.planned_at
        is_same = found.planned_at == plan.planned_at or is_later or plan.is_vague
        has_its_group = found.is_in_quiet_hours or found.group_key == plan.group_key
        if found.is_ended_plan or (found.is_plan and not is_same):
            moved.append((found.number, plan))
        elif found.is_plan and not has_its_group:
            moved.append((found.number, replace(plan, planned_at=found.planned_at)))
    return Changes(tuple(added), tuple(moved), tuple(waiting.items()))


def _paired(stored: Sequence[Told], plans: Sequence[Plan]) -> Iterator[tuple[Plan, Told | None]]:
    """Yield each plan with the stored delivery that it is; None: it is new."""
    by_key = {each.key: each for each in stored}
    later = dict[tuple[str, str], list[Plan]]()
    for plan in plans:
        if plan.kind is Kind.ESCALATION:
            later.setdefault((plan.route, plan.destination), []).append(plan)
        else:
            yield plan, by_key.get(plan.key)
    escalated = [each for each in stored if each.kind is Kind.ESCALATION]
    for (route, destination), those in later.items():
        to_it = [each for each in escalated if each.destination == destination]
        own = [each for each in to_it if each.route == route]
        others = {each.planned_at: each for each in to_it if each.route != route and each.is_done}
        yield from _with_new_keys(_known(those, own, others), by_key)


def _known(
    plans: Sequence[Plan], own: Sequence[Told], others: Mapping[int, Told]
) -> Iterator[tuple[Plan, Told | None]]:
    """Yield each escalation to a destination with the one that it is.

    Another route may have told of it at that time, which the lists of both named. One that no rule
    asked for in between comes back at its own time only.
    """
    ended = {each.planned_at: each for each in own if each.is_ended_plan}
    for plan, found in aligned(plans, [each for each in own if not each.is_ended_plan]):
        yield plan, found or others.get(plan.planned_at) or ended.get(plan.planned_at)


def _with_new_keys(
    pairs: Iterator[tuple[Plan, Told | None]], taken: Mapping[str, Told]
) -> Iterator[tuple[Plan, Told | None]]:
    """Yield the pairs; a new plan gets a key that no stored delivery has."""
    used = set(taken)
    for plan, found in pairs:
        if found is not None:
            yield plan, found
            continue
        prefix, _, number = plan.key.rpartition("/")
        key = next(k for n in count(int(number)) if (k := f"{prefix}/{n}") not in used)
        used.add(key)
        yield replace(plan, key=key), None
