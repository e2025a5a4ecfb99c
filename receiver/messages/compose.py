"""Composition: the message of a claimed delivery, whatever its kind. Pure."""

from __future__ import annotations

from dataclasses import replace

from receiver.deliveries import Claim, Kind, Message
from receiver.messages.alarms import alarm_message, dead_letter_message
from receiver.messages.digests import digest_message
from receiver.messages.follow_ups import episode_message, thread_id
from receiver.routing.routes import Route


def compose(claim: Claim, route: Route | None, now: int, public_url: str = "") -> Message:
    """Compose the message of a claimed delivery by its present route (None: the route is gone).

    `now` is nanoseconds. `public_url` is the address at which people can see more, if there is one.
    """
    if claim.digest is not None:
        return digest_message(claim, claim.digest, public_url, now)
    if claim.alarm is not None:
        return alarm_message(claim, claim.alarm, now)
    message = replace(episode_message(claim, route, now), thread=thread_id(claim))
    if claim.origin is None or claim.kind is not Kind.NOTICE:
        return message
    return dead_letter_message(claim, claim.origin, message.title)
