"""`receiver send`: where its secrets go, and where they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from receiver.cli import client
from receiver.errors import ReceiverError
from tests.support.commands import run
from tests.support.live import PRIVATE, PUBLIC, free_port, live
from tests.support.loopback import Visit, raw

SECRET = "a-secret-of-more-than-16-bytes"
WITH_SECRET = """\
sources:
  asteroid:
    verify:
      scheme: rsa-sha256
      keys: ["${PUBLIC}"]
      secret_header: {name: X-Receiver-Secret, value: "${SECRET}"}
"""
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
VARIABLES = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
SEND = ("send", "--source", "asteroid", "--event", "EXECUTION_FAILED", "--execution", "x",
        "--key", "key.pem")  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "key.pem").write_text(PRIVATE)
    return tmp_path


def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def answer_ok(visit: Visit) -> None:
    visit.read_request()
    visit.say(ANSWER)


def test_send_and_demo_reach_this_machine_without_the_proxy_of_the_environment(
    folder: Path,
) -> None:
    with raw(answer_ok) as (port, visits), live(folder, WITH_SECRET, {"SECRET": SECRET}) as served:
        environ: dict[str, Any] = dict.fromkeys(VARIABLES, f"http://127.0.0.1:{port}")
        environ |= {"PUBLIC": PUBLIC, "SECRET": SECRET, "no_proxy": "", "NO_PROXY": ""}
        sent = run(folder, *SEND, "--url", served.url, **environ)
        shown = run(folder, "demo", "--exit", **environ)
    assert (sent.returncode, b'"verdict": "applied"' in sent.stdout) == (0, True), sent.stderr
    assert shown.returncode == 0, shown.stderr
    assert visits == []


def test_no_spelling_of_this_machine_goes_through_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_proxies(monkeypatch)
    with raw(answer_ok) as (port, visits), live(tmp_path) as served:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("all_proxy", f"http://127.0.0.1:{port}")
        for host in ("127.0.0.1", "localhost", "LOCALHOST", "127.1", "2130706433", "0.0.0.0",
                     "[::ffff:127.0.0.1]"):  # fmt: skip
            url = f"http://{host}:{urlsplit(served.url).port}/webhooks/asteroid"
            assert client.post_raw(url, b"{}", {"X-Receiver-Secret": SECRET})[0] == 401
            assert visits == [], host


def test_another_machine_is_still_reached_through_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_proxies(monkeypatch)
    requests: list[bytes] = []

    def note(visit: Visit) -> None:
        requests.append(visit.read_request())
        visit.say(ANSWER)

    with raw(note) as (port, _):
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        assert client.post_raw("http://receiver.invalid/webhooks/a", b"{}", {})[0] == 200
    assert requests[0].startswith(b"POST http://receiver.invalid/webhooks/a HTTP/1.1")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_the_answer_and_takes_no_secret_along(status: int) -> None:
    with raw(answer_ok) as (other, visits):

        def redirect(visit: Visit) -> None:
            visit.read_request()
            location = f"location: http://127.0.0.1:{other}/\r\n"
            visit.say(f"HTTP/1.1 {status} X\r\n{location}content-length: 0\r\n\r\n".encode())

        with raw(redirect) as (port, _):
            url = f"http://127.0.0.1:{port}/webhooks/asteroid"
            assert client.post_raw(url, b"{}", {"X-Receiver-Secret": SECRET}) == (status, {})
    assert visits == []


@pytest.mark.parametrize(
    "url", ["ftp://h/", "file:///etc/hostname", "h:8000", "http://", "http://h:x/", "http://h:0",
            "http://me:pa55word@127.0.0.1/", "http://127.0.0.1/?token=pa55word", "http://[::1",
            "http://127.0.0.1/\n", ""],
)  # fmt: skip
def test_an_address_that_cannot_be_meant_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ReceiverError, match="--url") as caught:
        client.post_raw(url, b"{}", {})
    assert "pa55word" not in str(caught.value)


def test_an_answer_that_is_no_http_is_told_without_a_traceback(folder: Path) -> None:
    def nonsense(visit: Visit) -> None:
        visit.read_request()
        visit.say(b"220 mail.example.org ESMTP\r\n")

    (folder / "routes.yaml").write_text(WITH_SECRET)
    with raw(nonsense) as (port, _):
        url = f"http://127.0.0.1:{port}"
        done = run(folder, *SEND, "--url", url, PUBLIC=PUBLIC, SECRET=SECRET)
    assert (done.returncode, b"receiver serve" in done.stderr) == (1, True)
    assert b"Traceback" not in done.stderr
    assert SECRET.encode() not in done.stderr
    gone = run(folder, *SEND, "--url", f"http://127.0.0.1:{free_port()}", PUBLIC=PUBLIC,
               SECRET=SECRET)  # fmt: skip
    assert (gone.returncode, SECRET.encode() in gone.stderr) == (1, False)


def test_a_secret_beyond_ascii_arrives_as_it_was_configured(folder: Path) -> None:
    secret = "ein-schlüssel-mit-umlauten-€"
    with live(folder, WITH_SECRET, {"SECRET": secret}) as served:
        done = run(folder, *SEND, "--url", served.url, PUBLIC=PUBLIC, SECRET=secret)
    assert done.returncode == 0, done.stderr


def test_the_whole_address_of_a_source_is_an_address_too(folder: Path) -> None:
    with live(folder, WITH_SECRET, {"SECRET": SECRET}) as served:
        url = f"{served.url}/webhooks/asteroid"
        done = run(folder, *SEND, "--url", url, PUBLIC=PUBLIC, SECRET=SECRET)
    assert (done.returncode, b'"verdict": "applied"' in done.stdout) == (0, True), done.stderr
