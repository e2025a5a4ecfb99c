"""Source asker: when which execution of a source is asked about. One process at a time asks.

* Each `every` a round begins with the executions of which nothing was heard for `quiet_for`: first
  those that were never asked about or longest ago. It asks no more than the rate allows until the
  next one.
* An execution with a held event is asked about before that is given up, and a pause of an assumed
  kind at once.
* At the start and each `discover`, the active executions are listed, for those that nobody has told
  us of.
* A question that fails is put off; a provider that is busy or fails for several executions is left
  alone for a while. If it refuses the key for the list, too, nobody asks until the rules are read
  again.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest

from receiver.events import Status
from receiver.intake.reconcile import gone
from receiver.intake.reconcile.asker import Asked, Asker
from receiver.intake.reconcile.learning import LEAD
from receiver.intake.reconcile.pacing import Clock, Pace
from receiver.intake.reconcile.provider import Outcome, Provider
from receiver.sources.answers import Pages
from receiver.sources.source import Source
from receiver.store.contract import Store
from receiver.store.periodic import Periodic
from receiver.times import SECOND

log = logging.getLogger("receiver.reconcile")

# The longest rest between two looks (seconds).
POLL = 1.0
# The pause after a failure doubles from the first to the last (seconds).
FIRST_PAUSE, LAST_PAUSE = 5.0, 900.0
# The most executions that a round looks through.
MOST = 10_000
# The most pages of active executions; a list may shift while it is read.
MOST_PAGES = 1_000
# After so many failures one after the other, over several executions, the provider is left alone.
IN_A_ROW = 3
# So often an answer is waited for that lists how an execution came to where it stands.
PATIENCE = 3
# The longest wait for the present question at the end (seconds).
STOPS_WITHIN = 2.0


@dataclass(slots=True)
class _Wait:
    """An execution whose question failed, so many times; not before then (monotonic seconds)."""

    until: float
    failures: int
    unknown: int = 0  # so many answers in a row said that it is not known


@dataclass(slots=True)
class AskingNotes:
    """Results of asking a source's provider so far; times are monotonic seconds."""

    asked: dict[str, float] = field(default_factory=dict)
    waits: dict[str, _Wait] = field(default_factory=dict)
    found: dict[str, None] = field(default_factory=dict)
    asked_held: dict[tuple[str, int], None] = field(default_factory=dict)
    knows_some: bool = False
    known_pauses: dict[str, int] = field(default_factory=dict)
    discovered_at: float | None = None


