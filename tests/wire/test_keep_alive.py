"""Idle connections: how long they are kept, who makes room, what is answered as one closes."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from receiver.cli import client
from receiver.config.rules import Rules
from receiver.config.settings import load_settings
from receiver.errors import ConfigurationError
from receiver.sources import signing, verification
from receiver.store.sqlite.store import SqliteStore
from receiver.web import app
from receiver.web.server import limits, server
from receiver.web.server.limits import Bounded
from tests.support.live import PRIVATE, Live, live, until
from tests.support.raw import Wire, ask, request, wire

GET = request(method="GET", path="/healthz", length=False)
PARSERS = ["h11", "httptools"]
# What uvicorn waits by itself, and proxies outlast.
OLD_LIMIT = 5.0


def port_of(running: Live) -> int:
    return int(running.url.rpartition(":")[2])


def available(parser: str) -> str:
    if parser == "httptools":
        pytest.importorskip("httptools")
    return parser


def webhook() -> bytes:
    body = client.asteroid_event("EXECUTION_STARTED", f"x-{time.time_ns()}")
    how = verification.Verification("rsa-sha256")
    return request(body, signing.sign(how, PRIVATE, body, message_id="", now=0))


def test_a_connection_is_served_after_a_longer_pause_than_the_server_allows_by_default(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        connections = []
        for parser in PARSERS:
            folder = tmp_path / parser
            folder.mkdir()
            running = stack.enter_context(live(folder, http=available(parser)))
            connections.append(stack.enter_context(wire(port_of(running))))
        for connection in connections:
            connection.send(webhook())
            assert connection.answer().status == 202
        # Nothing comes in this time, least of all an end of the connection.
        connections[0].socket.settimeout(OLD_LIMIT + 1)
        with pytest.raises(TimeoutError):
            connections[0].socket.recv(1)
        for connection in connections:
            connection.socket.settimeout(10)
            connection.send(webhook())
            assert connection.answer().status == 202


@pytest.mark.parametrize("parser", PARSERS)
def test_the_setting_says_how_long_an_idle_connection_is_kept(tmp_path: Path, parser: str) -> None:
    with live(tmp_path, http=available(parser), keep_alive="0.3") as running:
        with wire(port_of(running)) as connection:
            for _ in range(3):
                connection.send(GET)
                assert connection.answer().status == 200
            answered = time.monotonic()
            assert connection.is_closed()
            assert 0.2 < time.monotonic() - answered < 5
        assert ask(port_of(running), GET).status == 200


@pytest.mark.parametrize("value", ["0", "-1", "soon", "3601", "nan"])
def test_a_time_that_cannot_be_meant_is_refused_with_its_setting(value: str) -> None:
    with pytest.raises(ConfigurationError, match="RECEIVER_KEEP_ALIVE"):
        load_settings({"RECEIVER_KEEP_ALIVE": value})


@pytest.mark.parametrize("parser", PARSERS)
def test_idle_connections_make_room_the_longest_idle_first(tmp_path: Path, parser: str) -> None:
    with live(tmp_path, http=available(parser), max_connections="10") as running:
        held = [Wire(port_of(running)) for _ in range(10)]
        try:
            for connection in held:
                connection.send(GET)
                assert connection.answer().status == 200
            until(lambda: ask(port_of(running), GET).status == 200)
            assert held[0].is_closed()
            held[9].send(GET)
            assert held[9].answer().status == 200
        finally:
            for connection in held:
                connection.close()


@pytest.mark.parametrize("parser", PARSERS)
def test_idle_connections_do_not_delay_the_end(tmp_path: Path, parser: str) -> None:
    with live(tmp_path, http=available(parser)) as running:
        idle = [Wire(port_of(running)) for _ in range(20)]
        for connection in idle:
            connection.send(GET)
            assert connection.answer().status == 200
        began = time.monotonic()
    assert time.monotonic() - began < 10
    for connection in idle:
        assert connection.is_closed()
        connection.close()


@pytest.mark.parametrize("parser", PARSERS)
def test_while_the_server_ends_an_idle_connection_is_answered_and_told_to_go(
    tmp_path: Path, parser: str
) -> None:
    with live(tmp_path, http=available(parser)) as running, ExitStack() as stack:
        connections = [stack.enter_context(wire(port_of(running))) for _ in range(3)]
        for connection in connections:
            connection.send(GET)
            assert "connection" not in connection.answer().headers
        running.app.state.endpoint.draining = True
        for connection, sent, status in zip(
            connections,
            (webhook(), request(method="GET", path="/readyz", length=False), GET),
            (503, 503, 200),
            strict=True,
        ):
            connection.send(sent)
            answer = connection.answer()
            assert (answer.status, answer.headers["connection"]) == (status, "close")
            assert connection.is_closed()


@pytest.mark.parametrize("ending", ["keep-alive", "shutdown", "another"])
@pytest.mark.parametrize("parser", PARSERS)
def test_a_request_that_has_arrived_when_its_connection_is_due_to_close_is_answered(
    tmp_path: Path, parser: str, ending: str
) -> None:
    """Both loops are held past the end of keep-alive, while a request waits in the system.

    Or another connection asks for its room meanwhile.
    """
    runner: Callable[..., Any] = asyncio.run
    if available(parser) == "httptools":
        runner = pytest.importorskip("uvloop").run
    assert runner(late_request(tmp_path, parser, ending)).startswith(b"HTTP/1.1 200 OK")


async def late_request(folder: Path, parser: str, ending: str) -> bytes:
    environ = {"RECEIVER_HTTP": parser, "RECEIVER_KEEP_ALIVE": "0.2"}
    settings = load_settings(environ).model_copy(update={"port": 0})
    store = SqliteStore(folder / "receiver.db", backlog=10, serve=True)
    listening = server.bind(settings)
    application = app.build(settings, Rules("", {}, {}, ()), store, dispatch=False)
    running = server.Server(application, settings, lambda: False)
    serving = asyncio.create_task(running.serve(sockets=[listening]))
    loop = asyncio.get_running_loop()
    try:
        with socket.socket() as connection:
            connection.setblocking(False)
            await loop.sock_connect(connection, listening.getsockname())
            await loop.sock_sendall(connection, GET)
            assert (await loop.sock_recv(connection, 65_536)).startswith(b"HTTP/1.1 200 OK")
            connection.send(GET)
            if ending == "shutdown":
                (open_one,) = running.server_state.connections
                open_one.shutdown()
            elif ending == "another":
                (idle_one,) = cast("set[Bounded]", running.server_state.connections)
                assert list(idle_one.bounds.idle) == [idle_one]
                assert not idle_one.bounds.make_room(loop.time())
            else:
                threading.Event().wait(0.4)  # holds the loop
            return await asyncio.wait_for(loop.sock_recv(connection, 65_536), 10)
    finally:
        running.should_exit = True
        await serving


@pytest.mark.parametrize("parser", PARSERS)
def test_a_request_on_a_connection_that_was_just_made_is_answered_at_the_end(
    tmp_path: Path, parser: str
) -> None:
    """It was accepted before the end began, and its first byte comes after that."""
    with live(tmp_path, http=available(parser)) as running:
        connection = Wire(port_of(running))
        assert ask(port_of(running), GET).status == 200  # so the one before it was accepted
        late = threading.Timer(0.3, connection.send, [GET])
        late.start()
        began = time.monotonic()
    try:
        assert connection.answer().status == 200
        assert time.monotonic() - began < 10
    finally:
        late.join()
        connection.close()


@pytest.mark.parametrize("parser", PARSERS)
def test_a_thousand_idle_connections_shut_nobody_out(tmp_path: Path, parser: str) -> None:
    """None of them is old: each gives way to the next one as soon as it has its answer."""
    with live(tmp_path, http=available(parser), max_connections="100") as running:
        port = port_of(running)
        with ExitStack() as stack:
            held = [stack.enter_context(wire(port)) for _ in range(100)]
            for connection in held:
                connection.send(GET)
            assert [connection.answer().status for connection in held] == [200] * 100
            for _ in range(900):
                held.append(stack.enter_context(wire(port)))
                held[-1].send(GET)
                assert held[-1].answer().status == 200
            assert all(connection.is_closed() for connection in held[:900])
            held[900].send(webhook())  # the longest idle one that is left
            assert held[900].answer().status == 202


@pytest.mark.parametrize("parser", PARSERS)
def test_no_connection_in_the_middle_of_a_request_gives_way(tmp_path: Path, parser: str) -> None:
    """Nine bodies are on their way, one of them of a request behind an answered one."""
    with live(tmp_path, http=available(parser), max_connections="10") as running:
        port = port_of(running)
        with ExitStack() as stack:
            halves = [stack.enter_context(wire(port)) for _ in range(9)]
            sent = [webhook() for _ in halves]
            for connection, each in zip(halves, sent, strict=True):
                connection.send(*([GET] if connection is halves[0] else []), each[:-9])
            assert halves[0].answer().status == 200
            idle = stack.enter_context(wire(port))
            idle.send(GET)
            assert idle.answer().status == 200
            began = time.monotonic()
            until(lambda: time.monotonic() - began > 1.5 * limits.GRACE)
            for _ in range(20):
                assert ask(port, GET).status == 200
            for connection, each in zip(halves, sent, strict=True):
                connection.send(each[-9:])
                assert connection.answer().status == 202
            assert idle.is_closed()


@pytest.mark.parametrize("parser", PARSERS)
def test_slow_heads_give_way_at_once_to_a_sender_that_has_something(
    tmp_path: Path, parser: str
) -> None:
    with live(tmp_path, http=available(parser), max_connections="200") as running:
        port = port_of(running)
        with ExitStack() as stack:
            slow = [stack.enter_context(wire(port)) for _ in range(200)]
            for connection in slow:
                connection.send(webhook()[:30])
            began = time.monotonic()
            until(lambda: time.monotonic() - began > 1.5 * limits.GRACE)
            for _ in range(50):
                assert ask(port, webhook()).status == 202
            assert slow[0].is_closed()
