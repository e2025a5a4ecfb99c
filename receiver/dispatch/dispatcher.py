"""Dispatcher: sends due deliveries, with one worker per destination."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, tzinfo

from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.deliveries import Claim
from receiver.destinations import sending
from receiver.dispatch.alarm_timer import AlarmTimer
from receiver.dispatch.presence import Missed
from receiver.dispatch.replanning import Place, Walk, difference, look, replan_in_parts, whole
from receiver.dispatch.turn import log_dead, tell_of
from receiver.dispatch.worker import DestinationWorker, IntakeFirst, Send
from receiver.links import NO_LINKS, Links
from receiver.metrics import Counters
from receiver.store.contract import Store, Transaction
from receiver.store.periodic import Periodic

log = logging.getLogger("receiver.dispatch")

# How often the reaper looks for orphans (seconds).
REAP_EVERY = 5.0
# The longest that a start goes through what waits before it sends anything (seconds).
REPLAN_WITHIN = 10.0


class Dispatcher:
    """Workers of all destinations, the reaper of deliveries to others, and the alarm timer.

    `lease` is in seconds. `links` lead to where people can see more and take what waits, `zone` is
    the time zone in which messages give times. `counters` have the refused webhooks, and count
    alarms. `send` makes an attempt. `is_busy` says that webhooks have to wait in this process.
    """

    def __init__(
        self,
        store: Store,
        live_rules: LiveRules[object],
        lease: float,
        links: Links = NO_LINKS,
        zone: tzinfo = UTC,
        counters: Counters | None = None,
        missed: Callable[[int], Mapping[str, Missed]] = lambda now: {},
        send: Send = sending.send,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._live_rules = live_rules
        self._lease = lease
        self._links = links
        self._zone = zone
        self._send = send
        self._intake_first = IntakeFirst(is_busy)
        self._workers: dict[str, DestinationWorker] = {}
        self._replaced: list[DestinationWorker] = []
        self._changing = threading.Lock()
        self._stopped = False
        self._reaper = OrphanReaper(store, live_rules)
        self._counters = counters or Counters(())
        self._alarms = AlarmTimer(store, live_rules, self._counters, missed)
        live_rules.on_change(self.change)
        store.on_news(self.wake)

    def start(self) -> None:
        """Take back the deliveries of a dead process, then start the workers."""
        back = self._store.write_now(_release, time.time_ns())
        log.info("dispatch.started taken_back=%d", back)
        self._alarms.attend()
        self._reaper.settle()
        self._reaper.replan_at_start()
        self.change(self._live_rules.rules)
        self._reaper.start()
        self._alarms.start()

    def change(self, rules: Rules) -> None:
        """Run a worker for each destination of these rules; replace those of changed ones."""
        with self._changing:
            if self._stopped:
                return
            running = list(self._workers.values())
            unchanged = [w for w in running if w.destination in rules.destinations.values()]
            replaced = [worker for worker in running if worker not in unchanged]
            for worker in replaced:
                worker.stop()  # it still records its present attempts
            self._replaced = [worker for worker in self._replaced if worker.is_alive()] + replaced
            workers = {worker.destination.name: worker for worker in unchanged}
            for name, destination in rules.destinations.items():
                if name not in workers:
                    workers[name] = DestinationWorker(
                        self._store,
                        destination,
                        self._live_rules,
                        self._lease,
                        self._links,
                        self._zone,
                        self._alarms.attend,
                        self._counters.attempted,
                        self._send,
                        self._intake_first,
                    )
            self._workers = workers
            for worker in workers.values():
                if worker not in unchanged:
                    worker.start()
        self._reaper.wake()

    def wake(self, destinations: Collection[str] | None) -> None:
        """Wake the workers of these destinations (None: of all): deliveries may be due."""
        for name in self._live_rules.rules.destinations if destinations is None else destinations:
            if (worker := self._workers.get(name)) is not None:
                worker.wake()

    def is_alive(self) -> bool:
        """Return whether all its threads run."""
        workers = list(self._workers.values())
        timers_live = self._reaper.is_alive() and self._alarms.is_alive()
        return timers_live and all(worker.is_alive() for worker in workers)

    def stop(self, drain: float) -> bool:
        """Finish the attempts in progress within `drain` seconds; return whether all have ended.

        A second call does not wait again.
        """
        with self._changing:
            if self._stopped:
                drain = 0.0
            self._stopped = True
            workers = [*self._workers.values(), *self._replaced]
        self._reaper.stop(timeout=0)
        self._alarms.stop(timeout=0)
        for worker in workers:
            worker.stop()
        end = time.monotonic() + drain
        ended = [worker.join(end) for worker in workers]
        return all(ended)


class OrphanReaper(Periodic):
    """A thread that ends deliveries to destinations that are not in the file.

    After a start and a reload it lets what waits about executions follow the rules in force.

    It checks at once after a reload, and otherwise now and then: an attempt in progress at the
    reload may put its delivery back, and so may a redelivery by a person.
    """

    def __init__(self, store: Store, live_rules: LiveRules[object]) -> None:
        super().__init__("dispatch", first_rest=0.0, rest_after_failure=REAP_EVERY)
        self._store = store
        self._live_rules = live_rules
        self._replanned: Rules | None = None  # what waits follows these
        self._walk: Walk | None = None  # and these up to a place
        self._place = Place()

    def step(self) -> float:
        """End all orphans; return how long to rest (seconds)."""
        if not self._store.leads("orphans"):
            return REAP_EVERY
        self.settle()
        while not self._replan():
            pass
        rules = self._live_rules.rules
        while self._store.waits_for_others(tuple(rules.destinations)):
            ended = self._store.write_now(_end_orphans, rules)
            for dead in ended:
                log_dead(dead)
            if not ended:
                break  # what waits is planned for later
        return REAP_EVERY

    def settle(self) -> None:
        """Let nothing remind of executions whose source is gone, and remind again if it is back."""
        sources = tuple(self._live_rules.rules.sources)
        if self._store.is_unsettled(sources):
            item = (sources, time.time_ns())
            superseded, restored = self._store.write_now(_settle_sources, item)
            log.warning("sources.settled superseded=%d restored=%d", superseded, restored)

    def replan_at_start(self) -> None:
        """Let what waits follow the rules before anything is sent, unless that takes long."""
        end = time.monotonic() + REPLAN_WITHIN
        while not self._replan() and time.monotonic() < end:
            pass

    def _replan(self) -> bool:
        """Let more of what waits follow the rules in force; return whether all of it does."""
        rules = self._live_rules.rules
        if self._replanned is rules:
            return True
        if self._walk is None or self._walk.rules is not rules:
            self._begin_walk(rules)
        if self._walk is not None:
            now = time.time_ns()
            due, following = look(self._store, self._walk, self._place, now)
            for done in replan_in_parts(self._store, due, rules, now):
                log.info("plans.changed episodes=%d", done.changed)
            if following is not None:
                self._place = following
                return False
        self._replanned, self._walk = rules, None
        return True

    def _begin_walk(self, rules: Rules) -> None:
        """Begin with what other rules plan otherwise, if all that waits follows known ones."""
        is_known = self._replanned is not None and self._walk is None
        self._walk = (
            difference(self._replanned, rules) if is_known and self._replanned else whole(rules)
        )
        self._place, self._replanned = Place(), None


def _settle_sources(
    transaction: Transaction, items: Sequence[tuple[Sequence[str], int]]
) -> Sequence[tuple[int, int]]:
    return [transaction.settle_sources(sources, now) for sources, now in items]


def _release(transaction: Transaction, times: Sequence[int]) -> Sequence[int]:
    return [transaction.release(now, own=True) for now in times]


def _end_orphans(transaction: Transaction, items: Sequence[Rules]) -> Sequence[Sequence[Claim]]:
    ended = []
    for rules in items:
        now = time.time_ns()
        dead = transaction.end_orphans(tuple(rules.destinations), now)
        tell_of(transaction, dead, rules, now)
        ended.append(dead)
    return ended
