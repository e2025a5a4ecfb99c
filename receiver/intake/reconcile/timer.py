"""Reconcile timer: the threads that ask providers, by the rules in force; and what was missed."""

from __future__ import annotations

from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.events import Status
from receiver.intake.receive import Intake
from receiver.intake.reconcile.abandoned import AbandonedActs
from receiver.intake.reconcile.asker import Asker
from receiver.intake.reconcile.provider import Provider, break_off_all
from receiver.intake.reconcile.source_asker import POLL, STOPS_WITHIN, AskingNotes, SourceAsker
from receiver.lifecycle import SAME_TIME
from receiver.metrics import Counters
from receiver.store.contract import Store
from receiver.store.periodic import Periodic


class ReconcileTimer(Periodic):
    """A thread that keeps one SourceAsker for each source with `reconcile`, by the rules in force.

    What was asked stays known over a reload; a changed `api` begins anew.
    """

    def __init__(self, store: Store, live_rules: LiveRules[Intake], counters: Counters) -> None:
        super().__init__("reconcile", first_rest=0.0, rest_after_failure=POLL)
        self._store = store
        self._live_rules = live_rules
        self._counters = counters
        self._rules: Rules | None = None
        self._askers: dict[str, SourceAsker] = {}
        self._abandoned = AbandonedActs(store, live_rules)

    def start(self) -> None:
        """Start the threads."""
        super().start()
        self._abandoned.start()

    def step(self) -> float:
        """Follow the rules in force; return how long to rest (seconds)."""
        rules = self._live_rules.rules
        if rules is not self._rules:
            self._rules = rules
            self._follow(rules)
        return POLL

    def missed(self, now: int, within: int) -> dict[str, tuple[int, int, bool]]:
        """Return by source how much was learnt by asking alone within a time, and since when.

        Times are nanoseconds. The third value: the provider refuses the key, since the time.
        """
        rules = self._live_rules.rules
        if not any(source.reconcile for source in rules.sources.values()):
            return {}
        found = {
            name: (n, since, False)
            for name, (n, since) in missed(self._store, rules, now, within).items()
        }
        for name, asker in tuple(self._askers.items()):
            if asker.refused_at is not None:
                found[name] = (0, asker.refused_at, True)
        return found

    def stop(self, timeout: float | None = None) -> None:
        """Stop after the present questions, or soon: a provider may hang.

        People who act wait no longer for an answer: what they asked for may have happened.
        """
        break_off_all(self._store)
        super().stop(timeout)
        self._abandoned.stop(STOPS_WITHIN if timeout is None else timeout)
        for asker in self._askers.values():
            asker.stop(timeout)

    def _follow(self, rules: Rules) -> None:
        before = self._askers
        for asker in before.values():
            asker.stop()
        self._askers = {}
        for name, source in rules.sources.items():
            if source.api is None or source.reconcile is None:
                continue
            old = before.get(name)
            is_same = old is not None and old.source.api == source.api
            notes = old.notes if old is not None and is_same else AskingNotes()
            provider = Provider(source.api)
            asker_of = Asker(self._store, self._live_rules, source, provider, self._counters)
            made = SourceAsker(self._store, source, asker_of, provider, notes)
            self._askers[name] = made
            made.start()


def missed(store: Store, rules: Rules, now: int, within: int) -> dict[str, tuple[int, int]]:
    """Count by source what was learnt by asking alone within a time, with the earliest time.

    A status whose events a source is not subscribed to comes by no webhook: it is not missed.
    """
    counts: dict[str, tuple[int, int]] = {}
    for learnt in store.learnt(now - within, SAME_TIME):
        source = rules.sources.get(learnt.source)
        if source is None or learnt.status is Status.STARTING:
            continue
        observes = source.ordering.observes
        if observes is not None and learnt.status not in observes:
            continue
        n, since = counts.get(learnt.source, (0, learnt.at))
        counts[learnt.source] = n + 1, min(since, learnt.at)
    return counts
