"""Audit: what people and their tools did, through which door and from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Act(StrEnum):
    """Act of a person or a tool."""

    TAKE = "take"
    RESUME = "resume"
    CANCEL = "cancel"
    PAUSE = "pause"
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


@dataclass(frozen=True, slots=True)
class Turn:
    """Turn of somebody to act on an execution at its provider; the token is what shows whose it is.

    `pending`: the act that the provider took a moment ago, at `version` of the execution, and `who`
    did it.
    """

    source: str
    execution_id: str
    token: str
    pending: Act | None = None
    who: str = ""
    version: int = 0


# Stands in the audit from before the request leaves until its result is known.
BEGUN = "begun"
# What people do with an execution at its provider.
AT_PROVIDER = (Act.RESUME, Act.CANCEL, Act.PAUSE)
_DID = {Act.RESUME: "resumed", Act.CANCEL: "cancelled", Act.PAUSE: "paused"}
_BECAME = {
    "uncertain": "it may have happened",
    BEGUN: "no result is known, it may have happened",
}
_THROUGH = {
    Door.COMMAND: "by a command",
    Door.API: "through the API",
    Door.PAGE: "on its page",
}


def at_provider(row: Mapping[str, Any]) -> str:
    """Say who did what with an execution at its provider, through which door, and why."""
    who, act = row["who"] or "Somebody", Act(row["act"])
    # The address of a visitor is for the audit alone.
    link = f"from the link {row['place'].partition(',')[0]}"
    through = _THROUGH.get(Door(row["door"]), link)
    reason = f" ({row['about']})" if row["about"] else ""
    if row["result"] == "done":
        return f"{who} {_DID[act]} it {through}{reason}"
    became = _BECAME.get(row["result"], "it was not done")
    return f"{who} tried to {act} it {through}{reason}: {became}"
