"""What a route asks for beyond one message for an event, and what cannot be asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from receiver.config.matching import Problem
from receiver.config.schema import QuietModel, RouteModel, near
from receiver.config.strict_yaml import Path
from receiver.events import Category, Status, Verdict
from receiver.routing.conditions import Subject
from receiver.routing.quiet_hours import DAYS, QuietHours
from receiver.routing.routes import Escalation, Group, Reminders, Route, Stuck
from receiver.times import SECOND, span

GROUP_BY = ("agent", "status", "source", "reason", "outcome")
# They hold for as long as an execution stays in a status.
_OF_AN_EPISODE = ("remind", "escalate", "resolved", "acknowledged")
_STAYS = [status.value for status in Status if status.category is not Category.TERMINAL]


def with_options(route: Route, model: RouteModel, problem: Problem) -> Route:
    """The route with its options; `problem` is told of what does not go together."""
    for place, text in _problems(route, model):
        problem(place, text)
    remind, group, stuck = model.remind, model.group, model.stuck
    return replace(
        route,
        remind=Reminders(_ns(remind.every), remind.at_most) if remind else None,
        escalate=tuple(
            Escalation(_ns(each.after), tuple(dict.fromkeys(each.notify)))
            for each in model.escalate
        ),
        resolved=model.resolved,
        acknowledged=model.acknowledged,
        group=Group(tuple(group.by), _ns(group.wait), _ns(group.every)) if group else None,
        quiet=quiet_hours(model.quiet),
        urgent=model.urgent,
        stuck=Stuck(_statuses(stuck.status), _ns(stuck.after)) if stuck else None,
    )


def quiet_hours(model: QuietModel | None) -> QuietHours | None:
    """The window that a route or a destination asks for."""
    if model is None:
        return None
    days = frozenset(DAYS.index(day) for day in model.days)
    return QuietHours(days, model.begin, model.end, model.tz)


def _problems(route: Route, model: RouteModel) -> Iterator[tuple[Path, str]]:
    asked = [name for name in _OF_AN_EPISODE if getattr(model, name)]
    if model.match.dead_letter is not None:
        for name in (*asked, *(n for n in ("group", "stuck") if getattr(model, n))):
            yield (name,), f"{name}: a route with dead_letter is about no status: remove one"
        return
    yield from _stuck(route, model)
    verdicts = [c for c in route.conditions if c.name == "verdict"]
    applied = not any(c.why_not(Subject("", Verdict.APPLIED)) for c in verdicts)
    for name in asked:
        if not applied:
            yield (name,), f"{name}: only an applied event begins a stay in a status: see `verdict`"
        elif not route.statuses():
            yield (
                (name,),
                f"{name}: this route is about statuses that end an execution: nothing comes after"
                " them",
            )
    for name in model.group.by if model.group else ():
        if name not in GROUP_BY and not (name.startswith("metadata.") and len(name) > 9):
            hint = near(name, [*GROUP_BY, "metadata.KEY"])
            yield ("group", "by"), f"by: there is no {name!r}{hint}"
    if model.urgent and model.quiet is not None:
        yield ("urgent",), "urgent: this route has quiet hours of its own: remove one"


def surprises(route: Route) -> Iterator[str]:
    """What can be asked, and is hardly meant."""
    for n, each in enumerate(route.escalate):
        if each in route.escalate[:n]:
            yield f"escalate: the same one stands there twice, after {span(each.after)}"
    if route.group is None:
        return
    if route.group.every < route.group.wait:
        yield (
            f"group: every {span(route.group.every)} is shorter than wait {span(route.group.wait)},"
            " for which each message waits anyway"
        )
    for part in ("title", "body"):
        if getattr(route, part):
            yield f"{part}: digests are written without it, only a message that is alone has it"


def _stuck(route: Route, model: RouteModel) -> Iterator[tuple[Path, str]]:
    if model.stuck is None:
        return
    for word in model.stuck.status:
        if word not in _STAYS:
            yield ("stuck", "status"), f"status: nothing is stuck in {word!r}{near(word, _STAYS)}"
    if model.match.verdict is not None:
        yield ("match", "verdict"), "stuck goes without verdict: remove one"
    if model.escalate:
        yield (
            ("escalate",),
            "escalate: with stuck, add a second route whose stuck.after is longer instead",
        )
    if model.stop:
        yield ("stop",), "stop: a route with stuck is not asked about events: remove it"
    statuses = _statuses(model.stuck.status)
    if statuses and not set(statuses) & set(route.statuses()):
        yield ("match",), "match: its status and that of stuck exclude each other"


def _statuses(words: list[str]) -> tuple[Status, ...]:
    return tuple(Status(word) for word in words if word in _STAYS)


def _ns(seconds: float) -> int:
    return int(seconds) * SECOND


def unknown_destinations(model: RouteModel, known: list[str]) -> Iterator[tuple[Path, str]]:
    """Names that no destination has, where they stand."""
    places: list[tuple[Path, list[str]]] = [(("notify",), model.notify)]
    places += [(("escalate", n, "notify"), each.notify) for n, each in enumerate(model.escalate)]
    for place, names in places:
        for name in names:
            if name not in known:
                yield place, f"there is no destination {name!r}{near(name, known)}"
