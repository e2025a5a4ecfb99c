"""Expiry: the end of held events after their `gap_timeout`, and of silences.

The store holds both times, so a restart forgets none of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from receiver.config.live_rules import LiveRules
from receiver.intake.receive import Intake
from receiver.intake.subscription_hints import hints
from receiver.store.contract import Store, Transaction
from receiver.store.periodic import Periodic
from receiver.store.records import JudgedWebhook
from receiver.times import SECOND

log = logging.getLogger("receiver.gaps")

# The longest rest between two checks (seconds); an event held meanwhile waits longer than that.
POLL = 1.0
# Seconds between two hints in the log, and from the start to the first one.
HINT_EVERY, FIRST_HINT = 3600.0, 60.0
# For this long (seconds) after the clock was set back, earlier writes may still reach the store.
LATE = 60.0
# The longest that a start settles what fell due before it (seconds).
SETTLE_WITHIN = 10.0


class ExpiryTimer(Periodic):
    """A thread that ends held events, and lists the messages that ended silences kept back.

    `list_silences` plans the digests of the silences that have ended by a time, in short
    transactions, and returns their destinations.

    Once an hour it logs which source looks badly subscribed or has another clock. It also restarts
    waits that a clock ahead of ours has written down.
    """

    def __init__(
        self,
        store: Store,
        live_rules: LiveRules[Intake],
        list_silences: Callable[[Store, int], Sequence[str]],
    ) -> None:
        super().__init__("gaps", first_rest=0.0, rest_after_failure=POLL)
        self._store = store
        self._live_rules = live_rules
        self._list_silences = list_silences
        self._hint_at = time.monotonic() + FIRST_HINT
        self._seen_at: int | None = None  # nanoseconds; None: no check so far
        self._doubted_until = 0.0  # monotonic seconds

    def start(self) -> None:
        """Settle what fell due while no process served, then start the thread.

        Call it before dispatch starts: while an event is held, nobody sees that a message which
        waits is no longer true because of it.
        """
        end = time.monotonic() + SETTLE_WITHIN
        while self.safe_step() <= 0.0 and time.monotonic() < end:
            pass
        super().start()

    def step(self) -> float:
        """End due held events and silences; return how long to rest (seconds)."""
        if not self._store.leads("expiry"):
            return POLL
        if time.monotonic() >= self._hint_at:
            self._hint_at = time.monotonic() + HINT_EVERY
            self.hint()
        now = time.time_ns()
        self._mend_waits(now)
        expiry, silence_end = self._store.next_given_up(), self._store.next_silence_end()
        following = [due for due in (expiry, silence_end) if due is not None and due > now]
        rest = min((min(following) - now) / SECOND, POLL) if following else POLL
        if silence_end is not None and silence_end <= now:
            destinations = self._list_silences(self._store, now)
            log.info("silences.listed destinations=%s", ",".join(destinations) or "none")
        # A due event that cannot be settled would be a bug: no loop without rest even then.
        if expiry is not None and expiry <= now and self._expire_held(now):
            rest = 0.0
        return rest

    def _mend_waits(self, now: int) -> None:
        """Restart waits that a clock ahead of ours has written down.

        It checks at the start, and for a while after the clock went back. The store tells such
        waits from waits that are long on purpose, see contract.Operating.set_back.
        """
        if self._seen_at is not None and now < self._seen_at:
            self._doubted_until = time.monotonic() + LATE
        if self._seen_at is None or time.monotonic() < self._doubted_until:
            n = self._store.write_now(_set_back, now)
            if n:
                log.warning("clock.set_back: %d waiting times are counted from now", n)
        self._seen_at = now

    def _expire_held(self, now: int) -> bool:
        """End the wait of due held events; return whether any was settled."""
        settled = self._store.write_now(self._live_rules.derived.expire, now)
        for entry in settled:
            log_judged_again(entry)
        return bool(settled)

    def hint(self) -> None:
        """Log which source looks badly subscribed or has another clock."""
        store = self._store
        orderings = self._live_rules.rules.orderings
        for hint in hints(orderings, store.tallies(), store.delays()):
            log.warning("source.hint source=%s %s", hint.source, hint.text)


def _set_back(transaction: Transaction, times: Sequence[int]) -> Sequence[int]:
    return [transaction.set_back(now) for now in times]


def log_judged_again(entry: JudgedWebhook) -> None:
    """Log the new verdict of a held event."""
    event = entry.event
    log.info(
        "event.judged_again source=%s event_id=%r execution_id=%r verdict=%s reason=%s owed=%d",
        entry.source,
        event.event_id if event else None,
        event.execution_id if event else None,
        entry.judgement.verdict,
        entry.judgement.reason,
        len(entry.owed),
    )
