"""The store's contract. Every engine keeps it, and one suite of tests is its definition.

* A **write** is an act on a transaction. Writes that wait together are committed together, with
  one sync to disk; each is answered only after that. If the batch fails, its acts are tried again
  one by one, so that only the one that cannot be done fails.
* What is answered is on disk. What is not answered may be on disk: it has to be sent again, and
  is then a duplicate.
* Inside a transaction an act sees all that earlier acts did, and nobody sees a part of it.
* An event has one verdict; when a held one is judged again, its steps stay in the history.
* An execution's version grows by one with each applied event; a terminal execution never changes.
* A delivery is owed once for a dedup key. It is claimed by one claimant at a time, for the time of
  a lease; only the token of the claim can record what became of it. A lease names its holder.
* **Reads** see committed data only and never wait for a write. Times are instants (nanoseconds),
  which the API and the command line turn into text.

A transaction has three roles (`Judging`, `Sending`, `Operating`), and so has a store (`Writing`,
`Reading`, `Waiting`): callers ask for the role that they need.

Errors: StorageUnavailable if it could not be committed (send it again), Overloaded if too much is
waiting already, StorageRefused at opening.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from receiver.deliveries import Acknowledgement, Attempt, Claim, PlannedDelivery
from receiver.events import Event, Held
from receiver.retention import Limits
from receiver.routing.conditions import Subject
from receiver.routing.policy import SendPolicy
from receiver.routing.silences import Silence
from receiver.store.records import (
    AttemptResult,
    Failures,
    JudgedWebhook,
    Loaded,
    PruneCursor,
    Pruned,
    Tally,
)

Item = TypeVar("Item")
Result = TypeVar("Result")
Page = tuple[list[dict[str, Any]], int | None]


class Judging(Protocol):
    """A transaction as the intake uses it: stored events are loaded, judged ones are saved."""

    def load(self, events: Sequence[Event]) -> Loaded:
        """Return what is stored about these events, their changes and their executions.

        Nobody else moves these executions before the transaction ends.
        """

    def save(self, entries: Sequence[JudgedWebhook]) -> None:
        """Store judged webhooks, in this order, with all that they change and owe.

        Where an execution moves, what waits about its episode before is superseded, and who was
        sent a message of it by one of the `resolved` routes is owed word of its end.
        """

    def expired_held(self, now: int) -> Sequence[Held]:
        """Return held events whose time is over, the first due first; a bounded number."""


class Sending(Protocol):
    """A transaction as the dispatch uses it: deliveries are claimed, and attempts recorded."""

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

        The lease lasts `until - now` by the clock of the database, where that has one of its own.
        """

    def recheck_quiet(self, destination: str, policy: SendPolicy, now: int) -> None:
        """Put what quiet hours put off to the end of those that hold by now: due if none do.

        Where the same hours hold as before, nothing moves.
        """

    def record(self, claim: Claim, attempt: Attempt, after: AttemptResult) -> bool:
        """Write down an attempt and what follows from it. False: the claim was lost meanwhile.

        What was sent owes the next reminder while its episode lasts; if that ended or was taken
        meanwhile, it owes word of that. A failure counts against the destination unless no retry
        can mend it or the destination asks for time; a success ends the count and the pause.
        """

    def failures(self, destination: str) -> Failures:
        """Return how often the destination failed in a row by now."""

    def pause(self, destination: str, now: int, until: int) -> None:
        """Let the destination wait as a whole, from `now` to `until`."""

    def owe(self, delivery: int, messages: Sequence[PlannedDelivery], now: int) -> None:
        """Owe messages about the event of a delivery, those that are not owed yet."""

    def release(self, now: int, *, own: bool = False) -> int:
        """Put deliveries whose lease is over back to waiting, as repeats; how many.

        With `own` also those that this holder has, whatever is left of their lease: for a start,
        when nothing of it can be under way. Where one process at a time serves the database, it
        holds what its predecessor held. Where several do, each has a name of its own, and what
        another one has is taken back when its lease is over by the clock of the database.
        """

    def expire_overdue(self, destination: str, before: int, reason: str) -> Sequence[Claim]:
        """End what waits for a destination and was owed before that time; a bounded number."""

    def end_orphans(self, destinations: Sequence[str]) -> Sequence[Claim]:
        """End what waits for destinations other than these; a bounded number."""


