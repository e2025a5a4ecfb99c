"""The short ways through Apprise and `requests`: the same bytes on the wire as their own ways."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from receiver.deliveries import Message, Outcome, Severity
from receiver.destinations import sending
from receiver.destinations.apprise import clients, plugin, sessions, short_way
from receiver.destinations.apprise.recorder import AttemptRecorder
from receiver.destinations.destination import Destination
from tests.support.loopback import Visit, raw
from tests.support.plugins import ADDRESSES, yes_of
from tests.support.standin import StandIn, standing_in

# JSON, XML, forms, files, logins in the address, in a header and by a request before, PUT and GET.
PLUGINS = (
    "JSON", "XML", "Form", "GoogleChat", "Discord", "Telegram", "PagerDuty", "Pushover", "Gotify",
    "Mattermost", "Twilio", "Ntfy", "Zulip", "Matrix", "Mailgun", "Opsgenie", "FreeMobile",
)  # fmt: skip
# It hands on what the short way does not know.
THE_LONG_WAY = {"Matrix"}
MESSAGE = Message(
    "Invoice agent failed: the ledger refused", "It has ended after 4 minutes.\nReason: €, ü.",
    severity=Severity.FAILURE,
)  # fmt: skip
# The border between the parts of a form, and ids.
RANDOM = re.compile(rb"[0-9a-f]{32}")
_numbers = count()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with standing_in(tmp_path_factory.mktemp("services")) as stand_in:
        yield stand_in


def taken(service: StandIn, name: str) -> list[tuple[str, str, str, dict[str, str], bytes]]:
    """The requests of a plugin for a message, as they arrived."""
    service.asked.clear()
    service.answer(lambda asked: yes_of(name, asked))
    destination = Destination(f"short-{next(_numbers)}", ADDRESSES[name], timeout=20)
    attempt = sending.send(destination, MESSAGE)
    assert attempt.outcome is Outcome.DELIVERED, attempt
    return [
        (
            each.method, each.host, RANDOM.sub(b"-", each.path.encode()).decode(),
            {k: RANDOM.sub(b"-", v.encode()).decode() for k, v in each.headers.items()},
            RANDOM.sub(b"-", each.body),
        )
        for each in service.asked
    ]  # fmt: skip


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_sends_the_same(
    service: StandIn, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ways: list[bool] = []
    possible = short_way.is_possible

    def is_possible(url: Any, named: Mapping[str, Any]) -> bool:
        ways.append(possible(url, named))
        return ways[-1]

    with monkeypatch.context() as patched:
        patched.setattr(short_way, "is_possible", lambda url, named: False)
        patched.setattr(plugin, "way_of", lambda client: client.notify)
        by_the_long = taken(service, name)
    monkeypatch.setattr(short_way, "is_possible", is_possible)
    assert taken(service, name) == by_the_long
    assert any(ways) or name in THE_LONG_WAY


def upload() -> dict[str, Any]:
    return {"files": {"file": ("a.txt", b"text", "text/plain")}, "data": {"name": "value"}}


CASES: Mapping[str, Callable[[], tuple[str, str, dict[str, Any]]]] = {
    "GET with parameters": lambda: ("GET", "/a?b=c", {"params": {"d": ["e", "ü"], "f": None}}),
    "a form": lambda: ("POST", "/", {"data": [("a", "1"), ("a", "2")]}),
    "JSON": lambda: ("put", "/", {"json": {"a": "ü"}}),
    "empty": lambda: ("POST", "/", {"data": None, "headers": None}),
    "bytes": lambda: ("POST", "/", {"data": b"\x00\xff", "headers": {"content-type": "x/y"}}),
    "files": lambda: ("POST", "/", upload()),
    "a large file": lambda: ("POST", "/", {"files": {"file": ("a.txt", b"text" * 50_000)}}),
    "a login": lambda: ("POST", "/", {"auth": ("ann", "ü"), "data": "x"}),
    "a login in the address": lambda: ("POST", "ann:%C3%BC%40@/", {"data": "x"}),
    "a header that is left out": lambda: ("POST", "/", {"headers": {"accept": None, "X": "1"}}),
    "cookies": lambda: ("POST", "/", {"cookies": {"a": "b"}}),
    "what is not followed": lambda: ("POST", "/", {"allow_redirects": False}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_request_is_the_same(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    seen: list[bytes] = []

    def answer(visit: Visit) -> None:
        while True:
            seen.append(RANDOM.sub(b"-", visit.read_request()))
            visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: c=d\r\n\r\nok")

    clients.library()
    import requests

    with raw(answer) as (port, _), AttemptRecorder(10):
        for is_possible in (lambda url, named: False, short_way.is_possible):
            monkeypatch.setattr(short_way, "is_possible", is_possible)
            method, path, named = CASES[name]()
            login, at, path = path.rpartition("@")
            url = f"http://{login}{at}127.0.0.1:{port}{path}"
            response = requests.request(method, url, timeout=5, **named)
            assert (response.status_code, response.text, response.history) == (200, "ok", [])
            assert response.cookies == {"c": "d"}
        session = sessions.thread_session()
        assert session is not None
        session.close()
    assert len(seen) == 2
    assert seen[0] == seen[1]


def test_a_login_in_two_steps_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digest: the answer to the first request says how to ask again."""
    asks = (
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n"
        b'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth", algorithm=MD5\r\n\r\n'
    )

    def answer(visit: Visit) -> None:
        while request := visit.read_request():
            yes = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            visit.say(yes if b'Digest username="ann"' in request else asks)

    clients.library()
    import requests

    with raw(answer) as (port, _), AttemptRecorder(10) as record:
        auth = requests.auth.HTTPDigestAuth("ann", "secret")
        response = requests.post(f"http://127.0.0.1:{port}/", data="x", auth=auth, timeout=5)
        assert (response.status_code, len(response.history)) == (200, 1)
        assert [each.status for each in record.exchanges] == [401, 200]


def test_a_proxy_and_trusted_certificates_of_the_environment_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[bytes] = []

    def answer(visit: Visit) -> None:
        while True:
            seen.append(visit.read_request())
            visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    clients.library()
    import requests

    with raw(answer) as (port, _), AttemptRecorder(10):
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.delenv("no_proxy", raising=False)
        requests.post("http://notify-short.example.org/path", data="x", timeout=5)
    assert seen[0].startswith(b"POST http://notify-short.example.org/path HTTP/1.1\r\n")
    session = requests.Session()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "bundle.pem")
    assert short_way.verified_by(session, None) == "bundle.pem"
    assert short_way.verified_by(session, True) == "bundle.pem"
    assert short_way.verified_by(session, False) is False
    assert short_way.verified_by(session, "other.pem") == "other.pem"
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    assert short_way.verified_by(session, None) is True
