"""Limits before there is a request: framing, deadlines, sizes and numbers, on both parsers."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.cli import client
from receiver.sources import signing, verification
from tests.support.live import PRIVATE, live, until
from tests.support.raw import Wire, ask, chunked, request, wire

HOW = verification.Verification("rsa-sha256")
GET = request(method="GET", path="/healthz", length=False)
METRICS = request(method="GET", path="/metrics", length=False)
PARSERS = ["h11", "httptools"]
LIMIT = 30


def signed(body: bytes) -> list[tuple[str, str]]:
    return signing.sign(HOW, PRIVATE, body, message_id="", now=0)


def fresh() -> bytes:
    return client.asteroid_event("EXECUTION_STARTED", f"x-{time.time_ns()}")


# First, because what it does is an error to the ears below.
@pytest.mark.parametrize("parser", PARSERS)
def test_a_half_sent_body_at_the_end_is_503_and_no_traceback(
    tmp_path: Path, parser: str, caplog: pytest.LogCaptureFixture
) -> None:
    if parser == "httptools":
        pytest.importorskip("httptools")
    answers: list[int] = []
    with live(tmp_path, http=parser, body_timeout="60") as running:
        connection = Wire(int(running.url.rpartition(":")[2]), 20)
        connection.send(request(b"", [("Content-Length", "10")], length=False) + b"{")
        reader = threading.Thread(target=lambda: answers.append(connection.answer().status))
        reader.start()
        until(lambda: ask(int(running.url.rpartition(":")[2]), GET).status == 200)
    reader.join(20)
    connection.close()
    assert answers == [503]
    assert "Traceback" not in caplog.text


@pytest.fixture(scope="module", params=PARSERS)
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    if request.param == "httptools":
        pytest.importorskip("httptools")
    heard: list[logging.LogRecord] = []
    ears = logging.Handler(logging.ERROR)
    ears.emit = heard.append  # type: ignore[method-assign,assignment]
    logging.getLogger().addHandler(ears)
    folder = tmp_path_factory.mktemp("connections")
    try:
        with live(
            folder,
            http=request.param,
            body_timeout="0.4",
            headers_timeout="0.4",
            max_connections=str(LIMIT),
        ) as running:
            yield int(running.url.rpartition(":")[2])
            assert running.store.ledger()["imbalance"] == 0
    finally:
        logging.getLogger().removeHandler(ears)
    assert [record.getMessage() for record in heard] == []


def framed(*fields: tuple[str, str], body: bytes | None = None) -> bytes:
    """Return a signed request with these fields for its framing, and no other."""
    content = fresh()
    return request(b"", [*signed(content), *fields], length=False) + (
        content if body is None else body
    )


@pytest.mark.parametrize(
    "fields",
    [
        [("Content-Length", "9" * 30)],
        [("Content-Length", "-1")],
        [("Content-Length", "+10")],
        [("Content-Length", "0x10")],
        [("Content-Length", "١")],
        [("Content-Length", "")],
        [("Content-Length", "10"), ("Content-Length", "11")],
        [("Content-Length", "10, 11")],
        [("Content-Length", "10"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "chunked"), ("Content-Length", "10")],
        [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "gzip, chunked")],
        [("Transfer-Encoding", "xchunked")],
        [("Transfer-Encoding", "identity")],
        [("Transfer-Encoding", "chunked, identity")],
        [("Transfer-Encoding ", "chunked")],
        [("Content-Length ", "10")],
        [("Host", "another"), ("Content-Length", "10")],
        [("X\0Y", "z"), ("Content-Length", "10")],
        [("X", "y\0z"), ("Content-Length", "10")],
        [("X", "y\rz"), ("Content-Length", "10")],
        [("X Y", "z"), ("Content-Length", "10")],
        [("", "z"), ("Content-Length", "10")],
    ],
)
def test_a_head_that_two_parsers_may_read_differently_is_400_and_the_connection_ends(
    port: int, fields: list[tuple[str, str]]
) -> None:
    with wire(port) as connection:
        connection.send(framed(*fields))
        answer = connection.answer()
        assert answer.status in (400, 413 if fields[0][1] == "9" * 30 else 400)
        assert answer.headers["content-type"] == "application/problem+json"
        assert connection.is_closed()


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"x" * 99,
        b"nonsense\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/0.9\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0" * 100,
        b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=lambda raw: repr(raw[:30]),
)
def test_what_is_no_http_is_400(port: int, raw: bytes) -> None:
    with wire(port) as connection:
        connection.send(raw)
        assert connection.answer().status == 400
        assert connection.is_closed()


def test_a_chunked_body_is_a_body_and_its_trailers_are_nobody_s(port: int) -> None:
    body = fresh()
    coded = ("Transfer-Encoding", "chunked")
    signature = signed(body)[0]
    trailer = f"{signature[0]}: {signature[1]}\r\n"
    head = request(b"", [signature, coded], length=False)
    assert ask(port, head, chunked(body)).status == 202
    # A second signature in a trailer neither spoils the first nor stands in for a missing one.
    assert ask(port, head, chunked(body, trailers=trailer)).status == 200
    bare = request(b"", [coded], length=False)
    assert ask(port, bare, chunked(body, trailers=trailer)).status == 401
    assert ask(port, head, b"5;ext=1\r\n" + body[:5] + b"\r\n", chunked(body[5:])).status == 200


@pytest.mark.parametrize("junk", [b"zz\r\n", b"-5\r\nhello\r\n", b"5\r\nhelloX\r\n",
                                  b"ffffffffffffffffff\r\n", b"\0\r\n"])  # fmt: skip
def test_a_broken_chunk_is_400(port: int, junk: bytes) -> None:
    with wire(port) as connection:
        connection.send(framed(("Transfer-Encoding", "chunked"), body=b"5\r\nhello\r\n" + junk))
        # A size that no body has is waited for in vain.
        assert connection.answer().status in ((400, 408) if b"ffff" in junk else (400,))
        assert connection.is_closed()


def test_endless_trailers_and_chunk_extensions_are_cut_off(port: int) -> None:
    head = framed(("Transfer-Encoding", "chunked"), body=b"1\r\n{\r\n")
    for start in (b"0\r\nX: ", b"5;"):
        with wire(port) as connection:
            connection.send(head, start, *[b"x" * 50_000] * 20)
            assert connection.answer().status in (400, 408, 431, 0)
            assert connection.is_closed()


def test_a_client_that_offers_h2c_is_answered_over_http_1(port: int) -> None:
    body = fresh()
    offer = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"),
             ("HTTP2-Settings", "AAMAAABkAAQAAP__")]  # fmt: skip
    whole = request(body, [*offer, *signed(body)])
    assert ask(port, whole).status == 202
    assert ask(port, whole[:-40], whole[-40:]).status == 200
    head = request(b"", [*offer, *signed(body), ("Transfer-Encoding", "chunked")], length=False)
    assert ask(port, head, chunked(body)).status == 200
    with wire(port) as connection:
        connection.send(whole + whole + request(method="GET", path="/healthz", headers=offer) + GET)
        assert [connection.answer().status for _ in range(4)] == [200] * 4
    forged = request(body, [*offer, *signed(body + b" ")])
    assert ask(port, forged).status == 401
    websocket = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
    assert ask(port, request(method="GET", path="/chat", headers=websocket)).status == 404


def test_a_client_that_expects_to_be_asked_for_its_body_is_asked(port: int) -> None:
    body = fresh()
    expecting = request(body, [*signed(body), ("Expect", "100-continue")])
    with wire(port) as connection:
        connection.send(expecting[: -len(body)])
        interim = b""
        while not interim.endswith(b"\r\n\r\n"):
            interim += connection.socket.recv(1)
        assert interim.startswith(b"HTTP/1.1 100")
        connection.send(body)
        assert connection.answer().status == 202
    too_large = [("Expect", "100-continue"), ("Content-Length", "300000")]
    with wire(port) as connection:
        connection.send(request(b"", too_large, length=False))
        assert connection.socket.recv(12) == b"HTTP/1.1 413"


def test_requests_in_a_row_are_answered_in_their_order(port: int) -> None:
    bodies = [fresh() for _ in range(3)]
    forged = request(fresh(), signed(b"other"))
    row = [request(body, signed(body)) for body in bodies]
    with wire(port) as connection:
        connection.send(b"".join([row[0], forged, GET, row[1], row[0], row[2]]))
        statuses = [connection.answer().status for _ in range(6)]
    assert statuses == [202, 401, 200, 202, 200, 202]


def test_an_answer_without_a_body_waits_for_nothing_that_follows(port: int) -> None:
    with wire(port) as connection:
        for path, status in [("/healthz", 200), ("/webhooks/asteroid", 405), ("/none", 404)]:
            connection.send(request(method="HEAD", path=path, length=False))
            assert connection.answer(head=True).status == status
        connection.send(GET)
        assert connection.answer().body == b'{"status":"alive"}'


def test_nonsense_behind_a_request_does_not_become_its_answer(port: int) -> None:
    body = fresh()
    with wire(port) as connection:
        connection.send(request(body, signed(body)) + b"nonsense\r\n\r\n")
        assert connection.answer().status == 202
        assert connection.answer().status in (0, 400)
        assert connection.is_closed()


def test_a_length_that_lies_reaches_nothing(port: int) -> None:
    body = fresh()
    short = [*signed(body), ("Content-Length", str(len(body) - 1))]
    assert ask(port, request(b"", short, length=False) + body).status == 401
    long = [*signed(body), ("Content-Length", str(len(body) + 1))]
    with wire(port) as connection:
        connection.send(request(b"", long, length=False) + body)
        assert connection.answer().status == 408
        assert connection.is_closed()
    with wire(port) as connection:  # it ends early instead
        connection.send(request(b"", long, length=False) + body)
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.answer().status in (0, 400)
    assert ask(port, request(body, signed(body))).status == 202


@pytest.mark.parametrize(
    "head",
    [
        request(b"", [(f"X-{n}", "v") for n in range(120)]),
        request(b"", [(f"X-{n}", "v") for n in range(5_000)]),
        request(b"", [("X", "v" * 17_000)]),
        request(b"", [("X", "v" * 3_000_000)]),
        request(b"", [("x" * 17_000, "v")]),
        request(b"", path="/" + "x" * 17_000),
        request(b"", path="/" + "x" * 3_000_000),
        b"GET " + b"x" * 3_000_000,
        b"X" * 3_000_000,
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 500_000,
    ],
    ids=["120 fields", "5000 fields", "large field", "huge field", "long name", "long path",
         "huge path", "no end", "no method", "no end of fields"],
)  # fmt: skip
def test_a_head_over_its_bound_is_431(port: int, head: bytes) -> None:
    with wire(port) as connection:
        connection.send(head)
        assert connection.answer().status in (400, 431)
        assert connection.is_closed()
    with wire(port) as connection:  # the same in pieces
        connection.send(*[head[at : at + 1_000] for at in range(0, 40_000, 1_000)])
        assert connection.answer().status in (400, 431)


def test_a_slow_head_is_408_and_silence_is_ended_without_a_word(port: int) -> None:
    with wire(port) as connection:
        connection.send(GET[:-2])
        assert connection.answer().status == 408
        assert connection.is_closed()
    with wire(port) as connection:
        assert connection.is_closed()
    with wire(port) as connection:
        connection.send(GET, GET[:10])
        assert connection.answer().status == 200
        connection.send(GET[10:20])
        assert connection.answer().status == 408


def drip(connection: Wire, piece: bytes) -> bool:
    """Send a piece up to 100 times, slowly; return whether the server ended the connection."""
    connection.socket.settimeout(0.05)
    for _ in range(100):
        connection.send(piece)
        try:
            if not connection.socket.recv(4096):
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


def test_a_byte_now_and_then_keeps_no_connection(port: int) -> None:
    body = fresh()
    for start, piece in (
        (b"GET / HTTP/1.1\r\nX: ", b"x"),
        (GET, b"\r\n"),
        (request(b"", [("Content-Length", "99999")], method="GET", length=False), b"x"),
        (request(b"", [*signed(body), ("Content-Length", "99999")], length=False), b"x"),
        (framed(("Transfer-Encoding", "chunked"), body=b""), b"1\r\nx\r\n"),
    ):
        with wire(port) as connection:
            connection.send(start)
            assert drip(connection, piece), start[:40]


def test_a_client_that_reads_no_answers_is_ended(port: int) -> None:
    wanted, end = b"", time.monotonic() + 15
    with wire(port, 0.2) as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        while time.monotonic() < end:
            wanted = wanted or METRICS * 30
            try:
                wanted = wanted[connection.socket.send(wanted) :]
            except TimeoutError:
                continue
            except ConnectionError:
                return
    raise AssertionError("it was never ended")


def test_a_body_over_the_limit_is_413_and_the_answer_arrives(port: int) -> None:
    assert ask(port, request(b" " * 262_145)).status == 413
    assert ask(port, request(b" " * 5_000_000)).status == 413
    head = request(b"", [("Transfer-Encoding", "chunked")], length=False)
    assert ask(port, head, chunked(b" " * 400_000, size=5_000)).status == 413
    assert ask(port, request(b" " * 262_144)).status == 401


def test_a_connection_too_many_is_503_unless_one_has_kept_its_head_back(port: int) -> None:
    def answers() -> bool:
        return ask(port, GET).status == 200

    until(answers)
    held = [Wire(port) for _ in range(LIMIT)]
    try:
        # All of them are being answered: a body is coming.
        for connection in held:
            connection.send(request(b"", [("Content-Length", "10")], length=False))
        until(lambda: not answers())  # now all of their heads are read
        refused = [ask(port, GET) for _ in range(3)]
    finally:
        for connection in held:
            connection.close()
    assert {answer.status for answer in refused} == {503}
    assert refused[0].headers["retry-after"] == "5"
    assert refused[0].headers["content-type"] == "application/problem+json"
    until(answers)


def test_a_flood_of_silent_connections_does_not_keep_the_others_out(tmp_path: Path) -> None:
    with live(tmp_path, headers_timeout="30", max_connections="10") as running:
        port = int(running.url.rpartition(":")[2])
        silent = [Wire(port) for _ in range(10)]
        try:
            until(lambda: ask(port, GET).status == 200)
            for _ in range(20):
                assert ask(port, GET).status == 200
        finally:
            for connection in silent:
                connection.close()


def test_head_and_body_of_an_answer_come_in_one_piece(port: int) -> None:
    body = fresh()
    for sent in (request(body, signed(body)), GET, request(body, path="/webhooks/nobody")):
        with wire(port) as connection:
            connection.send(sent)
            piece = connection.socket.recv(65_536)
        head, _, rest = piece.partition(b"\r\n\r\n")
        assert b"content-length: %d" % len(rest) in head.lower()
        assert rest


def test_a_client_that_is_asked_to_go_on_is_asked_before_its_body(port: int) -> None:
    body = fresh()
    sent = request(body, [*signed(body), ("Expect", "100-continue")])
    with wire(port) as connection:
        connection.send(sent[: -len(body)])
        assert connection.socket.recv(65_536).startswith(b"HTTP/1.1 100")
        connection.send(body)
        assert connection.answer().status == 202
