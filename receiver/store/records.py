"""The frozen values that the store takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from receiver.deliveries import PlannedDelivery, State
from receiver.events import Event, Execution, Held, Judgement, Status
from receiver.routing.policy import RouteOptions
from receiver.times import SECOND

ExecutionKey = tuple[str, str]
EventKey = tuple[str, str]
Change = tuple[str, str, Status, int]
# By so much (nanoseconds) clocks that are kept in time are stepped, or differ where a file moves to
# another machine. What waits so much longer because of it is late for nobody.
AHEAD = 5 * SECOND


@dataclass(frozen=True, slots=True)
class Loaded:
    """The stored ids, changes (execution, status, time) and executions that events are about.

    `held` has the events of an execution that may still be applied, by time and receipt.
    """

    event_ids: set[EventKey] = field(default_factory=set)
    changes: set[Change] = field(default_factory=set)
    executions: dict[ExecutionKey, Execution] = field(default_factory=dict)
    held: dict[ExecutionKey, list[Held]] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> Loaded:
        """Return what a store without any event has."""
        return cls()


@dataclass(frozen=True, slots=True)
class JudgedWebhook:
    """One judged webhook to be stored. `event` is None if it could not be read.

    `judged_at` is the time of receipt (nanoseconds). `after` is the execution after an applied
    event, `before` what stood before it. `moved` is the execution with a new mark only.
    `accepted`: it is answered with a 2xx. `until`: how long it is held. `resolved` are the routes
    whose people are told that the stay in the status before is over.

    With `again` the event is stored already and this is its new verdict, given at `judged_at`.
    """

    source: str
    event: Event | None
    judgement: Judgement
    judged_at: int
    body: bytes
    accepted: bool = True
    before: Execution | None = None
    after: Execution | None = None
    moved: Execution | None = None
    owed: tuple[PlannedDelivery, ...] = ()
    until: int | None = None
    again: bool = False
    resolved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The consequences of an attempt: the state, why, when next (waiting), and what was sent.

    `owed` is what its end owes to others. `chance` in [0, 1) spreads the waiting of a destination
    that fails as a whole. Of a digest that is dead, what was owed later than `spared` (ns) waits
    until `due_at` instead. `options` say what else follows from a message that was sent: reminders,
    and word of what happened to the episode meanwhile.
    """

    state: State
    reason: str
    due_at: int
    title: str
    body: str
    owed: tuple[PlannedDelivery, ...] = ()
    chance: float = 0.5
    spared: int | None = None
    options: Mapping[str, RouteOptions] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failures:
    """How often a destination failed `in_a_row`, and whether `several` executions were among it."""

    in_a_row: int = 0
    several: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """How many of the newest events of a source had the same verdict, reason and status."""

    source: str
    verdict: str
    reason: str
    status: str | None
    missing: tuple[str, ...]
    n: int


class PruneStage(StrEnum):
    """The rows that one stage of pruning walks over; the stages follow each other in this order.

    Executions that ended, with all about them; events about no execution; silences; raw bodies.
    """

    EXECUTIONS = "executions"
    EVENTS = "events"
    SILENCES = "silences"
    BODIES = "bodies"


@dataclass(frozen=True, slots=True)
class PruneCursor:
    """How far pruning has come: all up to this time (ns), and of those up to this number."""

    step: PruneStage = PruneStage.EXECUTIONS
    at: int = -(2**63)
    number: int = 0


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much one portion removed; `after` is where the next one goes on, None: nowhere."""

    after: PruneCursor | None
    executions: int = 0
    events: int = 0
    deliveries: int = 0
    silences: int = 0
    bodies: int = 0
