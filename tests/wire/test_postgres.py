"""Several receivers on one PostgreSQL, also while it goes away and comes back."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from shutil import which
from tempfile import NamedTemporaryFile

import pytest
from psycopg.conninfo import conninfo_to_dict
from pytest_httpserver import HTTPServer

from receiver.store.postgres import link
from tests.support.live import PUBLIC, Live, free_port, live, until
from tests.support.postgres import Server
from tests.support.proxy import proxy

ROUTES = """\
sources:
  asteroid:
    verify: {{scheme: rsa-sha256, keys: ["{public}"]}}
destinations:
  ops: {{url: "json://127.0.0.1:{port}/ops", rate: 1000/s}}
routes:
  - {{name: all, match: {{status: "*"}}, notify: [ops]}}
"""


def webhook(number: int, status: str = "running", execution: str = "x") -> bytes:
    names = {"running": "execution.started", "completed": "execution.completed"}
    return json.dumps({
        "event_id": f"e-{number}", "execution_id": f"x-{execution}", "status": status,
        "occurred_at": "2026-11-28T03:00:00Z", "event": names[status],
    }).encode()  # fmt: skip


def rules(port: int) -> str:
    key = PUBLIC.replace("\n", "\\n")
    text = ROUTES.format(public=key, port=port)
    return text.replace("  asteroid:\n", "  asteroid:\n    format: plain\n")


def status_of(node: Live, path: str = "/readyz") -> int:
    return node.ask(path)[0]


def test_receivers_that_share_a_database_are_one_receiver(
    postgres: Server, tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/ops").respond_with_data("ok")
    url = postgres.emptied()
    with ExitStack() as running:
        nodes = []
        for name in "abc":
            (tmp_path / name).mkdir()
            served = live(tmp_path / name, rules(httpserver.port), database_url=url)
            nodes.append(running.enter_context(served))
        for number in range(30):
            status, _ = nodes[number % 3].post(webhook(number, execution=str(number)))
            assert status == 202
            status, _ = nodes[(number + 1) % 3].post(webhook(number, execution=str(number)))
            assert status == 200  # another node knows it already
        until(lambda: nodes[0].store.ledger()["deliveries"].get("sent") == 30)
        assert len(httpserver.log) == 30
        assert {status_of(node) for node in nodes} == {200}
        shown = nodes[2].ask("/api/executions?limit=100")[1]
        assert len(shown["items"]) == 30
        assert nodes[1].store.ledger()["imbalance"] == 0


def test_a_database_that_is_away_is_503_at_once_and_ready_again_without_a_restart(
    postgres: Server, tmp_path: Path, httpserver: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    httpserver.expect_request("/ops").respond_with_data("ok")
    with (
        proxy(postgres.emptied()) as way,
        live(tmp_path, rules(httpserver.port), database_url=way.url) as node,
    ):
        assert node.post(webhook(1))[0] == 202
        until(lambda: len(httpserver.log) == 1)
        for _ in range(2):
            way.cut()
            for _ in range(3):
                begun = time.monotonic()
                # What is not proven needs no database.
                assert node.ask("/webhooks/asteroid", method="POST", body=b"{}")[0] == 401
                assert node.post(webhook(2, execution="y"))[0] == 503
                status, _, headers = node.ask("/readyz")
                assert (status, int(headers["Retry-After"]) > 0) == (503, True)
                assert node.ask("/api/executions")[0] == 503
                assert time.monotonic() - begun < 1.5
            way.open()
            began = time.monotonic()
            until(lambda: status_of(node) == 200)
            assert time.monotonic() - began < 5
        assert node.post(webhook(2, execution="y"))[0] == 202
        until(lambda: len(httpserver.log) == 2)
        assert node.store.ledger()["imbalance"] == 0
    assert "127.0.0.1" in caplog.text
    assert "secret-1" not in caplog.text


def test_a_server_that_takes_everything_and_answers_nothing_is_given_up(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "_PATIENCE", 0.5)
    with (
        proxy(postgres.emptied()) as way,
        live(tmp_path, rules(1), database_url=way.url) as node,
    ):
        assert node.post(webhook(1))[0] == 202
        way.is_swallowing = True
        assert node.post(webhook(2, execution="y"))[0] == 503
        way.cut()
        way.is_swallowing = False
        way.open()
        until(lambda: status_of(node) == 200)
        assert node.post(webhook(2, execution="y"))[0] == 202


@pytest.fixture
def pooled(postgres: Server) -> Iterator[str]:
    """The URL of a database without rows behind a PgBouncer in transaction mode."""
    if (program := which("pgbouncer", path="/usr/sbin:/usr/bin:/bin:/usr/local/bin")) is None:
        pytest.skip("pgbouncer is not installed (apt-get install pgbouncer)")
    values = {name: str(value) for name, value in conninfo_to_dict(postgres.emptied()).items()}
    host, port = values["host"], free_port()
    # It refuses to run as root; a socket can be reached by the server's own user.
    owner = Path(host).owner() if host.startswith("/") else "nobody"
    with NamedTemporaryFile("w", suffix=".ini") as settings:
        settings.write(
            f"[databases]\nr = host={host} dbname={values['dbname']} user={values['user']}"
            # Each session in the pool uses the test's schema.
            f" connect_query='SET search_path = {values['options'].partition('=')[2]}'\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n"
            "pool_mode = transaction\ndefault_pool_size = 3\nunix_socket_dir =\n"
        )
        settings.flush()
        Path(settings.name).chmod(0o644)
        user = [] if os.geteuid() else ["-u", owner]
        with subprocess.Popen(
            [program, *user, settings.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as running:
            try:
                until(lambda: is_listening(port))
                yield f"postgresql://postgres@127.0.0.1:{port}/r"
            finally:
                running.terminate()


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_receivers_behind_a_pooler_that_lends_a_session_for_a_transaction_are_one_receiver(
    pooled: str, tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/ops").respond_with_data("ok")
    with ExitStack() as running:
        nodes = []
        for name in "ab":
            (tmp_path / name).mkdir()
            served = live(tmp_path / name, rules(httpserver.port), database_url=pooled)
            nodes.append(running.enter_context(served))
        # More often than a statement goes unprepared.
        for number in range(20):
            node, other = nodes[number % 2], nodes[(number + 1) % 2]
            assert node.post(webhook(number, execution=str(number)))[0] == 202
            assert other.ask(f"/api/executions/asteroid/x-{number}")[0] == 200
        until(lambda: nodes[0].store.ledger()["deliveries"].get("sent") == 20)
        assert len(httpserver.log) == 20
        assert [node.store.leads("pruning") for node in nodes].count(True) == 1
