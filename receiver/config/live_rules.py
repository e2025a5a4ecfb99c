"""Rules in force: every act works with one version of routes.yaml, never with parts of two."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from receiver.config.rules import Rules
from receiver.errors import ConfigurationError

log = logging.getLogger("receiver")


@dataclass(frozen=True, slots=True)
class FailedReload:
    """A reload that failed at a time (nanoseconds), and the first problem of the file."""

    at: int
    problem: str


Derived_co = TypeVar("Derived_co", covariant=True)


class LiveRules(Generic[Derived_co]):
    """The rules in force and an object derived from them, replaced together by a reload.

    `derive` makes the object once for each set of rules: `derived` is the same until the next
    reload. `read` returns the rules of the present file, or raises ConfigurationError. `count` gets
    the result of each reload: done or failed.
    """

    def __init__(
        self,
        rules: Rules,
        derive: Callable[[Rules], Derived_co],
        read: Callable[[], Rules],
        count: Callable[[str], None] = lambda result: None,
    ) -> None:
        self._derive = derive
        self._read_rules = read
        self._count = count
        self._reloading = threading.Lock()
        self._listeners: list[Callable[[Rules], None]] = []
        self._failed: FailedReload | None = None
        self._in_force = (rules, derive(rules), rules.digest())

    @property
    def rules(self) -> Rules:
        """The rules in force."""
        return self._in_force[0]

    @property
    def derived(self) -> Derived_co:
        """The object derived from the rules in force."""
        return self._in_force[1]

    @property
    def digest(self) -> str:
        """The digest of the rules in force."""
        return self._in_force[2]

    @property
    def failed(self) -> FailedReload | None:
        """The first failed reload since the last good one; None: the last one was good."""
        return self._failed

    def on_change(self, listener: Callable[[Rules], None]) -> None:
        """Call the listener with the new rules after each reload."""
        self._listeners.append(listener)

    def reload(self) -> Rules:
        """Read routes.yaml again. After an error it keeps the old rules and raises the error."""
        with self._reloading:
            try:
                rules = self._read_rules()
            except ConfigurationError as error:
                self._count("failed")
                self._failed = self._failed or FailedReload(time.time_ns(), error.problems[0])
                for problem in error.problems:
                    log.error("rules.not_reloaded %s", problem)
                raise
            self._in_force = (rules, self._derive(rules), rules.digest())
            self._failed = None
            self._count("done")
            for warning in rules.warnings:
                log.warning("config %s", warning)
            for listener in self._listeners:
                listener(rules)
            log.info(
                "rules.reloaded digest=%s sources=%d destinations=%d routes=%d",
                self.digest,
                len(rules.sources),
                len(rules.destinations),
                len(rules.routes),
            )
            return rules