class SourceAsker(Periodic):
    """A thread that asks the provider of one source, so that a slow one delays no other."""

    def __init__(
        self,
        store: Store,
        source: Source,
        asker: Asker,
        provider: Provider,
        notes: AskingNotes,
        clock: Clock | None = None,
    ) -> None:
        super().__init__("reconcile", first_rest=0.0, rest_after_failure=POLL)
        assert source.api is not None
        assert source.reconcile is not None
        self.source, self.notes = source, notes
        self.refused_at: int | None = None
        self._store, self._asker, self._provider = store, asker, provider
        self._rate, self._times = source.api.rate, source.reconcile
        self._clock = clock or Clock()
        self._pace = Pace(store, source.api, self._clock)
        self._turn_at: float | None = None  # of the request that has its time (monotonic seconds)
        self._queue: deque[str] = deque()
        self._ending = threading.Event()
        self._round_at = self._discover_at = self._paused_until = 0.0
        if notes.discovered_at is not None:
            self._discover_at = notes.discovered_at + self._times.discover / SECOND
        self._pages = Pages(MOST_PAGES)
        self._list_failures = self._in_a_row = 0

    def step(self) -> float:
        """Ask one question if its time has come; return how long to rest."""
        now = self._clock.monotonic()
        if self.refused_at is not None or now < self._paused_until:
            return POLL
        if not self._store.leads("alarms"):
            return POLL
        if now >= self._round_at:
            self._begin_round(now)
        execution_id = self._held(now) or (self._queue[0] if self._queue else "")
        is_listing = not execution_id and now >= self._discover_at
        if not execution_id and not is_listing:
            return min(POLL, max(self._round_at - now, 0.0))
        if wait := self._wait(now):
            return min(wait, POLL)
        if is_listing:
            self._discover(now)
        else:
            self._ask(execution_id, now)
        return 0.0

    def stop(self, timeout: float | None = None) -> None:
        """Stop after the present question, or soon: the provider may hang."""
        self._ending.set()
        super().stop(STOPS_WITHIN if timeout is None else timeout)
        self._provider.close()

    def _may_go_on(self) -> bool:
        """Wait until the next request may go; return False if the process ends meanwhile."""
        wait = self._pace.reserve()
        return wait <= self._pace.patience and not self._clock.rest(self._ending, wait)

    def _wait(self, now: float) -> float:
        """Return how long the next request has to wait for its time; 0.0: it goes now."""
        if self._turn_at is None:
            self._turn_at = now + self._pace.reserve()
        if self._turn_at > now:
            return self._turn_at - now
        self._turn_at = None
        return 0.0

    def _held(self, now: float) -> str:
        """Return an execution with a held event that is soon given up, and not asked about yet."""
        notes = self.notes
        for execution_id, until in self._soon_given_up():
            wait = notes.waits.get(execution_id)
            if (execution_id, until) in notes.asked_held or (wait and now < wait.until):
                continue
            return execution_id
        return ""

    def _soon_given_up(self) -> Sequence[tuple[str, int]]:
        lead = min(LEAD, self.source.ordering.gap_timeout // 2)
        return self._store.held_until(self.source.name, self._clock.time_ns() + lead)

    def _begin_round(self, now: float) -> None:
        """Queue the most overdue executions, as many as the rate allows until the next round.

        Those that the list has shown and those of which nothing was heard take turns.
        """
        notes, every = self.notes, self._times.every / SECOND
        self._round_at = now + every
        before = self._clock.time_ns() - self._times.quiet_for
        unheard = self._store.unheard(self.source.name, before, MOST)
        quiet = [
            each.execution_id
            for each, moved_at in unheard
            if moved_at < before or notes.known_pauses.get(each.execution_id) != each.version
        ]
        quiet.sort(key=lambda name: notes.asked.get(name, 0.0))
        taking_turns = chain.from_iterable(zip_longest(quiet, list(notes.found)))
        due = [name for name in dict.fromkeys(taking_turns) if name and self._may_ask(name, now)]
        most = max(int(self._rate * every), 1)
        self._queue = deque(due[:most])
        open_ids = {each.execution_id for each, _ in unheard} | notes.found.keys()
        for known in (notes.asked, notes.waits, notes.known_pauses):
            for name in known.keys() - open_ids:
                del known[name]

    def _may_ask(self, execution_id: str, now: float) -> bool:
        wait = self.notes.waits.get(execution_id)
        return wait is None or now >= wait.until

    def _ask(self, execution_id: str, now: float) -> None:
        notes = self.notes
        if self._queue and self._queue[0] == execution_id:
            self._queue.popleft()
        wait = notes.waits.get(execution_id, _Wait(0.0, 0))
        held = self._soon_given_up()
        notes.asked[execution_id] = now
        asked = self._asker.ask(execution_id, self._may_go_on, insists=wait.failures < PATIENCE)
        if asked.outcome is not Outcome.ANSWERED:
            self._failed(execution_id, asked, wait)
            return
        self._in_a_row = 0
        notes.knows_some = True
        notes.waits.pop(execution_id, None)
        notes.found.pop(execution_id, None)
        if len(notes.asked_held) > MOST:
            notes.asked_held.clear()
        notes.asked_held.update(dict.fromkeys(each for each in held if each[0] == execution_id))
        answer, before = asked.answer, asked.before
        if answer and before and before.assumed and answer.status is Status.PAUSED:
            notes.known_pauses[execution_id] = before.version

    def _failed(self, execution_id: str, asked: Asked, before: _Wait) -> None:
        """Put a question off: that about one execution, or all if the provider does not answer."""
        now = self._clock.monotonic()
        unknown = before.unknown + 1 if asked.outcome is Outcome.NOT_FOUND else 0
        pause = _pause(before.failures + 1)
        if unknown >= gone.SAID_SO_OFTEN:
            self._end_unseen(execution_id)
            pause = max(pause, self._times.discover / SECOND)
        self.notes.waits[execution_id] = _Wait(now + pause, before.failures + 1, unknown)
        log.warning(
            "reconcile.failed source=%s execution_id=%r outcome=%s reason=%r pause=%.0f",
            self.source.name, execution_id, asked.outcome, asked.detail, pause,
        )  # fmt: skip
        if asked.outcome is Outcome.KEY_REFUSED:
            self._discover_at = now  # the list tells whether it is the key, or this execution
            self._pages = Pages(MOST_PAGES)
            self._queue.clear()
        elif asked.outcome is Outcome.NOT_FOUND:
            self.notes.found.pop(execution_id, None)
        elif asked.outcome is Outcome.BUSY:
            self._in_a_row += 1
            self._hold_back(now, asked.retry_after, _pause(self._in_a_row))
        elif asked.outcome is Outcome.FAILED:
            self._in_a_row += 1
            if self._in_a_row >= IN_A_ROW:
                self._paused_until = now + _pause(self._in_a_row - IN_A_ROW + 1)

    def _end_unseen(self, execution_id: str) -> None:
        """Stop reminding of an execution that the provider does not know, if it knows others."""
        source, notes = self.source.name, self.notes
        if not notes.knows_some:
            notes.knows_some = gone.knows_another(
                self._store, self._asker, source, execution_id, self._may_go_on
            )
        if notes.knows_some:
            gone.end_unseen(self._store, self._asker.rules, source, execution_id)
        else:
            log.warning("reconcile.knows_none source=%s: is the key for this organisation?", source)

    def _hold_back(self, now: float, asked_for: float | None, otherwise: float) -> None:
        """Leave the provider alone for as long as it asks for, which counts for all processes."""
        self._paused_until = now + (asked_for or otherwise)
        if asked_for:
            self._pace.hold_back(asked_for)

    def _discover(self, now: float) -> None:
        """List a page of active executions, and note those that nobody has told us of."""
        found, reply = self._asker.active(self._pages.following)
        if found is None:
            self._list_failures += 1
            pause = reply.retry_after or _pause(self._list_failures)
            self._discover_at = now + pause
            if reply.outcome is Outcome.KEY_REFUSED:
                self.refused_at = self._clock.time_ns()
                log.error("reconcile.stopped source=%s reason=%r", self.source.name, reply.detail)
            elif reply.outcome is Outcome.BUSY:
                self._hold_back(now, reply.retry_after, pause)
            log.warning(
                "reconcile.not_listed source=%s outcome=%s reason=%r pause=%.0f",
                self.source.name, reply.outcome, reply.detail, pause,
            )  # fmt: skip
            return
        self._list_failures = self._in_a_row = 0
        self.notes.found.update(dict.fromkeys(self._asker.unknown(found.executions)))
        self._round_at = min(self._round_at, now)
        if self._pages.took(found):
            self._pages = Pages(MOST_PAGES)
            self.notes.discovered_at = now
            self._discover_at = now + self._times.discover / SECOND


def _pause(failures: int) -> float:
    """Return the seconds until the next try after so many failures."""
    longest: float = min(FIRST_PAUSE * 2.0 ** (min(failures, 12) - 1), LAST_PAUSE)
    return longest * (0.5 + random.random() / 2)
