"""Deliveries: the words and frozen values of telling people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from receiver.events import Event, Execution, Judgement, Status, Verdict


class State(StrEnum):
    """State of a delivery."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    SUPERSEDED = "superseded"
    DEAD = "dead"


class Kind(StrEnum):
    """Kind of a delivery: the reason why it is owed.

    A route asks for a notice about an event. While the execution stays where that event took it
    (an episode), there may be reminders and escalations, somebody may take it (acknowledged), and
    when it moves on it is resolved. A digest lists what a silence kept back; a fall-back gets what
    died elsewhere.
    """

    NOTICE = "notice"
    REMINDER = "reminder"
    ESCALATION = "escalation"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    DIGEST = "digest"
    FALLBACK = "fallback"


class Outcome(StrEnum):
    """Outcome of one attempt."""

    DELIVERED = "delivered"
    FAILED = "failed"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Message:
    """A text for a destination: plain, cleaned and cut.

    Messages with the same `thread` are one conversation, where the destination has such a thing.
    """

    title: str
    body: str
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a delivery. `detail` is one readable line without secrets.

    `permanent`: no retry can mend it. `retry_after`: seconds the destination asked us to wait.
    """

    outcome: Outcome
    detail: str
    duration_ms: int = 0
    permanent: bool = False
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class MessageContext:
    """The facts of a message. Every text in it is the sender's and hostile.

    Times are nanoseconds; `previous_since` is when the status before this one began. One of the
    statuses in `missing` should have come before it. `gap`: something was applied to the execution
    over a gap. A quarantined webhook that could not be read has no event, no execution and no
    status.
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


def message_context(
    source: str,
    judgement: Judgement,
    received_at: int,
    event: Event | None,
    execution: Execution | None,
    previous: tuple[Status, int] | None,
) -> MessageContext:
    """Build the context of a message about a judged event: the one place for sending and `explain`.

    `execution` is as it stands now; it says what the event leaves out. `previous` is the status
    that an applied event ended, and since when (nanoseconds) the execution had it.
    """
    if event is None:
        return MessageContext(source, judgement.verdict, judgement.reason, received_at)
    return MessageContext(
        source=source,
        verdict=judgement.verdict,
        verdict_reason=judgement.reason,
        received_at=received_at,
        event_id=event.event_id,
        event=event.event,
        status=event.status,
        occurred_at=event.occurred_at,
        execution_id=event.execution_id,
        execution_status=execution.status if execution else None,
        previous_status=previous[0] if previous else None,
        previous_since=previous[1] if previous else None,
        agent_id=event.agent_id or (execution.agent_id if execution else None),
        agent_name=event.agent_name or (execution.agent_name if execution else None),
        execution_url=event.execution_url or (execution.execution_url if execution else None),
        metadata=event.metadata or (execution.metadata if execution else None) or {},
        detail=event.detail,
        flags=judgement.flags,
        missing=judgement.missing,
        gap=execution.gap if execution else False,
    )


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """A delivery that the intake asks the store to owe.

    `dedup_key` makes it owed once. `guard_version` is the version at which the execution must
    still stand when it is sent (None: true for ever). `order_key` keeps the order of one execution
    within a destination. `origin` is the id of the dead delivery that it tells of. It is due
    `due_in` nanoseconds after it is owed; `step` counts reminders or escalations. Deliveries with
    the same `group_key` go out together, as one digest.
    """

    destination: str
    route: str
    kind: Kind
    dedup_key: str
    order_key: str
    guard_version: int | None
    origin: int | None = None
    due_in: int = 0
    step: int = 0
    group_key: str | None = None


@dataclass(frozen=True, slots=True)
class DeadOriginal:
    """A delivery that died: where, why, how many are dead there now, and whether it still is.

    `kind` and `step` are those of the first delivery, before any fall-back.
    """

    destination: str
    reason: str
    dead: int
    is_dead: bool = True
    kind: Kind = Kind.NOTICE
    step: int = 0


@dataclass(frozen=True, slots=True)
class DigestItem:
    """One of the messages that a digest stands for.

    `over`: its episode has ended since. `taken`: somebody has taken it. `stuck`: nothing was heard
    of its execution for too long.
    """

    kind: Kind
    step: int
    facts: MessageContext
    over: bool = False
    taken: bool = False
    stuck: bool = False


@dataclass(frozen=True, slots=True)
class Digest:
    """Many messages as one: how many in all, how many of each sort, the first few.

    `counts` are (sort, agent, how many), most first; there may be more sorts than these. A sort is
    a status, `stuck/` and a status where nothing was heard for too long, or what has become of the
    execution. Every confirmation that still waits is in `listed`. `silence` names the silence that
    kept them back, if one did, and `page` counts its digests: then executions are counted, however
    often people would have been reminded of them.
    """

    total: int
    counts: tuple[tuple[str, str, int], ...]
    listed: tuple[DigestItem, ...]
    silence: str = ""
    page: int = 1


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The taking of an episode: by whom, and when (nanoseconds)."""

    by: str
    at: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery taken for a limited time; `token` is the proof of it when recording.

    `attempts` counts the attempts before this one; `repeat`: one of them may have arrived.
    `owed_at` (ns) is the start of `retry_for`, `claimed_at` (ns) that of this attempt. Its message
    is made of `facts`, and of `origin` if it tells of a dead delivery. With a `digest` it stands
    for other deliveries as well, which share its token and its fate. `version` is that of its
    episode.
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
