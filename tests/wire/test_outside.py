"""Without a token only this machine is answered, though a proxy here is a loopback client, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live import Live, live
from tests.support.raw import Answer, ask, request
from tests.support.visited import ROUTES, TOKEN
from tests.wire.test_take import PUBLIC, waits

HOST = PUBLIC.removeprefix("https://")
# Each door: a page, the API, the metrics, the description, an act of the API, an act of a page.
READ = ("/", "/executions", "/help", "/login", "/api/executions", "/api/destinations",
        "/metrics", "/openapi.json")  # fmt: skip
ACTS = ("/api/reload", "/api/destinations/ops/test", "/act/test", "/login")
# What a proxy that rewrites the Host adds.
MARKS = (
    ("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-For", ""), ("x-forwarded-host", HOST),
    ("X-Forwarded-Proto", "https"), ("Forwarded", "for=203.0.113.7"), ("Via", "1.1 proxy"),
    ("X-Real-IP", "127.0.0.1"),
)  # fmt: skip
FORM = ("Content-Type", "application/x-www-form-urlencoded")


def get(
    receiver: Live, path: str, host: str = "localhost", *more: tuple[str, str], method: str = "GET"
) -> Answer:
    """Ask under a Host, with more headers."""
    headers = [("Host", host), *([FORM] if method == "POST" else []), *more]
    sent = request(path=path, method=method, headers=headers, host=False, length=method == "POST")
    return ask(port_of(receiver), sent)


def port_of(receiver: Live) -> int:
    return int(receiver.url.rpartition(":")[2])


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with a public address on loopback, and nothing that says who may ask."""
    with live(tmp_path_factory.mktemp("outside"), ROUTES, public_url=PUBLIC) as served:
        yield served


@pytest.mark.parametrize("host", [HOST, f"{HOST}:443", HOST.upper()])
def test_under_the_public_host_every_door_is_closed_and_says_what_to_do(
    receiver: Live, host: str
) -> None:
    for path, method in [*((p, "GET") for p in READ), *((p, "POST") for p in ACTS)]:
        answer = get(receiver, path, host, method=method)
        assert (answer.status, b"Set RECEIVER_API_TOKEN" in answer.body) == (403, True), path
        # A bearer is worth nothing where no token is set.
        bearer = ("Authorization", "Bearer ")
        assert get(receiver, path, host, bearer, method=method).status == 403, path


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: f"{mark[0]}-{mark[1]}")
def test_what_a_proxy_passes_on_is_refused_under_a_loopback_host_too(
    receiver: Live, mark: tuple[str, str]
) -> None:
    for path, method in [*((p, "GET") for p in READ), *((p, "POST") for p in ACTS)]:
        answer = get(receiver, path, "127.0.0.1", mark, method=method)
        assert (answer.status, b"Set RECEIVER_API_TOKEN" in answer.body) == (403, True), path


def test_http_1_0_is_how_a_proxy_speaks_that_names_nobody(receiver: Live) -> None:
    for path in READ:
        sent = request(path=path, method="GET", length=False).replace(b"HTTP/1.1", b"HTTP/1.0")
        assert ask(port_of(receiver), sent).status == 403, path


def test_this_machine_is_answered_as_ever(receiver: Live) -> None:
    port = port_of(receiver)
    for host in ("localhost", f"localhost:{port}", "127.0.0.1", f"127.0.0.1:{port}", "LocalHost"):
        for path in READ:
            assert get(receiver, path, host).status == (303 if path == "/login" else 200), path
        assert get(receiver, "/api/reload", host, method="POST").status == 200
    for host in ("evil.example", f"{HOST}.evil.example", "", "127.0.0.1.evil.example"):
        assert get(receiver, "/api/ledger", host).status == 421
        assert get(receiver, "/", host).status == 421


def test_links_webhooks_health_and_files_stay_open(receiver: Live) -> None:
    link = waits(receiver, "open")
    for mark in ((), MARKS[0]):
        more = [mark] if mark else []
        for path in (link, "/healthz", "/readyz", "/static/pico.css"):
            assert get(receiver, path, HOST, *more).status == 200, path
        headers = [("Host", HOST), ("Content-Type", "application/json"), *more]
        unsigned = ask(port_of(receiver), request(b"{}", headers, host=False))
        assert unsigned.status == 401  # by its signature: 403 is not for senders


def test_a_token_opens_the_same_doors_from_anywhere(tmp_path: Path) -> None:
    with live(tmp_path, ROUTES, public_url=PUBLIC, api_token=TOKEN) as receiver:
        bearer = ("Authorization", f"Bearer {TOKEN}")
        for path in READ:
            expected = 303 if path == "/login" else 200
            assert get(receiver, path, HOST, MARKS[0], bearer).status == expected, path
            assert get(receiver, path, "127.0.0.1", MARKS[0], bearer).status == expected, path
        assert get(receiver, "/", HOST, MARKS[0]).status == 303  # to sign in
        assert get(receiver, "/login", HOST, MARKS[0]).status == 200
        assert get(receiver, "/api/ledger", HOST, MARKS[0]).status == 401


@pytest.mark.parametrize(
    ("proxies", "status"), [("127.0.0.1", 200), ("10.0.0.0/8", 401)], ids=["trusted", "other"]
)
def test_a_trusted_proxy_opens_the_pages_to_whom_it_names_and_nothing_else(
    tmp_path: Path, proxies: str, status: int
) -> None:
    named = {"public_url": PUBLIC, "user_header": "X-User", "trusted_proxies": proxies}
    with live(tmp_path, ROUTES, None, **named) as receiver:
        user = ("X-User", "Ann")
        for host in (HOST, "127.0.0.1"):
            for path in ("/", "/executions", "/help"):
                assert get(receiver, path, host, MARKS[0], user).status == status, path
                assert get(receiver, path, host, MARKS[0]).status == 401, path
            for path in ("/api/executions", "/metrics", "/openapi.json"):
                answer = get(receiver, path, host, MARKS[0], user)
                assert (answer.status, b"Set RECEIVER_API_TOKEN" in answer.body) == (403, True)
        assert get(receiver, "/api/ledger").status == 200


def test_a_public_address_that_is_loopback_itself_is_this_machine(tmp_path: Path) -> None:
    with live(tmp_path, ROUTES, public_url="http://[::1]:8000") as receiver:
        for path in READ:
            assert get(receiver, path, "[::1]:8000").status in (200, 303), path
            assert get(receiver, path, "[::1]:8000", MARKS[0]).status == 403, path
