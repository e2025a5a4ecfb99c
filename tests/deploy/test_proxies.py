"""Caddy and nginx with the shipped configuration, each the real one, before a real receiver."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from receiver.cli import client
from receiver.config.settings import Settings
from receiver.sources import signing
from tests.support.deployed import DEPLOY
from tests.support.live import ROUTES, Live, free_port, live
from tests.support.proxied import HOOKS, PAGES, PROXIES, to
from tests.support.raw import Answer, ask, chunked, request, wire

TOKEN = "a-token-for-behind-the-proxy"
FILES = {"caddy": DEPLOY / "proxy" / "Caddyfile", "nginx": DEPLOY / "proxy" / "nginx.conf"}
HOW = "    verify: {scheme: hmac-sha256, header: X-Signature, keys: [a-secret-of-sixteen-bytes]}\n"
OWN = re.sub(r"    verify: .*\n", HOW, ROUTES)
MAX_BODY = Settings.model_fields["max_body"].default


@pytest.fixture(params=list(PROXIES))
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Live, int]]:
    """A receiver behind a proxy: its name, the receiver, the proxy's port.

    It takes larger bodies than the proxy, so that whoever refuses one is the proxy.
    """
    settings = {"api_token": TOKEN, "public_url": f"https://{PAGES}", "max_body": f"{8 * MAX_BODY}"}
    with live(tmp_path, OWN, {}, **settings) as receiver:
        upstream = int(receiver.url.rpartition(":")[2])
        with PROXIES[request.param](tmp_path, upstream) as port:
            yield request.param, receiver, port


def webhook(receiver: Live, execution: str, **more: Any) -> tuple[bytes, list[tuple[str, str]]]:
    body = client.asteroid_event("EXECUTION_STARTED", execution, **more)
    secret = "a-secret-of-sixteen-bytes"
    return body, signing.sign(receiver.verification, secret, body, message_id="", now=time.time())


def test_webhooks_and_links_pass_and_all_else_is_elsewhere(
    behind: tuple[str, Live, int],
) -> None:
    _, receiver, port = behind

    def get(host: str, path: str) -> Answer:
        return ask(port, to(host, path))

    # A signed webhook, with bytes that nobody may change.
    odd = '  {"pretty" : "ünïcode \\u00e9"}  '
    body, signature = webhook(receiver, "x-1", metadata={"note": odd})
    path = "/webhooks/asteroid"
    assert ask(port, to(HOOKS, path, body, signature)).status == 202
    assert ask(port, to(HOOKS, path, body, signature)).content["verdict"] == "duplicate"
    assert ask(port, to(HOOKS, path, body + b" ", signature)).status == 401
    # Webhooks on their host alone, and nothing else there.
    assert ask(port, to(PAGES, path, body, signature)).status == 404
    for other in ("/", "/api/ledger", "/metrics", "/openapi.json", "/take/x", "/healthz"):
        assert get(HOOKS, other).status == 404, other
    # A link in a message reaches the program, and so do the pages from here.
    own = int(receiver.url.rpartition(":")[2])
    link = "/take/no-such-link"
    assert get(PAGES, link).body == ask(own, to(PAGES, link)).body != b""
    assert get(PAGES, "/static/pico.css").status == 200
    assert get(PAGES, "/login").status == 200
    assert get(PAGES, "/api/ledger").status == 401
    bearer = [("Authorization", f"Bearer {TOKEN}")]
    ledger = ask(port, request(headers=[("Host", PAGES), *bearer], path="/api/ledger",
                               method="GET", host=False, length=False))  # fmt: skip
    assert ledger.content["accepted"] == 2


@pytest.mark.parametrize("name", list(PROXIES))
def test_a_client_cannot_say_who_it_is(tmp_path: Path, name: str) -> None:
    trusting: dict[str, Any] = {"user_header": "X-Remote-User", "trusted_proxies": "127.0.0.1"}
    named = [("Host", PAGES), ("X-Remote-User", "mallory"), ("x-remote-user", "trudy")]
    whole = [request(headers=[*named[:1], each], path="/api/ledger", method="GET",
                     host=False, length=False) for each in named[1:]]  # fmt: skip
    with live(
        tmp_path, OWN, api_token=TOKEN, public_url=f"https://{PAGES}", **trusting
    ) as receiver:
        upstream = int(receiver.url.rpartition(":")[2])
        # The receiver itself believes whoever speaks for the proxy; the proxy passes no name on.
        page = [each.replace(b"/api/ledger", b"/") for each in whole]
        assert [ask(upstream, each).status for each in page] == [200, 200]
        with PROXIES[name](tmp_path, upstream) as port:
            for each in [*whole, *page]:
                answer = ask(port, each)
                assert answer.status in (303, 401)
                assert b"mallory" not in answer.body
                assert b"trudy" not in answer.body


def test_from_outside_only_links_in_messages_open(tmp_path: Path) -> None:
    outside = {
        "caddy": ("remote_ip private_ranges", "remote_ip 10.0.0.0/8"),
        "nginx": ("        allow 127.0.0.0/8;\n", ""),
    }
    for name, run in PROXIES.items():
        folder = tmp_path / name
        folder.mkdir()
        with live(folder, OWN, api_token=TOKEN, public_url=f"https://{PAGES}") as receiver:
            upstream = int(receiver.url.rpartition(":")[2])
            with run(folder, upstream, outside[name]) as port:
                for path in ("/", "/login", "/api/ledger", "/metrics", "/healthz", "/openapi.json"):
                    answer = ask(port, to(PAGES, path))
                    assert answer.status in (403, 404), (name, path)
                    assert b"receiver" not in answer.body
                assert ask(port, to(PAGES, "/static/pico.css")).status == 200


def test_without_a_token_no_proxy_opens_anything_but_links(tmp_path: Path) -> None:
    host, marks = (
        "    proxy_set_header Host $host;\n",
        (
            "    proxy_set_header X-Forwarded-For $remote_addr;\n"
            "    proxy_set_header X-Forwarded-Proto $scheme;\n"
        ),
    )
    here = host.replace("$host", "localhost")
    # As shipped; with another Host; without any mark, in the version that nginx speaks by itself.
    cases: list[tuple[str, list[tuple[str, str]]]] = [
        ("caddy", []), ("nginx", []), ("nginx", [(host, here)]),
        ("nginx", [(host, here), (marks, ""), ("proxy_http_version 1.1;", "")]),
    ]  # fmt: skip
    with live(tmp_path, OWN, public_url=f"https://{PAGES}") as receiver:
        upstream = int(receiver.url.rpartition(":")[2])
        for number, (name, changes) in enumerate(cases):
            folder = tmp_path / str(number)
            folder.mkdir()
            with PROXIES[name](folder, upstream, *changes) as port:
                for path in ("/", "/api/ledger", "/metrics", "/openapi.json"):
                    answer = ask(port, to(PAGES, path))
                    assert (answer.status, b"RECEIVER_API_TOKEN" in answer.body) == (403, True)
                assert ask(port, to(PAGES, "/take/no-such-link")).status == 404
                assert ask(port, to(PAGES, "/static/pico.css")).status == 200


def test_a_large_body_is_refused_by_the_proxy_and_one_that_fits_is_not(
    behind: tuple[str, Live, int],
) -> None:
    _, receiver, port = behind
    path = "/webhooks/asteroid"
    fits, signature = webhook(receiver, "x-2", metadata={"filler": "x" * (MAX_BODY - 2_000)})
    assert ask(port, to(HOOKS, path, fits, signature)).status == 202
    large = b"x" * (MAX_BODY + 20_000)
    refused = ask(port, to(HOOKS, path, large, [("Content-Type", "application/json")]))
    assert refused.status == 413
    head = to(HOOKS, path, b"x", [("Transfer-Encoding", "chunked")]).partition(b"\r\n\r\n")[0]
    head = re.sub(rb"\r\nContent-Length: \d+", b"", head)
    answer = ask(port, head + b"\r\n\r\n", chunked(large, size=60_000))
    # Caddy has begun to pass it on, and says that this failed.
    assert answer.status in (413, 502)
    page = b"x" * 1_200_000
    assert ask(port, to(PAGES, "/api/backtest", page)).status == 413


class Upstream:
    """A server that keeps its connections, and says when the proxy closes the first of them."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.answered = self.closed = 0.0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection:
            connection.settimeout(20)
            received = b""
            while not received.endswith(b"{}"):
                received += connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            self.answered = time.monotonic()
            assert connection.recv(1) == b""
            self.closed = time.monotonic()

    def wait(self) -> float:
        """Return after how many seconds the proxy closed it."""
        self._thread.join(20)
        self._listening.close()
        return self.closed - self.answered