class Operating(Protocol):
    """A transaction as operators and the timers use it."""

    def redeliver(self, delivery: int, now: int) -> bool | None:
        """Give a dead delivery a new chance. False: it is not dead. None: there is none."""

    def redeliver_all(self, destination: str, now: int) -> int:
        """Give all dead deliveries of a destination a new chance, at once; how many."""

    def acknowledge(
        self, source: str, execution_id: str, taken: Acknowledgement, routes: Sequence[str]
    ) -> bool | None:
        """Take the present episode: its reminders and escalations end.

        Who was sent a message of it by one of these routes is owed word of that. False: the
        execution has ended. None: there is none.
        """

    def add_silence(self, silence: Silence, now: int) -> int:
        """Store a silence; return its id."""

    def expire_silence(self, silence: int, now: int) -> bool | None:
        """End a silence now. False: it has ended before. None: there is none."""

    def list_silences(self, now: int) -> Sequence[str]:
        """Owe each destination that missed something a digest of it, for silences that ended.

        Each silence is listed once. Returns the destinations; a bounded number of silences.
        """

    def set_back(self, now: int) -> int:
        """Count waits anew where the clock was set back; return how many waits that were.

        A clock that was set back is told apart so: every wait (of a delivery, a held event, a
        destination that waits or was told a short while ago, a group, a silence) has the time at
        which it began. That happened, so it cannot lie ahead of a clock that is right. If it does
        (by more than AHEAD), the clock was set back since then, while a process served or between
        two runs. When something is due is a plan: it lies ahead because it was meant to, and is
        never a sign. So what began before now is due when it was, however often this is called.
        What began ahead of now begins now, so a second call changes nothing.
        """

    def prune(self, limits: Limits, place: PruneCursor) -> Pruned:
        """Remove a bounded portion of what is older than the limits, from a place on.

        What is owed stays, and all about an execution that has not ended but raw bodies. What goes
        is counted, so that the ledger is as it was. An event that goes is not known any more.
        """

    def heartbeat(self) -> None:
        """Write something that changes nothing, so that the commit reaches the disk."""


class Transaction(Judging, Sending, Operating, Protocol):
    """All that an act may do; all of it is committed or none."""


Act = Callable[[Transaction, Sequence[Item]], Sequence[Result]]


class Writing(Protocol):
    """The side of a store that writes, through one committer."""

    async def write(self, act: Act[Item, Result], item: Item) -> Result:
        """Do the act on the item in a transaction; return after it is on disk."""

    def write_all(
        self, act: Act[Item, Result], items: Sequence[tuple[Item, asyncio.Future[Result]]]
    ) -> None:
        """Do the same for many items; each has its own future, of the running event loop."""

    def write_now(self, act: Act[Item, Result], item: Item) -> Result:
        """Do the same from a thread without an event loop."""

    def on_failure(self, listener: Callable[[str], None]) -> None:
        """Call this, from any thread, once the storage can no longer be believed: then stop.

        Every write is StorageUnavailable from then on; the next start looks at the database.
        """

    def check_writable(self) -> None:
        """Commit something. StorageUnavailable if that cannot be done."""

    def tidy(self) -> bool:
        """Tidy up behind the writes of this and other processes, if that is for us to do.

        False: too much has gathered, and whoever serves the database has not tidied it up yet.
        """

    def leads(self, timer: str) -> bool:
        """Return whether it is for this process to run a timer.

        Of the processes that serve one database at most one may, at a time; another one follows
        when it ends. Ask anew before each round.
        """

    def close(self) -> None:
        """Commit what waits, then close."""


class Reading(Protocol):
    """The side of a store that people and `explain` read. Times are nanoseconds."""

    def execution(self, source: str, execution_id: str) -> Mapping[str, Any] | None:
        """Return `{"execution", "events", "deliveries"}` of one execution, or None."""

    def executions(self, conditions: Mapping[str, str], limit: int, after: int | None) -> Page:
        """Return a page, newest first, and the cursor of the next one.

        Conditions: status, category, source, agent (id or name), q (part of either or of the
        execution's id).
        """

    def deliveries(self, conditions: Mapping[str, str], limit: int, after: int | None) -> Page:
        """Return a page, newest first, and the cursor of the next one.

        Conditions: state, destination.
        """

    def silences(self, conditions: Mapping[str, str], limit: int, after: int | None) -> Page:
        """Return a page, newest first, and the cursor of the next one. No conditions."""

    def silence(self, number: int) -> Mapping[str, Any] | None:
        """Return one silence, or None."""

    def ledger(self) -> dict[str, Any]:
        """Return what was promised held against what is there; `imbalance` must be 0."""

    def tallies(self) -> Sequence[Tally]:
        """Return the newest events, counted by what became of them."""

    def prunable(self, limits: Limits) -> Mapping[str, int]:
        """Return how much there is at most that is older than the limits, by names of Pruned."""

    def known(self, event: Event) -> Loaded:
        """Return what Transaction.load would for one event, without a transaction."""

    def silenced(self, subject: Subject, now: int) -> Silence | None:
        """Return the silence that keeps messages about this back now."""


class Waiting(Protocol):
    """The side of a store that says when there is something to do."""

    def next_due(self, destination: str, policy: SendPolicy, now: int) -> int | None:
        """Return when a waiting delivery may be claimed next, by all that it waits for.

        None: nothing waits.
        """

    def waits_for_others(self, destinations: Sequence[str]) -> bool:
        """Return whether anything waits for a destination other than these."""

    def next_given_up(self) -> int | None:
        """Return when the time of the next held event is over."""

    def next_silence_end(self) -> int | None:
        """Return when the next silence ends that is not listed yet."""


class Store(Writing, Reading, Waiting, Protocol):
    """The database: writes through one committer, reads beside it."""
