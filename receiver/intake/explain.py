"""Explanation: the verdict and the messages that a webhook would get. Nothing is stored or sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import partial
from typing import Any

from receiver.config.rules import Rules
from receiver.contexts import message_context
from receiver.deliveries import Kind, MessageContext
from receiver.errors import UnreadableWebhook, UntrustedWebhook
from receiver.events import Execution, Verdict
from receiver.intake.explain_follow_ups import follow_up_if_stuck, follow_ups, questions
from receiver.intake.foresight import MOST, Foreseen, foresee
from receiver.intake.plan import no_wait_begins, subject
from receiver.intake.receive import Intake, VerifiedWebhook, malformed_webhook, read_webhook
from receiver.lifecycle import RULES
from receiver.links import Links
from receiver.messages.compose import compose
from receiver.messages.notice import render
from receiver.routing.conditions import Subject
from receiver.routing.routes import Decision, Route, decide
from receiver.sources.source import Source
from receiver.store.contract import Transaction, Writing
from receiver.store.records import JudgedWebhook
from receiver.times import format_time


@dataclass(frozen=True, slots=True)
class _Rehearsed:
    """The messages that a webhook would cause now, and for whom: their address and time zone."""

    rules: Rules
    now: int
    messages: Sequence[Foreseen]
    public_url: str
    zone: tzinfo


def explain(
    rules: Rules,
    source: Source,
    body: bytes,
    now: int,
    store: Writing,
    public_url: str = "",
    zone: tzinfo = UTC,
) -> dict[str, Any]:
    """Explain a body, as if it came signed from the source now.

    It returns the verdict, the routes and their messages, and the same for each held event that the
    webhook would settle. The webhook is taken as a real one, in a transaction of the store that is
    never committed. `now` is nanoseconds, and `zone` is the time zone of the people.
    """
    # Only this scheme has an id in its headers.
    signed = source.verification.scheme == "standard-webhooks"
    try:
        message_id = "(id from the header)" if signed else None
        webhook = read_webhook(source, body, message_id, now)
    except UntrustedWebhook:
        return _refused(source)
    except UnreadableWebhook as unreadable:
        webhook = malformed_webhook(source, body, now, str(unreadable))
    entries, messages = store.rehearse(partial(_rehearse, rules), webhook)
    rehearsed = _Rehearsed(rules, now, messages, public_url, zone)
    entry, *settled = entries
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
        "silenced": _silence(entry, rehearsed),
        "routes": _routes(rehearsed, entry),
        "settles": [
            {
                "event_id": again.event.event_id if again.event else None,
                "status": again.event.status if again.event else None,
                "verdict": again.judgement.verdict,
                "reason": again.judgement.reason,
                "rule": RULES[again.judgement.verdict, again.judgement.reason],
                "silenced": _silence(again, rehearsed),
                "routes": _routes(rehearsed, again),
            }
            for again in settled
        ],
        "messages": [_message(seen, rehearsed) for seen in messages],
        "asks": questions(source, entry, _standing_after(entries)),
    }


def _standing_after(entries: Sequence[JudgedWebhook]) -> Execution | None:
    """Return the execution as these entries leave it."""
    known = [each.after or each.moved or each.before for each in entries]
    return next((each for each in reversed(known) if each is not None), None)


def _rehearse(
    rules: Rules, transaction: Transaction, webhooks: Sequence[VerifiedWebhook]
) -> Sequence[tuple[list[JudgedWebhook], list[Foreseen]]]:
    """Take a webhook, then send what it causes; return the entries, its own first, and messages."""
    since = transaction.newest_delivery()
    (entries,) = Intake.by(rules).judge_and_save(transaction, webhooks)
    now = entries[0].judged_at
    return [(entries, foresee(transaction, since, rules, now))]


def _refused(source: Source) -> dict[str, Any]:
    """Explain a webhook that is answered 401."""
    nothing = ("event_id", "event", "execution_id", "status", "execution_status", "held_until")
    return {
        "source": source.name,
        **dict.fromkeys(nothing),
        "verdict": None,
        "reason": "agent",
        "rule": f"its agent is not among the `agents` of source {source.name!r}: it is answered"
        " 401, and nothing is stored",
        "flags": [],
        "missing": [],
        "silenced": None,
        "routes": [],
        "settles": [],
        "messages": [],
        "asks": [],
    }


def _notices(entry: JudgedWebhook, rehearsed: _Rehearsed, route: str | None) -> list[Foreseen]:
    """Return the notices about an entry, by one route or all."""
    event_id = entry.event.event_id if entry.event else None
    return [
        seen
        for seen in rehearsed.messages
        if seen.owed.kind is Kind.NOTICE
        and (seen.owed.event_id, seen.owed.verdict) == (event_id, entry.judgement.verdict)
        and route in (None, seen.owed.route)
    ]


def _silence(entry: JudgedWebhook, rehearsed: _Rehearsed) -> str | None:
    """Describe the silence that would keep its messages back; None if there is none."""
    for seen in _notices(entry, rehearsed, None):
        if seen.owed.silence is not None:
            return f"{seen.owed.reason} (silence {seen.owed.silence})"
    return None


def _message(seen: Foreseen, rehearsed: _Rehearsed) -> dict[str, Any]:
    """Describe a message that would go out, or be given up."""
    owed = seen.owed
    shown = {
        "event_id": owed.event_id,
        "kind": owed.kind,
        "route": owed.route,
        "destination": owed.destination,
        "at": None if seen.at is None else format_time(seen.at),
        "is_now": seen.at == rehearsed.now,
        "why_not": "",
        "title": None,
        "body": None,
    }
    if seen.claim is None or seen.at is None:
        too_much = f"more than {MOST} other messages wait before it, or it has no destination"
        return {**shown, "why_not": owed.reason if seen.at is not None else too_much}
    route = rehearsed.rules.route(seen.claim.route)
    message = compose(seen.claim, route, seen.at, Links(rehearsed.public_url), rehearsed.zone)
    return {**shown, "title": message.title, "body": message.body}


def _routes(rehearsed: _Rehearsed, entry: JudgedWebhook) -> list[dict[str, Any]]:
    about = subject(entry, entry.after or entry.before)
    return [
        _stuck_route(decision.route, rehearsed, entry, about)
        if decision.route.stuck
        else _route(decision, rehearsed, entry)
        for decision in decide(rehearsed.rules.routes, about)
    ]


def _route(decision: Decision, rehearsed: _Rehearsed, entry: JudgedWebhook) -> dict[str, Any]:
    route, now = decision.route, rehearsed.now
    shown = {"name": route.name, "line": route.line, "why_not": decision.why_not}
    if decision.why_not:
        return shown
    message = render(
        _context(entry), route.name, route.title, route.body,
        repeat=False, now=now, zone=rehearsed.zone,
    )  # fmt: skip
    status = entry.after.status if entry.after else None
    notices = _notices(entry, rehearsed, route.name)
    told = [seen.owed.destination for seen in notices if seen.claim is not None]
    return {
        **shown,
        "destinations": told,
        "title": message.title,
        "body": message.body,
        "if_stuck": "",
        "then": [
            *_not_told(decision.destinations, notices, entry),
            *follow_ups(route, status, told, rehearsed.rules.destinations, now),
        ],
    }


def _not_told(
    destinations: Sequence[str], notices: Sequence[Foreseen], entry: JudgedWebhook
) -> Iterator[str]:
    """Say why destinations of a route that matches get no notice."""
    owed = {seen.owed.destination: seen for seen in notices}
    quarantined = entry.judgement.verdict is Verdict.QUARANTINED
    for name in destinations:
        if name not in owed:
            when = "within a day" if quarantined else f"while the execution is {_standing(entry)}"
            yield f"does not tell {name}: it was told of one of this kind already {when}"
        elif owed[name].claim is None:
            yield f"does not tell {name}: {owed[name].owed.reason or 'too much waits before it'}"


def _standing(entry: JudgedWebhook) -> str:
    return str(entry.before.status) if entry.before else "unknown"


def _stuck_route(
    route: Route, rehearsed: _Rehearsed, entry: JudgedWebhook, about: Subject
) -> dict[str, Any]:
    """Describe a route about stuck executions whose wait would begin with this event."""
    assert route.stuck is not None
    status = entry.after.status if entry.after else None
    why_not = no_wait_begins(route, entry, about)
    shown = {"name": route.name, "line": route.line, "why_not": why_not}
    if why_not:
        return shown
    due = rehearsed.now + route.stuck.after
    return {
        **shown,
        "destinations": [],
        "if_stuck": follow_up_if_stuck(route),
        "then": follow_ups(route, status, route.notify, rehearsed.rules.destinations, due),
    }


def _context(entry: JudgedWebhook) -> MessageContext:
    """Build the context of a message about an entry that is not stored."""
    execution = entry.after or entry.before
    before = entry.before if entry.after else None
    previous = (before.status, before.since) if before else None
    return message_context(
        entry.source, entry.judgement, entry.judged_at, entry.event, execution, previous
    )