def test_the_proxy_closes_an_idle_connection_before_the_receiver_does(tmp_path: Path) -> None:
    written = {"caddy": "keepalive 60s", "nginx": "keepalive_timeout 60s"}
    keeps = Settings.model_fields["keep_alive"].default
    for name, how in written.items():
        folder = tmp_path / name
        folder.mkdir()
        upstream = Upstream()
        with PROXIES[name](folder, upstream.port, (how, how.replace("60s", "1s"))) as port:
            assert ask(port, to(HOOKS, "/webhooks/asteroid", b"{}", [])).status == 202
            # It is this line that says how long: 1 s here, 60 s as shipped.
            assert 0.5 < upstream.wait() < 10, name
        assert keeps >= 60 + 10


def test_nginx_limits_one_address_and_says_so_in_a_way_that_is_sent_again(tmp_path: Path) -> None:
    with live(tmp_path, OWN) as receiver:
        upstream = int(receiver.url.rpartition(":")[2])
        slower = ("rate=50r/s", "rate=1r/m"), ("burst=200", "burst=3")
        with PROXIES["nginx"](tmp_path, upstream, *slower) as port:
            statuses = []
            for number in range(6):
                body, signature = webhook(receiver, f"x-{number}")
                statuses.append(ask(port, to(HOOKS, "/webhooks/asteroid", body, signature)).status)
    assert statuses == [202] * 4 + [429] * 2


def test_nginx_limits_the_connections_of_one_address(tmp_path: Path) -> None:
    fewer = ("limit_conn connections 20", "limit_conn connections 2")
    with live(tmp_path, OWN) as receiver:
        upstream = int(receiver.url.rpartition(":")[2])
        with PROXIES["nginx"](tmp_path, upstream, fewer) as port:
            body, signature = webhook(receiver, "x")
            whole = to(HOOKS, "/webhooks/asteroid", body, signature)
            with wire(port) as one, wire(port) as two:
                one.send(whole[:-10])
                two.send(whole[:-10])
                deadline = time.monotonic() + 10
                while (third := ask(port, whole).status) != 429 and time.monotonic() < deadline:
                    pass
                assert third == 429
                one.send(whole[-10:])
                assert one.answer().status in (200, 202)


def test_while_nobody_listens_the_answer_is_one_after_which_senders_send_again(
    tmp_path: Path,
) -> None:
    for name, run in PROXIES.items():
        folder = tmp_path / name
        folder.mkdir()
        port = free_port()
        with run(folder, port) as before:
            whole = to(HOOKS, "/webhooks/asteroid", b"{}", [])
            assert ask(before, whole).status in (502, 503, 504), name
