"""Which routes of routes.yaml apply to an event, and why the others do not.

A value is a glob (case counts), a list is any-of, `!` negates: of a list, no `!` may fit and, if
there are others, one of them must. Something an event does not say fits negations only. Several
conditions are all-of. Without a `verdict` condition a route is about applied events, one with
`dead_letter` is about deliveries that died, at the destinations it names, and one with `stuck` is
about executions of which nothing is heard any more.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from receiver.deliveries import RouteOptions
from receiver.events import Category, Status, Verdict
from receiver.routing.quiet_hours import QuietHours, until

CONDITIONS = (
    "source", "status", "category", "agent", "event", "outcome", "reason", "verdict",
    "dead_letter", "metadata",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Subject:
    """What conditions look at. `reason` and `outcome` are the provider's words.

    `dead_letter` is the destination at which a delivery about the event died.
    """

    source: str
    verdict: Verdict
    status: Status | None = None
    agent_id: str | None = None
    agent_name: str | None = None
    event: str | None = None
    outcome: str | None = None
    reason: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    dead_letter: str | None = None

    def values(self, condition: str) -> list[str]:
        """What the event says to a condition; several for an agent (id, name) or a list."""
        if condition.startswith("metadata."):
            return _texts(self.metadata.get(condition.removeprefix("metadata.")))
        said: tuple[str | None, ...] = {
            "source": (self.source,),
            "verdict": (self.verdict.value,),
            "status": (self.status.value if self.status else None,),
            "category": (self.status.category.value if self.status else None,),
            "agent": (self.agent_id, self.agent_name),
            "event": (self.event,),
            "outcome": (self.outcome,),
            "reason": (self.reason,),
            "dead_letter": (self.dead_letter,),
        }[condition]
        return [value for value in said if value is not None]


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of `match`: its name (or `metadata.KEY`) and the patterns it wants."""

    name: str
    patterns: tuple[str, ...]

    def why_not(self, subject: Subject) -> str:
        """Empty if it holds, else a clause for people."""
        values = subject.values(self.name)
        unwanted = [p[1:] for p in self.patterns if p.startswith("!")]
        wanted = [p for p in self.patterns if not p.startswith("!")]
        if not _fit(unwanted, values) and (not wanted or _fit(wanted, values)):
            return ""
        said = " / ".join(values) or "not said"
        return f"{self.name} is {said}, not {', '.join(self.patterns)}"


@dataclass(frozen=True, slots=True)
class Reminders:
    """A reminder each `every` nanoseconds, at most `at_most` of them (None: no limit)."""

    every: int
    at_most: int | None = None


@dataclass(frozen=True, slots=True)
class Escalation:
    """Whom to tell, too, if the execution still stands there `after` so many nanoseconds."""

    after: int
    notify: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Messages that go out as one: those that agree in what is named in `by`.

    They gather for `wait`, and there is one digest each `every` at most (nanoseconds).
    """

    by: tuple[str, ...]
    wait: int
    every: int


@dataclass(frozen=True, slots=True)
class Stuck:
    """Executions that stand in one of the statuses and were not heard of for `after` (ns)."""

    statuses: tuple[Status, ...]
    after: int


@dataclass(frozen=True, slots=True)
class Route:
    """A rule of routes.yaml. `line` is where it stands there; `stop` ends the search after it.

    `resolved` and `acknowledged`: who was told is told how it ends, and who takes it. `urgent`
    passes through quiet hours.
    """

    name: str
    conditions: tuple[Condition, ...]
    notify: tuple[str, ...]
    title: str | None = None
    body: str | None = None
    stop: bool = False
    line: int = 0
    remind: Reminders | None = None
    escalate: tuple[Escalation, ...] = ()
    resolved: bool = False
    acknowledged: bool = False
    group: Group | None = None
    quiet: QuietHours | None = None
    urgent: bool = False
    stuck: Stuck | None = None

    def why_not(self, subject: Subject) -> str:
        """Empty if the route applies to an event or a dead letter, else the first reason."""
        return "it is about executions that are stuck" if self.stuck else self.unmet(subject)

    def unmet(self, subject: Subject) -> str:
        """Empty if its conditions hold, else the first that does not."""
        if self.is_about_dead_letters != (subject.dead_letter is not None):
            return (
                "it is about dead letters" if self.is_about_dead_letters else "it is about events"
            )
        if (
            subject.verdict is not Verdict.APPLIED
            and not self.is_about_verdicts
            and not self.is_about_dead_letters
        ):
            return f"verdict is {subject.verdict}, not applied"
        for condition in self.conditions:
            if why_not := condition.why_not(subject):
                return why_not
        return ""

    def statuses(self) -> tuple[Status, ...]:
        """The statuses in which an execution can stay and that its conditions let through."""
        asked = [c for c in self.conditions if c.name in ("status", "category")]
        return tuple(
            status
            for status in Status
            if status.category is not Category.TERMINAL
            and not any(c.why_not(Subject("", Verdict.APPLIED, status)) for c in asked)
        )

    @property
    def is_about_verdicts(self) -> bool:
        """Whether it says itself which verdicts it is about."""
        return any(condition.name == "verdict" for condition in self.conditions)

    @property
    def is_about_dead_letters(self) -> bool:
        """Whether it tells of deliveries that died."""
        return any(condition.name == "dead_letter" for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a route applies (`why_not` is empty) and whom it tells that nobody told before."""

    route: Route
    why_not: str
    destinations: tuple[str, ...] = ()


