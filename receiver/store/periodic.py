"""Periodic work on the store: a thread that repeats a step and survives every failure."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod

from receiver.errors import StorageError


class Periodic(ABC):
    """A thread that repeats its step until it is stopped.

    `name` names the thread, its logger (`receiver.name`) and its lines in the log. `first_rest` is
    the rest before the first step, `rest_after_failure` the rest after a failed step (seconds).
    """

    def __init__(self, name: str, first_rest: float, rest_after_failure: float) -> None:
        self._name = name
        self._log = logging.getLogger(f"receiver.{name}")
        self._first_rest = first_rest
        self._rest_after_failure = rest_after_failure
        self._is_stopping = False
        self._rest_is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def step(self) -> float:
        """Do the work that is due; return how long to rest (seconds)."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """End the present rest."""
        self._rest_is_over.set()

    def stop(self, timeout: float | None = None) -> None:
        """Stop after the present step; wait for it, at most `timeout` seconds."""
        self._is_stopping = True
        self._rest_is_over.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def is_alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        rest = self._first_rest
        while True:
            self._rest_is_over.wait(rest)
            self._rest_is_over.clear()
            if self._is_stopping:
                return
            rest = self.safe_step()

    def safe_step(self) -> float:
        """Do a step and log its failure; return how long to rest (seconds)."""
        try:
            return self.step()
        except StorageError as error:
            self._log.warning("%s.storage error=%s", self._name, error)
        except Exception:
            # The one broad except: after an error the thread must go on with the next step.
            self._log.exception("%s.failed", self._name)
        return self._rest_after_failure
