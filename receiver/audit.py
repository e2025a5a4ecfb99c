"""Audit: what people and their tools did, through which door and from where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Act(StrEnum):
    """What somebody did."""

    TAKE = "take"
    REDELIVER = "redeliver"
    SILENCE = "silence"
    END_SILENCE = "end_silence"
    TEST = "test"
    RELOAD = "reload"
    RENAME = "rename"
    SIGN_IN = "sign_in"
    SIGN_IN_REFUSED = "sign_in_refused"
    SIGN_OUT = "sign_out"


class Door(StrEnum):
    """The way by which somebody came: a command, the API, a page, a message's link, a signal."""

    COMMAND = "command"
    API = "api"
    PAGE = "page"
    LINK = "link"
    SIGNAL = "signal"


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who does something. `who` is a name as it was given, empty if nobody gave one.

    `place` says from where: an address, the system's user, the destination that a link was sent to.
    """

    who: str
    door: Door
    place: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the audit. Its time is nanoseconds.

    It is about an execution (`source`, `execution_id`), or `about` says what: a number or a name.
    """

    at: int
    act: Act
    by: Actor
    source: str | None = None
    execution_id: str | None = None
    about: str = ""
    result: str = ""

    def with_result(self, result: str, about: str = "") -> Entry:
        """Return the entry with what came of it."""
        return replace(self, result=result, about=about or self.about)
