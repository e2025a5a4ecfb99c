"""A storm of kills, reloads, silences, takes and outages over waits that people hear of."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

from receiver.cli import client
from receiver.deliveries import Acknowledgement
from receiver.dispatch.operators import Take, acknowledge, add_silence
from receiver.errors import StorageError
from receiver.routing.silences import Silence
from receiver.store.sqlite.connection import connect
from receiver.store.sqlite.store import open_existing
from receiver.times import SECOND
from tests.prove_durability.driver import TOKEN, Receiver, answered
from tests.prove_durability.sender import request
from tests.support.proving import MARK, Report
from tests.support.served import CUT, until

ROUTES = """\
sources:
  s: {verify: {scheme: token, header: X-Token, keys: ["%(token)s"]}, gap_timeout: 1h}
destinations:
  team: {url: "json://127.0.0.1:%(port)d/team", rate: 1000/s, fallback: mail, timeout: 2s}
  lead: {url: "json://127.0.0.1:%(port)d/lead", rate: 1000/s, timeout: 2s}
  mail: {url: "json://127.0.0.1:%(port)d/mail", rate: 1000/s, timeout: 2s}
routes:
  - name: conf
    match: {status: awaiting_confirmation}
    notify: [team, lead]
    remind: {every: %(remind)s}
    escalate: [{after: %(escalate)s, notify: [lead, mail]}]
    resolved: true
    acknowledged: true
  - {name: works, match: {status: running}, notify: [lead], resolved: true}
