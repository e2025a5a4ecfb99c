"""The clock of what ends by itself: held events are given up when their `gap_timeout` is over, and
what a silence kept back is listed when it ends.

When that is stands in the store, so a restart forgets none of them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from receiver.config.live_rules import LiveRules
from receiver.errors import StorageError
from receiver.intake.subscription_hints import hints
from receiver.store.contract import Store, Transaction
from receiver.store.records import JudgedWebhook
from receiver.times import SECOND

log = logging.getLogger("receiver.gaps")

# The longest it sleeps without looking (seconds); what is held meanwhile waits longer than that.
POLL = 1.0
# How often the log gets the hints (seconds), and when after the start for the first time.
HINT_EVERY, FIRST_HINT = 3600.0, 60.0
# For so long (seconds) after the clock was set back, what was begun before it may still be written.
LATE = 60.0


class ExpiryTimer:
    """A thread that ends held events and silences; `wake` is told who has something to send.

    While it is at it, it says in the log which source looks badly subscribed, once an hour, and
    sees to it that nothing waits for a time that a clock ahead of ours has written down.
    """

    def __init__(
        self,
        store: Store,
        in_force: LiveRules,
        wake: Callable[[Iterable[str]], None],
    ) -> None:
        self._store, self._in_force, self._wake = store, in_force, wake
        self._hint_at = time.monotonic() + FIRST_HINT
        self._seen_at: int | None = None  # nanoseconds; None: it has not looked yet
        self._doubted_until = 0.0  # monotonic seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gaps", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        rest = 0.0
        while not self._stopping.wait(rest):
            try:
                rest = self._step()
            except StorageError as error:
                log.warning("gaps.storage error=%s", error)
                rest = POLL
            except Exception:
                # Without this thread a hole in a story would stay silent.
                log.exception("gaps.failed")
                rest = POLL

    def _step(self) -> float:
        """End what is due; how long to rest (seconds)."""
        if not self._store.leads("expiry"):
            return POLL
        if time.monotonic() >= self._hint_at:
            self._hint_at = time.monotonic() + HINT_EVERY
            self.hint()
        now = time.time_ns()
        self._look_back(now)
        given_up, silence_end = self._store.next_given_up(), self._store.next_silence_end()
        following = [due for due in (given_up, silence_end) if due is not None and due > now]
        rest = min((min(following) - now) / SECOND, POLL) if following else POLL
        if silence_end is not None and silence_end <= now:
            told = self._store.write_now(list_silences, now)
            log.info("silences.listed destinations=%s", ",".join(told) or "none")
            self._wake(told)
        # What is due and cannot be settled would be a mistake of ours: never a loop without rest.
        if given_up is not None and given_up <= now and self._give_up(now):
            rest = 0.0
        return rest

    def _look_back(self, now: int) -> None:
        """Let nothing wait for a time that a clock ahead of ours has written down.

        At a start, and for a while once it sees the clock go back, it asks what began ahead of now:
        the store tells that apart from what is meant to wait, see contract.Operating.set_back.
        """
        if self._seen_at is not None and now < self._seen_at:
            self._doubted_until = time.monotonic() + LATE
        if self._seen_at is None or time.monotonic() < self._doubted_until:
            n = self._store.write_now(_set_back, now)
            if n:
                log.warning("clock.set_back: %d waiting times are counted from now", n)
        self._seen_at = now

    def _give_up(self, now: int) -> bool:
        """Give up the held events that are due; whether that settled any."""
        settled = self._store.write_now(self._in_force.intake.expire, now)
        self._wake({owed.destination for entry in settled for owed in entry.owed})
        for entry in settled:
            log_settled(entry)
        return bool(settled)

    def hint(self) -> None:
        """Say in the log which source looks badly subscribed."""
        for hint in hints(self._in_force.rules.orderings, self._store.tallies()):
            log.warning("source.hint source=%s %s", hint.source, hint.text)


def _set_back(transaction: Transaction, times: Sequence[int]) -> Sequence[int]:
    return [transaction.set_back(now) for now in times]


def list_silences(transaction: Transaction, times: Sequence[int]) -> Sequence[Sequence[str]]:
    """The act of listing what silences kept back that have ended; see Operating.list_silences."""
    return [transaction.list_silences(now) for now in times]


def log_settled(entry: JudgedWebhook) -> None:
    """The line about a held event that has another verdict now."""
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
