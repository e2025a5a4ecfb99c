"""Requests that are refused or go astray: counted by cause, and the log says where they went."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from receiver.cli import client
from receiver.metrics import REFUSALS
from receiver.sources import signing
from tests.support.live import PRIVATE, ROUTES, Live, live
from tests.support.raw import ask, chunked, request, wire

PARSERS = ["h11", "httptools"]


def port_of(receiver: Live) -> int:
    return int(receiver.url.rpartition(":")[2])


def counted(receiver: Live) -> Counter[str]:
    """Return how many refusals of each cause /metrics shows."""
    sent = request(method="GET", path="/metrics", length=False)
    text = ask(port_of(receiver), sent).body.decode()
    samples = re.findall(r'^receiver_refused_total\{cause="(\w+)"\} (\d+)$', text, re.M)
    assert {cause for cause, _ in samples} == set(REFUSALS)
    return Counter({cause: int(number) for cause, number in samples if number != "0"})


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "receiver.refused"]


@pytest.mark.parametrize(
    ("path", "cause", "shown"),
    [
        ("/webhooks/asteroid/", "address", "path=/webhooks/asteroid/ meant=/webhooks/asteroid"),
        (
            "/receiver/webhooks/asteroid",
            "address",
            "path=/receiver/webhooks/asteroid meant=/webhooks/asteroid",
        ),
        ("/webhook/asteroid", "address", "path=/webhook/asteroid meant=/webhooks/asteroid"),
        ("/webhooks/asteroid%2Fx", "address", "path=/webhooks/asteroid/x meant=/webhooks/asteroid"),
        ("/webhooks", "address", "path=/webhooks"),
        ("/webhooks/", "address", "path=/webhooks/"),
        ("/", "method", "path=/"),  # there is a page
        ("/api/nothing", "not_found", "path=/api/nothing"),
        ("/healthz", "method", "path=/healthz"),
        (
            "/webhooks/asteriod",
            "unknown_source",
            "path=/webhooks/asteriod meant=/webhooks/asteroid",
        ),
        (
            "/webhooks/%0d%0aforged%20x=1?t=s3cret",
            "unknown_source",
            "path=/webhooks/??forged?x=***",
        ),
    ],
)
def test_a_webhook_that_finds_nothing_is_counted_and_its_path_is_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str, cause: str, shown: str
) -> None:
    with live(tmp_path) as receiver:
        for _ in range(3):
            body = client.asteroid_event("EXECUTION_STARTED", "x")
            assert ask(port_of(receiver), request(body, path=path)).status in (404, 405)
        assert counted(receiver) == {cause: 3}
        assert receiver.store.ledger()["accepted"] == 0
    # The first at once, and at the end what waits for its minute.
    assert lines(caplog) == [f"webhook.refused cause={cause} {shown} count={n}" for n in (1, 2)]


def test_who_looks_at_an_address_without_sending_anything_is_not_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with live(tmp_path) as receiver:
        for path in ("/nothing", "/webhook/asteroid", "/favicon.ico"):
            assert receiver.ask(path)[0] == 404
        assert counted(receiver) == {}
    assert lines(caplog) == []


@pytest.mark.parametrize("parser", PARSERS)
def test_each_refusal_of_a_known_source_has_its_cause_and_its_path(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, parser: str
) -> None:
    if parser == "httptools":
        pytest.importorskip("httptools")
    verify = '    verify: {scheme: rsa-sha256, keys: ["${PUBLIC}"]}\n'
    routes = ROUTES.replace("destinations:", f"  rare:\n    rate: 1/d\n{verify}destinations:")
    with live(tmp_path, routes, http=parser, body_timeout="0.3") as receiver:
        port = port_of(receiver)

        def signed(body: bytes, *more: tuple[str, str], source: str = "asteroid") -> bytes:
            how = signing.sign(receiver.verification, PRIVATE, body, message_id="", now=0)
            return request(body, [*how, *more], path=f"/webhooks/{source}")

        good = client.asteroid_event("EXECUTION_STARTED", "x")
        assert ask(port, request(method="GET", length=False)).status == 405
        assert ask(port, request(good, method="PUT")).status == 405
        assert ask(port, request(b" " * 300_000)).status == 413
        head = request(b"", [("Transfer-Encoding", "chunked")], length=False)
        assert ask(port, head, chunked(b" " * 300_000, size=5_000)).status == 413
        assert ask(port, signed(good, ("Content-Type", "text/plain"))).status == 415
        assert ask(port, signed(good, ("Content-Encoding", "gzip"))).status == 415
        assert ask(port, signed(b"{")).status == 400
        assert ask(port, signed(b'{"event_id": 1, "info": {}}')).status == 422
        assert ask(port, signed(good, source="rare")).status == 202
        assert ask(port, signed(good, source="rare")).status == 429
        with wire(port) as connection:
            connection.send(request(b"", [("Content-Length", "10")], length=False) + b"{")
            assert connection.answer().status == 408
        assert ask(port, request(b"", [("X", "v" * 17_000)])).status == 431
        assert counted(receiver) == {
            "method": 2, "too_large": 2, "media_type": 2, "not_json": 1, "not_envelope": 1,
            "rate": 1, "slow": 1, "headers": 1,
        }  # fmt: skip
    path = "path=/webhooks/asteroid count=1"
    # Of two refusals for one cause the second has its line at the end.
    twice = ("media_type", "method", "too_large")
    assert sorted(lines(caplog)) == [
        "connection.refused cause=headers count=1",
        f"connection.refused cause=slow {path}",
        *(
            f"webhook.refused source=asteroid cause={cause} {path}"
            for cause in sorted([*twice, *twice, "not_envelope", "not_json"])
        ),
        "webhook.refused source=rare cause=rate path=/webhooks/rare count=1",
    ]


def test_no_secret_in_a_path_is_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token, header, key = "an-api-token-in-words", "a-header-secret-in-words", "a-key-in-words-alone"
    routes = (
        "sources:\n  other:\n    format: plain\n    verify: {scheme: token, header: X,"
        f" keys: ['{key}'], secret_header: {{name: Y, value: '{header}'}}}}\n"
    )
    with live(tmp_path, routes, api_token=token) as receiver:
        for secret in (token, header, key, "0123456789abcdef0123"):
            for path in (f"/{secret}", f"/webhooks/{secret}", f"/hooks/other/{secret}",
                         f"/webhooks/other?key={secret}"):  # fmt: skip
                ask(port_of(receiver), request(b"{}", path=path))
    assert len(lines(caplog)) >= 3
    for line in lines(caplog):
        assert not any(s in line for s in (token, header, key, "0123456789abcdef0123"))
