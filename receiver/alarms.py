"""Alarms: the enumeration and the frozen value for troubles with telling people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AlarmKind(StrEnum):
    """The kind of an alarm.

    A destination gets no messages, a source is quiet, the rules could not be read again, too many
    webhooks of a source are refused, one was set aside, or the provider has to be asked for what
    webhooks should have said.
    """

    DESTINATION = "destination"
    SOURCE_QUIET = "source_quiet"
    RELOAD = "reload"
    SIGNATURES = "signatures"
    QUARANTINED = "quarantined"
    WEBHOOKS_MISSED = "webhooks_missed"


@dataclass(frozen=True, slots=True)
class Alarm:
    """A trouble with telling: its kind and the name that it is `about`. Times are nanoseconds.

    `about` is a destination or a source, `SOURCE/REASON` for webhooks that were set aside, and
    empty for the rules. `n` counts the messages that waited, or the webhooks, when it was raised.
    At its end `waiting` messages waited, and `dead` ones had died. `end_cause` says how it ended,
    if not by itself. `id` is 0 until it is stored.
    """

    kind: AlarmKind
    about: str
    began_at: int
    raised_at: int
    cause: str
    n: int = 0
    ended_at: int | None = None
    end_cause: str = ""
    waiting: int = 0
    dead: int = 0
    id: int = 0

    @property
    def source(self) -> str:
        """The source that it is about; empty if it is about none."""
        if self.kind in (AlarmKind.DESTINATION, AlarmKind.RELOAD):
            return ""
        return self.about.partition("/")[0]
