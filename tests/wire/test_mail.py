"""Mail servers that take, refuse, break off and hang: the real plugin, real SMTP on loopback."""

from __future__ import annotations

import smtplib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword

from receiver.deliveries import Attempt, Message, Outcome
from receiver.destinations.apprise.recorder import AttemptRecorder
from receiver.destinations.destination import Destination
from receiver.destinations.outcome import classify
from receiver.destinations.record import CallRecord
from receiver.destinations.sending import problems, send
from tests.support.loopback import Mail, Visit, certificate, mail_server, raw

MESSAGE = Message("title", "body")
DELIVERED, FAILED, UNCERTAIN = Outcome.DELIVERED, Outcome.FAILED, Outcome.UNCERTAIN


def mail(
    port: int, more: str = "", *, scheme: str = "mailto", login: str = "", timeout: float = 20
) -> Attempt:
    url = f"{scheme}://{login}127.0.0.1:{port}?from=a@example.org&to=b@example.org{more}"
    return send(Destination("mail", url, timeout=timeout), MESSAGE)


@pytest.fixture(autouse=True, scope="module")
def imported() -> None:
    """What the first attempt of a process imports is not to count against its deadline here."""
    problems(Destination("mail", "mailto://127.0.0.1?from=a@example.org"))


@pytest.mark.parametrize(
    ("server", "outcome", "permanent", "detail"),
    [
        (Mail(), DELIVERED, False, ""),
        (Mail("550 5.1.1 no b@example.org"), FAILED, True, "SMTP 550 to RCPT: 5.1.1 no ***"),
        (Mail("451 later"), FAILED, False, "SMTP 451 to RCPT: later"),
        (Mail("421 too busy"), FAILED, False, "SMTP 421 to RCPT: too busy"),
        (Mail(data="451 later"), FAILED, False, "SMTP 451 to the message: later"),
        (Mail(data="421 bye"), FAILED, False, "SMTP 421 to the message: bye"),
        (Mail(data="554 spam"), FAILED, True, "SMTP 554 to the message: spam"),
        (Mail(None), FAILED, False,
         "the connection failed before the message: Connection unexpectedly closed"),
        (Mail(data=None), UNCERTAIN, False,
         "it was sent, and no answer came (the connection ended: Connection unexpectedly closed)"),
    ],
)  # fmt: skip
def test_the_answer_of_a_mail_server_is_understood(
    server: Mail, outcome: Outcome, permanent: bool, detail: str
) -> None:
    with mail_server(server) as port:
        attempt = mail(port)
    assert (attempt.outcome, attempt.permanent, attempt.detail) == (outcome, permanent, detail)


def test_a_server_that_refuses_data_before_the_message_is_failed() -> None:
    with raw(talk({b"DATA": b"451 not now\r\n"})) as (port, _):
        attempt = mail(port)
    assert (attempt.outcome, attempt.detail) == (FAILED, "SMTP 451 to DATA: not now")


@pytest.mark.parametrize(
    ("other", "outcome", "permanent"), [("550 no", FAILED, True), ("451 later", UNCERTAIN, False)]
)
def test_one_of_two_recipients_refused_repeats_only_if_that_can_help(
    other: str, outcome: Outcome, permanent: bool
) -> None:
    server = Mail(c=other)
    with mail_server(server) as port:
        attempt = mail(port, "&cc=c@example.org")
    assert len(server.envelopes) == 1
    assert (attempt.outcome, attempt.permanent) == (outcome, permanent)
    assert attempt.detail.startswith("a part of its recipients has it, the rest does not: SMTP ")


def talk(answers: dict[bytes, bytes | None]) -> Callable[[Visit], None]:
    """A mail server whose answers are 250 unless said; None hangs."""
    usual = {b"greeting": b"220 x\r\n", b"DATA": b"354 go\r\n"}

    def visited(visit: Visit) -> None:
        def answer(command: bytes) -> None:
            said = {**usual, **answers}.get(command, b"250 ok\r\n")
            if said is None:
                visit.over.wait(20)
            elif command == b"EHLO" and said.startswith(b"250-"):
                visit.trickle(said)
            else:
                visit.say(said)

        answer(b"greeting")
        with visit.connection.makefile("rb") as lines:
            for line in lines:
                answer(line[:4].strip().upper())
                if line[:4] == b"data" and b"DATA" not in answers:
                    while next(lines) != b".\r\n":
                        pass
                    answer(b"message")

    return visited


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ({b"greeting": None}, FAILED),
        ({b"RCPT": None}, FAILED),
        ({b"EHLO": b"250-more\r\n"}, FAILED),
        ({b"message": None}, UNCERTAIN),
        ({b"QUIT": None}, DELIVERED),
    ],
)
def test_a_mail_server_that_hangs_is_left_at_the_deadline(
    answers: dict[bytes, bytes | None], outcome: Outcome
) -> None:
    with raw(talk(answers)) as (port, _):
        attempt = mail(port, timeout=0.5)
    assert attempt.outcome is outcome
    assert attempt.duration_ms < 3_000
    if outcome is not DELIVERED:
        assert attempt.detail.endswith("within 0.5 s")


