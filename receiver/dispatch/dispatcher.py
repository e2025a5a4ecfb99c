"""What is owed, out: one lane per destination."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence

from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.deliveries import Claim
from receiver.dispatch.turn import tell_of
from receiver.dispatch.worker import DestinationWorker, log_dead
from receiver.errors import StorageError
from receiver.store.contract import Store, Transaction

log = logging.getLogger("receiver.dispatch")

# How often it is looked for what no lane will ever send (seconds).
BURY_EVERY = 5.0


class Dispatcher:
    """All lanes. Deliveries to destinations that are gone die with that reason."""

    def __init__(
        self, store: Store, in_force: LiveRules, lease: float, public_url: str = ""
    ) -> None:
        self._store, self._in_force, self._lease = store, in_force, lease
        self._public_url = public_url
        self._lanes: dict[str, DestinationWorker] = {}
        self._left: list[DestinationWorker] = []
        self._changing = threading.Lock()
        self._changed = threading.Event()
        self._stopped = False
        self._sexton = threading.Thread(target=self._keep_burying, name="sexton", daemon=True)
        in_force.on_change(self.change)

    def start(self) -> None:
        """Take back what a dead process was sending, then start the lanes."""
        back = self._store.write_now(_release, time.time_ns())
        log.info("dispatch.started taken_back=%d", back)
        self.change(self._in_force.rules)
        self._sexton.start()

    def change(self, rules: Rules) -> None:
        """Lanes for the destinations of these rules; one that changed gets a new lane."""
        with self._changing:
            if self._stopped:
                return
            old = list(self._lanes.values())
            kept = [lane for lane in old if lane.destination in rules.destinations.values()]
            gone = [lane for lane in old if lane not in kept]
            for lane in gone:
                lane.stop()  # what it is sending is still recorded
            self._left = [lane for lane in self._left if lane.is_alive()] + gone
            lanes = {lane.destination.name: lane for lane in kept}
            for name, destination in rules.destinations.items():
                if name not in lanes:
                    lanes[name] = DestinationWorker(
                        self._store, destination, self._in_force, self._lease, self._public_url
                    )
            self._lanes = lanes
            for lane in lanes.values():
                lane.others = tuple(lanes.values())
                if lane not in kept:
                    lane.start()
        self._changed.set()

    def wake(self, destinations: Iterable[str]) -> None:
        """Say that these have something to send."""
        for name in destinations:
            if (lane := self._lanes.get(name)) is not None:
                lane.wake()

    def is_alive(self) -> bool:
        lanes = list(self._lanes.values())
        return self._sexton.is_alive() and all(lane.is_alive() for lane in lanes)

    def stop(self, drain: float) -> bool:
        """Finish what is being sent, for at most `drain` seconds; whether all of it was.

        A second call does not wait again.
        """
        with self._changing:
            if self._stopped:
                drain = 0.0
            self._stopped = True
            self._changed.set()
            lanes = [*self._lanes.values(), *self._left]
        for lane in lanes:
            lane.stop()
        end = time.monotonic() + drain
        ended = [lane.join(end) for lane in lanes]
        return all(ended)

    def _keep_burying(self) -> None:
        """End what waits for a destination that is not in the file, however it came to wait.

        After a reload at once, and now and then: an attempt that was under way at the reload may
        put its delivery back, and so may somebody who redelivers.
        """
        while not self._stopped:
            self._changed.wait(BURY_EVERY)
            self._changed.clear()
            try:
                self._bury(self._in_force.rules)
            except StorageError as error:
                log.warning("dispatch.storage error=%s", error)
            except Exception:
                # Without this thread a delivery could wait for ever, and nobody would hear of it.
                log.exception("dispatch.failed")

    def _bury(self, rules: Rules) -> None:
        while self._store.waits_for_others(tuple(rules.destinations)):
            for dead in self._store.write_now(_bury, rules):
                log_dead(dead)
            self.wake(rules.destinations)


def _release(transaction: Transaction, times: Sequence[int]) -> Sequence[int]:
    return [transaction.release(now, own=True) for now in times]


def _bury(transaction: Transaction, items: Sequence[Rules]) -> Sequence[Sequence[Claim]]:
    buried = []
    for rules in items:
        dead = transaction.end_orphans(tuple(rules.destinations))
        tell_of(transaction, dead, rules, time.time_ns())
        buried.append(dead)
    return buried
