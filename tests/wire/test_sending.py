"""Destinations on loopback with the real plugins: what arrives, and what is said when it fails."""

from __future__ import annotations

import base64
import os
import re
import socket
import subprocess
import sys
import threading
import time
from email import message_from_bytes
from email.header import decode_header, make_header
from email.utils import formatdate
from pathlib import Path
from uuid import uuid4

import pytest
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.slack import NotifySlack
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from receiver.deliveries import Message, Outcome, Severity
from receiver.destinations.destination import Destination
from receiver.destinations.sending import problems, send, warnings
from tests.support.live import free_port
from tests.support.loopback import Mail, mail_server, raw

MESSAGE = Message("Agent <!channel> failed", "It has ended.\nReason: @everyone")


def json_to(port: int, path: str = "", timeout: float = 10.0) -> Destination:
    return Destination("ops", f"json://127.0.0.1:{port}/{path}", timeout=timeout)


@pytest.mark.parametrize(
    ("status", "outcome", "permanent"),
    [
        (200, Outcome.DELIVERED, False), (204, Outcome.DELIVERED, False),
        (400, Outcome.FAILED, True), (401, Outcome.FAILED, True), (403, Outcome.FAILED, True),
        (404, Outcome.FAILED, True), (429, Outcome.FAILED, False), (500, Outcome.FAILED, False),
        (503, Outcome.FAILED, False), (402, Outcome.FAILED, True), (408, Outcome.FAILED, False),
        (409, Outcome.FAILED, False), (422, Outcome.FAILED, True), (423, Outcome.FAILED, False),
        (451, Outcome.FAILED, True), (501, Outcome.FAILED, True), (505, Outcome.FAILED, True),
    ],
)  # fmt: skip
def test_the_answer_of_a_destination_is_understood(
    httpserver: HTTPServer, status: int, outcome: Outcome, permanent: bool
) -> None:
    httpserver.expect_request("/").respond_with_data("", status)
    attempt = send(json_to(httpserver.port), MESSAGE)
    assert (attempt.outcome, attempt.permanent) == (outcome, permanent)
    if outcome is Outcome.FAILED:
        assert str(status) in attempt.detail
    assert len(httpserver.log) == 1


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(400, False), (401, False), (403, False), (404, False), (413, False), (429, False),
     (503, False), (501, True), (505, True)],
)  # fmt: skip
def test_a_refusal_that_says_when_to_come_back_is_for_now(
    httpserver: HTTPServer, status: int, permanent: bool
) -> None:
    httpserver.expect_request("/").respond_with_data("", status, {"Retry-After": "7"})
    attempt = send(json_to(httpserver.port), MESSAGE)
    assert (attempt.outcome, attempt.permanent) == (Outcome.FAILED, permanent)
    assert attempt.retry_after == 7


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("query", ["redirect=no", "redirect=yes"])
def test_a_redirect_is_not_followed(httpserver: HTTPServer, status: int, query: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as target:
        elsewhere = {"Location": f"http://127.0.0.1:{target.getsockname()[1]}/"}
        httpserver.expect_request("/").respond_with_data("", status, elsewhere)
        attempt = send(json_to(httpserver.port, f"?{query}"), MESSAGE)
        target.settimeout(0)
        with pytest.raises(BlockingIOError):
            target.accept()
    assert attempt.outcome is Outcome.FAILED
    assert "redirects are not followed" in attempt.detail
    assert len(httpserver.log) == 1


def test_a_refused_connection_failed_and_may_be_tried_again() -> None:
    attempt = send(json_to(free_port()), MESSAGE)
    assert (attempt.outcome, attempt.permanent) == (Outcome.FAILED, False)
    assert "onnection" in attempt.detail


@pytest.mark.parametrize("status", [429, 503])
def test_when_to_come_back_is_said_in_seconds_or_as_a_date_or_not(
    httpserver: HTTPServer, status: int
) -> None:
    date = formatdate(time.time() + 90, usegmt=True)
    for value, least, most in ((date, 80, 90), ("120", 120, 120)):
        httpserver.clear()
        httpserver.expect_request("/").respond_with_data("", status, {"Retry-After": value})
        waits = send(json_to(httpserver.port), MESSAGE).retry_after
        assert waits is not None
        assert least <= waits <= most
    httpserver.clear()
    httpserver.expect_request("/").respond_with_data("", status)
    assert send(json_to(httpserver.port), MESSAGE).retry_after is None


SLACK = "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


@pytest.mark.parametrize(
    ("status", "answer", "outcome", "permanent", "detail"),
    [
        (200, "ok", Outcome.DELIVERED, False, ""),
        (200, "OK", Outcome.FAILED, False, "HTTP 200 OK: OK"),
        (200, "no_service", Outcome.FAILED, True, "HTTP 200 OK: no_service"),
        (403, "invalid_token", Outcome.FAILED, True, "HTTP 403 Forbidden: invalid_token"),
        (404, "channel_not_found", Outcome.FAILED, True, "HTTP 404 Not Found: channel_not_found"),
        (410, "channel_is_archived", Outcome.FAILED, True, "HTTP 410 Gone: channel_is_archived"),
        (429, "rate_limited", Outcome.FAILED, False, "HTTP 429 Too Many Requests: rate_limited"),
        (500, "rollup_error", Outcome.FAILED, False,
         "HTTP 500 Internal Server Error: rollup_error"),
        (200, "restricted_action", Outcome.FAILED, True, "HTTP 200 OK: restricted_action"),
        (200, "team_disabled", Outcome.FAILED, True, "HTTP 200 OK: team_disabled"),
        (200, "fatal_error", Outcome.FAILED, False, "HTTP 200 OK: fatal_error"),
    ],
)  # fmt: skip
def test_what_slack_says_is_understood(
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    answer: str,
    outcome: Outcome,
    permanent: bool,
    detail: str,
) -> None:
    monkeypatch.setattr(NotifySlack, "webhook_url", httpserver.url_for("/services"))
    httpserver.expect_request(f"/services/{SLACK}").respond_with_data(answer, status)
    attempt = send(Destination("ops", f"slack://{SLACK}"), MESSAGE)
    assert (attempt.outcome, attempt.permanent, attempt.detail) == (outcome, permanent, detail)
    assert len(httpserver.log) == 1


@pytest.mark.parametrize(
    ("error", "permanent"),
    [("is_archived", True), ("not_in_channel", True), ("ratelimited", False),
     ("service_unavailable", False), ("internal_error", False)],
)  # fmt: skip
def test_what_slack_says_to_a_bot_is_understood(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, error: str, permanent: bool
) -> None:
    monkeypatch.setattr(NotifySlack, "api_url", httpserver.url_for("/api/{}"))
    httpserver.expect_request("/api/chat.postMessage").respond_with_json(
        {"ok": False, "error": error}
    )
    attempt = send(Destination("ops", "slack://xoxb-1234-1234-abc124/#ops"), MESSAGE)
    assert (attempt.outcome, attempt.permanent) == (Outcome.FAILED, permanent)
    assert attempt.detail == f"HTTP 200 OK: {error}"


@pytest.mark.parametrize(
    "url",
    [
        "wxteams://NmQ0ZGM2ZjctYjZkNC00ZGM2LTk2YjctNGRjNmQ2YzVk", "ntfys://host?mode=private",
        "mmost://127.0.0.1:1/abcdefghijklmnopqrstuvwxyz?mode=bot",
    ],
)  # fmt: skip
def test_what_fails_here_without_a_request_is_dead_at_once_and_says_so(url: str) -> None:
    attempt = send(Destination("ops", url), MESSAGE)
    assert (attempt.outcome, attempt.permanent) == (Outcome.FAILED, True)
    assert attempt.detail.startswith("nothing was sent: ")
    assert " to notify" in attempt.detail


@pytest.mark.parametrize(
    "more", ["%D0%B8%D0%BC%D1%8F:word@127.0.0.1:{}/", "127.0.0.1:{}/?+X-Key=%D0%B8%D0%BC%D1%8F"]
)
def test_a_letter_that_http_cannot_carry_is_dead_at_once(more: str, httpserver: HTTPServer) -> None:
    url = "json://" + more.format(httpserver.port)
    attempt = send(Destination("ops", url), MESSAGE)
    assert (attempt.outcome, attempt.permanent) == (Outcome.FAILED, True)
    assert "a letter that HTTP cannot carry" in attempt.detail
    assert httpserver.log == []


@pytest.mark.parametrize("url", ["console://", "json://127.0.0.1:1/\udcff?-k=\udcff", "x\udcff"])
def test_whatever_fails_while_sending_is_an_attempt_with_an_outcome(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(str):
        __slots__ = ()

        def splitlines(self, keepends: bool = False) -> list[str]:
            raise RuntimeError("canary://word")

    message = Message("title", Broken("body"))
    attempt = send(Destination("ops", url, timeout=5), message)
    assert attempt.outcome is Outcome.FAILED
    assert attempt.detail


@pytest.mark.parametrize(
    ("kind", "answer", "detail"),
    [
        ("application/json", '{"message": "Unknown Webhook", "code": 10015, "token": "s3"}',
         "HTTP 400 Bad Request: Unknown Webhook"),
        ("application/json", '{"access_token": "s3"}', "HTTP 400 Bad Request"),
        ("text/html", "<h1>s3</h1>", "HTTP 400 Bad Request"),
        ("text/plain", "s3 " * 200, "HTTP 400 Bad Request"),
        ("text/plain", "a\r\n\x1b[31mb\u202e", "HTTP 400 Bad Request: a [31mb"),
    ],
)  # fmt: skip
def test_of_an_answer_only_what_it_says_to_people_is_told(
    httpserver: HTTPServer, kind: str, answer: str, detail: str
) -> None:
    httpserver.expect_request("/").respond_with_data(answer, 400, content_type=kind)
    assert send(json_to(httpserver.port), MESSAGE).detail == detail


SEND_ALL = """\
import sys
from receiver import logs
from receiver.deliveries import Message
from receiver.destinations import sending
from receiver.destinations.destination import Destination
logs.configure("text", "debug")
for url in sys.argv[1:]:
    attempt = sending.send(Destination("ops", url), Message("title", "body"))
    print(attempt.outcome, attempt.detail)
"""


def test_no_secret_is_in_a_detail_or_in_the_log_at_any_level(httpserver: HTTPServer) -> None:
    def echo(request: Request) -> Response:
        """As a destination does that repeats what it was asked."""
        return Response(f"{request.url} {dict(request.headers)}"[-290:], 500)

    httpserver.expect_request(re.compile("/.*")).respond_with_handler(echo)
    port, free = httpserver.port, free_port()
    with raw(lambda visit: None) as (closing, _):
        urls = [
            f"json://canary-user:canary-word@127.0.0.1:{port}/canary-path?+X-Key=canary-key",
            f"json://127.0.0.1:{port}/canary%2Dpath/?+X-Key=canary%2Bk%20y&-query=canary%26q",
            f"xml://canary-user:canary%40word@127.0.0.1:{port}/?+Cookie=canary-cookie",
            f"form://127.0.0.1:{port}/canary-path?-key=canary-key",
            f"jsons://canary-user:canary-word@127.0.0.1:{port}/canary-path?verify=no",
            f"json://canary-user:canary-word@127.0.0.1:{free}/canary-path",
            f"json://canary-user:canary-word@127.0.0.1:{closing}/canary-path",
            f"mmost://canary-bot@127.0.0.1:{port}/canary0000000000canary?channel=canary",
            f"gotify://127.0.0.1:{port}/canary-path/canary-token",
            f"mailto://canary-user:canary-word@127.0.0.1:{free}?from=a@b.org&to=canary@d.org",
            f"mailtos://canary-user:canary-word@127.0.0.1:{closing}?from=a@b.org&to=c@d.org",
            "slack://canary-one/canary-two/canary-three/#canary-four",
            "canary://canary-word", "canary", "json://canary-host?attach=canary-file",
            "json://127.0.0.1/canary?canary-alone", "json://127.0.0.1/?canary=canary-value",
        ]  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-W", "always", "-c", SEND_ALL, *urls], capture_output=True,
            timeout=60, check=True, cwd=Path(__file__).parents[2],
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
        )  # fmt: skip
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(urls)
    assert {line.partition(" ")[0] for line in lines} <= {"failed", "uncertain"}
    assert sum("HTTP 500 Internal Server Error: " in line for line in lines) == 6
    assert b"canary" not in (done.stdout + done.stderr).lower()
    for word in (
        b"canary-user:canary-word",
        b"canary-user",
        b"canary-word",
        b"canary-user:canary@word",
    ):
        assert base64.b64encode(word).rstrip(b"=")[:-1] not in done.stdout + done.stderr


def test_no_login_comes_from_a_file_of_this_machine(
    httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login canary password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    httpserver.expect_request("/").respond_with_data("")
    assert send(json_to(httpserver.port), MESSAGE).outcome is Outcome.DELIVERED
    assert "Authorization" not in httpserver.log[0][0].headers


def test_several_threads_may_send_at_once(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("")
    outcomes: list[Outcome] = []

    def one(number: int) -> None:
        destination = Destination(f"d{number}", f"json://127.0.0.1:{httpserver.port}/?-a={number}")
        outcomes.append(send(destination, MESSAGE).outcome)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [Outcome.DELIVERED] * 8


def test_the_console_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert send(Destination("ops", "console://"), MESSAGE).outcome is Outcome.DELIVERED
    assert "│ Reason: @everyone" in capsys.readouterr().out


def test_a_url_that_nobody_understands_is_a_problem_that_does_not_show_it() -> None:
    for url in ("", "canary://x", "json://", "not a url canary"):
        found = problems(Destination("ops", url))
        assert len(found) == 1
        assert "canary" not in found[0]
        assert send(Destination("ops", url or "x"), MESSAGE).permanent
    assert problems(Destination("ops", "console://")) == []
    assert problems(Destination("ops", "json://localhost")) == []


def test_a_password_in_the_clear_is_a_warning() -> None:
    clear = Destination("mail", "mailto://user:word@example.org")
    assert any("mailtos://" in line for line in warnings(clear))
    assert warnings(Destination("ops", "json://localhost")) == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"slack://{SLACK}/#a/#b", "it names 2 targets"),
        ("mailto://host?from=a@b.org&to=c@d.org,e@f.org", "it names 2 targets"),
        ("json://one, json://two", "it holds 2 URLs"),
        ("syslog://", "syslog:// acts on this machine"),
        ("dbus://", "acts on this machine"), ("gnome://", "acts on this machine"),
        ("macosx://", "acts on this machine"), ("windows://", "acts on this machine"),
        ("file:///etc/passwd", "acts on this machine"),
        ("vapid://a@b.org/c@d.org", "acts on this machine"),
        ("json://host/?attach=/etc/passwd", "attach= reads a local file"),
        ("json://host/?include=file:///etc/passwd", "include= reads a local file"),
        ("mailto://host?from=a@b.org&pgpkey=/canary", "pgpkey= reads a local file"),
        ("mailto://host?from=a@b.org&PGPPUB=/canary", "pgppub= reads a local file"),
        ("mailto://host?from=a@b.org&pgpprv=/canary", "pgpprv= reads a local file"),
        ("fcm://project/token?keyfile=/canary", "keyfile= reads a local file"),
        (f"slack://{SLACK}/?template=/canary", "such as template="),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?template=/canary", "template="),
        ("tgram://123456789:abcdefg_hijklmnop/12315544/?template=/canary", "template="),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?format=Markdown", "format=markdown"),
        ("json://host/?optional=yes", "optional= would show a failure as delivered"),
    ],
)  # fmt: skip
def test_what_a_destination_must_not_do_is_a_problem_and_is_not_sent(url: str, says: str) -> None:
    found = problems(Destination("ops", url))
    assert len(found) == 1
    assert says in found[0]
    assert "canary" not in found[0]
    attempt = send(Destination("ops", url), MESSAGE)
    assert (attempt.outcome, attempt.permanent) == (Outcome.FAILED, True)


