"""`receiver serve` started warm: a process that has imported everything forks one for each line.

Run as `python -m tests.prove_durability.forks`. It reads JSON from its input, `{"folder",
"environ", "log", "checkpoint_at"}`, and answers with the new process's id. That process is then the
command itself, with its own settings, file, socket and log, but without the 0.6 s of start-up that
ten thousand starts would take. It begins when it gets SIGUSR1, so that a tracer can be attached to
it before.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import sys
from typing import Any, NoReturn

from receiver.cli import serve
from receiver.cli.main import main as command_line
from receiver.store.sqlite import wal

# What `serve` imports later.
LATER = ("receiver.web.app", "receiver.web.server.server", "apprise", "anyio._backends._asyncio",
         "uvicorn.lifespan.on", "uvicorn.loops.asyncio",
         "uvicorn.loops.uvloop", "uvicorn.protocols.http.h11_impl",
         "uvicorn.protocols.http.httptools_impl", "multiprocessing")  # fmt: skip
PR_SET_PDEATHSIG = 1
PR_SET_PTRACER, PR_SET_PTRACER_ANY = 0x59616D61, -1


def become(asked: dict[str, Any]) -> NoReturn:
    """Be `receiver serve` in a folder, once SIGUSR1 comes."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # nobody outlives the proof
    os.chdir(asked["folder"])
    os.environ.update(asked["environ"])
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((null, 0), (log, 1), (log, 2)):
        os.dup2(old, new)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    if asked["checkpoint_at"]:
        # Otherwise a short life has no checkpoint in it to be killed at.
        wal.CHECKPOINT_AT = asked["checkpoint_at"]
        wal.LONG = 4 * wal.CHECKPOINT_AT
    signal.sigwait({signal.SIGUSR1})
    # Imported already, before there was a process to wait for it.
    sys.argv = ["receiver", serve.serve.name or ""]
    code = 0
    try:
        command_line()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    os._exit(code)


def main() -> None:
    for module in LATER:
        with contextlib.suppress(ImportError):  # those of the extra that is not installed
            importlib.import_module(module)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    for line in iter(sys.stdin.readline, ""):
        if (process := os.fork()) == 0:
            become(json.loads(line))
        print(process, flush=True)


if __name__ == "__main__":
    main()
