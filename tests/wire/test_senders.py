"""Processes that send: they do what this one would do, and die alone."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver.deliveries import Attempt, Kind, ListedLine, Message, Outcome, Severity
from receiver.destinations import sending
from receiver.destinations.destination import Destination
from receiver.destinations.sender import pool, process, slot, wire
from receiver.destinations.sender.child import GIVES_WAY
from receiver.destinations.sender.pool import Senders
from tests.bench.intake import start
from tests.support import warm
from tests.support.commands import TOP, children
from tests.support.live import ROUTES, free_port, live_part, until
from tests.support.loopback import Visit, raw
from tests.support.raw import ask, request
from tests.support.served import SECRET, SOURCE, event
from tests.wire.test_memory import memory

MODULE = "tests.support.misbehaving"
BODY = "The invoice has no date."
TEST = request(method="POST", path="/api/destinations/ops/test", length=False)


def misbehaving(control: int, life: int) -> Any:
    """Start a sender whose plugin does what the title of a message says."""
    asked = {"arguments": [], "folder": str(TOP), "environ": dict(os.environ), "module": MODULE}
    with Path(os.devnull).open("r+b") as nothing:
        streams = [nothing.fileno(), nothing.fileno(), 2]
        return warm.warm().asked(asked, [*streams, control, life])


def failing(control: int, life: int) -> Any:
    """Start a process that ends at once."""
    return subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])


def answer(visit: Visit, status: bytes = b"200 OK") -> None:
    """Take messages, and refuse those with such a title."""
    while request := visit.read_request():
        refused = b"refused" in request
        first = b"404 Not Found" if refused else status
        visit.say(b"HTTP/1.1 " + first + b"\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture
def ops() -> Iterator[Destination]:
    """A destination that takes what comes."""
    with raw(answer) as (port, _):
        yield Destination("ops", f"json://127.0.0.1:{port}/secret-path", timeout=10)


@pytest.fixture
def senders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Senders]:
    monkeypatch.setattr(process, "launch", misbehaving)
    with closing(Senders(1)) as found:
        yield found


def pid_of(senders: Senders, destination: Destination) -> int:
    """The process that a destination has."""
    return int(senders.send(destination, Message("who", BODY)).detail.rpartition(" ")[2])


def is_gone(pid: int) -> bool:
    """Whether no process has this id; one that nobody waits for counts as gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False)
    return state.stdout.startswith(b"Z")


def message(title: str) -> Message:
    return Message(title, BODY)


def untimed(attempt: Attempt) -> Attempt:
    return replace(attempt, duration_ms=0)


def test_an_attempt_is_what_it_is_in_this_process(senders: Senders, ops: Destination) -> None:
    closed = replace(ops, name="closed", url=f"json://127.0.0.1:{free_port()}/")
    wrong = replace(ops, name="wrong", url="jsn://127.0.0.1/")
    for destination in (ops, closed, wrong):
        assert senders.problems(destination) == sending.problems(destination)
        if destination is not wrong:
            assert senders.leads_to(destination) == sending.leads_to(destination)
        for title in ("A title", "refused"):
            here = sending.send(destination, message(title))
            assert untimed(senders.send(destination, message(title))) == untimed(here), title


def test_a_message_arrives_with_all_that_it_holds() -> None:
    lines = (ListedLine("text", "words", "http://x/", "key", "name"),)
    whole = Message(
        "a \udc80 \u202e title", "body", "thread", Severity.FAILURE, "subject", "opening",
        Kind.REMINDER, "http://link/", "take", "id", lines, repeat=True, delivery=7,
    )  # fmt: skip
    for each in (whole, Message("title", "body")):
        assert (
            wire.to_message(wire.parsed(wire.framed(wire.from_message(each))[wire.HEAD :])) == each
        )


