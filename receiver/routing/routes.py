"""Routes: which of them apply to an event, and why the others do not. Pure.

A value is a glob (case counts), a list is any-of, `!` negates: of a list, no `!` may fit and, if
there are others, one of them must. Something an event does not say fits negations only. Several
conditions are all-of. Without a `verdict` condition a route is about applied events. One with
`dead_letter` is about deliveries that died at the destinations it names, and one with `stuck` is
about executions of which nothing is heard any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from receiver.events import Category, Status, Verdict
from receiver.routing.conditions import Condition, Subject
from receiver.routing.quiet_hours import QuietHours

# The conditions that `shortlist` decides.
_OF_FEW_VALUES = frozenset({"source", "verdict", "status", "category"})


@dataclass(frozen=True, slots=True)
class Reminders:
    """Reminders each `every` nanoseconds, at most `at_most` of them (None: no limit)."""

    every: int
    at_most: int | None = None


@dataclass(frozen=True, slots=True)
class Escalation:
    """Others to tell, if the execution still stands there `after` so many nanoseconds."""

    after: int
    notify: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Messages that go out as one digest: those whose fields in `by` are equal.

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

    `resolved`: people who were told are told how it ends. `acknowledged`: they are told who takes
    it. `urgent` passes through quiet hours.
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
        """Return nothing if it applies to an event or a dead letter, else the first reason."""
        return "it is about executions that are stuck" if self.stuck else self.unmet(subject)

    def unmet(self, subject: Subject) -> str:
        """Return nothing if its conditions hold, else the first that does not."""
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
        """Return the statuses in which an execution can stay and that its conditions allow."""
        conditions = [c for c in self.conditions if c.name in ("status", "category")]
        return tuple(
            status
            for status in Status
            if status.category is not Category.TERMINAL
            and not any(c.why_not(Subject("", Verdict.APPLIED, status)) for c in conditions)
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
    """Decision about a route: it applies if `why_not` is empty.

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
            decisions.append(Decision(route, f"route {stopped_by!r} above it stops"))
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
    """Return the routes that these three do not rule out by themselves.

    They have few values, so that this can be cached; the other conditions are asked of each event.
    """
    subject = Subject(source, verdict, status)

    def is_open(route: Route) -> bool:
        alone = tuple(
            condition for condition in route.conditions if condition.name in _OF_FEW_VALUES
        )
        return not replace(route, conditions=alone).why_not(subject)

    return tuple(filter(is_open, routes))
