"""Due deliveries go out: workers over the real store, to real destinations on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from receiver.cli import client
from receiver.store.contract import Transaction
from receiver.store.sqlite.store import SqliteStore
from receiver.times import SECOND
from tests.support.live import ROUTES, live, until

TWO = ROUTES.replace(
    "  ops: console://",
    '  ops: "json://127.0.0.1:${PORT}/ops"\n'
    '  other: {url: "json://127.0.0.1:${OTHER}/", timeout: 60s}',
).replace("match: {status: failed}, notify: [ops]", "match: {status: failed}, notify: [other, ops]")


def test_a_destination_that_hangs_delays_no_other(tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/ops").respond_with_data("")
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        ports = {"PORT": str(httpserver.port), "OTHER": str(hanging.getsockname()[1])}
        with live(tmp_path, TWO, ports, drain="0") as receiver:
            for number in range(3):
                receiver.post(client.asteroid_event("EXECUTION_FAILED", f"x-{number}"))
            until(lambda: len(httpserver.log) == 3)
            states = receiver.ask("/api/deliveries?destination=other")[1]["items"]
            assert {item["state"] for item in states} == {"sending", "waiting"}


@pytest.mark.parametrize("status", [404, 500])
def test_a_destination_that_refuses_is_dead_or_waits(
    tmp_path: Path, httpserver: HTTPServer, status: int
) -> None:
    httpserver.expect_request("/ops").respond_with_data("", status)
    routes = ROUTES.replace("console://", '"json://127.0.0.1:${PORT}/ops"')
    with live(tmp_path, routes, {"PORT": str(httpserver.port)}) as receiver:
        receiver.post(client.asteroid_event("EXECUTION_FAILED", "x"))
        until(lambda: receiver.ask("/api/deliveries")[1]["items"][0]["attempts"])
        item = receiver.ask("/api/deliveries")[1]["items"][0]
        assert item["state"] == ("dead" if status == 404 else "waiting")
        assert str(status) in item["attempts"][0]["detail"]
        assert item["title"] == "Invoice agent failed"
        if status == 404:
            httpserver.clear()
            httpserver.expect_request("/ops").respond_with_data("")
            assert receiver.ask("/api/deliveries/1/redeliver", method="POST")[0] == 202
            until(lambda: receiver.ask("/api/deliveries?state=sent")[1]["items"])
        assert receiver.ask("/api/ledger")[1]["imbalance"] == 0


def test_what_a_dead_process_was_sending_goes_out_again_and_says_so(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/ops").respond_with_data("")
    routes = ROUTES.replace("console://", '"json://127.0.0.1:${PORT}/ops"')
    environ = {"PORT": str(httpserver.port)}
    with live(tmp_path, routes, environ) as receiver:
        receiver.post(client.asteroid_event("EXECUTION_FAILED", "x"))
        until(lambda: receiver.ask("/api/deliveries?state=sent")[1]["items"])
    # As a process leaves it that dies between sending and recording.
    store = SqliteStore(tmp_path / "receiver.db")

    def die(transaction: Transaction, items: Sequence[None]) -> list[None]:
        transaction._database.connection.execute(  # type: ignore[attr-defined]
            "UPDATE delivery SET state = 'sending', token = 't', lease_until = ?", (2**62,)
        )
        return [None] * len(items)

    store.write_now(die, None)
    store.close()
    with live(tmp_path, routes, environ) as receiver:
        until(lambda: receiver.ask("/api/deliveries?state=sent")[1]["items"])
        item = receiver.ask("/api/deliveries")[1]["items"][0]
    assert [attempt["outcome"] for attempt in item["attempts"]] == [
        "delivered", "uncertain", "delivered",
    ]  # fmt: skip
    bodies = [request.get_json()["message"] for request, _ in httpserver.log]
    assert ["Possible repeat" in body for body in bodies] == [False, True]


def test_a_delivery_whose_destination_is_gone_is_dead_with_that_reason(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/ops").respond_with_data("", 500)
    old = ROUTES.replace("ops", "old").replace("console://", '"json://127.0.0.1:${PORT}/ops"')
    with live(tmp_path, old, {"PORT": str(httpserver.port)}) as receiver:
        receiver.post(client.asteroid_event("EXECUTION_FAILED", "x"))
        until(lambda: receiver.ask("/api/deliveries")[1]["items"][0]["attempts"])
    with live(tmp_path) as receiver:
        until(lambda: receiver.ask("/api/deliveries?state=dead")[1]["items"])
        (item,) = receiver.ask("/api/deliveries?state=dead")[1]["items"]
        assert (item["destination"], "routes.yaml" in item["reason"]) == ("old", True)
        until(lambda: receiver.ask("/api/deliveries?state=sent")[1]["items"])
        (told,) = receiver.ask("/api/deliveries?state=sent")[1]["items"]
    assert (told["destination"], told["origin"]) == ("ops", item["id"])
    assert told["title"] == "old did not get: Invoice agent failed"


def test_messages_of_one_execution_keep_their_order(tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/ops").respond_with_data("")
    routes = ROUTES.replace("{status: failed}", '{status: "*"}').replace(
        "console://", '{url: "json://127.0.0.1:${PORT}/ops", rate: 1000/s}'
    )
    names = ["STARTED", "AWAITING_CONFIRMATION", "RESUMED", "FAILED"]
    start = client.now_whole() - 100 * SECOND
    with live(tmp_path, routes, {"PORT": str(httpserver.port)}) as receiver:
        threads = [
            threading.Thread(target=_story, args=(receiver, f"x-{n}", names, start)) for n in (1, 2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: not receiver.store.ledger()["deliveries"].get("waiting"))
        until(lambda: not receiver.store.ledger()["deliveries"].get("sending"))
    for execution in ("x-1", "x-2"):
        told = [
            request.get_json()["title"]
            for request, _ in httpserver.log
            if f"Execution: {execution}" in request.get_json()["message"]
        ]
        assert told[0] == "Invoice agent started"
        assert told[-1] == "Invoice agent failed"


def _story(receiver: object, execution: str, names: Sequence[str], start: int) -> None:
    for number, name in enumerate(names):
        at = start + number * SECOND
        body = client.asteroid_event(f"EXECUTION_{name}", execution, occurred_at=at)
        assert receiver.post(body)[0] == 202  # type: ignore[attr-defined]
