"""Words for the rules in force: what a route asks for and does, as sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from receiver.config.rules import Rules
from receiver.times import span
from receiver.web.pages.words import counted, plain


@dataclass(frozen=True, slots=True)
class Described:
    """A route in words: the conditions, all of which must hold, and what it does besides."""

    conditions: tuple[str, ...]
    more: tuple[str, ...]


def describe(route: Any) -> Described:
    """Describe a route of the rules."""
    conditions = tuple(
        f"{each.name} is {_patterns(each.name, each.patterns)}".replace(" is !", " is not ")
        for each in route.conditions
    )
    return Described(conditions or ("everything that counts",), tuple(_more(route)))


def _patterns(name: str, patterns: Sequence[str]) -> str:
    text = " or ".join(patterns)
    return plain(text) if name == "status" else text


def quiet_hours(destination: str, rules: Rules) -> tuple[str, ...]:
    """Say when a destination is not told, and what its routes change about that."""
    own = rules.destinations[destination].quiet
    return ((f"quiet hours: {own}",) if own else ()) + tuple(
        f"by route {route.name}{' also' if own else ''} quiet: {route.quiet}"
        if route.quiet is not None
        else f"route {route.name} passes through them"
        for route in rules.routes
        if destination in {*route.notify, *(to for each in route.escalate for to in each.notify)}
        and (route.quiet is not None or (own and route.urgent))
    )


def _more(route: Any) -> Iterator[str]:
    if route.stuck is not None:
        statuses = " or ".join(route.stuck.statuses)
        yield f"once nothing was heard of it for {span(route.stuck.after)} while {plain(statuses)}"
    if route.remind is not None:
        limit = f", at most {counted(route.remind.at_most, 'time')}" if route.remind.at_most else ""
        yield f"reminds every {span(route.remind.every)} while it stays so{limit}"
    for each in route.escalate:
        yield f"tells {', '.join(each.notify)}, too, if it is still so after {span(each.after)}"
    if route.group is not None:
        yield f"gathers those that agree in {', '.join(route.group.by)} into one message"
    if route.quiet is not None:
        yield f"quiet hours: {route.quiet}"
    if route.urgent:
        yield "passes through quiet hours"
    if route.acknowledged:
        yield "says who takes it"
    if route.resolved:
        yield "says when it is over"
    if route.stop:
        yield "the routes below are not asked"
