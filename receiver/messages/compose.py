"""Composition: the message of a claimed delivery, whatever its kind. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, tzinfo

from receiver.deliveries import Claim, Kind, Message, Severity
from receiver.events import Category
from receiver.links import NO_LINKS, Links, mark_of
from receiver.messages.alarms import alarm_message, dead_letter_message
from receiver.messages.digests import digest_message
from receiver.messages.follow_ups import episode_message, kind_of, thread_id
from receiver.messages.sanitize import clean, safe_link
from receiver.messages.wording import take_line
from receiver.routing.routes import Route


def compose(
    claim: Claim, route: Route | None, now: int, links: Links = NO_LINKS, zone: tzinfo = UTC
) -> Message:
    """Compose the message of a claimed delivery by its present route (None: the route is gone).

    `now` is nanoseconds. `links` lead to where people can see more and take what waits; `zone` is
    their time zone.
    """
    if claim.digest is not None:
        message = digest_message(claim, claim.digest, route, now, links.public_url, zone)
        return replace(message, repeat=claim.repeat, delivery=claim.delivery)
    take_url = _take_url(claim, route, links, now)
    message = _composed(claim, route, now, zone, take_url)
    if claim.alarm is not None:
        return replace(message, repeat=claim.repeat, delivery=claim.delivery)
    return _with_essentials(message, claim, take_url)


def _take_url(claim: Claim, route: Route | None, links: Links, now: int) -> str:
    """Return the link by which somebody takes the episode; empty if it cannot be taken.

    What waits for a person can be taken, and what may be stuck, until it moves on.
    """
    facts = claim.facts
    is_told = kind_of(claim) in (Kind.NOTICE, Kind.REMINDER, Kind.ESCALATION)
    about_dead = claim.origin is not None and claim.kind is Kind.NOTICE
    is_present = facts.execution_status in (None, facts.status)
    if not is_told or about_dead or claim.version is None or not is_present:
        return ""
    if facts.status is None or facts.status.category is Category.TERMINAL:
        return ""
    is_stuck = route is not None and route.stuck is not None
    if facts.status.category is Category.PROCESSING and not is_stuck:
        return ""
    about = facts.source, facts.execution_id or "", claim.version
    return links.to(claim.delivery, mark_of(*about, claim.destination), now)


def _composed(claim: Claim, route: Route | None, now: int, zone: tzinfo, take_url: str) -> Message:
    if claim.alarm is not None:
        return alarm_message(claim, claim.alarm, now, zone)
    message = replace(
        episode_message(claim, route, now, zone, take_url),
        thread=thread_id(claim),
        kind=kind_of(claim),
    )
    if claim.origin is not None and claim.kind is Kind.NOTICE:
        return dead_letter_message(claim, claim.origin, message.title)
    if claim.thread_title is None:
        return message
    # Some readers of mail join only what has the same subject.
    return replace(message, subject=f"Re: {claim.thread_title}")


def _with_essentials(message: Message, claim: Claim, take_url: str = "") -> Message:
    """Add what has to stay of a message where there is little room."""
    return replace(
        message,
        link=safe_link(claim.facts.execution_url),
        take=take_line(take_url, claim.acknowledged.by if claim.acknowledged else ""),
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
