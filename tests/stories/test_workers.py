"""Lanes over the real store and real destinations: ends, fall-backs, reloads, the shutdown."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from receiver.cli import client
from receiver.config import routes_file
from receiver.config.live_rules import LiveRules
from receiver.dispatch import worker
from receiver.intake.receive import Intake
from receiver.sources import signing, verification
from tests.support.live import PRIVATE, PUBLIC, ROUTES, Live, free_port, live, until
from tests.support.stores import open_store

TOP = Path(__file__).parents[2]
TWO = ROUTES.replace(
    "  ops: console://",
    '  ops: "json://127.0.0.1:${PORT}/ops"\n  mail: {url: "json://127.0.0.1:${PORT}/mail"}',
)


def fail(receiver: Live, execution: str = "x") -> None:
    assert receiver.post(client.asteroid_event("EXECUTION_FAILED", execution))[0] == 202


def told(httpserver: HTTPServer, path: str) -> list[dict[str, str]]:
    return [r.get_json() for r, _ in httpserver.log if r.path == path]


def failures(httpserver: HTTPServer, path: str) -> list[dict[str, str]]:
    return [m for m in told(httpserver, path) if m["title"] == "Invoice agent failed"]


def test_what_dies_goes_to_the_fallback_with_the_reason(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/ops").respond_with_data("", 404)
    httpserver.expect_request("/mail").respond_with_data("")
    routes = TWO.replace('/ops"', '/ops", fallback: mail}').replace(
        '  ops: "json', '  ops: {url: "json'
    )
    with live(tmp_path, routes, {"PORT": str(httpserver.port)}) as receiver:
        fail(receiver)
        until(lambda: told(httpserver, "/mail"))
        until(lambda: receiver.ask("/api/deliveries?state=sent")[1]["items"])
        (item,) = receiver.ask("/api/deliveries?state=sent")[1]["items"]
        assert receiver.ask("/api/ledger")[1]["imbalance"] == 0
    (message,) = told(httpserver, "/mail")
    assert message["title"] == "Invoice agent failed"
    assert "Sent here because ops did not get it: no retry can mend it" in message["message"]
    assert "404" in message["message"]
    assert (item["kind"], item["route"]) == ("fallback", "failures")


def test_without_a_fallback_the_others_hear_of_it_once(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/ops").respond_with_data("", 403)
    httpserver.expect_request("/mail").respond_with_data("")
    with live(tmp_path, TWO, {"PORT": str(httpserver.port)}) as receiver:
        for number in range(3):
            fail(receiver, f"x-{number}")
        until(lambda: len(receiver.ask("/api/deliveries?state=dead")[1]["items"]) == 3)
        until(lambda: receiver.ask("/api/deliveries?state=sent")[1]["items"])
        assert receiver.ask("/api/ledger")[1]["imbalance"] == 0
    (message,) = told(httpserver, "/mail")
    assert message["title"] == "ops did not get: Invoice agent failed"
    assert "receiver redeliver --destination ops" in message["message"]
    assert "403" in message["message"]


def test_parallel_attempts_are_made_at_once(tmp_path: Path) -> None:
    seen = threading.Barrier(3, timeout=20)

    def together(request: object) -> str:
        seen.wait()  # answered only once three are being sent at once
        return ""

    routes = ROUTES.replace(
        "console://", '{url: "json://127.0.0.1:${PORT}/ops", parallel: 3, rate: 100/s}'
    )
    with HTTPServer(threaded=True) as server:
        server.expect_request("/ops").respond_with_handler(together)  # type: ignore[arg-type]
        with live(tmp_path, routes, {"PORT": str(server.port)}) as receiver:
            for number in range(3):
                fail(receiver, f"x-{number}")
            until(lambda: len(receiver.ask("/api/deliveries?state=sent")[1]["items"]) == 3)


def test_a_lane_goes_on_when_an_attempt_hangs_whatever_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, original = threading.Event(), socket.getaddrinfo

    def hanging(host: Any, *arguments: Any, **named: Any) -> Any:
        if host != "slow-name.example":
            return original(host, *arguments, **named)
        over.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    hangs = '{url: "json://slow-name.example/", rate: 100/s, timeout: 1s}'
    with live(tmp_path, ROUTES.replace("console://", hangs)) as receiver:
        for execution in ("x", "y"):
            fail(receiver, execution)

        def attempts() -> list[str]:
            items = receiver.ask("/api/deliveries")[1]["items"]
            return [attempt["detail"] for item in items for attempt in item["attempts"]]

        until(lambda: len(attempts()) == 2)
        assert attempts() == ["no connection within 1 s"] * 2
        assert receiver.ask("/readyz")[0] == 200
        over.set()
        until(lambda: len(attempts()) == 3)
        assert receiver.ask("/readyz")[0] == 200


def test_a_reload_swaps_the_rules_and_an_error_keeps_the_old_ones(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/ops").respond_with_data("")
    httpserver.expect_request("/new").respond_with_data("")
    with live(tmp_path, TWO, {"PORT": str(httpserver.port)}) as receiver:
        file = tmp_path / "routes.yaml"
        file.write_text(TWO.replace("status: failed", "status: faild"), "utf-8")
        status, answer, _ = receiver.ask("/api/reload", method="POST")
        assert (status, answer["reloaded"]) == (422, False)
        assert "did you mean 'failed'?" in answer["problems"][0]
        fail(receiver, "old")
        until(lambda: failures(httpserver, "/ops"))
        file.write_text(TWO.replace("/ops", "/new"), "utf-8")
        assert receiver.ask("/api/reload", method="POST")[0] == 200
        fail(receiver, "new")
        until(lambda: failures(httpserver, "/new"))
        assert receiver.ask("/readyz")[0] == 200
    # (Both may hear of the error in the file besides.)
    assert len(failures(httpserver, "/ops")) == 1


def test_a_destination_that_leaves_the_file_takes_its_deliveries_along(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/ops").respond_with_data("", 500)
    httpserver.expect_request("/mail").respond_with_data("")
    with live(tmp_path, TWO, {"PORT": str(httpserver.port)}) as receiver:
        fail(receiver)
        until(lambda: receiver.ask("/api/deliveries")[1]["items"][0]["attempts"])
        (tmp_path / "routes.yaml").write_text(
            TWO.replace('  ops: "json://127.0.0.1:${PORT}/ops"\n', "").replace("[ops]", "[mail]")
        )
        assert receiver.ask("/api/reload", method="POST")[0] == 200
        until(lambda: receiver.ask("/api/deliveries?state=dead")[1]["items"])
        (dead,) = receiver.ask("/api/deliveries?state=dead")[1]["items"]
        assert "its destination is not in routes.yaml" in dead["reason"]
        until(lambda: told(httpserver, "/mail"))
    assert told(httpserver, "/mail")[0]["title"] == "ops did not get: Invoice agent failed"


def test_all_dead_ones_of_a_destination_are_redelivered_by_name(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_oneshot_request("/ops").respond_with_data("", 404)
    with live(tmp_path, TWO, {"PORT": str(httpserver.port)}) as receiver:
        fail(receiver)
        until(lambda: receiver.ask("/api/deliveries?state=dead")[1]["items"])
        httpserver.expect_request("/ops").respond_with_data("")
        path = "/api/deliveries/redeliver?destination="
        assert receiver.ask(path + "opz", method="POST")[0] == 400
        status, answer, _ = receiver.ask(path + "ops", method="POST")
        assert (status, answer) == (202, {"destination": "ops", "redelivered": 1})
        until(
            lambda: [
                item
                for item in receiver.ask("/api/deliveries?state=sent")[1]["items"]
                if item["destination"] == "ops"
            ]
        )


def test_what_fails_during_a_reload_that_removes_its_destination_is_dead(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as slow, HTTPServer() as server:
        server.expect_request("/mail").respond_with_data("")
        routes = TWO.replace("127.0.0.1:${PORT}/ops", "127.0.0.1:${SLOW}/ops")
        ports = {"PORT": str(server.port), "SLOW": str(slow.getsockname()[1])}
        with live(tmp_path, routes, ports) as receiver:
            fail(receiver)
            connection, _ = slow.accept()
            without = routes.replace('  ops: "json://127.0.0.1:${SLOW}/ops"\n', "")
            (tmp_path / "routes.yaml").write_text(without.replace("[ops]", "[mail]"), "utf-8")
            assert receiver.ask("/api/reload", method="POST")[0] == 200
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
            connection.close()
            until(lambda: receiver.ask("/api/deliveries?state=dead")[1]["items"])
            until(lambda: told(server, "/mail"))
            # Nor does anything wait that somebody redelivers to where it cannot go.
            path = "/api/deliveries/1/redeliver"
            assert receiver.ask(path, method="POST")[0] == 202
            until(lambda: receiver.ask("/api/deliveries?state=dead")[1]["items"])


def test_a_text_that_cannot_be_written_goes_out_as_a_plain_one(
    tmp_path: Path, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    httpserver.expect_request("/ops").respond_with_data("")
    monkeypatch.setattr(worker, "compose", lambda *_: 1 // 0)
    with live(tmp_path, TWO, {"PORT": str(httpserver.port)}) as receiver:
        fail(receiver)
        until(lambda: receiver.ask("/api/deliveries?state=sent")[1]["items"])
    (message,) = told(httpserver, "/ops")
    assert message["title"] == "Invoice agent: news"
    assert "Execution: x" in message["message"]


def test_what_was_sent_is_recorded_even_if_nothing_can_follow_from_it(
    tmp_path: Path, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    httpserver.expect_request("/ops").respond_with_data("")
    monkeypatch.setattr(worker, "with_others", lambda *_: 1 // 0)
    with live(tmp_path, TWO, {"PORT": str(httpserver.port)}) as receiver:
        for execution in ("x", "y"):
            fail(receiver, execution)
        until(lambda: len(receiver.ask("/api/deliveries?state=sent")[1]["items"]) == 2)
    assert len(told(httpserver, "/ops")) == 2


def serve(
    folder: Path, *, wait: Callable[[int], bool] | None = None, **environ: str
) -> tuple[subprocess.Popen[bytes], int]:
    """A server process in the folder, once it answers, or as soon as `wait` says so of its port."""
    ready = wait or (lambda port: ask(port, "/readyz") == 200)
    port = free_port()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RECEIVER_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "receiver", "serve"], cwd=folder, stderr=subprocess.PIPE,
        env={**clean, "PYTHONPATH": str(TOP), "PUBLIC": PUBLIC, "RECEIVER_PORT": str(port),
             **environ},
    )  # fmt: skip
    until(lambda: ready(port) or process.poll() is not None)
    return process, port


def ask(port: int, path: str, body: bytes | None = None, **headers: str) -> int:
    """The status of a request; 0 if nobody answers."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def post(port: int, execution: str) -> int:
    body = client.asteroid_event("EXECUTION_FAILED", execution)
    how = verification.Verification("rsa-sha256")
    headers = dict(signing.sign(how, PRIVATE, body, message_id="", now=0))
    return ask(port, "/webhooks/asteroid", body, **headers)