def test_what_hangs_ends_with_its_process_and_the_others_finish(
    senders: Senders, ops: Destination
) -> None:
    """A call that no cut ends: its thread would stay for ever."""

    def answer_late(visit: Visit) -> None:
        visit.read_request()
        is_asked.set()
        may_answer.wait(20)
        visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    is_asked, may_answer = threading.Event(), threading.Event()
    attempts: list[Attempt] = []
    with raw(answer_late) as (port, _):
        slow = Destination("slow", f"json://127.0.0.1:{port}/", timeout=20)
        pid = pid_of(senders, slow)
        other = threading.Thread(target=lambda: attempts.append(senders.send(slow, message("A b"))))
        other.start()
        assert is_asked.wait(20)
        began = time.monotonic()
        brief = replace(ops, timeout=0.4)
        attempt = senders.send(brief, message("hang"))
        assert time.monotonic() - began < brief.timeout + 5
        assert (attempt.outcome, attempt.detail) == (Outcome.FAILED, "no connection within 0.4 s")
        # Its lane goes on, by another process; what the old one was sending is not cut off.
        assert senders.send(ops, message("A title")).outcome is Outcome.DELIVERED
        until(lambda: pid_of(senders, ops) != pid)
        may_answer.set()
        other.join(20)
    assert [each.outcome for each in attempts] == [Outcome.DELIVERED]
    until(lambda: is_gone(pid))
    assert senders.state().ends["hung"] == 1


def test_what_only_comes_back_late_ends_no_process(senders: Senders, ops: Destination) -> None:
    pid = pid_of(senders, ops)
    brief = replace(ops, timeout=0.2)
    assert senders.send(brief, message("late")).outcome is Outcome.FAILED
    assert senders.send(brief, message("A title")).outcome is Outcome.DELIVERED
    until(lambda: not any(each.name.startswith("hung-") for each in threading.enumerate()))
    assert (pid_of(senders, ops), senders.state().ends["hung"]) == (pid, 0)


def test_what_others_do_not_finish_is_cut_off_in_time(
    senders: Senders, ops: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "COMES_BACK", 0.1)
    monkeypatch.setattr(pool, "FINISH", 0.2)
    is_asked = threading.Event()

    def hang(visit: Visit) -> None:
        visit.read_request()
        is_asked.set()
        visit.over.wait(20)

    with raw(hang) as (port, _):
        slow = Destination("slow", f"json://127.0.0.1:{port}/", timeout=20)
        attempts: list[Attempt] = []
        other = threading.Thread(target=lambda: attempts.append(senders.send(slow, message("A b"))))
        other.start()
        assert is_asked.wait(20)
        senders.send(replace(ops, timeout=0.2), message("hang"))
        other.join(10)
    assert [each.outcome for each in attempts] == [Outcome.UNCERTAIN]


@pytest.mark.parametrize(
    ("title", "cause"),
    [("die", "died"), ("stop", "silent"), ("spin", "silent"), ("garbage", "garbled"),
     ("flood", "garbled")],
)  # fmt: skip
def test_what_a_sender_had_begun_when_it_died_is_uncertain(
    senders: Senders, ops: Destination, monkeypatch: pytest.MonkeyPatch, title: str, cause: str
) -> None:
    monkeypatch.setattr(pool, "SILENT", 0.3)
    pid = pid_of(senders, ops)
    attempt = senders.send(replace(ops, timeout=0.4), message(title))
    assert (attempt.outcome, attempt.permanent) == (Outcome.UNCERTAIN, False)
    assert attempt.detail.endswith("and the message was begun: it may have arrived")
    until(lambda: is_gone(pid))
    assert senders.send(ops, message("A title")).outcome is Outcome.DELIVERED
    assert {name: n for name, n in senders.state().ends.items() if n} == {cause: 1}


@pytest.mark.parametrize("lack", ["memory", "descriptors", "threads", "mistake"])
def test_what_a_sender_lacks_kills_no_message(
    senders: Senders, ops: Destination, lack: str
) -> None:
    attempt = senders.send(ops, message(lack))
    assert (attempt.outcome, attempt.permanent) == (Outcome.FAILED, lack == "mistake")
    assert attempt.detail.startswith("nothing was sent: ")
    assert senders.send(ops, message("A title")).outcome is Outcome.DELIVERED


def test_what_it_had_not_begun_goes_to_the_next_one(senders: Senders, ops: Destination) -> None:
    pid = pid_of(senders, ops)
    os.kill(pid, signal.SIGKILL)
    assert senders.send(ops, message("A title")).outcome is Outcome.DELIVERED
    assert pid_of(senders, ops) != pid


