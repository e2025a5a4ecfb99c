"""The console as a process sees it: closed pipes, other letters, a full disk, nobody who reads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import pytest

from receiver.cli import client
from receiver.deliveries import Message, Outcome
from receiver.destinations.destination import Destination
from receiver.destinations.sending import send
from receiver.sources.verification import Verification
from tests.support.commands import TOP
from tests.support.live import PRIVATE, PUBLIC, ROUTES, free_port, until

SEND = """\
import json, sys
from dataclasses import asdict
from receiver.deliveries import Message
from receiver.destinations import sending
from receiver.destinations.destination import Destination
message = Message("Prüf-Agent “fails” 🔥", "Ursache: größer\\ud800\\n日本")
for _ in range(3):
    attempt = sending.send(Destination("ops", "console://", timeout=5), message)
    print(json.dumps(asdict(attempt)), file=sys.stderr)
"""


def attempts(stdout: Any, **environ: str) -> tuple[list[dict[str, Any]], int]:
    """Send three messages to the console of a process: the attempts, and its exit code."""
    done = subprocess.run(
        [sys.executable, "-c", SEND], stdout=stdout, stderr=subprocess.PIPE, cwd=TOP, timeout=60,
        env={**os.environ, **environ}, check=False,
    )  # fmt: skip
    return [json.loads(line) for line in done.stderr.decode().splitlines()], done.returncode


@contextmanager
def unread() -> Iterator[int]:
    """The writing end of a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def test_a_closed_pipe_is_a_failed_attempt_and_the_process_ends_as_usual() -> None:
    with unread() as pipe:
        made, code = attempts(pipe)
    assert code == 0
    assert [attempt["outcome"] for attempt in made] == ["failed"] * 3
    assert not made[0]["permanent"]
    assert made[0]["detail"] == (
        "the standard output cannot be written (Broken pipe): start it with a standard output that"
        " is read, or give this destination another URL"
    )


def test_a_full_disk_and_a_closed_standard_output_are_failed_attempts() -> None:
    with Path("/dev/full").open("wb") as full:
        made, code = attempts(full)
    assert (code, made[2]["outcome"]) == (0, "failed")
    assert "No space left on device" in made[2]["detail"]
    closed = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, SEND], stderr=subprocess.PIPE,
        cwd=TOP, timeout=60, check=False,
    )  # fmt: skip
    assert closed.returncode == 0
    assert "(it is closed)" in closed.stderr.decode()


@pytest.mark.parametrize(
    ("encoding", "title"),
    [
        ("ascii", "to ops: Pr?f-Agent ?fails? ?"),
        ("latin-1", "to ops: Prüf-Agent ?fails? ?"),
        ("cp1252", "to ops: Prüf-Agent “fails” ?"),
        ("utf-8", "┌ to ops: Prüf-Agent “fails” 🔥"),
    ],
)
def test_a_console_prints_a_replacement_for_what_it_cannot_print(
    encoding: str, title: str, tmp_path: Path
) -> None:
    with (tmp_path / "printed").open("wb") as file:
        made, code = attempts(file, PYTHONIOENCODING=encoding)
    printed = (tmp_path / "printed").read_text(encoding)
    assert (code, [attempt["outcome"] for attempt in made]) == (0, ["delivered"] * 3)
    assert printed.count(title) == 3
    assert "gr" in printed
    assert printed.count("\n") == 12


def test_a_console_that_nobody_reads_is_left_at_the_deadline_and_prints_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    with ExitStack() as stack:
        pipe: TextIO = stack.enter_context(os.fdopen(writing, "w", encoding="utf-8"))
        os.set_blocking(writing, False)
        filled = 0
        while (written := pipe.buffer.raw.write(b"x" * 4096)) is not None:  # type: ignore[attr-defined]
            filled += written
        os.set_blocking(writing, True)
        monkeypatch.setattr(sys, "stdout", pipe)
        attempt = send(Destination("ops", "console://", timeout=0.2), Message("title", "body"))
        monkeypatch.undo()
        assert attempt.outcome is Outcome.UNCERTAIN
        assert attempt.detail.startswith("the standard output was not read within 0.2 s")
        assert attempt.duration_ms < 3_000
        read = b""
        while not read.endswith("└\n".encode()):
            read += os.read(reading, 65_536)
        assert read[filled:].decode().startswith("┌ to ops: title")
    os.close(reading)


@pytest.mark.parametrize("cause", ["closed", "ascii"])
def test_serve_goes_on_whatever_its_standard_output_does(cause: str, tmp_path: Path) -> None:
    """As with `receiver serve > >(head -0)`: each message is an attempt with an outcome."""
    (tmp_path / "routes.yaml").write_text(ROUTES, "utf-8")
    port = free_port()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RECEIVER_")}
    with unread() as pipe, (tmp_path / "printed").open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "receiver", "serve"], cwd=tmp_path,
            stdout=pipe if cause == "closed" else file, stderr=subprocess.PIPE,
            env={**clean, "PYTHONPATH": str(TOP), "PUBLIC": PUBLIC, "RECEIVER_PORT": str(port),
                 "PYTHONIOENCODING": "ascii"},
        )  # fmt: skip
    try:
        until(lambda: answers(port) or process.poll() is not None)
        body = client.asteroid_event("EXECUTION_FAILED", "x", agent_name="Prüf-Agent")
        url = f"http://127.0.0.1:{port}/webhooks/asteroid"
        assert client.post(url, body, Verification("rsa-sha256"), PRIVATE)[0] == 202
        until(lambda: deliveries(port)[0]["attempts"])
        (delivery,) = deliveries(port)
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"Traceback" not in log
    assert b"Exception ignored" not in log
    if cause == "closed":
        assert delivery["state"] == "waiting"
        assert delivery["attempts"][0]["outcome"] == "failed"
        assert "Broken pipe" in delivery["attempts"][0]["detail"]
    else:
        assert delivery["state"] == "sent"
        assert "Pr?f-Agent failed" in (tmp_path / "printed").read_text("ascii")


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def deliveries(port: int) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/deliveries", timeout=5) as answer:
        items: list[dict[str, Any]] = json.load(answer)["items"]
    return items
