"""Deliveries: the enumerations and frozen values for messages to people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from receiver.alarms import Alarm
from receiver.events import Status, Verdict

# The beginning of what a console says of a message, which it told nobody but its own readers.
PRINTED = "printed only: "


class State(StrEnum):
    """The state of a delivery."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    SUPERSEDED = "superseded"
    DEAD = "dead"


class Kind(StrEnum):
    """The kind of a delivery: the reason why it is owed.

    A route asks for a notice about an event. While the execution stays in that status (an episode),
    there may be reminders and escalations, and somebody may take it (acknowledged). When it moves
    on, it is resolved. A digest lists what a silence kept back; a fall-back gets a message that
    died elsewhere. An alarm: telling fails, or works.
    """

    NOTICE = "notice"
    REMINDER = "reminder"
    ESCALATION = "escalation"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    DIGEST = "digest"
    FALLBACK = "fallback"
    ALARM = "alarm"


class Outcome(StrEnum):
    """The outcome of one attempt."""

    DELIVERED = "delivered"
    FAILED = "failed"
    UNCERTAIN = "uncertain"


class Severity(StrEnum):
    """Weight of a message for people: destinations show it by colour, icon or priority.

    Failure: it failed or is dead. Warning: it waits, is stuck, was rejected, or is asked for again.
    Success: a wait is over, or an execution ended well.
    """

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class ListedLine:
    """A line of a list: its text in the body, and its parts for where there is less room.

    `words` say what it is about, `link` where to look; `key` is the id of its execution. No other
    line of the list has its `name`, which stays the same if the list is written anew.
    """

    text: str
    words: str
    link: str
    key: str
    name: str


@dataclass(frozen=True, slots=True)
class Message:
    """A text for a destination: plain, cleaned and cut.

    Messages with the same `thread` are one conversation, or one incident that the `kind` opens,
    acknowledges or resolves. In e-mails `subject` replaces the title, and `opening` is its rest.
    Where there is less room, `link` and `execution_id` are the last to go, after the line `take`,
    and a text with `listed` lines becomes several messages. `repeat`: an earlier attempt may have
    arrived. `delivery` is the id of its delivery, if it has one.
    """

    title: str
    body: str
    thread: str | None = None
    severity: Severity = Severity.INFO
    subject: str = ""
    opening: str = ""
    kind: Kind = Kind.NOTICE
    link: str = ""
    take: str = ""
    execution_id: str = ""
    listed: tuple[ListedLine, ...] = ()
    repeat: bool = False
    delivery: int | None = None

    def as_mail(self) -> tuple[str, str]:
        """Return the subject and the text of an e-mail."""
        text = f"{self.opening}\n{self.body}" if self.opening else self.body
        return (self.subject, text) if self.subject else (self.title, self.body)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Try of a delivery; `is_none`: nobody was there to make it. `detail` shows no secrets.

    `permanent`: no retry can mend it. `retry_after`: the wait that the destination asks for (s).
    """

    outcome: Outcome
    detail: str
    duration_ms: int = 0
    permanent: bool = False
    retry_after: float | None = None
    is_none: bool = False


@dataclass(frozen=True, slots=True)
class MessageContext:
    """The facts of a message. Every text in it is the sender's and hostile.

    Times are nanoseconds; `previous_since` is the start of the previous status. One of the statuses
    in `missing` should have come before this one. `gap`: an event of the execution was applied over
    a gap. A quarantined webhook that could not be read has no event, no execution and no status.
    """

    source: str
    verdict: Verdict
    verdict_reason: str
    received_at: int
    event_id: str | None = None
    event: str | None = None
    status: Status | None = None
    occurred_at: int | None = None
    execution_id: str | None = None
    execution_status: Status | None = None
    previous_status: Status | None = None
    previous_since: int | None = None
    agent_id: str | None = None
    agent_name: str | None = None
    execution_url: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    missing: tuple[Status, ...] = ()
    gap: bool = False


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """A delivery that the store has to add.

    `dedup_key` makes it unique. `guard_version` is the version that the execution must still have
    when it is sent (None: true for ever). `order_key` keeps the order of one execution within a
    destination. `origin` is the id of a dead delivery that it is about. It is planned for `due_in`
    ns later and then `gathers` others for some ns: those with the same `group_key` go out as one
    digest. `step` counts reminders or escalations.
    """

    destination: str
    route: str
    kind: Kind
    dedup_key: str
    order_key: str
    guard_version: int | None
    origin: int | None = None
    due_in: int = 0
    gathers: int = 0
    step: int = 0
    group_key: str | None = None


@dataclass(frozen=True, slots=True)
class DeadOriginal:
    """A delivery that died: its destination, the reason, the number of dead ones there, its state.

    `kind` and `step` are of the first delivery, before any fall-back; `delivery` is its id.
    `is_alarm`: it was itself a message about another dead delivery.
    """

    destination: str
    reason: str
    dead: int
    is_dead: bool = True
    kind: Kind = Kind.NOTICE
    step: int = 0
    delivery: int = 0
    is_alarm: bool = False


@dataclass(frozen=True, slots=True)
class DigestItem:
    """Message in a digest.

    `over`: its episode has ended since. `taken`: somebody has taken it, `taken_by` says who.
    `stuck`: no event of it came for too long. About an end, `begun` has the facts of the beginning.
    """

    kind: Kind
    step: int
    facts: MessageContext
    over: bool = False
    taken: bool = False
    stuck: bool = False
    taken_by: str = ""
    begun: MessageContext | None = None


@dataclass(frozen=True, slots=True)
class Digest:
    """Many messages as one: the total, the number of each sort, and the first few.

    `counts` are (sort, agent, number), the largest first; there may be more sorts than these. A
    sort is a status, `stuck/` and a status for stuck executions, or the outcome of an episode.
    Every confirmation that still waits is in `listed`. If a silence kept the messages back,
    `silence` names it and `page` counts its digests. Then each execution counts once. `since` is
    the time of the earliest event (nanoseconds).
    """

    total: int
    counts: tuple[tuple[str, str, int], ...]
    listed: tuple[DigestItem, ...]
    silence: str = ""
    page: int = 1
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The acknowledgement of an episode by a person, at a time (ns), maybe `taken_from` another."""

    by: str
    at: int
    taken_from: str | None = None


