"""Destinations that hang, trickle, flood, cut and lie: real plugins, raw sockets on loopback."""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from apprise.plugins.discord import NotifyDiscord

from receiver.deliveries import Attempt, Message, Outcome
from receiver.destinations.apprise.waits import retry_after
from receiver.destinations.deadline import GRACE, MOST_HANGING
from receiver.destinations.destination import Destination
from receiver.destinations.sending import problems, send
from tests.support.live import free_port, until
from tests.support.loopback import Visit, certificate, raw

TIMEOUT = 0.5
NOW = 1_800_000_000.0
MESSAGE = Message("title", "body")
DELIVERED, FAILED, UNCERTAIN = Outcome.DELIVERED, Outcome.FAILED, Outcome.UNCERTAIN


def to(port: int, scheme: str = "json", timeout: float = TIMEOUT) -> Destination:
    return Destination("ops", f"{scheme}://127.0.0.1:{port}/", timeout=timeout)


@pytest.fixture(autouse=True, scope="module")
def imported() -> None:
    """What the first attempt of a process imports is not to count against its deadline here."""
    problems(to(1))


def timed(destination: Destination) -> Attempt:
    """The attempt, which was over by its deadline."""
    started = time.monotonic()
    attempt = send(destination, MESSAGE)
    # Half a second is its own, the rest is for a machine that is busy.
    assert time.monotonic() - started < destination.timeout + GRACE + 2
    return attempt


def never_reads(visit: Visit) -> None:
    visit.over.wait(20)


def hangs(visit: Visit) -> None:
    visit.read_request()
    visit.over.wait(20)


def trickles(*start: bytes, piece: bytes) -> Callable[[Visit], None]:
    def visited(visit: Visit) -> None:
        visit.read_request()
        for part in start:
            visit.say(part)
        visit.trickle(piece)

    return visited


def hangs_up_at_once(visit: Visit) -> None:
    pass


def hangs_up_after_the_request(visit: Visit) -> None:
    visit.read_request()


def speaks_another_language(visit: Visit) -> None:
    visit.read_request()
    visit.say(b"SSH-2.0-OpenSSH\r\n")


LENGTH = b"Content-Length: 100000\r\n\r\n"


@pytest.mark.parametrize(
    ("visited", "outcome"),
    [
        (never_reads, UNCERTAIN),
        (hangs, UNCERTAIN),
        (hangs_up_at_once, UNCERTAIN),
        (hangs_up_after_the_request, UNCERTAIN),
        (speaks_another_language, UNCERTAIN),
        (trickles(piece=b"H"), UNCERTAIN),
        # The status was said, and it is an answer: the rest is not waited for beyond the deadline.
        (trickles(b"HTTP/1.1 200 OK\r\n" + LENGTH, piece=b"x"), DELIVERED),
        (trickles(b"HTTP/1.1 500 No\r\n" + LENGTH, piece=b"x"), FAILED),
        (trickles(b"HTTP/1.1 500 No\r\n", piece=b"X-Y: z\r\n"), FAILED),
        (trickles(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", piece=b"1\r\nx\r\n"),
         DELIVERED),
    ],
)  # fmt: skip
def test_an_attempt_is_over_by_its_deadline_whatever_the_destination_does(
    visited: Callable[[Visit], None], outcome: Outcome
) -> None:
    with raw(visited) as (port, visits):
        attempt = timed(to(port))
        assert len(visits) == 1
    assert attempt.outcome is outcome
    assert bool(attempt.detail) is (outcome is not DELIVERED)
    assert not attempt.permanent


def test_a_destination_that_never_accepts_is_uncertain_for_the_system_took_the_request() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        attempt = timed(to(listening.getsockname()[1]))
    assert attempt.outcome is UNCERTAIN


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A port whose connections never come about: its queue is full."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


@pytest.mark.parametrize("scheme", ["json", "jsons"])
def test_a_connection_that_never_came_about_is_failed_and_not_uncertain(scheme: str) -> None:
    with silent_port() as port:
        attempt = timed(to(port, scheme))
    assert (attempt.outcome, attempt.detail) == (FAILED, "no connection within 0.5 s")


def test_a_refused_connection_is_failed() -> None:
    attempt = timed(to(free_port()))
    assert (attempt.outcome, attempt.detail) == (FAILED, "no connection: Connection refused")


@pytest.mark.parametrize(("visited", "says"), [
    (never_reads, "connected, and not ready for the message within 0.5 s"),
    (hangs_up_at_once, "the connection failed before the message: "),
])  # fmt: skip
def test_tls_that_does_not_come_about_is_failed(
    visited: Callable[[Visit], None], says: str
) -> None:
    with raw(visited) as (port, _):
        attempt = timed(to(port, "jsons"))
    assert attempt.outcome is FAILED
    assert attempt.detail.startswith(says)


def test_a_certificate_that_nobody_has_signed_is_failed(tmp_path: Path) -> None:
    _, context = certificate(tmp_path)

    def visited(visit: Visit) -> None:
        with contextlib.suppress(ssl.SSLError):
            context.wrap_socket(visit.connection, server_side=True)

    with raw(visited) as (port, _):
        attempt = timed(to(port, "jsons", timeout=10))
    assert (attempt.outcome, attempt.permanent) == (FAILED, False)
    assert "certificate verify failed" in attempt.detail


def test_a_name_that_nobody_knows_is_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for url in ("json://nowhere.example/", "mailto://nowhere.example?from=a@b.org&to=c@d.org"):
        attempt = send(Destination("ops", url), MESSAGE)
        assert (attempt.outcome, attempt.permanent) == (FAILED, False)
        assert attempt.detail == "no connection: Name or service not known"


@pytest.mark.parametrize("scheme", ["json", "jsons"])
def test_hanging_calls_are_ended_and_not_left_behind(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, context = certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))

    def visited(visit: Visit) -> None:
        if scheme == "jsons":
            visit.connection = context.wrap_socket(visit.connection, server_side=True)
        with visit.connection:
            hangs(visit)

    before = threading.active_count()
    with raw(visited) as (port, visits):
        destination = to(port, scheme, timeout=0.2)
        for number in range(MOST_HANGING + 2):
            assert timed(destination).outcome is UNCERTAIN
            assert len(visits) == number + 1
    # One thread is kept for the next attempt.
    until(lambda: threading.active_count() <= before + 1)


