"""The rules in force, swapped as one: every act sees one routes.yaml, never parts of two."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from receiver.config.rules import Rules
from receiver.errors import ConfigurationError
from receiver.intake.receive import Intake

log = logging.getLogger("receiver")


class LiveRules:
    """The rules in force and the intake that judges by them.

    `read` gives the rules of the file as it is now, or raises ConfigurationError. `counted` is told
    how each reload went: done or failed.
    """

    def __init__(
        self,
        rules: Rules,
        read: Callable[[], Rules],
        counted: Callable[[str], None] = lambda result: None,
    ) -> None:
        self._read, self._counted = read, counted
        self._reading = threading.Lock()
        self._listeners: list[Callable[[Rules], None]] = []
        self._now = (rules, _intake(rules))

    @property
    def rules(self) -> Rules:
        return self._now[0]

    @property
    def intake(self) -> Intake:
        return self._now[1]

    def on_change(self, listener: Callable[[Rules], None]) -> None:
        """Call this with the new rules after each reload."""
        self._listeners.append(listener)

    def reload(self) -> Rules:
        """Read routes.yaml again. With an error the old rules stay, and the error is raised."""
        with self._reading:
            try:
                rules = self._read()
            except ConfigurationError as error:
                self._counted("failed")
                for problem in error.problems:
                    log.error("rules.not_reloaded %s", problem)
                raise
            self._now = (rules, _intake(rules))
            self._counted("done")
            for warning in rules.warnings:
                log.warning("config %s", warning)
            for listener in self._listeners:
                listener(rules)
            log.info(
                "rules.reloaded sources=%d destinations=%d routes=%d",
                len(rules.sources),
                len(rules.destinations),
                len(rules.routes),
            )
            return rules


def _intake(rules: Rules) -> Intake:
    return Intake(rules.routes, rules.orderings)
