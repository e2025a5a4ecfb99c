"""Pool: the processes that send, and which of them a destination has.

Each has a thread that starts it, waits for its end and starts the next one: at once after one that
had to end because a call hung, else with growing pauses. A destination keeps its sender, which
knows what of a list has arrived, and the sessions and logins of its service.

What was being sent when a sender died is uncertain. What it had not begun goes to the next one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, TypeVar

from receiver.deliveries import Attempt, Message, Outcome
from receiver.destinations import sending
from receiver.destinations.deadline import GRACE
from receiver.destinations.destination import Destination
from receiver.destinations.sender import wire
from receiver.destinations.sender.connection import Connection, SenderGone, SenderSilent
from receiver.destinations.sender.process import (
    SenderNotStarted,
    SenderOutOfReach,
    SenderProcess,
)
from receiver.destinations.sender.slot import Slot
from receiver.metrics import SendersState

T = TypeVar("T")

# An attempt ends by its deadline, and half a second after it if it has to be cut. A sender that is
# silent for longer is stopped or stuck as a whole.
SILENT = GRACE + 2.5
# A call hangs if it does not end within half a second after it was cut. Then it may come back for
# so many seconds; else its process is ended, in which others may finish for so many.
COMES_BACK = 2.0
FINISH = 2.0
# The seconds in which a sender has to say what a URL means.
DESCRIBES_WITHIN = 30.0
# An attempt waits so long for a process that takes it (seconds). Together with what it may take
# itself, that is less than the lease of its delivery.
READY_WITHIN = 5.0
# Why a sender ended: by itself, without being ready, or from here: a call hung, it was silent
# after a deadline, it said what no sender says.
ENDS = ("died", "not_started", "hung", "silent", "garbled")
# The readiness of the receiver ends after so many seconds without a sender.
AWAY = 5.0


class Senders:
    """Processes that send. It is a way of sending, as the module `sending` is: see there."""

    def __init__(self, number: int) -> None:
        self._ends = dict.fromkeys(ENDS, 0)
        self._counting = threading.Lock()
        self._slots = [Slot(n, self._count_end) for n in range(number)]
        self._places: dict[str, Slot] = {}
        self._idle: dict[Destination, list[tuple[SenderProcess, Connection]]] = {}
        self._known: dict[Destination, wire.Description] = {}
        self._taking = threading.Lock()
        self._is_started = False

    def send(self, destination: Destination, message: Message) -> Attempt:
        """Try once, for at most three seconds more than `destination.timeout`. Never raises."""
        if destination.kind in sending.KINDS:
            return sending.send(destination, message)
        began = time.monotonic()
        try:
            attempt = self._try(destination, message, began)
        except Exception as error:
            # Without an outcome the delivery would stay `sending` until its lease ends.
            said = f"{type(error).__name__}, and the message may have been begun"
            attempt = Attempt(Outcome.UNCERTAIN, said)
        if attempt.duration_ms:
            return attempt
        return replace(attempt, duration_ms=int((time.monotonic() - began) * 1000))

    def problems(self, destination: Destination) -> list[str]:
        """Return the mistakes that make the destination unusable, without its URL."""
        if destination.kind in sending.KINDS or not destination.url.strip():
            return sending.problems(destination)
        return list(self._described(destination).problems)

    def leads_to(self, destination: Destination) -> str:
        """Say in one line where its messages go; see `sending.leads_to`."""
        if destination.kind in sending.KINDS:
            return sending.leads_to(destination)
        return self._described(destination).leads_to

    def expect(self, destinations: Collection[Destination]) -> None:
        """Start, if any of these destinations needs it: who only prints needs no process."""
        if any(each.kind not in sending.KINDS for each in destinations):
            with self._taking:
                self._start()

    def follow(self, destinations: Collection[Destination]) -> None:
        """Forget what is kept of other destinations than these."""
        with self._taking:
            kept = set(destinations)
            gone = [each for each in self._idle if each not in kept]
            connections = [pair for each in gone for pair in self._idle.pop(each)]
            self._known = {each: known for each, known in self._known.items() if each in kept}
        for _, connection in connections:
            connection.close()

    def state(self) -> SendersState:
        """Return how many processes take requests, and what keeps the others from it."""
        if not self._is_started:
            return SendersState(0, 0, dict(self._ends))
        now = time.monotonic()
        running = sum(slot.is_ready() for slot in self._slots)
        away = [
            slot.problem or "it is not ready"
            for slot in self._slots
            if (since := slot.away_since) is not None and now - since > AWAY
        ]
        with self._counting:
            ends = dict(self._ends)
        return SendersState(running, len(self._slots), ends, away[0] if away else "")

    def close(self) -> None:
        """End all of them, whatever they do."""
        for slot in self._slots if self._is_started else ():
            slot.stop()

    def _count_end(self, cause: str) -> None:
        with self._counting:
            self._ends[cause] += 1

    def _try(self, destination: Destination, message: Message, began: float) -> Attempt:
        """Send, and once more by the next process if nothing was begun and that is there soon."""
        until = began + READY_WITHIN
        try:
            frame = wire.framed(wire.from_message(message))
        except wire.GarbledFrame as error:
            return Attempt(Outcome.FAILED, f"it is too large: {error}", permanent=True)
        while True:
            try:
                return self._ask_once(destination, frame, until)
            except SenderSilent as error:
                said = f"the process that sends did not answer {SILENT:g} s after the deadline"
                return _broken(error, said)
            except SenderGone as error:
                if error.has_begun or time.monotonic() >= until:
                    return _broken(error, "the process that sends ended")
            except SenderNotStarted as error:
                said = f"the process that sends is not there: {error}"
                return Attempt(Outcome.FAILED, said, is_none=True)
            except SenderOutOfReach as error:
                if not self._close_idle() or time.monotonic() >= until:
                    said = f"the process that sends cannot be reached: {error}"
                    return Attempt(Outcome.FAILED, said)

    def _ask_once(self, destination: Destination, frame: bytes, until: float) -> Attempt:
        process, connection = self._taken(destination, until)
        is_reusable, answer = False, None
        try:
            within = destination.timeout + SILENT
            answer = _asked(process, connection, frame, within, wire.to_answer)
            process.has_answered = True
            is_reusable = not answer.hangs
            if answer.hangs:
                name = f"hung-{destination.name}"
                given = (process, connection)
                threading.Thread(target=_end_hung, args=given, name=name, daemon=True).start()
            return answer.attempt
        finally:
            if is_reusable and process.is_current:
                with self._taking:
                    self._idle.setdefault(destination, []).append((process, connection))
            elif answer is None or not answer.hangs:
                connection.close()

    def _taken(self, destination: Destination, until: float) -> tuple[SenderProcess, Connection]:
        """Return a connection for the destination that nobody uses, or a new one."""
        with self._taking:
            idle = self._idle.get(destination, [])
            while idle:
                process, connection = idle.pop()
                if process.is_current:
                    return process, connection
                connection.close()
            slot = self._slot_of(destination.name)
        left = until - time.monotonic()
        process = slot.current(max(left, 0.0))
        try:
            return process, process.connect(destination, max(left, 1.0))
        except SenderSilent:
            process.kill("silent")
            raise SenderNotStarted("it was silent before it began with the message") from None
        except wire.GarbledFrame:
            process.kill("garbled")
            raise SenderGone(has_begun=False) from None

    def _close_idle(self) -> bool:
        """Close the connections that nobody uses; return whether there were any."""
        with self._taking:
            idle = [each for given in self._idle.values() for _, each in given]
            self._idle.clear()
        for connection in idle:
            connection.close()
        return bool(idle)

    def _start(self) -> None:
        if not self._is_started:
            self._is_started = True
            for slot in self._slots:
                slot.start()

    def _slot_of(self, name: str) -> Slot:
        """Return the slot of a destination: the same one for as long as this process lives."""
        self._start()
        return self._places.setdefault(name, self._slots[len(self._places) % len(self._slots)])

    def _described(self, destination: Destination) -> wire.Description:
        if (known := self._known.get(destination)) is not None:
            return known
        try:
            process, connection = self._taken(destination, time.monotonic() + DESCRIBES_WITHIN)
            with contextlib.closing(connection):
                frame = wire.framed({"describe": True})
                known = _asked(process, connection, frame, DESCRIBES_WITHIN, wire.to_description)
        except (SenderGone, SenderNotStarted, SenderOutOfReach) as error:
            why = str(error) or "it ended"
            return wire.Description((f"the process that sends cannot check it: {why}",), "")
        with self._taking:
            self._known[destination] = known
        return known


def _asked(
    process: SenderProcess, connection: Connection, frame: bytes, within: float,
    read: Callable[[Any], T],
) -> T:  # fmt: skip
    """Ask, and read the answer. A process that is silent or talks nonsense is ended."""
    try:
        with process.working:
            return read(connection.ask(frame, within))
    except SenderSilent:
        process.kill("silent")
        raise
    except wire.GarbledFrame:
        process.kill("garbled")
        raise SenderGone(has_begun=True) from None


def _end_hung(process: SenderProcess, connection: Connection) -> None:
    """End a process in which a call hangs, unless that comes back soon: a busy machine is slow.

    A thread cannot be ended, so its process is, as soon as its other calls have ended.
    """
    if not connection.await_end(COMES_BACK):
        process.retire("hung", FINISH)
    connection.close()


def _broken(error: SenderGone, said: str) -> Attempt:
    """Return the attempt that a sender has not answered."""
    if error.has_begun:
        return Attempt(Outcome.UNCERTAIN, f"{said}, and the message was begun: it may have arrived")
    return Attempt(Outcome.FAILED, f"{said} before it began with the message")
