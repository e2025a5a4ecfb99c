"""Composition: the message of a claimed delivery, whatever its kind. Pure."""

from __future__ import annotations

from dataclasses import replace

from receiver.deliveries import Claim, Kind, Message, Severity
from receiver.messages.digests import digest_message
from receiver.messages.follow_ups import act_of, episode_message, thread_id
from receiver.messages.notice import alarm
from receiver.messages.sanitize import clean
from receiver.routing.routes import Route


def compose(claim: Claim, route: Route | None, now: int, public_url: str = "") -> Message:
    """Compose the message of a claimed delivery by its present route (None: the route is gone).

    `now` is nanoseconds. `public_url` is the address at which people can see more, if there is one.
    """
    if claim.digest is not None:
        return digest_message(claim, claim.digest, public_url, now)
    message = replace(
        episode_message(claim, route, now), thread=thread_id(claim), act=act_of(claim)
    )
    if claim.origin is None or claim.kind is not Kind.NOTICE:
        return message
    return alarm(claim.origin, message.title, repeat=claim.repeat)


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
    return Message(title, body, thread_id(claim), Severity.WARNING, act_of(claim))