@dataclass(frozen=True, slots=True)
class HeardBefore:
    """A destination that got a message about an episode by a route, or may have, first at `at`."""

    destination: str
    route: str
    at: int


@dataclass(frozen=True, slots=True)
class OnlyIf:
    """A condition: the episode (of this version) lasts, and this person or nobody has taken it."""

    version: int | None
    taken_by: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery claimed for a limited time; `token` proves the claim at recording.

    `attempts` counts the attempts before this one; `repeat`: one of them may have arrived.
    `owed_at` (ns) is the start of `retry_for`, `claimed_at` (ns) that of this attempt. The message
    is made of `facts`, and of `origin` if it is about a dead delivery. With a `digest` it includes
    other deliveries, which share its token and outcome. `version` is that of its episode,
    `acknowledged` the person who has taken it. One about the end of an episode has the facts of its
    beginning in `begun`. `thread_title` is that of its route's first message about the episode; an
    escalation names who `heard` before. With an `alarm` it is about no event. `heard_at` (ns): the
    last event of what may be stuck.
    """

    delivery: int
    token: str
    destination: str
    route: str
    attempts: int
    repeat: bool
    owed_at: int
    facts: MessageContext
    kind: Kind = Kind.NOTICE
    order_key: str = ""
    guard_version: int | None = None
    claimed_at: int = 0
    origin: DeadOriginal | None = None
    step: int = 0
    group_key: str | None = None
    digest: Digest | None = None
    version: int | None = None
    acknowledged: Acknowledgement | None = None
    begun: MessageContext | None = None
    thread_title: str | None = None
    heard: tuple[HeardBefore, ...] = ()
    heard_at: int | None = None
    alarm: Alarm | None = None
