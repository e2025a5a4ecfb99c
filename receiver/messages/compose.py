"""Composition: the message of a claimed delivery, whatever its kind. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, tzinfo

from receiver.deliveries import Claim, Kind, Message, Severity
from receiver.messages.alarms import alarm_message, dead_letter_message
from receiver.messages.digests import digest_message
from receiver.messages.follow_ups import episode_message, kind_of, thread_id
from receiver.messages.sanitize import clean, safe_link
from receiver.routing.routes import Route


def compose(
    claim: Claim, route: Route | None, now: int, public_url: str = "", zone: tzinfo = UTC
) -> Message:
    """Compose the message of a claimed delivery by its present route (None: the route is gone).

    `now` is nanoseconds. `public_url` is the address at which people can see more, if there is one,
    and `zone` is the time zone of the people.
    """
    if claim.digest is not None:
        message = digest_message(claim, claim.digest, route, now, public_url, zone)
        return replace(message, repeat=claim.repeat, delivery=claim.delivery)
    message = _composed(claim, route, now, zone)
    if claim.alarm is not None:
        return replace(message, repeat=claim.repeat, delivery=claim.delivery)
    return _with_essentials(message, claim)


def _composed(claim: Claim, route: Route | None, now: int, zone: tzinfo) -> Message:
    if claim.alarm is not None:
        return alarm_message(claim, claim.alarm, now, zone)
    message = replace(
        episode_message(claim, route, now, zone), thread=thread_id(claim), kind=kind_of(claim)
    )
    if claim.origin is not None and claim.kind is Kind.NOTICE:
        return dead_letter_message(claim, claim.origin, message.title)
    if claim.thread_title is None:
        return message
    # Some readers of mail join only what has the same subject.
    return replace(message, subject=f"Re: {claim.thread_title}")


def _with_essentials(message: Message, claim: Claim) -> Message:
    """Add what has to stay of a message where there is little room."""
    return replace(
        message,
        link=safe_link(claim.facts.execution_url),
        execution_id=clean(claim.facts.execution_id or ""),
        repeat=claim.repeat,
        delivery=claim.delivery,
    )


def plain_message(claim: Claim) -> Message:
    """Say which execution a message is about: the text if `compose` fails, whatever the reason."""
    facts = claim.facts
    lines = (
        "The text of this message could not be written; the log of the receiver says why.",
        f"Execution: {facts.execution_id or 'unknown'}",
        f"Status: {facts.status or facts.execution_status or 'unknown'}",
        f"Source: {facts.source}",
    )
    title = clean(f"{facts.agent_name or facts.agent_id or 'An agent'}: news", 120)
    body = "\n".join(clean(line, 300) for line in lines)
    message = Message(title, body, thread_id(claim), Severity.WARNING, kind=kind_of(claim))
    return _with_essentials(message, claim)
