"""What the verdict about an event owes to whom, now and for as long as its execution stays there.

A route owes a notice to each of its destinations that no route above it tells. An event that takes
an execution to a status begins an episode: one stay in one status. Escalations of it are owed with
it, due later; reminders follow from what was sent (see store.contract). What is about an
episode carries its version: once the execution has moved on, it is no longer true.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from receiver.deliveries import Kind, PlannedDelivery
from receiver.events import Category, Execution, Status, Verdict
from receiver.routing.conditions import Subject
from receiver.routing.policy import group_key
from receiver.routing.routes import Decision, Route, decide, shortlist
from receiver.store.records import JudgedWebhook
from receiver.times import SECOND

DAY = 24 * 3600 * SECOND


class Planner:
    """The rule by the routes in force: an entry in, the deliveries it owes out."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = tuple(routes)
        self._stuck = tuple(route for route in routes if route.stuck is not None)
        self._shortlists: dict[tuple[str, Verdict, Status | None], tuple[Route, ...]] = {}

    def __call__(self, entry: JudgedWebhook) -> tuple[PlannedDelivery, ...]:
        routes = self._shortlist(entry)
        if not routes and not self._stuck:
            return ()  # as for most events: nobody wants to hear of each step
        told = subject(entry, entry.after or entry.before)
        decisions = decide(routes, told)
        if not self._stuck and all(decision.why_not for decision in decisions):
            return ()
        return tuple(self._each(entry, told, decisions))

    def _shortlist(self, entry: JudgedWebhook) -> tuple[Route, ...]:
        status = entry.event.status if entry.event else None
        about = (entry.source, entry.judgement.verdict, status)
        found = self._shortlists.get(about)
        if found is None:
            found = self._shortlists[about] = shortlist(self._routes, *about)
        return found

    def _each(
        self, entry: JudgedWebhook, told: Subject, decisions: Sequence[Decision]
    ) -> Iterator[PlannedDelivery]:
        for decision in decisions:
            if decision.why_not:
                continue
            key = group_key(decision.route, told)
            for destination in decision.destinations:
                yield _notice(entry, decision.route, destination, key)
            yield from _escalations(entry, decision.route, key)
        for route in self._stuck:
            yield from _stuck(entry, route, told)


def subject(entry: JudgedWebhook, execution: Execution | None) -> Subject:
    """What the routes' conditions look at."""
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
        outcome=_text(detail.get("outcome")),
        reason=_text(detail.get("reason")),
        metadata=metadata or {},
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _notice(
    entry: JudgedWebhook, route: Route, destination: str, key: str | None
) -> PlannedDelivery:
    event, verdict = entry.event, entry.judgement.verdict
    if verdict is Verdict.QUARANTINED or event is None:
        # The first of a kind, once a day.
        kind_of = f"{entry.source}/{entry.judgement.reason}"
        dedup_key = f"quarantine/{kind_of}/{entry.judged_at // DAY}/{destination}"
        return PlannedDelivery(
            destination, route.name, Kind.NOTICE, dedup_key, f"quarantine/{kind_of}", None
        )
    # One for each verdict: what was rejected for a gap may still be healed.
    dedup_key = f"notice/{event.source}/{destination}/{event.event_id}/{verdict}"
    order_key = f"{event.source}/{event.execution_id or event.event_id}"
    guard = _guard(entry)
    if key is None or route.group is None:
        return PlannedDelivery(destination, route.name, Kind.NOTICE, dedup_key, order_key, guard)
    return PlannedDelivery(
        destination,
        route.name,
        Kind.NOTICE,
        dedup_key,
        # What gathers holds up nothing else, and within a group order is by number.
        dedup_key,
        guard,
        due_in=route.group.wait,
        group_key=key,
    )


def _escalations(entry: JudgedWebhook, route: Route, key: str | None) -> Iterator[PlannedDelivery]:
    """Whom else to tell if the execution is still there later."""
    if not route.escalate or (version := _stays(entry)) is None:
        return
    for step, escalation in enumerate(route.escalate, 1):
        for destination in escalation.notify:
            dedup_key = _key("escalation", entry, route, destination, step)
            yield PlannedDelivery(
                destination=destination,
                route=route.name,
                kind=Kind.ESCALATION,
                dedup_key=dedup_key,
                order_key=dedup_key,
                guard_version=version,
                due_in=escalation.after,
                step=step,
                group_key=key,
            )


def _stuck(entry: JudgedWebhook, route: Route, told: Subject) -> Iterator[PlannedDelivery]:
    """Whom to tell once nothing has been heard for too long."""
    version, stuck = _stays(entry), route.stuck
    if version is None or stuck is None or told.status not in stuck.statuses:
        return
    if route.unmet(told):
        return
    for destination in route.notify:
        dedup_key = _key("stuck", entry, route, destination, 1)
        yield PlannedDelivery(
            destination=destination,
            route=route.name,
            kind=Kind.NOTICE,
            dedup_key=dedup_key,
            order_key=dedup_key,
            guard_version=version,
            due_in=stuck.after,
            group_key=group_key(route, told),
        )


def _key(what: str, entry: JudgedWebhook, route: Route, destination: str, step: int) -> str:
    assert entry.event is not None
    return f"{what}/{entry.source}/{destination}/{entry.event.event_id}/{route.name}/{step}"


def _stays(entry: JudgedWebhook) -> int | None:
    """The version of the episode that the event begins; None if it begins none that can last."""
    after = entry.after
    return None if after is None or after.status.category is Category.TERMINAL else after.version


def _guard(entry: JudgedWebhook) -> int | None:
    """A message that asks people to act is only true while the execution still stands there."""
    after = entry.after
    if after is None or after.status.category not in (Category.PAUSED, Category.AWAITING):
        return None
    return after.version
