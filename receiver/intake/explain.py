"""What would become of a webhook: asked before it happens, with nothing stored or sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from receiver.config.rules import Rules
from receiver.deliveries import MessageContext, message_context
from receiver.errors import UnreadableWebhook
from receiver.intake.explain_follow_ups import follow_up_if_stuck, follow_ups
from receiver.intake.plan import subject
from receiver.intake.receive import Intake, VerifiedWebhook
from receiver.messages.notice import render
from receiver.routing.conditions import Subject
from receiver.routing.routes import Decision, Route, decide
from receiver.sources.formats import registry
from receiver.sources.source import Source
from receiver.store.contract import Store
from receiver.store.records import JudgedWebhook, Loaded
from receiver.times import format_time

# What `explain` says about the rule that decided.
RULES: Mapping[tuple[str, str], str] = {
    ("quarantined", "malformed"): "it cannot be read",
    ("quarantined", "no_envelope"): "it is no event: it says neither of which execution nor when",
    ("quarantined", "unknown_status"): "it announces a status that no lifecycle knows",
    ("quarantined", "future"): "it says it happened more than 5 min in the future",
    ("duplicate", "event_id"): "an event with this id is stored: the first wins",
    ("duplicate", "same_change"): "the same change at the same time is stored under another id",
    ("ignored", "not_a_status"): "it is known to announce no status",
    ("ignored", "unknown_event"): "it announces no status that is known",
    ("stale", "too_old"): "it happened more than 14 days ago",
    ("applied", "first_seen"): "it is the first about its execution",
    ("stale", "older"): "it happened before the time up to which the execution is known",
    ("stale", "tie"): "it happened at the same time as the last one and fits only before it",
    ("duplicate", "same_status"): "the execution stands there already",
    ("rejected", "terminal"): "the execution has ended, and that never changes",
    ("applied", "transition"): "the lifecycle allows this move",
    ("applied", "healed"): "it was held, and now the lifecycle allows this move",
    ("applied", "gap"): "what should have come before it did not come in time (gaps: apply)",
    ("held", "gap"): "a status in between has not been seen yet: it waits for that",
    ("rejected", "gap"): "a status in between did not come in time, or too many events wait",
    ("rejected", "illegal"): "the lifecycle allows no way to this status",
}


def explain(
    rules: Rules, source: Source, body: bytes, now: int, store: Store | None
) -> dict[str, Any]:
    """Verdict, routes and messages for a body, as if it came signed from the source now.

    `store` is what it is judged against; None: nothing is stored yet. `now` is nanoseconds.
    """
    entry, *settled = _entries(rules, source, body, now, store)
    silence = _silence(entry, now, store)
    event, judgement = entry.event, entry.judgement
    return {
        "source": source.name,
        "event_id": event.event_id if event else None,
        "event": event.event if event else None,
        "execution_id": event.execution_id if event else None,
        "status": event.status if event else None,
        "execution_status": entry.before.status if entry.before else None,
        "verdict": judgement.verdict,
        "reason": judgement.reason,
        "rule": RULES[judgement.verdict, judgement.reason],
        "flags": sorted(judgement.flags),
        "missing": list(judgement.missing),
        "held_until": format_time(entry.until) if entry.until else None,
        "silenced": silence,
        "routes": _routes(rules, entry, now),
        "settles": [
            {
                "event_id": again.event.event_id if again.event else None,
                "status": again.event.status if again.event else None,
                "verdict": again.judgement.verdict,
                "reason": again.judgement.reason,
                "rule": RULES[again.judgement.verdict, again.judgement.reason],
                "silenced": _silence(again, now, store),
                "routes": _routes(rules, again, now),
            }
            for again in settled
        ],
    }


def as_text(told: Mapping[str, Any]) -> str:
    """The same for a person to read."""
    stands = told["execution_status"] or "not known yet"
    lines = [
        f"event      {told['event']} ({told['event_id']})",
        f"execution  {told['execution_id']}: {stands}",
        f"verdict    {told['verdict']} ({told['reason']}): {told['rule']}",
    ]
    if told["held_until"]:
        lines.append(
            f"           {' or '.join(told['missing'])} is missing; given up at"
            f" {told['held_until']}"
        )
    lines += _silenced_text(told)
    lines += _routes_text(told["routes"])
    for again in told["settles"]:
        lines += [
            "",
            f"settles    {again['event_id']} ({again['status']}), which was held:"
            f" {again['verdict']} ({again['reason']}): {again['rule']}",
            *_silenced_text(again),
            *_routes_text(again["routes"]),
        ]
    return "\n".join(lines)


def _silenced_text(told: Mapping[str, Any]) -> list[str]:
    return [f"silence    {told['silenced']}"] if told["silenced"] else []


def _routes_text(routes: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for route in routes:
        lines.append("")
        if route["why_not"]:
            lines.append(f"route {route['name']!r} does not match: {route['why_not']}")
            continue
        if route["if_stuck"]:
            lines.append(f"route {route['name']!r} {route['if_stuck']}")
        else:
            to = ", ".join(route["destinations"]) or "nobody new: earlier routes told them already"
            lines += [f"route {route['name']!r} tells {to}:", f"  {route['title']}"]
            lines += [f"  {line}" for line in route["body"].splitlines()]
        lines += [f"  → {sentence}" for sentence in route["then"]]
    return lines


def _entries(
    rules: Rules, source: Source, body: bytes, now: int, store: Store | None
) -> list[JudgedWebhook]:
    """The entry of the webhook and those of the held events that it would settle."""
    try:
        # Only this scheme brings an id in its headers.
        signed = source.verification.scheme == "standard-webhooks"
        message_id = "(id from the header)" if signed else None
        event = registry.read(source.format, source.name, body, message_id)
        arrival = VerifiedWebhook(source.name, event, body, now, "" if event else "no_envelope")
    except UnreadableWebhook:
        event, arrival = None, VerifiedWebhook(source.name, None, body, now, "malformed")
    loaded = store.known(event) if store is not None and event else Loaded.empty()
    return Intake(rules.routes, rules.orderings).judge_all([arrival], loaded)[0]


def _silence(entry: JudgedWebhook, now: int, store: Store | None) -> str | None:
    """What would keep its messages back now."""
    if store is None:
        return None
    silence = store.silenced(subject(entry, entry.after or entry.before), now)
    return None if silence is None else f"{silence} (silence {silence.id})"


def _routes(rules: Rules, entry: JudgedWebhook, now: int) -> list[dict[str, Any]]:
    told = subject(entry, entry.after or entry.before)
    return [
        _if_stuck(decision.route, rules, entry, told, now)
        if decision.route.stuck
        else _route(decision, rules, entry, now)
        for decision in decide(rules.routes, told)
    ]


def _route(decision: Decision, rules: Rules, entry: JudgedWebhook, now: int) -> dict[str, Any]:
    route = decision.route
    told = {"name": route.name, "line": route.line, "why_not": decision.why_not}
    if decision.why_not:
        return told
    message = render(facts(entry), route.name, route.title, route.body, repeat=False, now=now)
    status = entry.after.status if entry.after else None
    return {
        **told,
        "destinations": list(decision.destinations),
        "title": message.title,
        "body": message.body,
        "if_stuck": "",
        "then": follow_ups(route, status, decision.destinations, rules.destinations, now),
    }


def _if_stuck(
    route: Route, rules: Rules, entry: JudgedWebhook, told: Subject, now: int
) -> dict[str, Any]:
    """A route about stuck executions, as it would begin to wait with this event."""
    assert route.stuck is not None
    status = entry.after.status if entry.after else None
    statuses = ", ".join(route.stuck.statuses)
    why_not = route.unmet(told)
    if status not in route.stuck.statuses:
        why_not = f"it is about executions that are stuck in {statuses}"
    shown: dict[str, Any] = {"name": route.name, "line": route.line, "why_not": why_not}
    if why_not:
        return shown
    due = now + route.stuck.after
    then = follow_ups(route, status, route.notify, rules.destinations, due)
    sentence = follow_up_if_stuck(route)
    return {**shown, "destinations": [], "if_stuck": sentence, "then": then}


def facts(entry: JudgedWebhook) -> MessageContext:
    """What a message about an entry that is not stored would be made of."""
    execution = entry.after or entry.before
    before = entry.before if entry.after else None
    previous = (before.status, before.since) if before else None
    return message_context(
        entry.source, entry.judgement, entry.judged_at, entry.event, execution, previous
    )
