"""Waits: the reason why a delivery is not sent yet, in words, and until when.

The reasons are those of a claim (see `store/sql/claims`), and so is their order. The rules know
more than the store: quiet hours that have not put it off yet, the rate. Without them the rest is
told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from receiver.config.rules import Rules
from receiver.deliveries import Kind, State
from receiver.dispatch.turn import policy_at
from receiver.routing.policy import SendPolicy, tokens_left
from receiver.store.records import KeptBy, Obstacles
from receiver.times import SECOND


@dataclass(frozen=True, slots=True)
class Wait:
    """The reason for a wait, and its end (nanoseconds; None: nobody knows it).

    `is_moment`: something happens at the end (“next try in 40 s”); else the reason lasts until then
    (“quiet hours until 07:00”). `is_planned`: it is not due yet, and may never be.
    """

    words: str
    until: int | None = None
    is_moment: bool = False
    is_planned: bool = False


def waits(
    deliveries: Iterable[Mapping[str, Any]], rules: Rules | None, now: int
) -> dict[int, Wait]:
    """Return the wait of each waiting delivery, by its number.

    `deliveries` are views of the store, `now` is nanoseconds.
    """
    policies: dict[str, SendPolicy | None] = {}
    found = {}
    for delivery in deliveries:
        if delivery["state"] != State.WAITING:
            continue
        name = delivery["destination"]
        if rules is not None and name not in policies:
            destination = rules.destinations.get(name)
            policies[name] = None if destination is None else policy_at(destination, rules, now)
        if rules is not None and policies[name] is None:
            found[delivery["id"]] = Wait(f"no destination {name} in routes.yaml")
        else:
            found[delivery["id"]] = _wait(delivery, policies.get(name), now)
    return found


def _wait(delivery: Mapping[str, Any], policy: SendPolicy | None, now: int) -> Wait:
    obstacles: Obstacles = delivery["obstacles"]
    if obstacles.behind is not None:
        return Wait(f"behind delivery {obstacles.behind}")
    if obstacles.due_at > now:
        return _not_due(delivery, obstacles)
    name = delivery["destination"]
    if obstacles.paused_until > now:
        return Wait(f"{name} is paused", obstacles.paused_until)
    return _by_policy(delivery, obstacles, policy, now) or Wait("due: it goes out next")


def _not_due(delivery: Mapping[str, Any], obstacles: Obstacles) -> Wait:
    """Describe the wait of a delivery that is due later."""
    name, kind, due_at = delivery["destination"], delivery["kind"], obstacles.due_at
    if obstacles.kept_by is KeptBy.QUIET:
        return Wait("quiet hours", due_at)
    if obstacles.paused_until > due_at:
        return Wait(f"{name} is paused", obstacles.paused_until)
    if obstacles.kept_by is KeptBy.RETRY:
        return Wait(f"{name} fails, next try", due_at, is_moment=True)
    if obstacles.kept_by in (KeptBy.GATHERS, KeptBy.GROUP):
        return Wait("gathers", due_at)
    if kind == Kind.REMINDER:
        return Wait(f"reminder {delivery['step']}", due_at, is_moment=True, is_planned=True)
    if kind == Kind.ESCALATION:
        return Wait("planned: escalation", due_at, is_moment=True, is_planned=True)
    if obstacles.is_if_stuck:
        return Wait("planned: if nothing is heard of it", due_at, is_planned=True)
    return Wait("put off", due_at)


def _by_policy(
    delivery: Mapping[str, Any], obstacles: Obstacles, policy: SendPolicy | None, now: int
) -> Wait | None:
    """Describe the wait of a due delivery by its destination's policy; None if there is none."""
    if policy is None:
        return None
    quiet_until = policy.options_for(delivery["route"]).quiet_until
    if quiet_until is not None:
        return Wait("quiet hours", quiet_until)
    if obstacles.tokens is None:
        return None
    passed = (now - obstacles.counted_at) / SECOND
    lacking = 1 - tokens_left(obstacles.tokens, passed, policy.rate)
    if lacking <= 0:
        return None
    return Wait(f"rate of {delivery['destination']}", now + int(lacking / policy.rate * SECOND))
