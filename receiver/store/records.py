"""The frozen values that the store takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from receiver.alarms import Alarm
from receiver.deliveries import Acknowledgement, Kind, PlannedDelivery, State
from receiver.events import Event, Execution, Held, Judgement, Status
from receiver.routing.policy import RouteOptions
from receiver.times import SECOND

ExecutionKey = tuple[str, str]
EventKey = tuple[str, str]
# Source, execution, the event's name, its status and its time.
Change = tuple[str, str, str, Status, int]
# The largest normal step of a synchronized clock, or difference between the clocks of two machines
# (nanoseconds). A wait that grows by this much is not noticeably late.
AHEAD = 5 * SECOND


def change_of(event: Event) -> Change | None:
    """Return the change that an event announces; None if it announces none.

    The name belongs to it: within one second, a sender may start, pause and resume an execution.
    """
    if event.execution_id is None or event.status is None or event.occurred_at is None:
        return None
    return event.source, event.execution_id, event.event, event.status, event.occurred_at


@dataclass(frozen=True, slots=True)
class Loaded:
    """The stored ids, changes and executions of some events.

    `held` has the events of an execution that may still be applied, by time and receipt.
    """

    event_ids: set[EventKey] = field(default_factory=set)
    changes: set[Change] = field(default_factory=set)
    executions: dict[ExecutionKey, Execution] = field(default_factory=dict)
    held: dict[ExecutionKey, list[Held]] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> Loaded:
        """Return the content of a store without events."""
        return cls()


@dataclass(frozen=True, slots=True)
class JudgedWebhook:
    """One judged webhook to be stored. `event` is None if it could not be read.

    It waits from `judged_at` on, the time of receipt (nanoseconds) unless `received_at` is earlier.
    `before` and `after` are the execution around an applied event. `moved` is the execution if only
    its mark changed. `accepted`: the answer is a 2xx. `until`: the time until which it is held.
    `resolved` are the routes that send a message when the stay in the previous status is over.
    `problem`: what cannot be read.

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
    problem: str = ""
    received_at: int | None = None


@dataclass(frozen=True, slots=True)
class OwedDelivery:
    """A delivery as it stands: its event (None: it could not be read), its message, its fate.

    `silence` is the number of the silence that keeps it back.
    """

    number: int
    event_id: str | None
    verdict: str
    destination: str
    route: str
    kind: Kind
    state: State
    reason: str
    silence: int | None


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The consequences of an attempt: state, reason, next due time (waiting) and the sent text.

    `owed` are deliveries to others that the end of this one causes. `chance` in [0, 1) spreads the
    pause of a destination that fails as a whole. In a dead digest, deliveries owed later than
    `spared` (ns) do not die but wait until `due_at`. `options` control the follow-ups of a sent
    message: reminders, and messages about an episode that ended or was taken meanwhile. `at` is
    when this was decided (nanoseconds), if not at the claim: a wait begins then.
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
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Failures:
    """The number of failures `in_a_row`, and whether they concern `several` executions.

    The destination is paused until `paused_until` (nanoseconds; 0: it is not).
    """

    in_a_row: int = 0
    several: bool = False
    paused_until: int = 0


@dataclass(frozen=True, slots=True)
class FailingDestination:
    """A destination that got nothing since `failing_since`. Times are nanoseconds.

    `failed_at` is its last failed attempt and `last_failure` the reason. Something has waited and
    nothing went since `starving_since` (None: not recorded). `waits_since` is the same as it looks
    now, and what died meanwhile counts; None: nothing was owed.
    """

    name: str
    failing_since: int
    failed_at: int
    starving_since: int | None
    waits_since: int | None
    last_failure: str


@dataclass(frozen=True, slots=True)
class HeardSource:
    """A source and when it was last heard (nanoseconds); None: never.

    Its silence counts from `quiet_from`. `served_at` is when a process last looked for it.
    """

    name: str
    heard_at: int | None
    quiet_from: int | None
    served_at: int | None


@dataclass(frozen=True, slots=True)
class SetAside:
    """Webhooks of a source in quarantine for the same reason: the first (ns) and how many.

    `told` are the destinations that a route told of one of them.
    """

    source: str
    reason: str
    first_at: int
    n: int
    told: frozenset[str] = frozenset()

    @property
    def about(self) -> str:
        """The name of an alarm about them."""
        return f"{self.source}/{self.reason}"


