"""`receiver serve` as a process of its own, seen from the outside, and a sender that insists.

For proofs that kill, stop and load it. It ends what it started by its process id.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict

from receiver.cli import client
from receiver.sources import signing
from receiver.sources.verification import Verification
from tests.support import warm
from tests.support.destinations import Destination

HERE = Path(__file__).parents[2]
# The cheapest to sign: the sender shares the machine with what it proves.
HOW = Verification("hmac-sha256", header="X-Signature")
SECRET = "loopback-only-0123456789"
SOURCE = """\
sources:
  asteroid: {verify: {scheme: hmac-sha256, header: X-Signature, keys: ["%s"]}}
"""
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
# What a connection says that was refused, cut or closed.
CUT = (OSError, asyncio.IncompleteReadError, TimeoutError)


class Answer(NamedTuple):
    """What a webhook was answered, and when it was sent and acknowledged (nanoseconds)."""

    status: int
    sent_at: int
    acked_at: int


async def until(is_so: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Wait until it is so, looking often, and return it; AssertionError after so many seconds."""
    end = time.monotonic() + seconds
    while not (found := is_so()):
        if time.monotonic() > end:
            raise AssertionError(f"not so after {seconds:g} s: {what}")
        await asyncio.sleep(0.01)
    return found


def own_port() -> int:
    """Return a port that nobody uses, and that no connection gets while the receiver is down."""
    while True:
        port = random.randrange(20_000, 32_000)  # below what systems give to connections
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Served:
    """One receiver, its database and its destinations; a context that ends all of it.

    With `shares` others have the same destinations: it neither opens nor closes them.
    """

    def __init__(
        self, folder: Path, destinations: Sequence[Destination], rules: str, tree: Path,
        arguments: Sequence[str] = (), *, cold: bool = False, shares: bool = False,
        store: Mapping[str, str] | None = None, **settings: str,
    ) -> None:  # fmt: skip
        # Whether it starts in an interpreter of its own.
        self.cold = cold
        self.path, self.port, self.destinations = folder / "receiver.db", own_port(), destinations
        self._folder, self._rules, self._settings = folder, rules, settings
        self._tree, self.arguments, self._shares = tree, arguments, shares
        self._settings |= store or {}
        self.database_url = self._settings.get("database_url", "")
        self._free: asyncio.LifoQueue[Streams | None] = asyncio.LifoQueue()
        self.process: subprocess.Popen[bytes] | warm.Process | None = None
        self.cut = 0  # webhooks that were sent again

    async def __aenter__(self) -> Self:
        for _ in range(16):
            self._free.put_nowait(None)
        for destination in () if self._shares else self.destinations:
            await destination.open()
        urls = {d.name: d.url for d in self.destinations}
        (self._folder / "routes.yaml").write_text(
            SOURCE % SECRET + self._rules.format_map(urls), "utf-8"
        )
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self.process is not None:
            self.kill()
            self.process.wait(10)
        for destination in () if self._shares else self.destinations:
            destination.close()
        if kind is not None:
            said = [line for line in self.log().splitlines() if " config " not in line]
            sys.stderr.write("".join(f"{line}\n" for line in said[-20:]))

    def launch(self) -> None:
        """Start the process, without waiting for anything."""
        named = {f"RECEIVER_{name.upper()}": value for name, value in self._settings.items()}
        environ = {
            **os.environ, "RECEIVER_PORT": str(self.port), "PYTHONPATH": str(self._tree),
            "RECEIVER_LOG_LEVEL": "warning", **named,
        }  # fmt: skip
        arguments = ["serve", *self.arguments]
        with (self._folder / "serve.log").open("ab") as log:
            if not self.cold and self._tree == HERE and warm.is_possible(environ):
                self.process = warm.start(arguments, self._folder, environ, log)
                return
            self.process = subprocess.Popen(
                [sys.executable, "-m", "receiver", *arguments],
                env=environ, cwd=self._folder, stdout=log, stderr=log,
            )  # fmt: skip

    async def start(self) -> None:
        """Start it; returns once it answers."""
        self.launch()
        end = time.monotonic() + 30
        while time.monotonic() < end:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"it does not start: {self.log()}")
            with suppress(*CUT):
                if (await self.request("GET", "/healthz"))[0] == 200:
                    return
            await asyncio.sleep(0.01)
        raise AssertionError("it does not start within 30 s")

    def kill(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to it, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(sig)

    async def ended(self, seconds: float) -> int:
        """Wait for its end and return the exit code."""
        process = self.process
        assert process is not None
        await until(lambda: process.poll() is not None, "it ends", seconds)
        assert process.returncode is not None
        return int(process.returncode)

    async def forgotten(self) -> None:
        """Wait until a PostgreSQL has noticed that the process is dead."""
        if self.database_url.startswith("postgres"):
            name = conninfo_to_dict(self.database_url)["application_name"]
            query = "SELECT 1 FROM pg_stat_activity WHERE application_name = ? LIMIT 1"
            await until(lambda: not self.rows(query, name), "its sessions end")

    def log(self) -> str:
        """Return what it said."""
        return (self._folder / "serve.log").read_text("utf-8", "replace")

    def rows(self, query: str, *values: object) -> list[Any]:
        """Ask its database, read-only."""
        if self.database_url.startswith("postgres"):
            return asked(self.database_url, query, *values)
        uri = f"{self.path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
            return connection.execute(query, values).fetchall()

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()
    ) -> tuple[int, bytes]:
        """Make one request on a connection of its own; one of CUT if it is not answered."""
        async with asyncio.timeout(30), self.connection() as streams:
            return await exchange(streams, raw(method, path, body, headers))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Streams]:
        """Open a connection of one's own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def ledger(self) -> dict[str, Any]:
        """`GET /api/ledger`."""
        status, content = await self.request("GET", "/api/ledger")
        assert status == 200, content
        found: dict[str, Any] = json.loads(content)
        return found

    async def drained(self, seconds: float) -> dict[str, Any]:
        """Return the ledger, once nothing waits or is being sent."""
        end = time.monotonic() + seconds
        while True:
            found = await self.ledger()
            states = found["deliveries"]
            left = states.get("waiting", 0) + states.get("sending", 0)
            if not left:
                return found
            if time.monotonic() > end:
                raise AssertionError(f"{left} deliveries are still owed after {seconds:g} s")
            await asyncio.sleep(0.1)

    async def post(self, body: bytes) -> Answer:
        """Post a signed webhook until it is acknowledged: again when it is cut or told to wait."""
        sent_at = time.time_ns()
        status = await self.post_once(body)
        self.cut += status is None
        while status not in (200, 202):
            if status not in (None, 503):
                raise AssertionError(f"a webhook was answered {status}")
            await asyncio.sleep(0.01)
            status = await self.post_once(body)
        return Answer(status, sent_at, time.time_ns())

    async def post_once(self, body: bytes) -> int | None:
        """Post a signed webhook over a kept connection; the status, or None if there is none."""
        request = raw("POST", "/webhooks/asteroid", body, signed(body))
        streams = await self._free.get()
        try:
            async with asyncio.timeout(30):
                if streams is None:
                    streams = await asyncio.open_connection("127.0.0.1", self.port)
                status, _ = await exchange(streams, request)
            return status
        except CUT:
            if streams is not None:
                streams[1].close()
            streams = None
            return None
        finally:
            self._free.put_nowait(streams)


def asked(url: str, query: str, *values: object) -> list[Any]:
    """Ask a PostgreSQL, under a name of our own."""
    with psycopg.connect(url, application_name="proof", autocommit=True) as connection:
        return connection.execute(query.replace("?", "%s"), values).fetchall()


def signed(body: bytes) -> list[tuple[str, str]]:
    """Return the headers of a webhook."""
    return signing.sign(HOW, SECRET, body, message_id="", now=time.time())


def event(name: str, execution: str, event_id: str, **more: Any) -> bytes:
    """Return a webhook's body; its event has happened just now."""
    return client.asteroid_event(f"EXECUTION_{name}", execution, event_id=event_id, **more)


def raw(method: str, path: str, body: bytes, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return a request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body:
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def exchange(streams: Streams, request: bytes) -> tuple[int, bytes]:
    """Send a request, read its answer; one of CUT if there is none."""
    reader, writer = streams
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    _, _, after = head.lower().partition(b"content-length:")
    return int(head[9:12]), await reader.readexactly(int(after.split(b"\r\n", 1)[0] or 0))
