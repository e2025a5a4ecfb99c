"""The store's contract. Every engine keeps it, and one suite of tests is its definition.

* A **write** is an act on a transaction. Writes that wait together are committed together, with
  one sync to disk; each is answered only after that. If the batch fails, its acts are tried again
  one by one, so that only an impossible act fails.
* An answered write is on disk. An unanswered one may be on disk: the sender has to send it again,
  and it is then a duplicate.
* Inside a transaction an act sees the effects of all earlier acts, and nobody else a part of them.
* An event has one verdict; when a held one is judged again, its steps stay in the history.
* An execution's version grows by one with each applied event; a terminal execution never changes.
* A delivery is owed once for a dedup key. One claimant at a time holds it, for the time of a
  lease; only the token of the claim can record the outcome. A lease names its holder.
* **Reads** see committed data only and never wait for a write. Times are instants (nanoseconds),
  which the API and the command line turn into text.

A transaction has seven roles (`Judging`, `Sending`, `Operating`, `Auditing`, `Planning`,
`Foreseeing`; `Alarming` in store.alarming), and a store has six (`Writing` here; `Listing`,
`Reading`, `Surveying`, `Asking` and `Waiting` in store.reading): callers ask for what they need.

Errors: StorageUnavailable if a write could not be committed (send it again), Overloaded if too many
writes wait already, StorageRefused at opening.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from receiver.audit import Entry, Turn
from receiver.deliveries import Acknowledgement, Attempt, Claim, OnlyIf, PlannedDelivery
from receiver.events import Event, Held
from receiver.retention import Limits
from receiver.routing.planned import Changes, Episode
from receiver.routing.policy import SendPolicy
from receiver.routing.silences import Silence
from receiver.store.alarming import Alarming
from receiver.store.portions import SilencePlace, SilencesListed
from receiver.store.reading import Asking, Listing, Reading, Surveying, Waiting
from receiver.store.records import (
    AttemptResult,
    Failures,
    JudgedWebhook,
    Loaded,
    OwedDelivery,
    PruneCursor,
    Pruned,
    TakeResult,
)

if TYPE_CHECKING:
    import asyncio

Item = TypeVar("Item")
Result = TypeVar("Result")


class Judging(Protocol):
    """A transaction as the intake uses it: stored events are loaded, judged ones are saved."""

    def load(self, events: Sequence[Event]) -> Loaded:
        """Return what the store has of these events, their changes and their executions.

        Nobody else moves these executions before the transaction ends.
        """

    def save(self, entries: Sequence[JudgedWebhook]) -> None:
        """Store judged webhooks, in this order, with the moves and deliveries that they cause.

        Where an execution moves, the deliveries that wait about its previous episode are
        superseded. Destinations that got a message about it through one of the `resolved` routes
        are owed a message about its end.
        """

    def expired_held(self, now: int) -> Sequence[Held]:
        """Return held events whose time is over, the earliest due first; a bounded number."""


class Sending(Protocol):
    """A transaction as the dispatch uses it: it claims deliveries and records attempts."""

    def claim(
        self, destination: str, policy: SendPolicy, now: int, until: int, *, anyway: bool = False,
        again: bool = False,
    ) -> Claim | None:  # fmt: skip
        """Claim the next due delivery, with a lease until `until`; supersede those no longer true.

        Returns None if nothing is due, if the destination has used up the rate of its policy, or if
        it is paused after too many failures. With `anyway` a paused destination is tried; a success
        ends the pause. Deliveries whose lease is over go back to waiting first, as repeats.

        A delivery that a silence keeps back is superseded. One that falls into quiet hours is put
        off to their end. One of a group is claimed together with its whole group, as a digest. A
        message about a stuck execution is put off if an event of the execution came in meanwhile.

        The lease lasts `until - now` by the clock of the database, if that has its own. `again`:
        this transaction has just claimed with the same values, and done nothing else since.
        """

    def recheck_quiet(self, destination: str, policy: SendPolicy, now: int) -> None:
        """Move deliveries that quiet hours put off to the end of the quiet hours in force now.

        They become due if no quiet hours are in force. What a group keeps back waits as long as
        the present group says. Nothing moves if the rules about it are unchanged.
        """

    def record(
        self, claim: Claim, attempt: Attempt, after: AttemptResult, beside: Sequence[Claim] = ()
    ) -> bool:
        """Record an attempt and its consequences. False: the claim was lost meanwhile.

        What `beside`, the claims that this transaction records too, is about is locked with it. A
        sent message causes the next reminder while its episode lasts, or a message about its end or
        about who has it. A failure counts against the destination unless no retry can mend it or
        the destination asks for time; a success ends the count and the pause. Whatever the failure,
        the destination fails from then on until a success.
        """

    def failures(self, destination: str) -> Failures:
        """Return how many times in a row the destination has failed so far, and its pause."""

    def pause(self, destination: str, now: int, until: int) -> None:
        """Pause the whole destination, from `now` to `until`."""

    def owe(self, delivery: int, messages: Sequence[PlannedDelivery], now: int) -> None:
        """Add deliveries about the event of a delivery, except those that are owed already.

        One about a dead delivery is left out while another one about the same destination waits,
        and comes an hour after the last one that was sent: no outage is reported every minute. If
        that destination got something since then, it is another outage: a minute after it.
        """

    def release(self, now: int, *, own: bool = False, unsent: Claim | None = None) -> int:
        """Put deliveries whose lease is over back to waiting, as repeats; return how many.

        Instead of those an `unsent` claim, of which no attempt began: it is no repeat.

        With `own` it takes back all leases of this holder, even running ones: for a start, when
        this process is sending nothing yet. Where one process at a time serves the database, it
        inherits the leases of its predecessor. Where several do, each has its own name, and takes
        back the leases of others only when they are over by the clock of the database.
        """

    def expire_overdue(
        self, destination: str, policy: SendPolicy, reason: str, now: int
    ) -> Sequence[Claim]:
        """End waiting deliveries of a destination that are overdue; a bounded number.

        What quiet hours keep back is put off instead, as at a claim.
        """

    def end_orphans(self, destinations: Sequence[str], now: int) -> Sequence[Claim]:
        """End waiting deliveries to all destinations except these; a bounded number.

        Those that are planned for later than now stay: they are no messages yet.
        """


class Operating(Protocol):
    """A transaction as operators and the timers use it."""

    def redeliver(self, delivery: int, now: int) -> bool | None:
        """Give a dead delivery a new chance. False: it is not dead. None: it does not exist."""

    def redeliver_all(self, destination: str, now: int) -> int:
        """Give all dead deliveries of a destination a new chance; return how many."""

    def acknowledge(
        self, source: str, execution_id: str, taken: Acknowledgement, routes: Sequence[str],
        only: OnlyIf | None = None,
    ) -> TakeResult:  # fmt: skip
        """Acknowledge the present episode: its reminders and escalations end.

        Destinations that got a message about it through one of these routes are owed a message
        about that, also if somebody else had it before. Nothing changes if the same person has it,
        or if a condition is not met: then it has ended, or is taken by another.
        """

    def add_silence(self, silence: Silence, now: int) -> int:
        """Store a silence; return its id."""

    def expire_silence(self, silence: int, now: int) -> bool | None:
        """End a silence now. False: it has ended before. None: it does not exist."""

    def list_silences(self, now: int, place: SilencePlace, most: int) -> SilencesListed:
        """Go on with the digests of ended silences, for each destination that missed messages.

        It looks at a bounded number of messages, from a place on. Each silence is listed once, when
        all of its messages were looked at.
        """

    def set_back(self, now: int) -> int:
        """Restart waits that began before the clock was set back; return how many.

        Every wait has a start time: that of a delivery, a held event, a paused or recently used
        destination, a group, a silence. A start is in the past, so it cannot lie ahead of a correct
        clock. If it does (by more than AHEAD), the clock was set back since then, while a process
        served or between two runs. A due time proves nothing: it may lie far ahead on purpose.
        So a wait that began before now keeps its due time, however often this is called.
        A wait that began ahead of now restarts now, so a second call changes nothing.
        """

    def prune(self, limits: Limits, place: PruneCursor) -> Pruned:
        """Remove a bounded portion of the rows that are older than the limits, from a place on.

        Deliveries that are still owed stay. So do all rows about an execution that has not ended,
        except raw bodies. Removed rows are counted, so that the ledger stays in balance. The store
        no longer recognizes a removed event.
        """

    def settle_sources(self, sources: Sequence[str], now: int) -> tuple[int, int]:
        """Supersede reminders and escalations about executions of all sources except these.

        Their end can never come. Those of a source that is there again wait again. Returns how many
        were superseded, and how many wait again.
        """

    def rename(self, kind: str, old: str, new: str, *, dry_run: bool = False) -> dict[str, int]:
        """Carry all rows over from one name of a source, route or destination to another.

        Executions of a source that both names know stay. NotRenamed if messages of both would be
        the same. Returns the numbers of changed rows; with `dry_run` nothing stays changed. Call it
        while no process serves.
        """

    def heartbeat(self) -> None:
        """Write a row without changing it, so that the commit reaches the disk."""


class Auditing(Protocol):
    """A transaction as it keeps what people did, how they take turns, and the key of their links.

    Turns, and the times of requests, are by the clock of the database, if that has its own.
    """

    def note(self, entries: Sequence[Entry]) -> None:
        """Add rows to the audit."""

    def link_key(self, made: bytes, now: int) -> bytes:
        """Return the key of links; the one that was `made` is kept if there is none yet."""

    def take_turn(self, turn: Turn, until: int, now: int) -> Turn | None:
        """Take the turn at an execution; None: it is another one's. It comes with what is pending.

        The act of a turn that was never given back is uncertain from then on.
        """

    def begin_act(self, turn: Turn, entry: Entry, until: int, now: int) -> int | None:
        """Write down what is about to be asked of the provider; None: the turn is over."""

    def give_turn(self, turn: Turn, number: int | None, result: str, now: int) -> None:
        """Give the turn back, with the result of the act that was begun under a number."""

    def reserve(self, provider: str, interval: int, burst: int, now: int) -> int:
        """Reserve the time of a request; return how long to wait for it (nanoseconds).

        Each takes an interval; those of a `burst` may go at once (nanoseconds).
        """


class Planning(Protocol):
    """A transaction that compares what is planned with what waits; see routing.episodes."""

    def open_episode(self, source: str, execution_id: str, now: int) -> Episode | None:
        """Return the episode of an execution; None if it has ended."""

    def replan(self, episode: Episode, changes: Changes, now: int) -> None:
        """Change what waits about an episode."""


class Foreseeing(Protocol):
    """A transaction as a rehearsal uses it: it looks at the deliveries that it has added."""

    def newest_delivery(self) -> int:
        """Return the number of the newest delivery; 0 without any."""

    def owed_since(self, delivery: int) -> Sequence[OwedDelivery]:
        """Return the deliveries that are newer than the one of this number, oldest first."""

    def next_due(self, destination: str, policy: SendPolicy, now: int) -> int | None:
        """Return the result of Waiting.next_due as this transaction sees it."""


class Transaction(Judging, Sending, Operating, Auditing, Alarming, Planning, Foreseeing, Protocol):
    """A transaction with all seven roles; it is committed as a whole or not at all."""


Act = Callable[[Transaction, Sequence[Item]], Sequence[Result]]


class Writing(Protocol):
    """The side of a store that writes, through one committer."""

    async def write(self, act: Act[Item, Result], item: Item) -> Result:
        """Do the act on the item in a transaction; return once it is on disk."""

    def write_all(
        self, act: Act[Item, Result], items: Sequence[tuple[Item, asyncio.Future[Result]]]
    ) -> None:
        """Do the same for many items, each with its own future; the act is `small`, see below."""

    def write_now(self, act: Act[Item, Result], item: Item, *, small: bool = False) -> Result:
        """Do it from any thread. `small`: it changes a few rows, whatever is stored."""

    def rehearse(self, act: Act[Item, Result], item: Item) -> Result:
        """Do the act in a transaction that is never committed; nobody else sees its effects."""

    def on_failure(self, listener: Callable[[str], None]) -> None:
        """Register a listener for the moment when the storage can no longer be trusted.

        It has to stop the process, from any thread. From then on every write is StorageUnavailable.
        """

    def check_writable(self) -> None:
        """Make a commit that changes nothing; StorageUnavailable if that fails."""

    def is_in_place(self) -> bool:
        """Return whether the database is still where it was opened. It costs next to nothing.

        If it is not, no write succeeds from now on, and the storage counts as failed.
        """

    def tidy(self) -> bool:
        """Tidy up after the writes of all processes, if this process serves the database.

        False: too much has gathered, and the serving process has not tidied it up yet.
        """

    def leads(self, timer: str) -> bool:
        """Return whether this process has to run a timer.

        At most one of the processes that serve a database runs it at a time; another one takes over
        when that one ends. Call this before each round.
        """

    def announce(self, rules: str) -> None:
        """Let the other processes know that this one serves, and the digest of its rules."""

    def on_news(self, listener: Callable[[Collection[str] | None], None]) -> None:
        """Register a listener for deliveries that are due now, whatever act of a write made them.

        It gets their destinations after the commit, from any thread; None where other processes
        may have planned some, now and then without a reason: workers look by themselves, too.
        """

    def close(self) -> None:
        """Commit the waiting writes, then close."""


class Store(Writing, Listing, Reading, Surveying, Asking, Waiting, Protocol):
    """The database: writes through one committer, reads beside it."""