@dataclass(frozen=True, slots=True)
class Watched:
    """Signs whether telling works: open alarms, and what may begin or end one.

    `told` has the states of the deliveries about each alarm, by its id and their destinations.
    """

    alarms: tuple[Alarm, ...] = ()
    told: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    failing: Mapping[str, FailingDestination] = field(default_factory=dict)
    sources: Mapping[str, HeardSource] = field(default_factory=dict)
    set_aside: tuple[SetAside, ...] = ()


@dataclass(frozen=True, slots=True)
class Tally:
    """The number of a source's newest events with the same verdict, reason and status."""

    source: str
    verdict: str
    reason: str
    status: str | None
    missing: tuple[str, ...]
    n: int


@dataclass(frozen=True, slots=True)
class Delays:
    """The times from the occurrence to the receipt of a source's `n` newest events (nanoseconds).

    They are negative for times ahead of our clock. The events were received `within` this time.
    """

    source: str
    n: int
    least: int
    median: int
    within: int


class KeptBy(StrEnum):
    """The cause that keeps a delivery back from when it is planned until it is due.

    Quiet hours; its group, which gathers or was told lately; a failed attempt.
    """

    QUIET = "quiet"
    GATHERS = "gathers"
    GROUP = "group"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Happened:
    """The number of events with the same verdict and status that came in one part of a time."""

    part: int
    verdict: str
    status: str | None
    n: int


@dataclass(frozen=True, slots=True)
class Waited:
    """The waits for a confirmation that ended in one part of a time, and how long (nanoseconds)."""

    part: int
    n: int
    median: int
    longest: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A destination as it stands: its last success, since when it fails (ns), and why.

    `waiting` messages are owed, the oldest since `owed_since`; `dead` ones were given up.
    """

    name: str
    succeeded_at: int | None
    failing_since: int | None
    last_failure: str
    waiting: int
    dead: int
    owed_since: int | None = None


@dataclass(frozen=True, slots=True)
class Obstacles:
    """Obstacles that may keep a waiting delivery back. Times are nanoseconds.

    A rule asks for it at `planned_at`, and `kept_by` keeps it back until `due_at`. `is_if_stuck`:
    it is for the case that nothing is heard of its execution. It is `behind` an older delivery
    about the same. Its destination is paused until `paused_until` (0: it is not), and had `tokens`
    at `counted_at` (None: nothing was ever claimed for it).
    """

    planned_at: int
    due_at: int
    kept_by: KeptBy | None
    is_if_stuck: bool
    behind: int | None
    paused_until: int
    tokens: float | None
    counted_at: int

    @property
    def may_go_at(self) -> int:
        """The time of the next attempt: at the earliest when its destination may be tried."""
        return max(self.due_at, self.paused_until)


class PruneStage(StrEnum):
    """The rows that one stage of pruning walks over, in this order; executions with theirs."""

    EXECUTIONS = "executions"
    EVENTS = "events"
    SILENCES = "silences"
    ALARMS = "alarms"
    AUDIT = "audit"
    BODIES = "bodies"


@dataclass(frozen=True, slots=True)
class PruneCursor:
    """A place in the walk of pruning: the time (ns) and the number of the last row seen."""

    step: PruneStage = PruneStage.EXECUTIONS
    at: int = -(2**63)
    number: int = 0


@dataclass(frozen=True, slots=True)
class Pruned:
    """The numbers of rows that one portion removed; the next one starts at `after` (None: end)."""

    after: PruneCursor | None
    executions: int = 0
    events: int = 0
    deliveries: int = 0
    silences: int = 0
    alarms: int = 0
    acts: int = 0
    bodies: int = 0


class TakeOutcome(StrEnum):
    """What came of it that somebody takes an episode."""

    TAKEN = "taken"
    TAKEN_OVER = "taken_over"
    ALREADY_TAKEN = "already_taken"
    TAKEN_BY_ANOTHER = "taken_by_another"
    ENDED = "ended"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TakeResult:
    """The outcome for somebody who takes an episode; `acknowledged` is in force afterwards.

    Nothing changes, and nobody is told, if that person has it already.
    """

    outcome: TakeOutcome
    acknowledged: Acknowledgement | None = None
