"""What would become of a webhook: asked before it happens, with nothing stored or sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from receiver import formats
from receiver.config import Rules, Source
from receiver.deliveries import Facts
from receiver.errors import UnreadableWebhook
from receiver.events import Event, Judgement, Verdict
from receiver.intake import Arrival, enter, subject
from receiver.message import render
from receiver.routing import Decision, decide
from receiver.store import Entry, Loaded, Store


def explain(
    rules: Rules, source: Source, body: bytes, now: int, store: Store | None
) -> dict[str, Any]:
    """Verdict, routes and messages for a body, as if it came signed from the source now.

    `store` is what it is judged against; None: nothing is stored yet. `now` is nanoseconds.
    """
    entry = _entry(source, body, now, store)
    execution = entry.after or entry.before
    routes = decide(rules.routes, subject(entry, execution))
    event = entry.event
    return {
        "source": source.name,
        "event_id": event.event_id if event else None,
        "event": event.event if event else None,
        "execution_id": event.execution_id if event else None,
        "status": event.status if event else None,
        "execution_status": entry.before.status if entry.before else None,
        "verdict": entry.judgement.verdict,
        "reason": entry.judgement.reason,
        "flags": sorted(entry.judgement.flags),
        "routes": [_route(decision, entry, now) for decision in routes],
    }


def as_text(told: Mapping[str, Any]) -> str:
    """The same for a person to read."""
    stands = told["execution_status"] or "not known yet"
    lines = [
        f"event      {told['event']} ({told['event_id']})",
        f"execution  {told['execution_id']}: {stands}",
        f"verdict    {told['verdict']} ({told['reason']})",
    ]
    for route in told["routes"]:
        lines.append("")
        if route["why_not"]:
            lines.append(f"route {route['name']!r} does not match: {route['why_not']}")
            continue
        to = ", ".join(route["destinations"]) or "nobody new: earlier routes told them already"
        lines += [f"route {route['name']!r} tells {to}:", f"  {route['title']}"]
        lines += [f"  {line}" for line in route["body"].splitlines()]
    return "\n".join(lines)


def _entry(source: Source, body: bytes, now: int, store: Store | None) -> Entry:
    try:
        event = formats.read(source.format, source.name, body, "(id from the header)")
    except UnreadableWebhook:
        return _unreadable(source, body, now, "malformed")
    if event is None:
        return _unreadable(source, body, now, "no_envelope")
    loaded = store.known(event) if store is not None else Loaded(set(), set(), {})
    return enter(Arrival(source.name, event, body, now), event, loaded)


def _unreadable(source: Source, body: bytes, now: int, reason: str) -> Entry:
    return Entry(source.name, None, Judgement(Verdict.QUARANTINED, reason), now, body)


def _route(decision: Decision, entry: Entry, now: int) -> dict[str, Any]:
    route = decision.route
    told = {"name": route.name, "line": route.line, "why_not": decision.why_not}
    if decision.why_not:
        return told
    message = render(facts(entry), route.name, route.title, route.body, repeat=False, now=now)
    return {
        **told,
        "destinations": list(decision.destinations),
        "title": message.title,
        "body": message.body,
    }


def facts(entry: Entry) -> Facts:
    """What a message about an entry that is not stored would be made of."""
    event: Event | None = entry.event
    judged = (entry.source, entry.judgement.verdict, entry.judgement.reason, entry.received_at)
    if event is None:
        return Facts(*judged)
    execution = entry.after or entry.before
    before = entry.before if entry.after else None
    return Facts(
        *judged,
        event_id=event.event_id,
        event=event.event,
        status=event.status,
        occurred_at=event.occurred_at,
        execution_id=event.execution_id,
        execution_status=execution.status if execution else None,
        previous_status=before.status if before else None,
        previous_since=before.since if before else None,
        agent_id=event.agent_id or (execution.agent_id if execution else None),
        agent_name=event.agent_name or (execution.agent_name if execution else None),
        execution_url=event.execution_url or (execution.execution_url if execution else None),
        metadata=event.metadata or (execution.metadata if execution else None) or {},
        detail=event.detail,
        flags=entry.judgement.flags,
    )
