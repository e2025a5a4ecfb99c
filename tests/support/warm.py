"""`receiver …` started warm: a process that has imported the program forks one for each command.

Run as `python -m tests.support.warm FD`, which `Warm` does. What it forks is a process of its own,
with its own arguments, environment, folder, input and outputs, signals and exit code; only the
half second that an interpreter takes to import the program is spent once. How long a start takes,
and what comes before the imports, is tested on cold processes.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

import receiver
from receiver.destinations.sender import process

TOP = Path(__file__).parents[2]
# What a server and a sender import later.
LATER = (
    "apprise", "anyio._backends._asyncio", "uvicorn.lifespan.on", "uvicorn.loops.asyncio",
    "uvicorn.loops.uvloop", "uvicorn.protocols.http.h11_impl",
    "uvicorn.protocols.http.httptools_impl",
)  # fmt: skip
# An interpreter and its libraries read these when they start: such a process starts cold.
READ_AT_THE_START = ("PYTHON", "LC_", "LANG", "LD_", "SSL_", "OPENSSL_")
PR_SET_PDEATHSIG = 1
SENDER = "receiver.destinations.sender"


class Process:
    """A warm process, seen as `subprocess.Popen` shows one; `watched` is its descriptor."""

    def __init__(self, pid: int, watched: int, ended: int, arguments: Sequence[str]) -> None:
        self.pid, self.watched, self.args = pid, watched, arguments
        self.returncode: int | None = None
        self._ended, self._lock = ended, threading.Lock()

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(list(self.args), timeout or 0)
        return code

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._ended], [], [], timeout)[0]:
            with self._lock:
                if self.returncode is None:
                    # Nothing comes from one that ended with the process that forked it.
                    self.returncode = int(os.read(self._ended, 16) or -signal.SIGKILL)
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.watched, sig)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def __del__(self) -> None:
        os.close(self._ended)
        os.close(self.watched)


class Asking:
    """The socket of a process that forks."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket, self._lock = ours, threading.Lock()

    def start(
        self, arguments: Sequence[str], folder: Path, environ: Mapping[str, str],
        stdin: int, stdout: int, stderr: int,
    ) -> Process:  # fmt: skip
        """Start `receiver …` on these descriptors, which stay open here."""
        asked = {"arguments": arguments, "folder": str(folder), "environ": dict(environ)}
        return self.asked(asked, [stdin, stdout, stderr])

    def asked(self, asked: Mapping[str, Any], passed: Sequence[int]) -> Process:
        """Start what is asked for, with these descriptors: streams, and one more for a sender."""
        ours, theirs = os.pipe()
        with self._lock:
            try:
                text = json.dumps(asked).encode()
                descriptors = [*passed[:3], theirs, *passed[3:]]
                socket.send_fds(self._socket, [len(text).to_bytes(4, "big")], descriptors)
                self._socket.sendall(text)
                pid, (watched,), _, _ = socket.recv_fds(self._socket, 4, 1)
            finally:
                os.close(theirs)
        return Process(int.from_bytes(pid, "big"), watched, ours, ("receiver", *asked["arguments"]))


