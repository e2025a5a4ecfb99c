"""Slot: the place of one sender, in which one process follows the other.

A process in which a call hangs is replaced at once, while its other calls end, and so is one that
has made an attempt before it died. After any other, the pauses before the next start grow.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from receiver.destinations.sender.process import SenderNotStarted, SenderProcess

log = logging.getLogger("receiver.senders")

# Pauses before the next start: after the first failure, and at most (seconds).
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 30.0
# A process that has run for so long had no trouble with its start.
STEADY = 10.0
# After so many failed starts in a row nobody waits for the next one.
HOPELESS = 3


class Slot:
    """Place of a sender: its present process, and a thread that replaces it when it has ended."""

    def __init__(self, number: int, ended: Callable[[str], None]) -> None:
        self._name = f"sender-{number}"
        self._ended = ended
        self._changing = threading.Condition()
        self._process: SenderProcess | None = None
        self._stopping = False
        self._failures = 0
        self.problem = ""
        self.away_since: float | None = None
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)

    def start(self) -> None:
        """Start its process."""
        self.away_since = time.monotonic()
        self._thread.start()

    def current(self, within: float) -> SenderProcess:
        """Return the process that takes requests, as soon as there is one.

        SenderNotStarted if there is none within so many seconds, or if it fails again and again.
        """

        def is_settled() -> bool:
            return self._ready() is not None or self._stopping or self._failures >= HOPELESS

        with self._changing:
            self._changing.wait_for(is_settled, within)
            if (process := self._ready()) is None:
                raise SenderNotStarted(self.problem or "it is not ready yet")
            return process

    def is_ready(self) -> bool:
        """Return whether its process takes requests."""
        with self._changing:
            return self._ready() is not None

    def stop(self) -> None:
        """End its process, and start no other."""
        with self._changing:
            self._stopping = True
            self._changing.notify_all()
            process = self._process
        if process is not None:
            process.end(within=1.0)
        self._thread.join(2.0)

    def _ready(self) -> SenderProcess | None:
        process = self._process
        return process if process is not None and process.is_current else None

    def _run(self) -> None:
        while not self._stopping:
            began = time.monotonic()
            process = self._start()
            if process is not None:
                process.await_end()
                self._bury(process)
            has_worked = process is not None and (process.has_answered or process.cause == "hung")
            is_steady = time.monotonic() - began >= STEADY
            with self._changing:
                self._failures = 0 if has_worked or is_steady else self._failures + 1
                self._changing.notify_all()
            self._pause()

    def _start(self) -> SenderProcess | None:
        """Start a process; return it once it is ready, or None if it does not become so."""
        process: SenderProcess | None = None
        try:
            process = SenderProcess()
            process.await_ready()
        except (OSError, SenderNotStarted) as error:
            if process is not None:
                process.kill("not_started")
                process.end(within=1.0)
                process.close()
            if not self._stopping:
                self.problem = str(error)
                self._ended("not_started")
                log.error("sender.not_started name=%s error=%r", self._name, str(error))
            return None
        with self._changing:
            self._process, self.away_since, self.problem = process, None, ""
            self._changing.notify_all()
            is_late = self._stopping
        if is_late:
            process.end(within=1.0)
        else:
            log.info("sender.started name=%s pid=%d", self._name, process.pid)
        return process

    def _bury(self, process: SenderProcess) -> None:
        """Note the end of a process. One in which a call hangs ends when its others are done."""
        with self._changing:
            self._process = None
            self.away_since = time.monotonic()
        cause = process.cause or "died"
        how = "it finishes first"
        if cause != "hung":
            how = process.end(within=1.0)
            process.close()
        if self._stopping:
            return
        self.problem = f"it ended: {how}"
        self._ended(cause)
        log.error(
            "sender.ended name=%s pid=%d cause=%s how=%r", self._name, process.pid, cause, how
        )

    def _pause(self) -> None:
        """Wait before the next start: longer after each failure, and not at once with others."""
        if not self._failures:
            return
        longest = min(FIRST_PAUSE * 2 ** min(self._failures - 1, 20), LONGEST_PAUSE)
        with self._changing:
            pause = longest * random.uniform(0.5, 1)
            self._changing.wait_for(lambda: self._stopping, pause)