def test_only_what_the_destinations_use_is_switched_on() -> None:
    # In a process of its own: here other tests have switched on theirs.
    code = (
        "import apprise; from receiver.destinations import sending\n"
        "from receiver.destinations.destination import Destination\n"
        f"for url in ('json://x', 'https://hooks.slack.com/services/{SLACK}', 'syslog://'):\n"
        "    sending.problems(Destination('ops', url))\n"
        "on = apprise.NotificationManager().plugins(include_disabled=False)\n"
        "print(sorted(plugin.__name__ for plugin in on))\n"
        "print(apprise.Apprise().add('xml://x'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=True, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout.splitlines() == ["['NotifyJSON', 'NotifySlack']", "False"]


def test_what_a_service_takes_no_more_of_is_cut_and_sent(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NotifyDiscord, "notify_url", httpserver.url_for("/hooks"))
    httpserver.expect_request(re.compile("/hooks/.*")).respond_with_data("")
    long = Message("t" * 120, "b" * 2_000)
    destination = Destination("ops", "discord://4174216298/another-token-of-a-webhook-here")
    assert send(destination, long).outcome is Outcome.DELIVERED
    (request, _), *more = httpserver.log
    assert more == []
    assert len(request.get_json()["content"]) <= 2_000


def test_mails_of_one_episode_stand_in_one_conversation() -> None:
    mail = Mail()
    with mail_server(mail) as port:
        url = f"mailto://127.0.0.1:{port}?from=a@example.org&to=b@example.org"
        for thread in ("<episode-1@receiver>", "<episode-1@receiver>", None):
            told = Message("t", "b", thread)
            assert send(Destination("mail", url), told).outcome is Outcome.DELIVERED
    found = [message_from_bytes(each.content) for each in mail.envelopes]
    assert [m["In-Reply-To"] for m in found] == ["<episode-1@receiver>"] * 2 + [None]
    assert [m["References"] for m in found] == ["<episode-1@receiver>"] * 2 + [None]
    assert len({m["Message-ID"] for m in found}) == 3
    assert [m.get_all("Auto-Submitted") for m in found] == [["auto-generated"]] * 3


def test_headers_of_the_url_are_sent_but_none_that_would_break_the_conversation() -> None:
    mail = Mail()
    with mail_server(mail) as port:
        more = "&+X-Team=ops&+auto-submitted=no&+in-reply-to=%3Cother@x%3E"
        url = f"mailto://127.0.0.1:{port}?from=a@example.org&to=b@example.org{more}"
        assert send(Destination("mail", url), Message("t", "b", "<e@x>")).outcome == "delivered"
    (found,) = [message_from_bytes(each.content) for each in mail.envelopes]
    assert found["X-Team"] == "ops"
    assert found.get_all("Auto-Submitted") == ["auto-generated"]
    assert found.get_all("In-Reply-To") == found.get_all("References") == ["<e@x>"]


def test_mails_of_one_episode_keep_their_subject_for_readers_that_join_by_it() -> None:
    mail = Mail()
    with mail_server(mail) as port:
        url = f"mailto://127.0.0.1:{port}?from=a@example.org&to=b@example.org"
        for title in ("Prüf-Agent wartet", "Re: Prüf-Agent wartet"):
            assert send(Destination("mail", url), Message(title, "b", "<e@x>")).outcome == (
                "delivered"
            )
    found = [message_from_bytes(each.content) for each in mail.envelopes]
    subjects = [str(make_header(decode_header(m["Subject"]))) for m in found]
    assert subjects == ["Prüf-Agent wartet", "Re: Prüf-Agent wartet"]


SEVERITIES = [
    (Severity.INFO, "#3AA3E3"), (Severity.SUCCESS, "#3AA337"), (Severity.WARNING, "#CACF29"),
    (Severity.FAILURE, "#A32037"),
]  # fmt: skip


@pytest.mark.parametrize(("severity", "colour"), SEVERITIES)
def test_slacks_colour_and_the_type_for_programs_follow_the_severity(
    severity: Severity, colour: str, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NotifySlack, "webhook_url", httpserver.url_for("/services"))
    httpserver.expect_request(f"/services/{SLACK}").respond_with_data("ok")
    httpserver.expect_request("/").respond_with_data("")
    told = Message("title", "body", severity=severity)
    assert send(Destination("ops", f"slack://{SLACK}"), told).outcome is Outcome.DELIVERED
    assert send(json_to(httpserver.port), told).outcome is Outcome.DELIVERED
    slack, program = (request.get_json() for request, _ in httpserver.log)
    assert slack["attachments"][0]["color"] == colour
    assert program["type"] == severity.value


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3", "[::1]"])
@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy", "HTTP_PROXY"])
def test_a_proxy_is_not_used_for_this_machine(
    host: str, variable: str, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_proxies(monkeypatch)
    family = socket.AF_INET6 if host == "[::1]" else socket.AF_INET
    address = ("::1" if host == "[::1]" else "0.0.0.0", 0)
    with socket.create_server(address, family=family) as own:
        monkeypatch.setenv(variable, httpserver.url_for("/"))
        url = f"json://word:{variable}@{host}:{own.getsockname()[1]}/{uuid4()}"
        assert send(Destination("ops", url, timeout=0.3), MESSAGE).outcome is Outcome.UNCERTAIN
        own.settimeout(5)
        with own.accept()[0] as connection:
            assert connection.recv(10).startswith(b"POST /")
    assert httpserver.log == []


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_a_proxy_is_used_for_other_machines(
    variable: str, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_proxies(monkeypatch)
    monkeypatch.setenv(variable, httpserver.url_for("/").rstrip("/"))
    httpserver.expect_request(re.compile(".*")).respond_with_data("")
    destination = Destination("ops", f"json://hook-{variable.replace('_', '-')}.example/x")
    assert send(destination, MESSAGE).outcome is Outcome.DELIVERED
    assert httpserver.log[0][0].headers["Host"].startswith("hook-")


def _without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