class Warm(Asking):
    """The process that forks the others; it ends with this one, and they with it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        super().__init__(ours)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.warm", str(theirs.fileno())], cwd=TOP,
                env={**os.environ, "PYTHONPATH": str(TOP)}, pass_fds=[theirs.fileno()],
            )  # fmt: skip
        atexit.register(self.close)

    def close(self) -> None:
        """End it and all that it has started."""
        self._socket.close()
        self._process.wait(30)


@cache
def warm() -> Warm:
    """Return the one of this process."""
    return Warm()


def is_possible(environ: Mapping[str, str]) -> bool:
    """Return whether a process with these variables may start warm."""
    early = [
        name
        for name in environ.keys() | os.environ.keys()
        if name.startswith(READ_AT_THE_START) and name != "PYTHONPATH"
    ]
    is_ours = environ.get("PYTHONPATH", str(TOP)) == str(TOP)
    return is_ours and all(environ.get(name) == os.environ.get(name) for name in early)


def start(
    arguments: Sequence[str], folder: Path, environ: Mapping[str, str], output: IO[bytes]
) -> Process:
    """Start `receiver …` without input, with all that it says in one file."""
    with Path(os.devnull).open("rb") as nothing:
        out = output.fileno()
        return warm().start(arguments, folder, environ, nothing.fileno(), out, out)


class Forking:
    """What the process that forks does: it takes requests, and says how what it forked ended."""

    def __init__(self, asking: socket.socket) -> None:
        self._asking = asking
        # A process that runs, by its descriptor: its id, and where to say how it ended.
        self._running: dict[int, tuple[int, int]] = {}

    def serve(self) -> dict[str, Any] | None:
        """Fork what is asked for; return the request in the new process, None in the end."""
        while True:
            ready, _, _ = select.select([self._asking.fileno(), *self._running], [], [])
            for each in ready:
                if each in self._running:
                    self._bury(each)
                    continue
                head, descriptors, _, _ = socket.recv_fds(self._asking, 4, 6)
                if not head:
                    return None
                text = self._read(int.from_bytes(head, "big"))
                if self._fork(descriptors) == 0:
                    asked: dict[str, Any] = json.loads(text)
                    asked["control"] = descriptors[4:]
                    return asked

    def _read(self, length: int) -> bytes:
        text = b""
        while len(text) < length:
            text += self._asking.recv(length - len(text))
        return text

    def _fork(self, descriptors: Sequence[int]) -> int:
        streams, ended, control = descriptors[:3], descriptors[3], descriptors[4:]
        if pid := os.fork():
            for each in (*streams, *control):
                os.close(each)
            watched = os.pidfd_open(pid)
            self._running[watched] = (pid, ended)
            socket.send_fds(self._asking, [pid.to_bytes(4, "big")], [watched])
            return pid
        for new, old in enumerate(streams):
            os.dup2(old, new)
        others = (each for pair in self._running.items() for each in (pair[0], pair[1][1]))
        for each in (*streams, ended, *others):
            os.close(each)
        self._asking.close()
        return 0

    def _bury(self, watched: int) -> None:
        pid, ended = self._running.pop(watched)
        _, status = os.waitpid(pid, 0)
        os.close(watched)
        with contextlib.suppress(BrokenPipeError):
            os.write(ended, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(ended)


def prepare() -> None:
    """Import all that a command could need."""
    # Who starts tests in the background may have them ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    modules = [each.name for each in pkgutil.walk_packages(receiver.__path__, "receiver.")]
    for module in (*modules, *LATER):
        if not module.endswith("__main__"):
            with contextlib.suppress(ImportError):  # those of the extra that is not installed
                importlib.import_module(module)
    importlib.import_module("apprise").NotificationManager().schemas()  # this imports all plugins
    gc.collect()
    gc.freeze()


def become(asked: Mapping[str, Any]) -> None:
    """Be `receiver …`, from its first line to its exit code."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # nobody outlives the tests
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    time.tzset()
    reopen()
    sys.path[0] = asked["folder"]
    sys.argv[1:] = [*asked["arguments"], *map(str, asked["control"])]
    if asked["arguments"][:1] in (["serve"], ["work"]):
        keep_warm()
    runpy.run_module(asked.get("module", "receiver"), run_name="__main__", alter_sys=True)


def keep_warm() -> None:
    """Let this process, once it serves, start its senders warm, too: a copy of it forks them."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        asked = Forking(theirs).serve()
        if asked is None:
            os._exit(0)
        become(asked)
        os._exit(0)
    theirs.close()
    copy, folder = Asking(ours), str(Path.cwd())

    def launch(control: int, life: int) -> Any:
        asked = {"arguments": [], "folder": folder, "module": SENDER, "environ": dict(os.environ)}
        with Path(os.devnull).open("r+b") as nothing:
            streams = [nothing.fileno(), nothing.fileno(), 2]
            return copy.asked(asked, [*streams, control, life])

    process.launch = launch


def reopen() -> None:
    """Make the standard streams anew: these remember whether the old ones could seek."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        mode, is_buffered = "r" if number == 0 else "w", number < 2 and not os.isatty(number)
        stream = open(  # noqa: SIM115  (it lasts as long as the process)
            number, mode, -1 if is_buffered else 1, old.encoding, old.errors, closefd=False
        )
        setattr(sys, name, stream)


def main() -> None:
    """Fork until nobody asks any more."""
    prepare()
    asked = Forking(socket.socket(fileno=int(sys.argv[1]))).serve()
    if asked is not None:
        become(asked)


if __name__ == "__main__":
    main()
