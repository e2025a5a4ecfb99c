"""The log: a line an act, whatever an event holds, and none without an end."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import signal
import sys
from collections.abc import Iterator

import pytest

from receiver import logs
from receiver.deliveries import Message, Outcome
from receiver.destinations.destination import Destination
from receiver.destinations.sending import send
from receiver.intake.reconcile.provider import Provider
from receiver.sources.access import ApiAccess
from tests.support.loopback import Visit, raw
from tests.support.provider import standing_in


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("receiver.x", logging.INFO, "", 0, message, arguments, None)


FORGERIES = [
    "x\n2026-01-01T00:00:00.000Z info receiver.intake webhook.received source=asteroid",
    "x\r\nerror",
    "x\u2028y\u2029z",
    "\x1b[2J\x1b[31mred",
    "\x85\x0b\x0c\x1c\x1d\x1e",
    "\ud800 lone",
    "\u202e backwards",
    "\0",
]


@pytest.mark.parametrize("forged", FORGERIES)
def test_no_text_starts_a_new_line_or_moves_the_cursor(forged: str) -> None:
    for written in (forged, f"id={forged!r}"):
        line = logs.Text().format(record("%s", written))
        assert len(line.splitlines()) == 1
        assert line.isprintable()
        line.encode("utf-8")
        in_json = logs.Json().format(record("%s", written))
        assert len(in_json.splitlines()) == 1
        assert json.loads(in_json)["level"] == "info"


def test_a_line_has_an_end_and_keeps_its_start_and_what_went_wrong() -> None:
    line = logs.Text().format(record("began %s", "x" * 1_000_000 + " the cause"))
    assert len(line) < logs.MAX_LINE + 100
    assert "began" in line
    assert line.endswith("the cause")


def test_a_traceback_is_one_line() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        failed = record("act.failed")
        failed.exc_info = sys.exc_info()
    line = logs.Text().format(failed)
    assert len(line.splitlines()) == 1
    assert "ValueError: first" in line


def test_libraries_say_nothing_below_a_warning() -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        logging.getLogger("apprise").setLevel(logging.DEBUG)  # as `notify` does
        logs.configure("json", "debug")
        # Why a send failed is only said there, and at debug.
        assert logging.getLogger("apprise").isEnabledFor(logging.DEBUG)
        for name in ("uvicorn", "asyncio", "urllib3", "requests"):
            assert not logging.getLogger(name).isEnabledFor(logging.INFO)
        # It warns of each request that is no HTTP: a flood of them must be no flood of lines.
        assert not logging.getLogger("uvicorn.error").isEnabledFor(logging.WARNING)
    finally:
        for handler in root.handlers[:]:
            root.removeHandler(handler)
        for handler in before:
            root.addHandler(handler)
        root.setLevel(level)


def test_lines_that_belong_together_are_one_write_in_their_order() -> None:
    written: list[str] = []

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    log = logging.getLogger("receiver.together")
    with logged_to(Stream()):
        log.info("before")
        with logs.together():
            log.info("first")
            log.warning("second\nthird")
            assert len(written) == 1
        log.info("after")
    assert [text.count("\n") for text in written] == [1, 2, 1]
    assert "first\n" in written[1]
    assert "second\\nthird\n" in written[1]


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    with logged_to(Full()), logs.together():
        logging.getLogger("receiver.together").info("nobody reads this")
    with logged_to(io.StringIO()) as readable:
        logging.getLogger("receiver.together").info("this one is read")
    assert "this one is read" in readable.getvalue()
    assert "nobody" not in readable.getvalue()


@contextlib.contextmanager
def logged_to(stream: io.StringIO) -> Iterator[io.StringIO]:
    """The log of a process that has this standard error."""
    root = logging.getLogger()
    before, level, standard = root.handlers[:], root.level, sys.stderr
    sys.stderr = stream
    try:
        logs.configure("text", "info")
        yield stream
    finally:
        sys.stderr = standard
        logs.configure("text", "info")
        root.handlers[:] = before
        root.setLevel(level)


@pytest.fixture
def debugging(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Log all that is logged, in the format of the program."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.configure("text", "debug")
    yield
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.usefixtures("debugging")
@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nno field\r\n\r\n", b"HTTP/1.1 200 OK\r\nCon"]
)
def test_an_answer_that_is_no_http_puts_no_address_into_the_log(
    head: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    def visited(visit: Visit) -> None:
        visit.read_request()
        visit.say(head)

    with raw(visited) as (port, _):
        ops = Destination("ops", f"json://127.0.0.1:{port}/canary", timeout=5)
        assert send(ops, Message("title", "body")).outcome is Outcome.DELIVERED
    logging.getLogger("receiver").info("said")
    heard = capsys.readouterr().err
    assert "said" in heard
    assert "canary" not in heard


@pytest.mark.usefixtures("debugging")
def test_a_question_to_a_provider_is_no_line_of_its_library(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with standing_in() as made:
        provider = Provider(ApiAccess(made.url, made.key, made.header))
        assert provider.get("/agents/v2/executions").outcome == "answered"
        provider.close()
    logging.getLogger("receiver").info("said")
    heard = capsys.readouterr().err
    assert "said" in heard
    assert "executions" not in heard


class Interrupted(io.StringIO):
    """A stream in whose first write a signal arrives."""

    def write(self, text: str) -> int:
        if not self.getvalue():
            super().write("<")
            signal.raise_signal(signal.SIGUSR1)
            super().write(text)
            return super().write(">")
        return super().write(text)


def test_a_signal_that_is_logged_while_a_line_is_written_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream, root = Interrupted(), logging.getLogger()
    before, level = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stderr", stream)
    log = logging.getLogger("receiver")
    handled = signal.signal(signal.SIGUSR1, lambda *_: log.info("heard"))
    try:
        logs.configure("text", "info")
        with logs.together():
            log.info("one")
            log.info("two")
    finally:
        signal.signal(signal.SIGUSR1, handled)
        root.handlers[:] = before
        root.setLevel(level)
    written, after = stream.getvalue().split(">")
    assert [line.split()[-1] for line in written.splitlines()] == ["one", "two"]
    assert after.split()[-1] == "heard"
