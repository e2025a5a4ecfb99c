"""A destination in a process of its own, as cheap as it can be: `Hook` in the process that asks.

It notes when each message was there completely and answers 200; to paths that begin with /hang it
answers nothing. Times are those of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple, Self

HERE = Path(__file__).parents[2]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Arrival(NamedTuple):
    """A message that arrived at `at` (nanoseconds)."""

    path: str
    at: int
    title: str
    body: str


class Companion:
    """A process that answers each line it is told with one of its own; a context that ends it."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]

    def __enter__(self) -> Self:
        environ = {**os.environ, "PYTHONPATH": str(HERE)}
        self._process = subprocess.Popen(
            self._command, env=environ, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, line: str, seconds: float = 120) -> str:
        """Its answer; RuntimeError if there is none in so many seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        return self._said(seconds)

    def _said(self, seconds: float) -> str:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            raise RuntimeError(f"{self._command[2]} did not answer within {seconds:g} s")
        return self._process.stdout.readline().decode()

    def processor(self) -> float:
        """Seconds of processor time it has used."""
        return processor(self._process.pid)


def processor(process: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Hook(Companion):
    """The destination, seen from the outside."""

    def __init__(self) -> None:
        super().__init__("tests.bench.hook")

    def __enter__(self) -> Self:
        super().__enter__()
        self.port = int(self._said(30))
        return self

    def take(self, count: int, seconds: float = 120) -> list[Arrival]:
        """All that has arrived since it was last asked, once it is so many messages at least."""
        return [Arrival(*each) for each in json.loads(self.ask(f"{count}", seconds))]


class _Messages:
    """What has arrived, and how many somebody waits for."""

    def __init__(self) -> None:
        self._arrived: list[tuple[bytes, int, bytes]] = []
        self._wanted: int | None = None

    def add(self, path: bytes, body: bytes) -> None:
        self._arrived.append((path, time.monotonic_ns(), body))
        if self._wanted is not None:
            self._give()

    def asked(self) -> None:
        line = sys.stdin.buffer.readline()
        if not line:
            asyncio.get_running_loop().stop()
            return
        self._wanted = int(line)
        self._give()

    def _give(self) -> None:
        if self._wanted is None or len(self._arrived) < self._wanted:
            return
        given, self._arrived, self._wanted = self._arrived, [], None
        found = []
        for path, at, body in given:
            said = json.loads(body)
            found.append((path.decode(), at, said["title"], said["message"]))
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


class _Connection(asyncio.Protocol):
    """Requests of one client, one after the other."""

    def __init__(self, messages: _Messages) -> None:
        self._messages, self._buffer = messages, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            if len(rest) < length:
                return
            self._buffer, path = rest[length:], head.split(b" ", 2)[1]
            if not path.startswith(b"/hang"):
                self._transport.write(ANSWER)
            self._messages.add(path, rest[:length])


async def _listen() -> None:
    loop, messages = asyncio.get_running_loop(), _Messages()
    server = await loop.create_server(lambda: _Connection(messages), "127.0.0.1", 0, backlog=2048)
    loop.add_reader(sys.stdin.fileno(), messages.asked)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_listen())