def test_a_reply_that_does_not_end_is_not_read_to_its_end() -> None:
    def visited(visit: Visit) -> None:
        visit.say(b"220 x\r\n")
        visit.connection.recv(100)
        while True:
            visit.say(b"250-more and more of the same, without an end\r\n" * 1_000)

    with raw(visited) as (port, visits):
        attempt = mail(port)
        assert visits[0].sent < 30_000_000
    assert attempt.outcome is FAILED
    assert attempt.detail.endswith("its answer does not end")


@pytest.mark.parametrize(
    ("greeting", "permanent", "says"),
    [
        (b"421 too busy\r\n", False, "SMTP 421 to the greeting: too busy"),
        (b"554 not you\r\n", True, "SMTP 554 to the greeting: not you"),
        (b"HTTP/1.1 400 Bad Request\r\n", False, "it does not speak SMTP"),
    ],
)
def test_a_server_that_does_not_want_to_talk_is_failed(
    greeting: bytes, permanent: bool, says: str
) -> None:
    with raw(talk({b"greeting": greeting})) as (port, _):
        attempt = mail(port)
    assert (attempt.outcome, attempt.permanent) == (FAILED, permanent)
    assert says in attempt.detail


def test_starttls_is_made_and_its_certificate_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, context = certificate(tmp_path)
    server = Mail()
    with mail_server(server, tls_context=context, require_starttls=True) as port:
        plain, unknown = mail(port), mail(port, scheme="mailtos")
        assert (plain.outcome, plain.permanent) == (FAILED, True)
        assert plain.detail.startswith("SMTP 530 to MAIL: ")
        assert (unknown.outcome, unknown.permanent) == (FAILED, False)
        assert "certificate verify failed" in unknown.detail
        assert server.envelopes == []
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        assert mail(port, scheme="mailtos").outcome is DELIVERED
    assert len(server.envelopes) == 1


def test_a_server_without_starttls_gets_no_message_of_mailtos() -> None:
    server = Mail()
    with mail_server(server) as port:
        attempt = mail(port, scheme="mailtos")
    assert attempt.outcome is FAILED
    assert "STARTTLS extension not supported" in attempt.detail
    assert server.envelopes == []


@pytest.mark.parametrize(
    ("login", "outcome", "permanent"),
    [
        ("canary-user:right-word@", DELIVERED, False),
        ("canary-user:canary-word@", FAILED, True),
        ("", FAILED, True),
    ],
)
def test_a_login_is_accepted_or_refused_for_good(
    login: str, outcome: Outcome, permanent: bool
) -> None:
    def authenticate(
        server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        return AuthResult(success=data.password == b"right-word", handled=False)

    options = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the server warns of logins without TLS
        with mail_server(Mail(), **options) as port:
            attempt = mail(port, login=login)
    assert (attempt.outcome, attempt.permanent) == (outcome, permanent)
    if login and permanent:
        assert attempt.detail.startswith("SMTP 535 to AUTH: ")
    assert "canary" not in attempt.detail


def recorded(call: Callable[[], object]) -> CallRecord:
    """What the probes see of a call that fails."""
    recorder = AttemptRecorder(10)
    with recorder, pytest.raises((UnicodeError, smtplib.SMTPException)):
        call()
    return recorder.record


@pytest.mark.parametrize("utf8", [False, True])
@pytest.mark.parametrize("recipient", ["tëam@example.org", "team@bücher.example"])
def test_a_recipient_that_mail_cannot_carry_is_dead_at_once(recipient: str, utf8: bool) -> None:
    server = Mail()
    with mail_server(server, enable_SMTPUTF8=utf8) as port, smtplib.SMTP("127.0.0.1", port) as one:
        record = recorded(lambda: one.sendmail("a@example.org", [recipient], b"x"))
    attempt = classify(record, done=False, late=False, targets=1, timeout=10)
    assert (attempt.outcome, attempt.permanent) == (FAILED, True)
    assert "give an ASCII address" in attempt.detail
    assert server.envelopes == []


@pytest.mark.parametrize("options", [["SMTPUTF8"], ()])
def test_a_sender_that_mail_cannot_carry_is_dead_at_once(options: Sequence[str]) -> None:
    server = mail_server(Mail(), enable_SMTPUTF8=False)
    with server as port, smtplib.SMTP("127.0.0.1", port) as one:
        record = recorded(lambda: one.sendmail("ä@example.org", ["b@example.org"], b"x", options))
    assert classify(record, done=False, late=False, targets=1, timeout=10).permanent


@pytest.mark.parametrize("login", [("usér", "word"), ("user", "wörd")])
def test_a_login_that_mail_cannot_carry_is_dead_at_once(login: tuple[str, str]) -> None:
    options = {"authenticator": lambda *_: AuthResult(success=True), "auth_require_tls": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with mail_server(Mail(), **options) as port, smtplib.SMTP("127.0.0.1", port) as one:
            record = recorded(lambda: one.login(*login))
    assert classify(record, done=False, late=False, targets=1, timeout=10).permanent


def test_a_server_that_takes_no_login_is_dead_at_once_and_says_so() -> None:
    with mail_server(Mail()) as port:
        attempt = mail(port, login="user:word@")
    assert (attempt.outcome, attempt.permanent) == (FAILED, True)
    assert "SMTP AUTH extension not supported" in attempt.detail