"""
STORY = ("STARTED", "AWAITING_CONFIRMATION", "RESUMED", "AWAITING_CONFIRMATION")
TOLD = "('notice', 'reminder', 'escalation')"
# Who was told of an episode, or may have been; and who was told of an end.
WERE_TOLD = (
    "SELECT DISTINCT e.execution_id, e.version, d.destination FROM delivery AS d"
    " JOIN event AS e ON e.seq = d.event WHERE (d.state = 'sent' OR d.repeat = 1)"
    f" AND ((d.kind IN {TOLD} AND d.origin IS NULL) OR (d.kind = 'fallback' AND"
    f" (SELECT o.kind FROM delivery AS o WHERE o.id = d.origin) IN {TOLD}))"
)
# What should have gone. That messages did not arrive is said again after an hour at the earliest.
OWED = (
    "SELECT count(*) FROM delivery WHERE state = 'sending' OR (state = 'waiting'"
    " AND NOT (kind = 'notice' AND origin IS NOT NULL AND planned_at > ?))"
)
ENDS = (
    "SELECT e.execution_id, e.version - 1, d.destination, d.state, e.event_id FROM delivery AS d"
    " JOIN event AS e ON e.seq = d.event WHERE d.kind = 'resolved' OR (d.kind = 'fallback' AND"
    " (SELECT o.kind FROM delivery AS o WHERE o.id = d.origin) = 'resolved')"
)


# An agent is called after the event in which it is named, so an end says which one it is.
END = re.compile(r"(x\d+\.\d+): ")
NO_END = ("While silenced: ",)


class Hook:
    """The destinations: what arrived where, and how each answers; 0 is no answer at all."""

    def __init__(self) -> None:
        self.arrived: list[tuple[str, str, str]] = []
        self.status: dict[str, int] = {}

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._visited, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(*CUT):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = int(head.lower().partition("content-length:")[2].split("\r\n")[0])
            message = json.loads(await reader.readexactly(length))
            name = head.split()[1].strip("/")
            status = self.status.get(name, 200)
            if status in (0, 200):  # without an answer it has arrived, too
                self.arrived.append((name, message["title"], message["message"]))
            if status:
                answer = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                writer.write(answer.encode())
                await writer.drain()


class People:
    """The stories, and what is done to the receiver meanwhile."""

    def __init__(self, receiver: Receiver, hook: Hook, port: int, chance: random.Random) -> None:
        self.receiver, self.hook, self.chance, self.port = receiver, hook, chance, port
        self.base = client.now_whole() - 3600 * SECOND
        self.told: dict[str, int] = {}

    async def tell(self, execution: str, step: int, name: str) -> bool:
        """Post an event; whether it was accepted."""
        at = self.base + (len(execution) + step) * SECOND
        event_id = f"{execution}.{step}"
        body = client.asteroid_event(
            f"EXECUTION_{name}", execution, event_id=event_id, occurred_at=at, agent_name=event_id
        )
        with suppress(*CUT):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.receiver.port)
            with closing(writer):
                writer.write(request(body))
                return (await answered(reader))[0] in (200, 202)
        return False

    async def move(self, execution: str) -> None:
        """Let an execution go on by a step."""
        step = self.told.get(execution, 0)
        if step < len(STORY) and await self.tell(execution, step, STORY[step]):
            self.told[execution] = step + 1

    def reload(self) -> None:
        """Let other rules be in force."""
        remind, escalate = self.chance.choice(["1s", "2s"]), self.chance.choice(["1s", "3s"])
        values = {"token": TOKEN, "port": self.port, "remind": remind, "escalate": escalate}
        (self.receiver.folder / "routes.yaml").write_text(ROUTES % values, "utf-8")
        self.receiver.signal(signal.SIGHUP)

    def operate(self, execution: str) -> None:
        """Take an execution, or silence waits for a moment, as a command does beside the server."""
        now = time.time_ns()
        with suppress(StorageError), closing(open_existing(self.receiver.path)) as store:
            if self.chance.random() < 0.5:
                taken = Take("s", execution, Acknowledgement("Ann", now), ("conf",))
                store.write_now(acknowledge, taken)
            else:
                match = {"status": ("awaiting_confirmation",)}
                of = Silence(match, "storm", "Ann", now, now + SECOND)
                store.write_now(add_silence, (of, now))

    async def live(self, executions: list[str], seconds: float, report: Report) -> None:
        """Let things happen for a while."""
        end, first = time.monotonic() + seconds, [0.0, 0.1]
        while time.monotonic() < end or first:
            await self.move(self.chance.choice(executions))
            what = first.pop() if first else self.chance.random()
            if what < 0.05:
                self.reload()
                report.add("reloads")
            elif what < 0.15:
                await asyncio.to_thread(self.operate, self.chance.choice(executions))
                report.add("taken or silenced")
            elif what < 0.25:
                name = self.chance.choice(["team", "lead", "mail"])
                self.hook.status[name] = self.chance.choice([200, 200, 200, 503, 404, 0])
            await asyncio.sleep(0.01)


async def people(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """Let a storm pass over waits, then let all end; nothing waits, and each end was told once."""
    chance, hook = random.Random(given.seed), Hook()
    report.figures |= {"kills": 0, "reloads": 0, "taken or silenced": 0}
    async with hook.listening() as port:
        values = {"token": TOKEN, "port": port, "remind": "1s", "escalate": "2s"}
        receiver = Receiver(folder, given.tree, http=given.http, routes=ROUTES % values)
        async with receiver:
            storm = People(receiver, hook, port, chance)
            executions = [f"x{n:03}" for n in range(given.executions)]
            for _ in range(given.kills):
                await receiver.start()
                await storm.live(executions, given.seconds, report)
                await receiver.kill()
                report.add("kills")
            hook.status.clear()
            await receiver.start()
            executions.append(f"x{given.executions:03}")
            await _wait_that_is_told(storm, executions[-1])
            await _end(storm, executions)
            database = connect(receiver.path, read_only=True)
            with closing(database):
                await until(
                    lambda: database.execute(OWED, (time.time_ns(),)).fetchone() == (0,),
                    "nothing waits that should have gone", 900,
                )  # fmt: skip
                _, _, ledger = await receiver.get("/api/ledger")
                report.must(json.loads(ledger)["imbalance"] == 0, f"imbalance: {ledger!r}")
                told = set(database.execute(WERE_TOLD).fetchall())
                _ends(told, database.execute(ENDS).fetchall(), hook, report)


async def _wait_that_is_told(storm: People, execution: str) -> None:
    """Let an execution wait until somebody has heard of it.

    On a slow machine nobody may have heard of a wait in the storm: then there would be no end.
    """
    while storm.told.get(execution, 0) < 2:
        await storm.move(execution)
    told = f"{execution}.1"
    await until(lambda: any(told in title for _, title, _ in storm.hook.arrived), "it is told", 60)


async def _end(storm: People, executions: list[str]) -> None:
    """Tell each story to its end, with what may have been lost."""
    for execution in executions:
        for step, name in enumerate([*STORY[: storm.told.get(execution, 0)], "CANCELLED"]):
            while not await storm.tell(execution, step, name):
                await asyncio.sleep(0.1)


def _ends(
    told: set[tuple[str, int, str]], ends: list[tuple[str, int, str, str, str]], hook: Hook,
    report: Report,
) -> None:  # fmt: skip
    """Hold who was told of a wait against who was told of its end."""
    settled = {each[:3] for each in ends}
    missing = {each for each in told if each not in settled and each[1] > 0}
    report.must(not missing, f"{len(missing)} were told no end: {sorted(missing)[:3]}")
    n = Counter(each[:3] for each in ends if each[3] == "sent")
    twice = sorted(each for each, number in n.items() if number > 1)
    report.must(not twice, f"told an end twice: {twice[:3]}")
    report.figures |= {"told of a wait": len(told), "ends": len(n)}
    hold_arrivals({(each[2], each[4]) for each in ends if each[3] == "sent"}, hook, report)


def hold_arrivals(sent: set[tuple[str, str]], hook: Hook, report: Report) -> None:
    """Hold the ends that were sent (destination, event) against those that arrived.

    Each arrived. One that arrived twice says so: the process was killed, or its answer was lost.
    """
    plain, repeats = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for name, title, body in hook.arrived:
        found = None if title.startswith(NO_END) or " takes " in title else END.search(title)
        if found is not None:
            (repeats if MARK in body else plain)[name, found[1]] += 1
    lost = sorted(sent - plain.keys() - repeats.keys())
    report.must(not lost, f"{len(lost)} ends did not arrive: {lost[:3]}")
    twice = sorted(each for each, n in plain.items() if n > 1)
    report.must(not twice, f"{len(twice)} ends came again without a word of it: {twice[:3]}")
    report.figures["ends that arrived"] = len(sent & (plain.keys() | repeats.keys()))
    if only := sent & repeats.keys() - plain.keys():
        report.figures["ends that came only as repeats"] = len(only)
