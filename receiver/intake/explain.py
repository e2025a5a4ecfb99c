"""Explanation: the verdict and the messages that a webhook would get. Nothing is stored or sent."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Any

from receiver.config.rules import Rules
from receiver.deliveries import MessageContext, message_context
from receiver.errors import UnreadableWebhook
from receiver.intake.explain_follow_ups import follow_up_if_stuck, follow_ups
from receiver.intake.plan import no_wait_begins, subject
from receiver.intake.receive import Intake, VerifiedWebhook
from receiver.lifecycle import RULES
from receiver.messages.notice import render
from receiver.routing.conditions import Subject
from receiver.routing.routes import Decision, Route, decide
from receiver.sources.formats import registry
from receiver.sources.source import Source
from receiver.store.contract import Store
from receiver.store.records import JudgedWebhook, Loaded
from receiver.times import format_time


def explain(
    rules: Rules,
    source: Source,
    body: bytes,
    now: int,
    store: Store | None,
    zone: tzinfo = UTC,
) -> dict[str, Any]:
    """Explain a body, as if it came signed from the source now.

    It returns the verdict, the routes and their messages, and the same for each held event that the
    webhook would settle. `store` is the store to judge against (None: an empty one). `now` is
    nanoseconds, `zone` the time zone in which messages give times.
    """
    entry, *settled = _judged(rules, source, body, now, store)
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
        "silenced": _silence(entry, now, store),
        "routes": _routes(rules, entry, now, zone),
        "settles": [
            {
                "event_id": again.event.event_id if again.event else None,
                "status": again.event.status if again.event else None,
                "verdict": again.judgement.verdict,
                "reason": again.judgement.reason,
                "rule": RULES[again.judgement.verdict, again.judgement.reason],
                "silenced": _silence(again, now, store),
                "routes": _routes(rules, again, now, zone),
            }
            for again in settled
        ],
    }


def _judged(
    rules: Rules, source: Source, body: bytes, now: int, store: Store | None
) -> list[JudgedWebhook]:
    """Judge the webhook; return its entry and those of held events that it would settle."""
    try:
        # Only this scheme has an id in its headers.
        signed = source.verification.scheme == "standard-webhooks"
        message_id = "(id from the header)" if signed else None
        event = registry.read(source.format, source.name, body, message_id)
        webhook = VerifiedWebhook(source.name, event, body, now, "" if event else "no_envelope")
    except UnreadableWebhook:
        event = None
        webhook = VerifiedWebhook(source.name, None, body, now, "malformed")
    loaded = store.known(event) if store is not None and event else Loaded.empty()
    return Intake.by(rules).judge_all([webhook], loaded)[0]


def _silence(entry: JudgedWebhook, now: int, store: Store | None) -> str | None:
    """Describe the silence that would keep its messages back now; None if there is none."""
    if store is None:
        return None
    silence = store.silenced(subject(entry, entry.after or entry.before), now)
    return None if silence is None else f"{silence} (silence {silence.id})"


def _routes(rules: Rules, entry: JudgedWebhook, now: int, zone: tzinfo) -> list[dict[str, Any]]:
    about = subject(entry, entry.after or entry.before)
    return [
        _stuck_route(decision.route, rules, entry, about, now)
        if decision.route.stuck
        else _route(decision, rules, entry, now, zone)
        for decision in decide(rules.routes, about)
    ]


def _route(
    decision: Decision, rules: Rules, entry: JudgedWebhook, now: int, zone: tzinfo
) -> dict[str, Any]:
    route = decision.route
    shown = {"name": route.name, "line": route.line, "why_not": decision.why_not}
    if decision.why_not:
        return shown
    message = render(
        _context(entry), route.name, route.title, route.body, repeat=False, now=now, zone=zone
    )
    status = entry.after.status if entry.after else None
    return {
        **shown,
        "destinations": list(decision.destinations),
        "title": message.title,
        "body": message.body,
        "if_stuck": "",
        "then": follow_ups(route, status, decision.destinations, rules.destinations, now),
    }


def _stuck_route(
    route: Route, rules: Rules, entry: JudgedWebhook, about: Subject, now: int
) -> dict[str, Any]:
    """Describe a route about stuck executions whose wait would begin with this event."""
    assert route.stuck is not None
    status = entry.after.status if entry.after else None
    why_not = no_wait_begins(route, entry, about)
    shown = {"name": route.name, "line": route.line, "why_not": why_not}
    if why_not:
        return shown
    due = now + route.stuck.after
    return {
        **shown,
        "destinations": [],
        "if_stuck": follow_up_if_stuck(route),
        "then": follow_ups(route, status, route.notify, rules.destinations, due),
    }


def _context(entry: JudgedWebhook) -> MessageContext:
    """Build the context of a message about an entry that is not stored."""
    execution = entry.after or entry.before
    before = entry.before if entry.after else None
    previous = (before.status, before.since) if before else None
    return message_context(
        entry.source, entry.judgement, entry.judged_at, entry.event, execution, previous
    )
