"""A sender that remembers: tells stories over several connections, and what was acknowledged.

What was acknowledged is kept in a file of its own, synced.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from receiver.cli import client
from receiver.times import SECOND
from tests.prove_durability.driver import TOKEN, Receiver, answered
from tests.support.proving import Report
from tests.support.served import CUT


class Told(NamedTuple):
    """An event as it is sent, and the verdict that it gets the first time."""

    event_id: str
    body: bytes
    verdict: str


def story(name: str, start: int, end: str, padding: int) -> Iterator[Told]:
    """An execution's life: legal moves, one event too early, one twice, one after the end.

    It ends COMPLETED, for which it has to be resumed, or CANCELLED, for which it need not.
    """
    payload = {"reason": "proof", "outcome": "success", "result": "x" * padding}

    def tell(step: int, event: str, verdict: str) -> Told:
        event_id = f"{name}.{step}"
        body = client.asteroid_event(
            f"EXECUTION_{event}", name, event_id=event_id, occurred_at=start + step * SECOND,
            payload=payload,
        )  # fmt: skip
        return Told(event_id, body, verdict)

    early = end == "COMPLETED"
    yield tell(0, "STARTED", "applied")
    yield tell(1, "PAUSED", "applied")
    yield tell(3, end, "held" if early else "applied")
    yield tell(2, "RESUMED", "applied" if early else "stale")
    yield tell(1, "PAUSED", "duplicate")
    yield tell(4, "RESUMED", "rejected")


class Acknowledgements:
    """What was acknowledged, in memory and in a synced file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._syncing = False
        self.verdicts: dict[str, str] = {}

    def note(self, event_id: str, verdict: str) -> None:
        self.verdicts.setdefault(event_id, verdict)
        os.write(self._file, f"{event_id} {verdict}\n".encode())
        if not self._syncing:  # those that were answered together share a sync
            self._syncing = True
            asyncio.get_running_loop().call_soon(self._sync)

    def _sync(self) -> None:
        self._syncing = False
        os.fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)


class Sender:
    """Tells stories over several connections; what was not acknowledged is told again first."""

    def __init__(self, receiver: Receiver, acks: Acknowledgements, report: Report) -> None:
        self._receiver, self.acks, self._report = receiver, acks, report
        self._stories = 0
        self.padding = 0  # bytes
        self._again: list[Iterator[Told]] = []
        self._cut: set[str] = set()
        self.refused = 0  # answered 503
        self.retry_after = True

    async def load(self, connections: int, events: int, *, patient: bool = False) -> None:
        """Tell about so many events, or until the receiver is gone.

        `patient` goes on after a 503: by telling the event again until it is taken.
        """
        budget = [events]
        # What was left over goes first, each story on one connection: its order matters.
        waiting, self._again = self._again, []
        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(self._connection(waiting, budget, patient))
        self._again += waiting

    async def _connection(
        self, waiting: list[Iterator[Told]], budget: list[int], patient: bool
    ) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._receiver.port)
        except OSError:
            return
        try:
            while budget[0] > 0 or waiting:
                events = waiting.pop() if waiting else self._story()
                for told in events:
                    budget[0] -= 1
                    try:
                        verdict = await self._tell(reader, writer, told, patient)
                    except CUT:
                        self._cut.add(told.event_id)
                        self._again.append(_before(told, events))
                        return
                    if verdict is None:
                        self._again.append(_before(told, events))
                        break
        finally:
            writer.close()

    async def _tell(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, told: Told, patient: bool
    ) -> str | None:
        """The verdict, None if it was refused."""
        while True:
            writer.write(request(told.body))
            async with asyncio.timeout(60):
                status, headers, content = await answered(reader)
            if status in (200, 202):
                break
            self.refused += 1
            self._cut.add(told.event_id)
            self.retry_after = self.retry_after and "retry-after" in headers
            self._report.must(status == 503, f"{told.event_id} is answered {status}: {content!r}")
            if not patient:
                return None
        answer = json.loads(content)
        verdict: str = answer["verdict"]
        repeat = verdict == "duplicate" and answer["reason"] == "event_id"
        if told.event_id in self.acks.verdicts:
            self._report.must(repeat, f"{told.event_id} is told again and is {verdict}")
        else:
            # What was cut off or refused may have been stored without an answer.
            fits = verdict == told.verdict or (repeat and told.event_id in self._cut)
            self._report.must(fits, f"{told.event_id} is {verdict}, not {told.verdict}")
        self.acks.note(told.event_id, verdict)
        return verdict

    def _story(self) -> Iterator[Told]:
        self._stories += 1
        start = client.now_whole() - 3600 * SECOND
        end = ("COMPLETED", "CANCELLED")[self._stories % 2]
        return story(f"x{self._stories}", start, end, self.padding)


def _before(told: Told, rest: Iterator[Told]) -> Iterator[Told]:
    yield told
    yield from rest


def request(body: bytes) -> bytes:
    """A webhook as it goes over the wire."""
    return (
        f"POST /webhooks/s HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Token: {TOKEN}\r\nContent-Type:"
        f" application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