def decide(routes: Sequence[Route], subject: Subject) -> list[Decision]:
    """One decision per route, in order. A destination is told by the first route that names it."""
    decisions: list[Decision] = []
    told: set[str] = set()
    stopped_by = ""
    for route in routes:
        if stopped_by:
            decisions.append(Decision(route, f"route {stopped_by!r} above it stops"))
            continue
        if why_not := route.why_not(subject):
            decisions.append(Decision(route, why_not))
            continue
        decisions.append(Decision(route, "", tuple(n for n in route.notify if n not in told)))
        told.update(route.notify)
        stopped_by = route.name if route.stop else ""
    return decisions


def shortlist(
    routes: Sequence[Route], source: str, verdict: Verdict, status: Status | None
) -> tuple[Route, ...]:
    """The routes that these three do not rule out by themselves.

    They are few words, so this can be found out once; the rest is asked of each event.
    """
    told = Subject(source, verdict, status)

    def is_open(route: Route) -> bool:
        alone = tuple(condition for condition in route.conditions if condition.name in _ALONE)
        return not replace(route, conditions=alone).why_not(told)

    return tuple(filter(is_open, routes))


_ALONE = frozenset({"source", "verdict", "status", "category"})


def route_options(
    routes: Sequence[Route], destination: QuietHours | None, instant: int
) -> tuple[dict[str, RouteOptions], RouteOptions]:
    """How the messages of each route go out to a destination at an instant (nanoseconds).

    The second is that of messages whose route is not there any more.
    """
    other = RouteOptions(quiet_until=until((destination,) if destination else (), instant))
    found = {}
    for route in routes:
        quiet_until = None if route.urgent else other.quiet_until
        if route.quiet is not None:
            windows = (route.quiet,) if destination is None else (route.quiet, destination)
            quiet_until = until(windows, instant)
        found[route.name] = RouteOptions(
            quiet_until=quiet_until,
            wait=route.group.wait if route.group else 0,
            every=route.group.every if route.group else 0,
            stuck_after=route.stuck.after if route.stuck else None,
            remind_every=route.remind.every if route.remind else None,
            at_most=route.remind.at_most if route.remind else None,
            acknowledged=route.acknowledged,
            resolved=route.resolved,
        )
    return found, other


def group_key(route: Route, subject: Subject) -> str | None:
    """What the messages of a group have in common; None where the route asks for no groups."""
    if route.group is None:
        return None
    # An agent is its id, or its name where it has no id.
    said = [[name, *subject.values(name)[:1]] for name in route.group.by]
    # The sender's words may be long and hostile: only whether they are the same matters.
    digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
    return f"{route.name}/{digest}"


def _fit(patterns: Sequence[str], values: Sequence[str]) -> bool:
    return any(_compiled(pattern).match(value) for pattern in patterns for value in values)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def _texts(value: Any) -> list[str]:
    """A metadata value as texts to match: strings as they are, any element of a list, else JSON."""
    if value is None:
        return []
    if isinstance(value, list):
        return [text for element in value for text in _texts(element)]
    return [value if isinstance(value, str) else json.dumps(value)]
