"""A terminal: bash in a folder of its own, in which `receiver …` is the program, started warm.

What a page tells people to paste is pasted here, block by block. `python3 -m venv` and `pip` do
nothing: the program is there already. All other programs are the machine's.
"""

from __future__ import annotations

import json
import os
import queue
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import warm

SECONDS = 40
# What stands for the program in the folder: it hands its own files and arguments over.
CLIENT = """\
#!{python} -SsE
import json, os, socket, struct, sys
there = socket.socket(socket.AF_UNIX)
there.connect({address!r})
text = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(there, [struct.pack("!I", len(text))], [0, 1, 2])
there.sendall(text)
sys.exit(int(there.recv(16) or b"1"))
"""
# An environment that is made is there at once, and nothing is installed into it.
PYTHON = """\
#!/bin/sh
[ "$1 $2" = "-m venv" ] || exec {python} "$@"
mkdir -p "$3/bin"
printf '#!/bin/sh\\n' >"$3/bin/pip"
chmod +x "$3/bin/pip"
ln -sf "{client}" "$3/bin/receiver"
"""
MARK = "\x1e"
FAILED = f"{MARK}failed: "


class Terminal:
    """A bash that takes blocks; `output` is all that it has said, errors too."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.output = ""
        self._hidden = tempfile.TemporaryDirectory(prefix="shell-")
        bin_folder = Path(self._hidden.name)
        address = str(bin_folder / "socket")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(address)
        self._listening.listen()
        self._started: list[warm.Process] = []
        client = bin_folder / "receiver"
        _write_program(client, CLIENT.format(python=sys.executable, address=address))
        _write_program(bin_folder / "python3", PYTHON.format(python=sys.executable, client=client))
        threading.Thread(target=self._serve, daemon=True).start()
        clean = {k: v for k, v in os.environ.items() if not k.startswith("RECEIVER_")}
        self._bash = subprocess.Popen(
            ["bash", "--norc"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**clean, **environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"},
        )  # fmt: skip
        self._texts: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._type(f"trap 'echo \"{FAILED}$BASH_COMMAND\"' ERR; set -E")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """End bash and what still runs in it."""
        for process in self._started:
            process.kill()
        self._bash.kill()
        self._bash.wait(SECONDS)
        self._listening.close()
        self._hidden.cleanup()

    def paste(self, block: str, *expected: str) -> str:
        """Type a block and return what it prints, once the expected texts are there in turn.

        What serves in the foreground is ended with Ctrl-C as soon as it says that it serves.
        """
        begin, is_over = len(self.output), f"{MARK}{len(self.output)}\n"
        self._type(f"{block.rstrip()}\nprintf '{MARK}%s\\n' {begin}")
        looked, end = begin, time.monotonic() + SECONDS
        while not (is_over in self.output and has(self.output[begin:], expected)):
            left = end - time.monotonic()
            with suppress(queue.Empty):
                self.output += self._texts.get(timeout=max(left, 0.01)).decode("utf-8", "replace")
                # The rest of a line may be in the next piece.
                looked = self._interrupt(looked)
            assert left > 0, f"{block}\nprinted only:\n{self.output[begin:]}"
        printed = self.output[begin:].replace(is_over, "")
        assert FAILED not in printed, f"{block}\nprinted:\n{printed}"
        return printed

    def _type(self, text: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{text}\n".encode())
        self._bash.stdin.flush()

    def _interrupt(self, looked: int) -> int:
        found = re.compile(r"Still serving|serve\.started").search(self.output, looked)
        if found is None:
            return looked
        self._started[-1].send_signal(signal.SIGINT)
        return found.end()

    def _listen(self) -> None:
        assert self._bash.stdout is not None
        while text := os.read(self._bash.stdout.fileno(), 65_536):
            self._texts.put(text)

    def _serve(self) -> None:
        while True:
            try:
                asking, _ = self._listening.accept()
            except OSError:
                return  # the terminal is closed
            threading.Thread(target=self._run, args=(asking,), daemon=True).start()

    def _run(self, asking: socket.socket) -> None:
        """Run one command; who is killed with its client ends, too."""
        with asking:
            head, descriptors, _, _ = socket.recv_fds(asking, 4, 3)
            text = b""
            while len(text) < struct.unpack("!I", head)[0]:
                text += asking.recv(65_536)
            arguments, folder, environ = json.loads(text)
            process = warm.warm().start(arguments, Path(folder), environ, *descriptors)
            self._started.append(process)
            for each in descriptors:
                os.close(each)
            if asking.fileno() in select.select([process.watched, asking.fileno()], [], [])[0]:
                process.terminate()
            with suppress(OSError):
                asking.send(str(process.wait(SECONDS)).encode())


def has(text: str, expected: tuple[str, ...]) -> bool:
    """Return whether lines are in a text in their order; `…` stands for whatever is there."""
    pattern = ".*?".join(re.escape(line).replace("…", ".*?") for line in expected)
    return re.search(pattern, text, re.DOTALL) is not None


def _write_program(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    path.chmod(0o755)
