"""Plans: the deliveries that a judged event causes, now and while its execution stays there. Pure.

A route plans a notice for each of its destinations that no route above it tells. An event that
takes an execution to a status begins an episode: one stay in one status. Escalations are planned
with it, due later; sent messages cause reminders (see the store's contract). A delivery about an
episode carries its version: it is no longer true once the execution has moved on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from receiver.deliveries import Kind, PlannedDelivery
from receiver.events import Category, Execution, Status, Verdict
from receiver.routing.conditions import Subject
from receiver.routing.escalations import escalations, watchers
from receiver.routing.planned import later_key
from receiver.routing.policy import ESCALATIONS, group_key
from receiver.routing.routes import Decision, Route, decide, shortlist
from receiver.store.records import JudgedWebhook


class Planner:
    """Planner of deliveries: applies the routes in force to a judged entry."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = tuple(routes)
        self._stuck_routes = tuple(route for route in routes if route.stuck is not None)
        self._shortlists: dict[tuple[str, Verdict, Status | None], tuple[Route, ...]] = {}

    def __call__(self, entry: JudgedWebhook) -> tuple[PlannedDelivery, ...]:
        routes = self._shortlist(entry)
        if not routes and not self._stuck_routes:
            return ()  # the usual case: most steps interest nobody
        about = subject(entry, entry.after or entry.before)
        decisions = decide(routes, about)
        if not self._stuck_routes and all(decision.why_not for decision in decisions):
            return ()
        return tuple(self._deliveries(entry, about, decisions))

    def _shortlist(self, entry: JudgedWebhook) -> tuple[Route, ...]:
        status = entry.event.status if entry.event else None
        key = (entry.source, entry.judgement.verdict, status)
        routes = self._shortlists.get(key)
        if routes is None:
            routes = self._shortlists[key] = shortlist(self._routes, *key)
        return routes

    def _deliveries(
        self, entry: JudgedWebhook, about: Subject, decisions: Sequence[Decision]
    ) -> Iterator[PlannedDelivery]:
        telling = [decision for decision in decisions if not decision.why_not]
        for decision in telling:
            key = group_key(decision.route, about)
            for destination in decision.destinations:
                yield _notice(entry, decision.route, destination, key)
        yield from _escalations(entry, [decision.route for decision in telling], about)
        yield from _if_stuck(entry, self._stuck_routes, about)


def subject(entry: JudgedWebhook, execution: Execution | None) -> Subject:
    """Return the values that the conditions of routes look at."""
    event = entry.event
    detail = event.detail if event else {}
    metadata = (event.metadata if event else None) or (execution.metadata if execution else None)
    return Subject(
        source=entry.source,
        verdict=entry.judgement.verdict,
        status=event.status if event else None,
        agent_id=(event.agent_id if event else None) or (execution.agent_id if execution else None),
        agent_name=(event.agent_name if event else None)
        or (execution.agent_name if execution else None),
        event=event.event if event else None,
        outcome=_string(detail.get("outcome")),
        reason=_string(detail.get("reason")),
        metadata=metadata or {},
    )


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _notice(
    entry: JudgedWebhook, route: Route, destination: str, key: str | None
) -> PlannedDelivery:
    event, verdict = entry.event, entry.judgement.verdict
    if verdict is Verdict.QUARANTINED or event is None:
        # The store leaves out all but the first of a kind within a day.
        order_key = f"quarantine/{entry.source}/{entry.judgement.reason}"
        dedup_key = f"{order_key}/{entry.judged_at}/{destination}"
        return PlannedDelivery(destination, route.name, Kind.NOTICE, dedup_key, order_key, None)
    execution = event.execution_id or event.event_id
    # One for each verdict: an event rejected for a gap may still be healed.
    dedup_key = f"notice/{event.source}/{destination}/{event.event_id}/{verdict}"
    if verdict is not Verdict.APPLIED:
        # Only the first of a kind in each episode: a sender may say the same again and again.
        version = entry.before.version if entry.before else 0
        kind = f"{verdict}/{entry.judgement.reason}/{event.status}"
        dedup_key = f"{kind}/{event.source}/{destination}/{version}/{route.name!r}/{execution}"
    order_key = f"{event.source}/{execution}"
    group = route.group_at(destination) if key is not None else None
    return PlannedDelivery(
        destination,
        route.name,
        Kind.NOTICE,
        dedup_key,
        order_key,
        _guard(entry),
        gathers=group.wait if group else 0,
        group_key=key if group else None,
    )


def _escalations(
    entry: JudgedWebhook, routes: Sequence[Route], about: Subject
) -> Iterator[PlannedDelivery]:
    """Plan messages to more destinations in case the execution is still there later."""
    if not any(route.escalate for route in routes) or (version := _new_episode(entry)) is None:
        return
    for escalation in escalations(routes):
        route, destination = escalation.route, escalation.destination
        key = group_key(route, about)
        dedup_key = _later_key("escalation", entry, route, destination, escalation.number)
        yield PlannedDelivery(
            destination=destination,
            route=route.name,
            kind=Kind.ESCALATION,
            dedup_key=dedup_key,
            order_key=dedup_key,
            guard_version=version,
            due_in=escalation.after,
            step=escalation.place,
            group_key=f"{key}{ESCALATIONS}" if key and route.group_at(destination) else None,
        )


def _if_stuck(
    entry: JudgedWebhook, routes: Sequence[Route], about: Subject
) -> Iterator[PlannedDelivery]:
    """Plan messages in case no event of the execution comes for too long."""
    version = _new_episode(entry)
    if version is None:
        return
    watching = [route for route in routes if not no_wait_begins(route, entry, about)]
    for route, stuck, destination in watchers(watching):
        dedup_key = _later_key("stuck", entry, route, destination, 1)
        group = route.group_at(destination)
        yield PlannedDelivery(
            destination=destination,
            route=route.name,
            kind=Kind.NOTICE,
            dedup_key=dedup_key,
            order_key=dedup_key,
            guard_version=version,
            due_in=stuck.after,
            gathers=group.wait if group else 0,
            group_key=group_key(route, about) if group else None,
        )


def no_wait_begins(route: Route, entry: JudgedWebhook, about: Subject) -> str:
    """Return why a route about stuck executions does not watch from this event on, or nothing."""
    statuses = route.stuck.statuses if route.stuck else ()
    if entry.after is None or entry.after.status not in statuses:
        return f"it is about executions that are stuck in {', '.join(statuses)}"
    return route.unmet(about)


def _later_key(kind: str, entry: JudgedWebhook, route: Route, destination: str, step: int) -> str:
    assert entry.event is not None
    event_id = entry.event.event_id
    return later_key(kind, entry.source, destination, event_id, route.name, step)


def _new_episode(entry: JudgedWebhook) -> int | None:
    """Return the version of the episode that the event begins; None if none begins or can last."""
    after = entry.after
    return None if after is None or after.status.category is Category.TERMINAL else after.version


def _guard(entry: JudgedWebhook) -> int | None:
    """Return the version at which a notice is true; None: it stays true for ever.

    A message that asks people to act is only true while the execution still stands there.
    """
    after = entry.after
    if after is None or after.status.category not in (Category.PAUSED, Category.AWAITING):
        return None
    return after.version