def test_sigterm_finishes_what_is_being_sent_and_answers_503_meanwhile(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as slow:
        port = slow.getsockname()[1]
        routes = ROUTES.replace("console://", f'"json://127.0.0.1:{port}/"')
        (tmp_path / "routes.yaml").write_text(routes, "utf-8")
        process, here = serve(tmp_path, RECEIVER_DRAIN="10")
        try:
            assert post(here, "x") == 202
            connection, _ = slow.accept()  # it is being sent
            process.send_signal(signal.SIGTERM)
            until(lambda: ask(here, "/readyz") == 503)
            assert post(here, "y") == 503
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            connection.close()
            assert process.wait(25) == 0
        finally:
            process.kill()
    assert b"outcome=delivered" in (process.stderr.read() if process.stderr else b"")


def test_sighup_reloads_and_never_ends_the_process(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES, "utf-8")
    process, port = serve(tmp_path)
    try:
        (tmp_path / "routes.yaml").write_text(ROUTES.replace("asteroid:", "renamed:"), "utf-8")
        process.send_signal(signal.SIGHUP)
        until(lambda: ask(port, "/webhooks/renamed", b"{}") == 401)
        (tmp_path / "routes.yaml").write_text("sources: {", "utf-8")
        process.send_signal(signal.SIGHUP)
        until(lambda: ask(port, "/webhooks/renamed", b"{}") == 401)
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0
    finally:
        process.kill()
    assert b"rules.reloaded" in (process.stderr.read() if process.stderr else b"")


def test_sigterm_while_it_starts_is_an_end_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES, "utf-8")
    for _ in range(3):
        process, _ = serve(tmp_path, wait=accepts)
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(25) == 0
        finally:
            process.kill()


def accepts(port: int) -> bool:
    """Whether the socket is there already, however far the rest has come."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_worker_whose_store_is_closed_ends_and_is_not_alive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES, "utf-8")
    rules = routes_file.load(str(path), {"PUBLIC": PUBLIC})
    live_rules = LiveRules(rules, Intake.by, lambda: rules)
    store = open_store(tmp_path / "receiver.db")
    lane = worker.DestinationWorker(store, rules.destinations["ops"], live_rules, lease=60)
    store.close()
    lane.start()
    assert lane.join(time.monotonic() + 10)
    assert not lane.is_alive()
    assert "lane.ended destination=ops" in caplog.text
