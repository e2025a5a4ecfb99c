"""Formats: read the body of an authentic webhook into an Event, by the format of its source.

Fields that identify an event are read strictly. All others are read liberally, because the loss of
an alert over a mistyped `metadata` would be worse. A format is a module with the functions of
`Format`; a new one needs such a module and an entry in FORMATS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from receiver.events import Event, Status, Verdict
from receiver.sources.access import Act
from receiver.sources.answers import ActiveExecutions, Answer, StatusChange
from receiver.sources.formats import asteroid, asteroid_api, plain
from receiver.sources.strict_json import parse_json


class Format(Protocol):
    """Functions of a format's module. `content` is the JSON of a body.

    `ANNOUNCES` are the known names of events, each with the statuses that it may announce (none: no
    change of status). `UNKNOWN` is the verdict about an event of another name. `DETAILS` are the
    members of the payload that mean something, for the events that have any.
    """

    ANNOUNCES: Mapping[str, Sequence[Status]]
    UNKNOWN: Verdict
    DETAILS: Mapping[str, Sequence[str]]

    def read(self, source: str, content: Any, message_id: str | None) -> Event | None:
        """Return the event, or None without any envelope; MalformedEnvelope; see `read` below."""

    def sample(
        self,
        event: str,
        execution_id: str,
        *,
        event_id: str,
        occurred_at: int,
        details: Mapping[str, Any] | None = None,
        reason: str | None = None,
        agent_name: str = ...,
        metadata: Mapping[str, Any] | None = None,
    ) -> Mapping[str, Any]:
        """Return the content of a test webhook; `event` is the sender's name of the event.

        `details` are members of its payload, the reason among them.
        """


class Api(Protocol):
    """Functions of a module about a provider's API: addresses below its base, and its answers.

    `BASE_URL` and `HEADER` (of the key) are the defaults. Answers that cannot be read are
    MalformedEnvelope.
    """

    BASE_URL: str
    HEADER: str

    def execution_path(self, execution_id: str) -> str:
        """Return the address of an execution."""

    def changes_path(self, execution_id: str) -> str:
        """Return the address of an execution's changes of status."""

    def active_path(self, page: int | None = None) -> str:
        """Return the address of a page of the executions that have not ended; None: the first."""

    def act_path(self, execution_id: str, act: Act) -> str:
        """Return the address to which an act is posted."""

    def read_execution(self, content: Any) -> Answer:
        """Read an execution."""

    def read_changes(self, content: Any) -> Sequence[StatusChange]:
        """Read changes of status, earliest first."""

    def read_active(self, content: Any) -> ActiveExecutions:
        """Read a page of executions."""

    def event(
        self, source: str, answer: Answer, change: StatusChange, previous: Status | None = None
    ) -> Event:
        """Build the event of a change; `previous` is the status before it."""


FORMATS: Mapping[str, Format] = {"asteroid": asteroid, "plain": plain}
# The APIs of the formats whose provider can be asked.
APIS: Mapping[str, Api] = {"asteroid": asteroid_api}


def read(name: str, source: str, body: bytes, message_id: str | None = None) -> Event | None:
    """Read an event from a body of the format `name`; return None without any envelope.

    `message_id` is the sender's id from the headers, for a body without one. MalformedBody or
    MalformedEnvelope if it cannot be read; never another exception.
    """
    return FORMATS[name].read(source, parse_json(body), message_id)


def question_of(text: str, options: Sequence[str]) -> dict[str, Any]:
    """Return a question with the answers it offers, as agents ask it."""
    offered = [{"label": label, "description": ""} for label in options]
    return {"questions": [{"question": text, "header": "", "options": offered}]}
