"""Routes: the decision which of them apply to an event, and why the others do not. Pure.

A value is a glob (case-sensitive), a list is any-of, `!` negates: in a list, no `!` may fit and, if
there are other patterns, one of them must. A value that the event lacks fits negations only.
Several conditions are all-of. Without a `verdict` condition a route is about applied events. With
`dead_letter` it is about deliveries that died at the named destinations, with `alarm` about
troubles with telling. With `stuck` it is about executions without new events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from receiver.events import Category, Status, Verdict
from receiver.routing.conditions import Condition, Subject
from receiver.routing.quiet_hours import QuietHours

# The conditions that `shortlist` checks.
_OF_FEW_VALUES = frozenset({"source", "verdict", "status", "category"})

# The end of the reason why a route was not asked.
STOPS = "above it stops"


@dataclass(frozen=True, slots=True)
class Reminders:
    """Reminders after every `every` nanoseconds, at most `at_most` of them (None: no limit)."""

    every: int
    at_most: int | None = None


@dataclass(frozen=True, slots=True)
class Escalation:
    """More destinations to tell if the execution is still there `after` this time (nanoseconds)."""

    after: int
    notify: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Messages that go out as one digest, because their fields in `by` are equal.

    They gather for `wait`, with at most one digest in `every` (nanoseconds).
    """

    by: tuple[str, ...]
    wait: int
    every: int


@dataclass(frozen=True, slots=True)
class Stuck:
    """Executions in one of the statuses without a new event for `after` (ns)."""

    statuses: tuple[Status, ...]
    after: int


@dataclass(frozen=True, slots=True)
class Route:
    """A rule of routes.yaml. `line` is its line there; `stop` ends the search after it.

    `resolved`: people who got a message get one about the end. `acknowledged`: they get one about
    the person who takes the episode. `act`: its links resume what waits, if the source allows it.
    `urgent` passes through quiet hours. No digest goes to the destinations in `alone`.
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
    act: bool = False
    group: Group | None = None
    quiet: QuietHours | None = None
    urgent: bool = False
    stuck: Stuck | None = None
    alone: frozenset[str] = frozenset()

    def group_at(self, destination: str) -> Group | None:
        """Return how messages to the destination are gathered; None if each goes alone."""
        return None if destination in self.alone else self.group

    def why_not(self, subject: Subject) -> str:
        """Return an empty text if it applies to the subject, else the first reason."""
        return "it is about executions that are stuck" if self.stuck else self.unmet(subject)

    def unmet(self, subject: Subject) -> str:
        """Return an empty text if its conditions hold, else the first reason against it."""
        about = "alarms" if subject.alarm is not None else "events"
        if subject.dead_letter is not None:
            about = "dead letters"
        if self.about != about:
            return f"it is about {self.about}"
        if (
            subject.verdict is not Verdict.APPLIED
            and not self.is_about_verdicts
            and about != "dead letters"
        ):
            return f"verdict is {subject.verdict}, not applied"
        for condition in self.conditions:
            if why_not := condition.why_not(subject):
                return why_not
        return ""

    def statuses(self) -> tuple[Status, ...]:
        """Return the lasting statuses that its conditions allow."""
        conditions = [c for c in self.conditions if c.name in ("status", "category")]
        return tuple(
            status
            for status in Status
            if status.category is not Category.TERMINAL
            and not any(c.why_not(Subject("", Verdict.APPLIED, status)) for c in conditions)
        )

    @property
    def is_about_verdicts(self) -> bool:
        """Whether it has a condition about verdicts."""
        return any(condition.name == "verdict" for condition in self.conditions)

    @property
    def about(self) -> str:
        """The sort of its subjects: events, dead letters or alarms."""
        names = {condition.name for condition in self.conditions}
        if "dead_letter" in names:
            return "dead letters"
        return "alarms" if "alarm" in names else "events"


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about a route: it applies if `why_not` is empty.

    `destinations` are those that no route above it tells.
    """

    route: Route
    why_not: str
    destinations: tuple[str, ...] = ()


def decide(routes: Sequence[Route], subject: Subject) -> list[Decision]:
    """Decide about each route, in order. The first route that names a destination tells it."""
    decisions: list[Decision] = []
    served: set[str] = set()
    stopped_by = ""
    for route in routes:
        if stopped_by:
            decisions.append(Decision(route, f"route {stopped_by!r} {STOPS}"))
            continue
        if why_not := route.why_not(subject):
            decisions.append(Decision(route, why_not))
            continue
        decisions.append(Decision(route, "", tuple(n for n in route.notify if n not in served)))
        served.update(route.notify)
        stopped_by = route.name if route.stop else ""
    return decisions


def shortlist(
    routes: Sequence[Route], source: str, verdict: Verdict, status: Status | None
) -> tuple[Route, ...]:
    """Return the routes that these three values do not exclude.

    The three have few values, so this can be cached. The other conditions are checked for each
    event.
    """
    subject = Subject(source, verdict, status)

    def is_open(route: Route) -> bool:
        alone = tuple(
            condition for condition in route.conditions if condition.name in _OF_FEW_VALUES
        )
        return not replace(route, conditions=alone).why_not(subject)

    return tuple(filter(is_open, routes))
