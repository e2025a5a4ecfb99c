"""Destinations on loopback with the real plugins: what arrives, and what is said when it fails."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from pytest_httpserver import HTTPServer

from receiver.deliveries import Destination, Message, Outcome
from receiver.notify import problems, rate, send, warnings
from tests.live import free_port

MESSAGE = Message("Agent <!channel> failed", "It has ended.\nReason: @everyone")


def json_to(port: int, path: str = "", timeout: float = 10.0) -> Destination:
    return Destination("ops", f"json://127.0.0.1:{port}/{path}", timeout=timeout)


@pytest.mark.parametrize(
    ("status", "outcome", "permanent"),
    [
        (200, Outcome.DELIVERED, False), (204, Outcome.DELIVERED, False),
        (400, Outcome.FAILED, True), (401, Outcome.FAILED, True), (403, Outcome.FAILED, True),
        (404, Outcome.FAILED, True), (429, Outcome.FAILED, False), (500, Outcome.FAILED, False),
        (503, Outcome.FAILED, False),
    ],
)  # fmt: skip
def test_the_answer_of_a_destination_is_understood(
    httpserver: HTTPServer, status: int, outcome: Outcome, permanent: bool
) -> None:
    httpserver.expect_request("/").respond_with_data("", status, {"Retry-After": "7"})
    attempt = send(json_to(httpserver.port), MESSAGE)
    assert (attempt.outcome, attempt.permanent) == (outcome, permanent)
    if outcome is Outcome.FAILED:
        assert str(status) in attempt.detail
        assert attempt.retry_after == 7
    assert len(httpserver.log) == 1


def test_a_redirect_is_not_followed(httpserver: HTTPServer) -> None:
    elsewhere = {"Location": httpserver.url_for("/elsewhere")}
    httpserver.expect_request("/").respond_with_data("", 307, elsewhere)
    assert send(json_to(httpserver.port), MESSAGE).outcome is Outcome.FAILED
    assert [request.path for request, _ in httpserver.log] == ["/"]


def test_a_refused_connection_failed_and_may_be_tried_again() -> None:
    attempt = send(json_to(free_port()), MESSAGE)
    assert (attempt.outcome, attempt.permanent) == (Outcome.FAILED, False)
    assert "onnection" in attempt.detail


@contextmanager
def silent(*, answers: bool) -> Iterator[int]:
    """Takes a request and says nothing, or hangs up, until the context ends."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def take() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                if not answers:
                    over.wait(20)

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize("answers", [True, False], ids=["hangs up", "hangs"])
def test_a_request_that_was_written_and_not_answered_is_uncertain(answers: bool) -> None:
    with silent(answers=answers) as port:
        attempt = send(json_to(port, timeout=1), MESSAGE)
    assert attempt.outcome is Outcome.UNCERTAIN
    assert attempt.duration_ms < 5_000


class Refusing:
    """A mail server that answers RCPT as it is told."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    async def handle_RCPT(
        self, server: object, session: object, envelope: object, address: str, options: object
    ) -> str:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "permanent"), [("550 no such user", True), ("451 try later", False)]
)
def test_a_refused_recipient_is_for_good_and_a_busy_server_is_not(
    answer: str, permanent: bool
) -> None:
    controller = Controller(Refusing(answer), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        url = f"mailto://127.0.0.1:{controller.port}?from=a@example.org&to=b@example.org"
        attempt = send(Destination("mail", url), MESSAGE)
    finally:
        controller.stop()
    assert (attempt.outcome, attempt.permanent) == (Outcome.FAILED, permanent)


SEND_ALL = """\
import sys
from receiver import logs, notify
from receiver.deliveries import Destination, Message
logs.configure("text", "debug")
for url in sys.argv[1:]:
    attempt = notify.send(Destination("ops", url), Message("title", "body"))
    print(attempt.outcome, attempt.detail)
"""


def test_no_secret_is_in_a_detail_or_in_the_log_at_any_level(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/canary-path").respond_with_data("canary-answer", 500)
    urls = [
        f"json://canary-user:canary-word@127.0.0.1:{httpserver.port}/canary-path?+X-Key=canary-key",
        f"json://canary-user:canary-word@127.0.0.1:{free_port()}/canary-path",
        f"mailto://canary-user:canary-word@127.0.0.1:{free_port()}?from=a@b.org&to=c@d.org",
        "slack://canary-one/canary-two/canary-three/#canary-four",
    ]
    done = subprocess.run(
        [sys.executable, "-c", SEND_ALL, *urls], capture_output=True, timeout=60, check=True,
        cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    lines = done.stdout.decode().splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["failed"] * 4
    assert "HTTP 500" in lines[0] or "error=500" in lines[0]
    assert b"canary" not in done.stdout + done.stderr


def test_several_threads_may_send_at_once(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("")
    outcomes: list[Outcome] = []

    def one(number: int) -> None:
        destination = Destination(f"d{number}", f"json://127.0.0.1:{httpserver.port}/?a={number}")
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


def test_what_may_surprise_is_a_warning() -> None:
    many = Destination("ops", "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#a/#b")
    assert "2 targets" in warnings(many)[0]
    clear = Destination("mail", "mailto://user:word@example.org")
    assert any("mailtos://" in line for line in warnings(clear))
    assert warnings(Destination("ops", "json://localhost")) == []


def test_people_are_told_slower_than_machines() -> None:
    assert rate(Destination("ops", "slack://a/b/c")) == 1
    assert rate(Destination("ops", "https://hooks.slack.com/services/T1/B1/x")) == 1
    assert rate(Destination("ops", "json://x")) == 10
    assert rate(Destination("ops", "json://x", rate=3)) == 3


def test_mails_of_one_episode_stand_in_one_conversation() -> None:
    taken: list[bytes] = []

    class Inbox:
        async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
            taken.append(envelope.content)  # type: ignore[attr-defined]
            return "250 taken"

    controller = Controller(Inbox(), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        url = f"mailto://127.0.0.1:{controller.port}?from=a@example.org&to=b@example.org"
        mail = Destination("mail", url)
        for thread in ("<episode-1@receiver>", "<episode-1@receiver>", None):
            assert send(mail, Message("t", "b", thread)).outcome is Outcome.DELIVERED
    finally:
        controller.stop()
    found = [message_from_bytes(content) for content in taken]
    assert [m["In-Reply-To"] for m in found] == ["<episode-1@receiver>"] * 2 + [None]
    assert [m["References"] for m in found] == ["<episode-1@receiver>"] * 2 + [None]
    assert len({m["Message-ID"] for m in found}) == 3