def test_one_that_dies_while_it_is_given_a_connection_is_replaced_at_once(
    senders: Senders, ops: Destination
) -> None:
    pid = pid_of(senders, ops)
    (slot,) = senders._slots
    old = slot.current(1)
    os.kill(pid, signal.SIGSTOP)
    attempts: list[Attempt] = []
    other = replace(ops, name="other")
    waiting = threading.Thread(target=lambda: attempts.append(senders.send(other, message("A b"))))
    waiting.start()
    until(lambda: bool(old._passing))
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    waiting.join(20)
    assert [each.outcome for each in attempts] == [Outcome.DELIVERED]
    assert time.monotonic() - began < pool.READY_WITHIN / 2


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """A process that has all that it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(taken) + 64, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for each in taken:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_a_descriptor_an_attempt_fails_or_takes_that_of_an_idle_connection(
    senders: Senders, ops: Destination
) -> None:
    senders.expect([ops])
    (slot,) = senders._slots
    pid = slot.current(20).pid
    with no_descriptors_left():
        attempt = senders.send(ops, message("who"))
    assert (attempt.outcome, attempt.permanent) == (Outcome.FAILED, False)
    assert attempt.detail == "the process that sends cannot be reached: too many open files"
    for name in ("idle", "and idle"):
        pid_of(senders, replace(ops, name=name))
    with no_descriptors_left():
        assert pid_of(senders, ops) == pid


def test_one_that_is_stopped_before_it_began_is_ended(
    senders: Senders, ops: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = pid_of(senders, ops)
    monkeypatch.setattr(pool, "SILENT", 0.1)
    monkeypatch.setattr(pool, "READY_WITHIN", 0.2)
    os.kill(pid, signal.SIGSTOP)
    attempt = senders.send(replace(ops, timeout=0.2), message("A title"))
    assert attempt.outcome is Outcome.FAILED
    assert attempt.detail.endswith("before it began with the message")
    until(lambda: is_gone(pid))


def test_one_that_never_starts_is_tried_again_with_pauses_and_said(
    ops: Destination, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    starts: list[float] = []

    def launch(control: int, life: int) -> Any:
        starts.append(time.monotonic())
        return failing(control, life)

    monkeypatch.setattr(process, "launch", launch)
    monkeypatch.setattr(pool, "AWAY", 0.0)
    with closing(Senders(1)) as senders:
        (problem,) = senders.problems(ops)
        assert "the process that sends cannot check it" in problem
        with live_part(tmp_path, ROUTES, {}, {}, sending=senders) as node:
            attempt = senders.send(ops, message("A title"))
            assert attempt.outcome is Outcome.FAILED
            assert "the process that sends is not there" in attempt.detail
            assert node.ask("/readyz")[0] == 503
            metrics = urllib.request.urlopen(f"{node.url}/metrics").read().decode()
    assert len(starts) >= slot.HOPELESS
    assert starts[-1] - starts[0] >= slot.FIRST_PAUSE / 2 * 3
    assert "receiver_senders 0" in metrics


class Heard(Senders):
    """Senders that note what they are asked for."""

    def __init__(self) -> None:
        super().__init__(1)
        self.attempts: list[Attempt] = []

    def send(self, destination: Destination, message: Message) -> Attempt:
        attempt = super().send(destination, message)
        self.attempts.append(attempt)
        return attempt


def test_a_message_waits_for_a_sender_and_counts_against_nobody_meanwhile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ops: Destination
) -> None:
    monkeypatch.setattr(process, "launch", failing)
    with closing(Heard()) as senders:
        routes = ROUTES.replace("console://", ops.url)
        with live_part(tmp_path, routes, {}, {}, sending=senders) as node:
            assert node.post(event("FAILED", "run-1", "1"))[0] == 202
            until(lambda: len(senders.attempts) > 1)
            monkeypatch.setattr(process, "launch", misbehaving)
            until(lambda: node.ask("/api/deliveries")[1]["items"][0]["state"] == "sent")
            _, shown, _ = node.ask("/api/executions/asteroid/run-1")
    (delivery,) = shown["deliveries"]
    assert [each["outcome"] for each in delivery["attempts"]] == ["delivered"]
    assert [each.is_none for each in senders.attempts] == [True] * (len(senders.attempts) - 1) + [
        False
    ]


def test_each_destination_keeps_its_sender(
    ops: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "launch", misbehaving)
    with closing(Senders(2)) as senders:
        named = [replace(ops, name=name) for name in ("a", "b", "c", "d")]
        first = [pid_of(senders, each) for each in named]
        assert first == [pid_of(senders, replace(each, timeout=9)) for each in named]
        assert (len(set(first)), first[:2]) == (2, first[2:])
        senders.follow(named[:1])
        assert first == [pid_of(senders, each) for each in named]
    assert all(is_gone(pid) for pid in first)


def test_it_knows_no_secret_but_by_the_socket(
    ops: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments and environment of a process can be read by others of the same user."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("arguments and environment are read from /proc")
    monkeypatch.setenv("RECEIVER_API_TOKEN", "a-token-of-the-api")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    with closing(Senders(1)) as senders:
        assert senders.send(ops, message("A title")).outcome is Outcome.DELIVERED
        (slot,) = senders._slots
        folder = Path(f"/proc/{slot.current(1).pid}")
        shown = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
    assert b"receiver.destinations.sender" in shown
    assert b"http_proxy" in shown
    assert b"secret-path" not in shown
    assert b"RECEIVER_" not in shown


SPINNING = """
import subprocess, sys, threading
from receiver.deliveries import Message
from receiver.destinations.destination import Destination
from receiver.destinations.sender import process
from receiver.destinations.sender.pool import Senders

