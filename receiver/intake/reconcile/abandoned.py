"""Abandoned acts: the process died after it wrote down an act, and before it noted the result.

The act may have happened, and stands so in the audit. The provider is asked what is true, so that
the effect is known here, too.
"""

from __future__ import annotations

import logging
import time

from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.intake.receive import Intake
from receiver.intake.reconcile.by_hand import ask_one
from receiver.intake.reconcile.provider import Outcome
from receiver.intake.reconcile.turns import settle
from receiver.store.contract import Store
from receiver.store.periodic import Periodic

log = logging.getLogger("receiver.reconcile")

# The rest between two looks, and after a provider that did not answer (seconds).
REST, REST_AFTER_FAILURE = 2.0, 60.0


class AbandonedActs(Periodic):
    """A thread that asks about acts whose results are unknown; one process at a time does."""

    def __init__(self, store: Store, live_rules: LiveRules[Intake]) -> None:
        super().__init__("reconcile", first_rest=0.0, rest_after_failure=REST_AFTER_FAILURE)
        self._store = store
        self._live_rules = live_rules

    def step(self) -> float:
        """Ask about each; return how long to rest (seconds)."""
        rules = self._live_rules.rules
        may_act = any(source.acts for source in rules.sources.values())
        if not may_act or not self._store.leads("alarms"):
            return REST
        found = self._store.abandoned(time.time_ns())
        done = [self._settle(rules, source, execution_id) for source, execution_id in found]
        return REST if all(done) else REST_AFTER_FAILURE

    def _settle(self, rules: Rules, name: str, execution_id: str) -> bool:
        """Ask what is true, then end the turn; False if the provider did not answer."""
        source = rules.sources.get(name)
        outcome = None
        if source is not None and source.api is not None:
            outcome = ask_one(self._store, rules, source, execution_id).outcome
            if outcome not in (Outcome.ANSWERED, Outcome.NOT_FOUND):
                return False
        settle(self._store, name, execution_id)
        log.warning("act.uncertain source=%s execution_id=%r asked=%s", name, execution_id, outcome)
        return True
