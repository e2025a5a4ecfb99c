"""A receiver that can be killed, for the proofs of durability.

It is `receiver serve`, cold (a new interpreter) or warm (see `tests.support.warm`, and
`tests.prove_durability.forks` for one that strace is attached to), with or without strace.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support import warm as warm_start
from tests.support.served import CUT, HERE, own_port, until

TOKEN = "loopback-only-0123456789"
ROUTES = """\
sources:
  s: {verify: {scheme: token, header: X-Token, keys: ["%s"]}, gap_timeout: 1h}
destinations:
  ops: {url: "console://", rate: 10000/s}
routes:
  - name: all
    match: {status: [running, completed, failed]}
    notify: [ops]
    title: "[{{ event_id }}]"
"""


class Warm:
    """The process that forks warm receivers."""

    def __init__(self, tree: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.prove_durability.forks"], env=environment(tree), cwd=tree,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def fork(self, asked: Mapping[str, Any]) -> int:
        """The id of a new process that begins with SIGUSR1."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def environment(tree: Path) -> dict[str, str]:
    """Of a process whose program is the tree's."""
    return {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}


class Receiver:
    """One `receiver serve` after another on the file of a folder."""

    def __init__(
        self, folder: Path, tree: Path = HERE, *, warm: Warm | None = None, routes: str = "",
        strace: Sequence[str] = (), preload: Mapping[str, str] | None = None,
        path: Path | None = None, **settings: str,
    ) -> None:  # fmt: skip
        self.folder, self.path, self.port = folder, path or folder / "receiver.db", own_port()
        self.warm, self.tree, self.strace, self.checkpoint_at = warm, tree, strace, 0
        self.cold = False  # whether it starts in an interpreter of its own
        self._log = folder / "serve.log"
        self._settings = {"log_level": "warning", "port": str(self.port), **settings}
        self._preload = dict(preload or {})
        self._tracer: subprocess.Popen[str] | None = None
        self.process: subprocess.Popen[bytes] | warm_start.Process | None = None
        self.pid = 0
        (folder / "routes.yaml").write_text(routes or ROUTES % TOKEN, "utf-8")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        await self.kill()

    def launch(self) -> None:
        """Start it, without waiting for anything."""
        named = {f"RECEIVER_{name.upper()}": value for name, value in self._settings.items()}
        named["RECEIVER_DATABASE_URL"] = f"sqlite:///{self.path}"
        if self.warm is None:
            self.process = process = self._started(named)
            self.pid = process.pid
            if isinstance(process, warm_start.Process):
                self._watched = os.dup(process.watched)
            else:
                self._watched = os.pidfd_open(self.pid)
            return
        asked = {"folder": str(self.folder), "environ": named, "log": str(self._log),
                 "checkpoint_at": self.checkpoint_at}  # fmt: skip
        self.pid = self.warm.fork(asked)
        self._watched = os.pidfd_open(self.pid)
        if self.strace:
            attach = [*self.strace, "-p", str(self.pid)]
            self._tracer = subprocess.Popen(attach, stderr=subprocess.PIPE, text=True)
            assert self._tracer.stderr is not None
            said = self._tracer.stderr.readline()
            assert "attached" in said, said
        os.kill(self.pid, signal.SIGUSR1)

    def _started(self, named: Mapping[str, str]) -> subprocess.Popen[bytes] | warm_start.Process:
        with self._log.open("ab") as log:
            if not (self.cold or self.strace or self._preload) and self.tree == HERE:
                return warm_start.start(["serve"], self.folder, {**os.environ, **named}, log)
            command = [*self.strace, sys.executable, "-m", "receiver", "serve"]
            environ = {**environment(self.tree), **named, **self._preload}
            return subprocess.Popen(command, env=environ, cwd=self.folder, stdout=log, stderr=log)

    def alive(self) -> bool:
        """Whether it runs."""
        return not select.select([self._watched], [], [], 0)[0]

    async def serves(self, seconds: float = 30) -> bool:
        """Wait until it answers; False if it ended before."""
        end = time.monotonic() + seconds
        while self.alive():
            with suppress(*CUT):
                if (await self.get("/healthz"))[0] == 200:
                    return True
            if time.monotonic() > end:
                raise AssertionError(f"it does not answer after {seconds:g} s: {self.log()}")
            await asyncio.sleep(0.003)
        return False

    async def start(self) -> None:
        """Start it; returns once it answers."""
        self.launch()
        if not await self.serves():
            raise AssertionError(f"it does not start: {self.log()[-2000:]}")

    async def get(self, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """Status, headers and content of a request on a connection of its own."""
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"
                writer.write(head.encode())
                return await answered(reader)
            finally:
                writer.close()

    def signal(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal, if it runs."""
        with suppress(ProcessLookupError, FileNotFoundError, IndexError):
            if self.process is not None and self.strace:
                os.kill(_child(self.pid), sig)
            else:
                signal.pidfd_send_signal(self._watched, sig)

    async def ended(self, seconds: float = 30) -> int | None:
        """Wait for its end; its exit code, which nobody knows of a warm one."""
        await until(lambda: not self.alive(), "it ends", seconds)
        os.close(self._watched)
        if self._tracer is not None:
            assert self._tracer.stderr is not None
            self._tracer.stderr.close()
            self._tracer.wait(30)
            self._tracer = None
        self.pid = 0
        code = self.process.wait(30) if self.process is not None else None
        self.process = None
        return code

    async def kill(self) -> None:
        """End it with SIGKILL, if it runs."""
        if self.pid:
            self.signal()
            await self.ended()

    def log(self) -> str:
        """What it said."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""


def _child(process: int) -> int:
    """What a tracer started; its record is whole when it ends, which it does with its child."""
    return int(Path(f"/proc/{process}/task/{process}/children").read_text("ascii").split()[0])


async def answered(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """One answer; one of CUT if there is none."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines if line)}
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(first.split()[1]), headers, content