def launch(*passed):
    command = [sys.executable, "-m", "tests.support.misbehaving", *map(str, passed)]
    return subprocess.Popen(command, pass_fds=passed)

process.launch = launch
senders, ops = Senders(1), Destination("ops", "json://127.0.0.1:9/")
print(senders.send(ops, Message("who", "A body.")).detail, flush=True)
senders.send(ops, Message(sys.argv[1], "A body."))
"""


@pytest.mark.parametrize("title", ["spin", "stop"])
def test_it_ends_with_the_receiver_even_if_none_of_its_threads_can_run(title: str) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux ends a process with another one")
    environ = {**os.environ, "PYTHONPATH": str(TOP)}
    running = subprocess.Popen(
        [sys.executable, "-c", SPINNING, title],
        env=environ,
        cwd=TOP,
        stdout=subprocess.PIPE,
        text=True,
    )
    with running:
        assert running.stdout is not None
        pid = int(running.stdout.readline().rpartition(" ")[2])
        until(lambda: seconds_of(pid) > 1.0 if title == "spin" else state_of(pid) == "T")
        running.kill()
    until(lambda: is_gone(pid))


def state_of(pid: int) -> str:
    """The state of a process, in one letter."""
    return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]


def seconds_of(pid: int) -> float:
    """The processor time of a process."""
    words = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


MOST_MEMORY = 170 * 2**20


def test_serve_holds_nothing_of_apprise_is_small_and_leaves_nothing_behind(
    tmp_path: Path, ops: Destination
) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc")
    routes = f"destinations:\n  ops: {ops.url}\nroutes:\n  - {{name: all, notify: [ops]}}\n"
    (tmp_path / "routes.yaml").write_text(SOURCE % SECRET + routes, "utf-8")
    port = free_port()
    environ = {"PYTHONPATH": str(TOP), "RECEIVER_PORT": str(port)}
    command = [sys.executable, "-X", "importtime", "-m", "receiver", "serve"]
    serving = start(command, port, environ, str(tmp_path))
    try:
        answer = ask(port, TEST)
        assert answer.content["outcome"] == "delivered", answer
        (child,) = children(serving.pid)
        assert memory(serving.pid) + memory(child) <= MOST_MEMORY
        # Where processors are short, webhooks go first.
        own, its = (os.getpriority(os.PRIO_PROCESS, each) for each in (serving.pid, child))
        assert its == min(own + GIVES_WAY, 19)
    finally:
        serving.kill()
        serving.wait(10)
    until(lambda: is_gone(child))
    imported = {
        line.rpartition("|")[2].strip()
        for line in (tmp_path / "server.log").read_text("utf-8").splitlines()
    }
    assert "receiver.destinations.sending" in imported
    assert {"apprise", "requests", "urllib3"} & imported == set()
