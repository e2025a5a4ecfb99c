"""The store's contract, in words. Every engine keeps it, and one suite of tests is its definition.

* A **write** is an act on a transaction. Writes that wait together are committed together, with
  one sync to disk; each is answered only after that. If the batch fails, its acts are tried again
  one by one, so that only the one that cannot be done fails.
* What is answered is on disk. What is not answered may be on disk: it has to be sent again, and
  is then a duplicate.
* Inside a transaction an act sees all that earlier acts did, and nobody sees a part of it.
* An event has one verdict; when a held one is judged again, its steps stay in the history.
* An execution's version grows by one with each applied event; a terminal execution never changes.
* A delivery is owed once for a dedup key. It is claimed by one claimant at a time, for the time of
  a lease; only the token of the claim can record what became of it.
* **Reads** see committed data only and never wait for a write.

Errors: StorageUnavailable if it could not be committed (send it again), Overloaded if too much is
waiting already, StorageRefused at opening.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from receiver.deliveries import Acknowledgement, Attempt, Claim, PlannedDelivery, State
from receiver.events import Event, Execution, Held, Judgement, Status
from receiver.retention import Limits
from receiver.routing.conditions import Subject
from receiver.routing.policy import RouteOptions, SendPolicy
from receiver.routing.silences import Silence
from receiver.times import SECOND

Item = TypeVar("Item")
Result = TypeVar("Result")
ExecutionKey = tuple[str, str]
EventKey = tuple[str, str]
Change = tuple[str, str, Status, int]
# By so much (nanoseconds) clocks that are kept in time are stepped, or differ where a file moves to
# another machine. What waits so much longer because of it is late for nobody.
AHEAD = 5 * SECOND


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is stored about events: their ids, changes (execution, status, time), executions.

    `held` has the events of an execution that may still be applied, by time and receipt.
    """

    event_ids: set[EventKey] = field(default_factory=set)
    changes: set[Change] = field(default_factory=set)
    executions: dict[ExecutionKey, Execution] = field(default_factory=dict)
    held: dict[ExecutionKey, list[Held]] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> Loaded:
        """What a store without any event has."""
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
class Tally:
    """How many of the newest events of a source had the same verdict, reason and status."""

    source: str
    verdict: str
    reason: str
    status: str | None
    missing: tuple[str, ...]
    n: int


class PruneStage(StrEnum):
    """What is walked over to remove what has been kept for long enough, in this order.

    Executions that ended, with all about them; events about no execution; silences; raw bodies.
    """

    EXECUTIONS = "executions"
    EVENTS = "events"
    SILENCES = "silences"
    BODIES = "bodies"


@dataclass(frozen=True, slots=True)
class PruneCursor:
    """How far it has come: all up to this time (nanoseconds), and of those up to this number."""

    step: PruneStage = PruneStage.EXECUTIONS
    at: int = -(2**63)
    number: int = 0


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one portion removed; `after` is where the next one goes on, None: that was the last."""

    after: PruneCursor | None
    executions: int = 0
    events: int = 0
    deliveries: int = 0
    silences: int = 0
    bodies: int = 0


class Transaction(Protocol):
    """What an act may do; all of it is committed or none."""

    def load(self, events: Sequence[Event]) -> Loaded:
        """What is stored about these events, their changes and their executions."""

    def save(self, entries: Sequence[JudgedWebhook]) -> None:
        """Store judged webhooks, in this order, with all that they change and owe.

        Where an execution moves, what waits about its episode before is superseded, and who was
        sent a message of it by one of the `resolved` routes is owed word of its end.
        """

    def expired_held(self, now: int) -> Sequence[Held]:
        """Held events whose time is over, those first that were due first; a bounded number."""

    def claim(
        self, destination: str, policy: SendPolicy, now: int, until: int, *, anyway: bool = False
    ) -> Claim | None:
        """Take the next delivery that is due, until `until`; supersede those no longer true.

        None also if the destination has got all that its policy allows, or waits as a whole because
        it failed too often (`anyway`: it is tried though it waits, and if that works, waits no
        longer). Deliveries whose lease is over go back to waiting first, as repeats.
        What a silence keeps back is superseded, what falls into quiet hours is put off to their
        end, what belongs to a group is taken with all of it that gathered, as a digest; and
        nothing is stuck of which something was heard.
        """

    def recheck_quiet(self, destination: str, policy: SendPolicy, now: int) -> None:
        """Put what quiet hours put off to the end of those that hold by now: due if none do.

        Where the same hours hold as before, nothing moves.
        """

    def record(self, claim: Claim, attempt: Attempt, after: AttemptResult) -> bool:
        """Write down an attempt and what follows from it. False: the claim was lost meanwhile.

        What was sent owes the next reminder while its episode lasts; if that ended or was taken
        meanwhile, it owes word of that.
        """

    def release(self, now: int, *, all_leases: bool) -> int:
        """Put deliveries whose lease is over (or all in sending) back to waiting, as repeats."""

    def set_back(self, now: int) -> int:
        """Where the clock was set back: wait as long as was meant, from now on; how many waits.

        How that is told apart: every wait (of a delivery, a held event, a destination that waits
        or was told a short while ago, a group, a silence) has the time at which it began. That
        happened, so it cannot lie ahead of a clock that is right; if it does (by more than AHEAD),
        the clock was set back since, while somebody served or between two runs. When something is
        due is a plan, lies ahead because it was meant to, and is never a sign. So what began
        before now is due when it was, however often this is asked; what began ahead begins now,
        which is why doing it again changes nothing.
        """

    def redeliver(self, delivery: int, now: int) -> bool | None:
        """Give a dead delivery a new chance. False: it is not dead. None: there is none."""

    def redeliver_all(self, destination: str, now: int) -> int:
        """Give all dead deliveries of a destination a new chance, at once; how many."""

    def expire_overdue(self, destination: str, policy: SendPolicy, now: int) -> Sequence[Claim]:
        """End what waits too long for a destination that fails as a whole; a bounded number."""

    def end_orphans(self, destinations: Sequence[str]) -> Sequence[Claim]:
        """End what waits for destinations other than these; a bounded number."""

    def owe(self, delivery: int, messages: Sequence[PlannedDelivery], now: int) -> None:
        """Owe messages about the event of a delivery, those that are not owed yet."""

    def acknowledge(
        self, source: str, execution_id: str, taken: Acknowledgement, routes: Sequence[str]
    ) -> bool | None:
        """Take the present episode: its reminders and escalations end.

        Who was sent a message of it by one of these routes is owed word of that. False: the
        execution has ended. None: there is none.
        """

    def add_silence(self, silence: Silence, now: int) -> int:
        """Keep a silence; its id."""

    def expire_silence(self, silence: int, now: int) -> bool | None:
        """End a silence now. False: it has ended before. None: there is none."""

    def list_silences(self, now: int) -> Sequence[str]:
        """Owe each destination that missed something a digest of it, for silences that ended.

        Each silence is listed once. Returns the destinations; a bounded number of silences.
        """

    def prune(self, limits: Limits, place: PruneCursor) -> Pruned:
        """Remove a bounded portion of what is older than the limits, from a place on.

        What is owed stays, and all about an execution that has not ended but raw bodies. What goes
        is counted, so that the ledger is as it was. An event that goes is not known any more.
        """

    def heartbeat(self) -> None:
        """Write something that changes nothing, so that the commit reaches the disk."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What follows from an attempt: the state, why, when next (waiting), and what was sent.

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


