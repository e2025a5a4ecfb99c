"""Follow-ups in an explanation: the later messages of a route, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from receiver.destinations.destination import Destination
from receiver.events import Category, Execution, Status, Verdict
from receiver.intake.reconcile.learning import LEAD
from receiver.routing.quiet_hours import until
from receiver.routing.routes import Route
from receiver.sources.formats.registry import APIS
from receiver.sources.source import Source
from receiver.store.records import JudgedWebhook
from receiver.times import format_time, span


def follow_ups(
    route: Route,
    status: Status | None,
    names: Sequence[str],
    destinations: Mapping[str, Destination],
    instant: int,
) -> list[str]:
    """Return sentences about a route that applies to an event.

    `names` are the destinations that it tells at the instant (nanoseconds). `status` is the new
    status of the execution (None: the event does not move it).
    """
    lines = list(_as_digest(route, names))
    if names and status is not None and status.category is not Category.TERMINAL:
        lines += _while_it_stays(route, status)
    lines += _quiet(route, names, destinations, instant)
    return lines


def follow_up_if_stuck(route: Route) -> str:
    """Return a clause about the later messages of a route about stuck executions."""
    assert route.stuck is not None
    after = span(route.stuck.after)
    return f"tells {', '.join(route.notify)} once nothing was heard of it for {after}"


def questions(source: Source, entry: JudgedWebhook, execution: Execution | None) -> list[str]:
    """Return sentences about what the provider would be asked after an event, and when.

    `execution` is where the event leaves it, with all that it settles.
    """
    if source.api is None or source.reconcile is None or entry.event is None:
        return []
    times = source.reconcile
    lines = []
    if entry.judgement.verdict is Verdict.HELD:
        before = span(min(LEAD, source.ordering.gap_timeout // 2))
        lines.append(f"{before} before it is given up: what came in between")
    if execution is None:
        return lines
    if execution.status.category is Category.TERMINAL:
        return ["nothing: it has ended"]
    if execution.assumed:
        lines.append(f"within {span(times.every)}: who paused it")
    path = APIS[source.format].execution_path(execution.execution_id)
    address = f"{source.api.base_url.rstrip('/')}{path}"
    every = f"every {span(times.every)}, where it stands: GET {address}"
    lines.append(f"if nothing is heard of it for {span(times.quiet_for)}: {every}")
    return lines


def _as_digest(route: Route, names: Sequence[str]) -> Iterator[str]:
    if (group := route.group) is None:
        return
    alone = [name for name in names if name in route.alone]
    if alone:
        yield f"each by itself to {', '.join(alone)}, where it is an incident"
    if not alone or len(alone) < len(names):
        yield (
            f"as one digest with others that agree in {', '.join(group.by)}: after"
            f" {span(group.wait)}, then every {span(group.every)} at most"
        )


def _while_it_stays(route: Route, status: Status) -> Iterator[str]:
    if (remind := route.remind) is not None:
        limit = f", at most {remind.at_most} times" if remind.at_most else ""
        yield f"reminds them every {span(remind.every)} while it stays {status}{limit}"
    for escalation in route.escalate:
        yield (
            f"escalates to {', '.join(escalation.notify)} if it is still {status} after"
            f" {span(escalation.after)}"
        )
    if route.acknowledged:
        yield "tells them who takes it, when somebody does"
    if route.resolved:
        yield f"tells them when it is no longer {status}"


def _quiet(
    route: Route, names: Sequence[str], destinations: Mapping[str, Destination], instant: int
) -> Iterator[str]:
    for name in names:
        hours = [
            quiet
            for quiet in (route.quiet, destinations[name].quiet if name in destinations else None)
            if quiet is not None
        ]
        if not hours:
            continue
        shown = " and ".join(str(quiet) for quiet in hours)
        if route.urgent:
            yield f"urgent: passes through the quiet hours of {name} ({shown})"
        elif (end := until(hours, instant)) is not None:
            yield f"quiet for {name} then ({shown}): waits until {format_time(end)}"
        else:
            yield f"quiet hours for {name}: {shown}"
