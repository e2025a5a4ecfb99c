"""The clock jumps under a running receiver, and between two of its lives (libfaketime)."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from receiver.cli import client
from receiver.store.sqlite.connection import connect
from receiver.times import SECOND
from tests.prove_durability.driver import TOKEN, Receiver, answered
from tests.prove_durability.file import look
from tests.prove_durability.sender import request
from tests.prove_durability.storage import Skipped
from tests.support.proving import Report
from tests.support.served import until

HOURS = 2
SOON = 12.0  # seconds for what is due at once
ROUTES = """\
sources:
  s: {verify: {scheme: token, header: X-Token, keys: ["%s"]}, gap_timeout: 2s}
destinations:
  hook: {url: "json://127.0.0.1:%d/", rate: 2/s, parallel: 2}
routes:
  - {name: all, match: {status: "*"}, notify: [hook], title: "{{ event_id }}"}
  - {name: holes, match: {verdict: rejected}, notify: [hook], title: "hole {{ event_id }}"}
"""


class Hook:
    """A destination: what arrived, and how it answers: 500, 200, or not before it is let go."""

    def __init__(self) -> None:
        self.arrived: list[tuple[str, str]] = []
        self.status = 500
        self._go: asyncio.Event | None = None

    def hold(self) -> asyncio.Event:
        """Answer the next one when this is set, and the others behind it at once."""
        self._go = asyncio.Event()
        return self._go

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._visited, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            message = json.loads(await reader.readexactly(length))
            self.arrived.append((message["title"], message["message"]))
            go, self._go = self._go, None
            if go is not None:
                await go.wait()
            reason = "OK" if self.status == 200 else "No"
            answer = f"HTTP/1.1 {self.status} {reason}\r\nContent-Length: 0\r\n"
            writer.write(f"{answer}Connection: close\r\n\r\n".encode())
            await writer.drain()

    def titles(self) -> list[str]:
        return [title for title, _ in self.arrived]


class Clocked:
    """A receiver whose clock can be set."""

    def __init__(self, receiver: Receiver, offset: Path, report: Report, hook: Hook) -> None:
        self.receiver, self.report, self.hook, self._offset = receiver, report, hook, offset
        self.acknowledged: dict[str, str] = {}
        self.base = client.now_whole() - 36 * 3600 * SECOND

    def set_clock(self, hours: float) -> None:
        """Be so many hours ahead."""
        new = self._offset.with_suffix(".new")
        new.write_text(f"{hours * 3600:+.0f}\n", "ascii")
        new.rename(self._offset)

    async def tell(self, event: str, execution: str, step: int, verdict: str) -> None:
        """Post an event; its verdict must be this."""
        event_id = f"{execution}.{step}"
        at = self.base + step * SECOND
        body = client.asteroid_event(
            f"EXECUTION_{event}", execution, event_id=event_id, occurred_at=at
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", self.receiver.port)
        with closing(writer):
            writer.write(request(body))
            status, _, content = await answered(reader)
        said = json.loads(content)
        self.report.must(status in (200, 202), f"{event_id} is answered {status}")
        self.report.must(said.get("verdict") == verdict, f"{event_id} is {said}, not {verdict}")
        self.acknowledged[event_id] = verdict

    async def arrives(self, title: str, what: str, seconds: float = SOON) -> None:
        """The message comes within seconds, whatever the clock says."""
        started = time.monotonic()
        await until(lambda: title in self.hook.titles(), f"{what}: {title} arrives", seconds)
        name = f"{what}, seconds"
        known = self.report.figures.get(name, 0.0)
        assert isinstance(known, float)
        self.report.figures[name] = max(known, time.monotonic() - started)

    async def end(self, where: str) -> None:
        await self.receiver.kill()
        look(self.receiver, self.acknowledged, self.report, where, printed=False)


def library() -> str:
    """libfaketime for threads; Skipped where it is not installed."""
    found = [str(p) for p in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")]
    if not found:
        raise Skipped("libfaketime is not installed (apt-get install faketime)")
    return found[0]


async def clock(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """Forward and back, live and over a restart: nothing waits for longer than it was meant to.

    Each jump is another receiver's; they mostly wait, so all do it at the same time.
    """
    preload = library()
    ends = await asyncio.gather(
        *(
            _live(given, report, folder / name, preload, hours, dies)
            for name, hours, dies in (
                ("ahead", HOURS, False), ("back", -1, False), ("back a day", -24, False),
                ("back at the next start", -1, True), ("back a day at the next start", -24, True),
            )
        ),
        return_exceptions=True,
    )  # fmt: skip
    for end in ends:
        if end is not None:
            raise end


async def _live(
    given: argparse.Namespace, report: Report, place: Path, preload: str, hours: int, dies: bool
) -> None:
    """One receiver and one jump of its clock."""
    hook, offset, name = Hook(), place / "offset", place.name
    place.mkdir()
    async with hook.listening() as port:
        faked = {
            "LD_PRELOAD": preload, "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip
        receiver = Receiver(
            place, given.tree, http=given.http, preload=faked, routes=ROUTES % (TOKEN, port)
        )
        async with receiver:
            one = Clocked(receiver, offset, report, hook)
            one.set_clock(0)
            await receiver.start()
            await _jump(one, name, hours, dies)
            if hours > 0:
                await _lease(one, name)
            await one.end(name)


# The longest wait that was meant (ns): of what waits, and of what fails just now.
_MEANT = (
    "SELECT max(CASE state WHEN 'waiting' THEN due_at - ? ELSE 5000000000 << tries END)"
    " FROM delivery WHERE state IN ('waiting', 'sending')"
)


def _meant(one: Clocked) -> float:
    """Return the longest wait for a retry that was meant, in seconds: the third may take 20."""
    with closing(connect(one.receiver.path, read_only=True)) as database:
        (wait,) = database.execute(_MEANT, (time.time_ns(),)).fetchone()
    return max(wait or 0, 0) / SECOND


async def _jump(one: Clocked, name: str, hours: int, dies: bool) -> None:
    """A held event, a retry, what is owed and the pace, over a jump."""
    hook, receiver = one.hook, one.receiver
    await one.tell("STARTED", "a", 0, "applied")
    await until(lambda: "a.0" in hook.titles(), "the first try")
    for execution in "bcd":
        await one.tell("STARTED", execution, 0, "applied")
    await one.tell("PAUSED", "a", 1, "applied")
    await one.tell("COMPLETED", "a", 3, "held")
    if dies:
        await receiver.kill()
    hook.arrived.clear()
    hook.status = 200
    seconds = SOON + _meant(one)
    one.set_clock(hours)
    if dies:
        await receiver.start()
    await one.arrives("a.0", f"clock {name}: a retry", seconds)
    await one.arrives("hole a.3", f"clock {name}: a held event is given up")
    for execution in "bcd":
        await one.arrives(f"{execution}.0", f"clock {name}: what was owed", seconds)
    # What was missing comes late, and heals what was given up, as ever.
    await one.tell("RESUMED", "a", 2, "applied")
    await one.arrives("a.3", f"clock {name}: what is healed")
    with closing(connect(receiver.path, read_only=True)) as database:
        states = dict(database.execute("SELECT state, count(*) FROM delivery GROUP BY state"))
    one.report.must(set(states) <= {"sent", "superseded", "sending"}, f"{name}: {states}")


async def _lease(one: Clocked, name: str) -> None:
    """The clock jumps over the lease of what is being sent: the successor's result counts."""
    hook, database = one.hook, connect(one.receiver.path, read_only=True)
    state = "SELECT state FROM delivery WHERE event_id = 'lease.0'"
    with closing(database):
        first = hook.hold()
        await one.tell("STARTED", "lease", 0, "applied")
        await until(lambda: hook.titles().count("lease.0") == 1, "it is being sent")
        second = hook.hold()
        one.set_clock(2 * HOURS)
        await until(lambda: hook.titles().count("lease.0") == 2, "its lease is over")
        marked = "ossible repeat" in hook.arrived[-1][1]
        one.report.must(marked, f"{name}: the successor says that it may be a repeat")
        first.set()
        # Whoever was first has got its answer: a message behind it has been sent.
        await one.tell("STARTED", "other", 0, "applied")
        await one.arrives("other.0", f"clock {name}: what comes after a lost lease")
        found = database.execute(state).fetchone()[0]
        one.report.must(found == "sending", f"{name}: recorded over its successor: {found}")
        second.set()
        await until(lambda: database.execute(state).fetchone()[0] == "sent", "it is recorded")