Act = Callable[[Transaction, Sequence[Item]], Sequence[Result]]


class Store(Protocol):
    """The database: writes through one committer, reads beside it."""

    async def write(self, act: Act[Item, Result], item: Item) -> Result:
        """Do the act on the item in a transaction; returns after it is on disk."""

    def write_all(
        self, act: Act[Item, Result], asked: Sequence[tuple[Item, asyncio.Future[Result]]]
    ) -> None:
        """The same for many items at once; each has its own future, of the running event loop."""

    def write_now(self, act: Act[Item, Result], item: Item) -> Result:
        """The same from a thread without an event loop."""

    def on_failure(self, listener: Callable[[str], None]) -> None:
        """Call this, from any thread, once the storage can no longer be believed: then stop.

        Every write is StorageUnavailable from then on; the next start looks at the file.
        """

    def probe(self) -> None:
        """Commit something. StorageUnavailable if that cannot be done."""

    def execution(self, source: str, execution_id: str) -> Mapping[str, Any] | None:
        """`{"execution", "events", "deliveries"}` of one execution, or None."""

    def executions(
        self, conditions: Mapping[str, str], limit: int, after: int | None
    ) -> tuple[list[dict[str, Any]], int | None]:
        """A page, newest first, and the cursor of the next one."""

    def deliveries(
        self, conditions: Mapping[str, str], limit: int, after: int | None
    ) -> tuple[list[dict[str, Any]], int | None]:
        """A page, newest first, and the cursor of the next one."""

    def ledger(self) -> dict[str, Any]:
        """What was promised held against what is there; `imbalance` must be 0."""

    def next_given_up(self) -> int | None:
        """When the time of the next held event is over."""

    def waits_for_others(self, destinations: Sequence[str]) -> bool:
        """Whether anything waits for a destination other than these."""

    def next_silence_end(self) -> int | None:
        """When the next silence ends that is not listed yet."""

    def silences(
        self, conditions: Mapping[str, str], limit: int, after: int | None
    ) -> tuple[list[dict[str, Any]], int | None]:
        """A page, newest first, and the cursor of the next one. No conditions."""

    def silence(self, number: int) -> Mapping[str, Any] | None:
        """One silence, or None."""

    def silenced(self, subject: Subject, now: int) -> Silence | None:
        """The silence that keeps messages about this back now (for `explain`)."""

    def tallies(self) -> Sequence[Tally]:
        """The newest events, counted by what became of them."""

    def prunable(self, limits: Limits) -> Mapping[str, int]:
        """How much there is at most that is older than the limits, by the names of Pruned."""

    def is_log_long(self) -> bool:
        """Whether what others wrote waits for a commit of ours to be tidied away: see `probe`."""

    def next_due(self, destination: str, policy: SendPolicy, now: int) -> int | None:
        """When the next waiting delivery of a destination may be claimed, by all that it waits for.

        None: nothing waits.
        """

    def known(self, event: Event) -> Loaded:
        """As Transaction.load for one event, without a transaction (for `explain`)."""

    def close(self) -> None:
        """Commit what waits, then close."""
