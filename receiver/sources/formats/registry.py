"""From the body of an authentic webhook to an Event, one function per format.

What a sender may leave out or get wrong without making the event useless is read liberally: an
alert lost over a mistyped `metadata` would be worse. What identifies an event is read strictly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from receiver.events import Event
from receiver.sources.formats.asteroid import asteroid
from receiver.sources.formats.plain import plain
from receiver.sources.strict_json import parse_json


def read(name: str, source: str, body: bytes, message_id: str | None = None) -> Event | None:
    """The event that a body of the format `name` says, or None if it has no envelope at all.

    `message_id` is the sender's id from the headers, for a body that has none. MalformedBody,
    MalformedEnvelope if it cannot be read; never another exception.
    """
    content = parse_json(body)
    return FORMATS[name](source, content, message_id)


FORMATS: dict[str, Callable[[str, Any, str | None], Event | None]] = {
    "asteroid": asteroid,
    "plain": plain,
}
