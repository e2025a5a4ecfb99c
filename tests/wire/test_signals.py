"""Signals at any moment of a start: SIGHUP ends nothing, SIGTERM and SIGINT end it well."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.live import until
from tests.support.served import HERE, SECRET, SOURCE, own_port

ROUTES = SOURCE % SECRET + "destinations:\n  ops: console://\nroutes: []\n"
# Tells which handlers stand when the first module of others is imported.
FIRST_IMPORT = """\
import runpy, signal, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            print([signal.getsignal(s) in (signal.SIG_DFL, signal.default_int_handler)
                   for s in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)], flush=True)

sys.meta_path.insert(0, Watch())
sys.argv = ["receiver", "serve"]
runpy.run_module("receiver", run_name="__main__", alter_sys=True)
"""


class Start:
    """A server that starts in a folder; the interpreter is up and runs its first lines."""

    def __init__(self, folder: Path, http: str) -> None:
        self.port = own_port()
        self._log = folder / "serve.log"
        (folder / "routes.yaml").write_text(ROUTES, "utf-8")
        environ = {
            **os.environ, "PYTHONPATH": str(HERE), "RECEIVER_PORT": str(self.port),
            "RECEIVER_HTTP": http,
        }  # fmt: skip
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "receiver", "serve"], cwd=folder, env=environ, stderr=log
            )
        # Before that no program can handle a signal.
        end = time.monotonic() + 20
        while not handles(self.process.pid, signal.SIGTERM):
            assert time.monotonic() < end
        self.began = time.monotonic()

    def serves(self, times: int) -> None:
        """Wait until it has started for so many times, or has ended."""
        until(lambda: self.log().count("serve.started") == times or self.process.poll() is not None)

    def log(self) -> str:
        return self._log.read_text("utf-8")


def handles(process: int, sig: signal.Signals) -> bool:
    """Return whether a process has a handler for a signal."""
    status = Path(f"/proc/{process}/status").read_text("ascii")
    caught = int(status.split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (sig - 1) & 1)


@contextmanager
def started(folder: Path, http: str) -> Iterator[Start]:
    start = Start(folder, http)
    try:
        yield start
    finally:
        start.process.kill()
        start.process.wait(10)


def moments(seed: int, n: int) -> list[float]:
    """Return moments of the first second, the first ones among them."""
    chance = random.Random(seed)
    return [0.0, 0.005, 0.02, *(chance.uniform(0.02, 1.0) for _ in range(n - 3))]


def test_the_handlers_stand_before_anything_else_is_imported(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_IMPORT], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HERE)}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[0] == "[False, False, False]"
    assert "routes.yaml" in done.stderr


def pause(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Let time pass, to choose a moment: nothing is waited for but an early end."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


@pytest.mark.parametrize("http", ["h11", "httptools"])
@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_at_any_moment_of_the_start_ends_with_0(
    tmp_path: Path, http: str, sig: signal.Signals
) -> None:
    for moment in moments(7, 12):
        with started(tmp_path, http) as start:
            pause(start.process, moment)
            start.process.send_signal(sig)
            asked = time.monotonic()
            code = start.process.wait(20)
            assert code == 0, (moment, code, start.log())
            assert time.monotonic() - asked < 15
    assert "Traceback" not in start.log()


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_a_reload_at_any_moment_of_the_start_ends_nothing(tmp_path: Path, http: str) -> None:
    for moment in moments(8, 6):
        with started(tmp_path, http) as start:
            before = start.log().count("serve.started")
            # As often as it comes until then.
            while time.monotonic() < start.began + moment:
                start.process.send_signal(signal.SIGHUP)
                pause(start.process, 0.01)
            start.process.send_signal(signal.SIGHUP)
            start.serves(before + 1)
            assert start.process.poll() is None, (moment, start.process.returncode, start.log())
            start.process.send_signal(signal.SIGTERM)
            assert start.process.wait(20) == 0


def test_a_reload_between_reading_and_serving_is_made_up_for(tmp_path: Path) -> None:
    fifo = tmp_path / "key"
    # The rules are read up to the key, which comes from a pipe; meanwhile the signal comes.
    os.mkfifo(fifo)
    routes = ROUTES.replace(f'keys: ["{SECRET}"]', 'keys: ["${KEY}"]')
    environ = {
        **os.environ, "PYTHONPATH": str(HERE), "RECEIVER_PORT": str(own_port()),
        "KEY_FILE": str(fifo),
    }  # fmt: skip
    (tmp_path / "routes.yaml").write_text(routes, "utf-8")
    with (tmp_path / "serve.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "receiver", "serve"], cwd=tmp_path, env=environ, stderr=output
        )
    try:
        with fifo.open("w") as pipe:  # opens once it is read
            process.send_signal(signal.SIGHUP)
            pipe.write(SECRET)
        log = tmp_path / "serve.log"
        until(lambda: "serve.started" in log.read_text("utf-8"))
        with fifo.open("w") as pipe:  # the reload reads it again
            pipe.write(SECRET)
        until(lambda: "rules.reloaded" in log.read_text("utf-8"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait(10)