def test_calls_that_cannot_be_ended_are_bounded_and_the_next_one_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over, asked = threading.Event(), list[object]()

    def hanging(*arguments: object, **_: object) -> None:
        asked.append(arguments)
        over.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    destination = Destination("ops", "json://slow-name.example/", timeout=0.05)
    for _ in range(MOST_HANGING):
        assert timed(destination).detail == "no connection within 0.05 s"
    attempt = timed(destination)
    assert attempt.outcome is FAILED
    assert "4 earlier attempts still hang" in attempt.detail
    assert len(asked) == MOST_HANGING
    over.set()
    until(lambda: "Temporary failure" in send(destination, MESSAGE).detail)


def test_an_attempt_that_is_over_sends_nothing_later(monkeypatch: pytest.MonkeyPatch) -> None:
    over, asked, original = threading.Event(), threading.Event(), socket.getaddrinfo

    def slow(host: str, *arguments: Any, **named: Any) -> Any:
        over.wait(20)
        try:
            return original("127.0.0.1", *arguments, **named)
        finally:
            asked.set()

    with raw(hangs) as (port, visits):
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        destination = Destination("ops", f"json://slow-name.example:{port}/", timeout=0.05)
        assert timed(destination).outcome is FAILED
        assert len(hanging_threads(destination)) == 1
        over.set()
        assert asked.wait(20)
        until(lambda: not hanging_threads(destination))
        assert visits == []


def hanging_threads(destination: Destination) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if destination in vars(thread).values()]


def test_what_goes_neither_by_http_nor_smtp_is_uncertain_once_it_is_connected() -> None:
    with raw(never_reads) as (port, _):
        attempt = timed(Destination("ops", f"irc://127.0.0.1:{port}/%23room", timeout=TIMEOUT))
    assert attempt.outcome is UNCERTAIN
    refused = timed(Destination("ops", f"irc://127.0.0.1:{free_port()}/%23room"))
    assert (refused.outcome, refused.permanent) == (FAILED, False)
    assert refused.detail == "no connection: Connection refused"


def test_an_answer_that_is_huge_is_not_read_to_its_end() -> None:
    def visited(visit: Visit) -> None:
        visit.read_request()
        visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        for _ in range(200):
            visit.say(b"x" * 1_000_000)

    with raw(visited) as (port, visits):
        assert timed(to(port, timeout=20)).outcome is DELIVERED
        assert visits[0].sent < 30_000_000


def test_an_answer_that_unpacks_to_much_is_not_unpacked() -> None:
    packed = gzip.compress(bytes(200_000_000), 1)

    def visited(visit: Visit) -> None:
        visit.read_request()
        visit.say(b"HTTP/1.1 500 No\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n")
        visit.say(packed)

    with raw(visited) as (port, _):
        send(to(port), MESSAGE)  # what is imported for the first attempt is not its memory
        tracemalloc.start()
        attempt = timed(to(port, timeout=20))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert "HTTP 500" in attempt.detail
    assert peak < 40_000_000


def test_an_answer_that_breaks_off_is_as_good_as_its_status() -> None:
    def visited(visit: Visit) -> None:
        visit.read_request()
        visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nha")

    with raw(visited) as (port, _):
        assert timed(to(port)).outcome is DELIVERED


def test_a_proxy_that_refuses_has_not_sent_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def visited(visit: Visit) -> None:
        visit.read_request()
        visit.say(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")

    with raw(visited) as (port, _):
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        attempt = timed(Destination("ops", "jsons://behind-a-proxy.example/", timeout=10))
    assert attempt.outcome is FAILED
    assert "403" in attempt.detail


def test_a_plugin_that_would_sleep_says_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def visited(visit: Visit) -> None:
        visit.read_request()
        reset = int(time.time()) + 60
        visit.say(
            b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\nX-RateLimit-Remaining: 0\r\n"
            b"X-RateLimit-Reset: %d\r\n\r\n" % reset
        )

    with raw(visited) as (port, visits):
        monkeypatch.setattr(NotifyDiscord, "notify_url", f"http://127.0.0.1:{port}/hooks")
        attempt = timed(Destination("ops", "discord://4174216298/a-token-that-is-of-this-test"))
        assert len(visits) == 1
    assert attempt.outcome is FAILED
    assert attempt.retry_after is not None
    assert 50 <= attempt.retry_after <= 71  # the plugin adds ten
    assert attempt.detail.startswith("HTTP 429 Too Many Requests. It asks to wait ")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7), (" 120 ", 120), ("0", 0), ("9" * 12, 999_999), ("9" * 30, 999_999), ("-1", None),
        ("1.5", 1.5), ("12.5", 12.5), ("250ms", 0.25), ("2 m", 120), ("1.5.5", None),
        ("soon", None), ("", None), ("٣", None),
        (formatdate(NOW + 90, usegmt=True), 90), (formatdate(NOW - 90, usegmt=True), 0),
        ("Fri, 15 Jan 2027 08:02:00", 120), ("Fri, 15 Jan 9999 08:02:00 GMT", 999_999),
        ("Fri, 99 Jan 2027 08:02:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds
