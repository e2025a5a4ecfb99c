"""Connections are kept between attempts, and never at a message's expense."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from receiver.deliveries import Attempt, Message, Outcome
from receiver.destinations import sending
from receiver.destinations.destination import Destination
from tests.support.live import until
from tests.support.loopback import Visit, certificate, raw

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def told(visited: Callable[[Visit], None], timeout: float = 10) -> Iterator[tuple[
    Callable[[str], Attempt], list[Visit]]]:  # fmt: skip
    """A destination with such a server, and the visits so far."""
    with raw(visited) as (port, visits):
        destination = Destination("ops", f"json://127.0.0.1:{port}/", timeout=timeout)
        yield lambda title: sending.send(destination, Message(title, "body")), visits


def answering(seen: list[bytes], more: bytes = OK) -> Callable[[Visit], None]:
    def visited(visit: Visit) -> None:
        while True:
            seen.append(visit.read_request())
            visit.say(more)

    return visited


def test_messages_in_a_row_share_a_connection_which_is_closed_when_none_follows() -> None:
    seen: list[bytes] = []
    left = threading.Event()

    def visited(visit: Visit) -> None:
        try:
            answering(seen)(visit)
        finally:
            left.set()

    with told(visited) as (send, visits):
        assert [send(title).outcome for title in "abc"] == [Outcome.DELIVERED] * 3
        assert (len(visits), len(seen)) == (1, 3)
        assert left.wait(20), "it stays open"
        assert send("d").outcome is Outcome.DELIVERED
        assert (len(visits), len(seen)) == (2, 4)


def test_a_request_leaves_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, pieces = list[bytes](), list[bytes]()
    write = socket.socket.sendall

    def sendall(connection: socket.socket, data: bytes) -> None:
        pieces.append(data)
        write(connection, data)

    with told(answering(seen)) as (send, _):
        monkeypatch.setattr(socket.socket, "sendall", sendall)
        assert [send(title).outcome for title in "ab"] == [Outcome.DELIVERED] * 2
    assert [each for each in pieces if each != OK] == seen


def test_nothing_of_an_answer_goes_into_the_next_request() -> None:
    seen: list[bytes] = []
    cookie = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: session=stolen\r\n\r\n")
    with told(answering(seen, cookie)) as (send, visits):
        send("a")
        send("a")
    assert len(visits) == 1
    assert seen[0] == seen[1]


def test_a_server_that_closes_after_its_answer_gets_the_next_message_anew() -> None:
    seen: list[bytes] = []

    def visited(visit: Visit) -> None:
        seen.append(visit.read_request())
        visit.say(OK)

    with told(visited) as (send, visits):
        for n, title in enumerate("abc", start=1):
            assert send(title).outcome is Outcome.DELIVERED
            until(lambda n=n: visits[n - 1].connection.fileno() < 0)  # type: ignore[misc]
    assert (len(visits), len(seen)) == (3, 3)


def test_who_cuts_a_kept_connection_unanswered_is_not_trusted_with_one_again() -> None:
    seen: list[bytes] = []

    def visited(visit: Visit) -> None:
        seen.append(visit.read_request())
        visit.say(OK)
        seen.append(visit.read_request())
        if len(visits) > 1:
            visit.say(OK)

    with told(visited) as (send, visits):
        assert send("a").outcome is Outcome.DELIVERED
        cut = send("b")
        assert cut.outcome is Outcome.UNCERTAIN
        assert "the connection ended" in cut.detail
        assert [send(title).outcome for title in "cde"] == [Outcome.DELIVERED] * 3
    assert (len(visits), len(seen)) == (4, 5)


def test_a_server_that_wants_a_certificate_is_quoted_in_plain_words(tmp_path: Path) -> None:
    authority, context = certificate(tmp_path)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority)

    def visited(visit: Visit) -> None:
        with suppress(OSError), context.wrap_socket(visit.connection, server_side=True) as tls:
            tls.recv(1)

    with raw(visited) as (port, _):
        url = f"jsons://127.0.0.1:{port}/secret-path?verify=no"
        attempt = sending.send(Destination("ops", url, timeout=10), Message("A title", "body"))
    # The system may drop the words with which the server ends it.
    assert attempt.detail.startswith("it was sent, and no answer came (the connection ended: ")
    assert not [word for word in ("Pool", "url", "=", "/", "_") if word in attempt.detail]


EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
WORKING = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
REFUSED = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("parts", [[EARLY, OK], [EARLY + OK], [WORKING, EARLY + WORKING, OK]])
def test_what_comes_before_an_answer_is_not_the_answer(parts: list[bytes]) -> None:
    """Else the answer would be that of the next message: a refused one would count as delivered."""
    seen: list[bytes] = []

    def visited(visit: Visit) -> None:
        while True:
            seen.append(visit.read_request())
            for part in [REFUSED] if b'"refused"' in seen[-1] else parts:
                visit.say(part)

    with told(visited) as (send, _):
        assert send("a").outcome is Outcome.DELIVERED
        refused = send("refused")
        assert (refused.outcome, refused.detail) == (
            Outcome.FAILED,
            "HTTP 500 Internal Server Error",
        )
        assert send("b").outcome is Outcome.DELIVERED
    assert len(seen) == 3


def test_another_protocol_is_no_answer() -> None:
    switched = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"
    with told(answering([], switched)) as (send, visits):
        assert [send(title).outcome for title in "ab"] == [Outcome.UNCERTAIN] * 2
        assert len(visits) == 2


def test_a_connection_on_which_more_came_than_the_answer_is_not_used_again() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    long = OK.replace(b": 0\r\n\r\n", b": 2\r\n\r\nok")
    for more in (OK + OK, long + b"!", chunked + OK):
        with told(answering([], more)) as (send, visits):
            assert [send(title).outcome for title in "ab"] == [Outcome.DELIVERED] * 2
            assert len(visits) == 2, more
    for whole in (long, chunked):
        with told(answering([], whole)) as (send, visits):
            assert [send(title).outcome for title in "ab"] == [Outcome.DELIVERED] * 2
            assert len(visits) == 1, whole


def test_who_says_something_unasked_is_not_trusted_with_a_kept_connection_again() -> None:
    may_say, has_said = threading.Event(), threading.Event()

    def visited(visit: Visit) -> None:
        visit.read_request()
        visit.say(OK)
        may_say.wait(20)
        if not has_said.is_set():
            visit.say(REFUSED)
            has_said.set()
        answering([])(visit)

    with told(visited) as (send, visits):
        assert send("a").outcome is Outcome.DELIVERED
        may_say.set()
        assert has_said.wait(20)
        assert [send(title).outcome for title in "bcd"] == [Outcome.DELIVERED] * 3
        assert len(visits) == 4


def test_the_deadline_ends_what_hangs_on_a_kept_connection_too() -> None:
    def visited(visit: Visit) -> None:
        for title in (b'"a"', b'"c"'):
            while title not in visit.read_request():
                visit.over.wait(20)
            visit.say(OK)

    with told(visited, timeout=0.4) as (send, visits):
        assert send("a").outcome is Outcome.DELIVERED
        hung = send("b")
        assert hung.outcome is Outcome.UNCERTAIN
        assert 400 <= hung.duration_ms < 5_000
        assert len(visits) == 1


def test_who_hung_once_may_keep_connections_again() -> None:
    seen: list[bytes] = []

    def visited(visit: Visit) -> None:
        while True:
            seen.append(visit.read_request())
            if b'"hang"' in seen[-1]:
                visit.over.wait(20)
            visit.say(OK)

    with told(visited, timeout=0.4) as (send, visits):
        assert send("a").outcome is Outcome.DELIVERED
        assert send("hang").outcome is Outcome.UNCERTAIN
        assert [send(title).outcome for title in "bc"] == [Outcome.DELIVERED] * 2
        assert len(visits) == 2


def test_a_kept_connection_may_be_encrypted_and_is_ended_by_the_deadline(tmp_path: Path) -> None:
    _, context = certificate(tmp_path)
    seen: list[bytes] = []

    def visited(visit: Visit) -> None:
        with context.wrap_socket(visit.connection, server_side=True) as tls:
            speak = answering(seen) if len(visits) > 1 else answering_once
            speak(Visit(tls, visit.over))

    def answering_once(visit: Visit) -> None:
        seen.append(visit.read_request())
        visit.say(OK)
        seen.append(visit.read_request())
        visit.read_request()  # it hangs until the other side has gone

    with raw(visited) as (port, visits):
        url = f"jsons://127.0.0.1:{port}/?verify=no"
        outcomes = [
            sending.send(Destination("ops", url, timeout=2), Message(title, "body")).outcome
            for title in "abc"
        ]
    assert outcomes == [Outcome.DELIVERED, Outcome.UNCERTAIN, Outcome.DELIVERED]
    assert (len(visits), len(seen)) == (2, 3)
