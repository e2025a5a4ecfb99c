"""Stages: services on loopback, by HTTP or as a mail server. Each gives one answer to a message."""

from __future__ import annotations

import base64
import html
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from email import message_from_bytes, policy
from itertools import count
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from aiosmtpd.smtp import AuthResult

from receiver.deliveries import Attempt, Message
from receiver.destinations.destination import Destination
from receiver.destinations.sending import send
from tests.services.described import Service
from tests.support.loopback import Mail, mail_server
from tests.support.plugins import yes_of
from tests.support.standin import CUT, Answer, Asked, StandIn, saying

_SECRET_HEADERS = {"authorization", "x-gotify-key", "x-auth-token", "x-token"}
_IN = "in "  # `in 40` in a header is the time in 40 seconds (Unix)
_numbers = count()


class Stage(Protocol):
    """A service on loopback: what it answers, and what arrived there."""

    service: Service

    def tell(self, message: Message, answer: Any) -> Attempt:
        """Send a message that gets this answer."""

    def tell_and_cut(self, message: Message) -> Attempt:
        """Send a message; the service hangs up when it has read it."""

    def tell_cut_at_once(self, message: Message) -> tuple[Attempt, bool]:
        """Send to a service that hangs up at whatever comes first; return whether it had it."""

    def tell_echoing(self, message: Message) -> tuple[Attempt, list[str]]:
        """Send to a service that refuses with the secrets that it got; return those."""

    def refusing(self, words: str) -> Any:
        """Make an answer that refuses in these words."""

    def arrived(self) -> int:
        """Count the requests with the last message."""

    def texts(self) -> list[str]:
        """Return the texts of the last message, as people read them there."""


def _destination(service: Service) -> Destination:
    return Destination(f"service-{next(_numbers)}", service.address, rate=1000, timeout=10)


class HttpStage:
    """A service that is asked by HTTP; it says yes to what is asked around the message."""

    def __init__(self, service: Service, stand_in: StandIn) -> None:
        self.service = service
        self._stand_in = stand_in
        self._destination = _destination(service)

    def tell(self, message: Message, answer: Any) -> Attempt:
        """Send a message that gets this answer."""
        return self._tell(message, lambda _: answer)

    def _tell(self, message: Message, answering: Callable[[Asked], Answer]) -> Attempt:
        plugin = self.service.plugin
        self._stand_in.answer(
            lambda asked: _at_present(answering(asked)) if _is_own(asked) else yes_of(plugin, asked)
        )
        return send(self._destination, message)

    def tell_and_cut(self, message: Message) -> Attempt:
        """Send a message; the service hangs up when it has read it."""
        return self.tell(message, CUT)

    def tell_cut_at_once(self, message: Message) -> tuple[Attempt, bool]:
        """Send to a service that hangs up at whatever comes first; return whether it had it."""
        self._stand_in.answer(CUT)
        attempt = send(_destination(self.service), message)
        return attempt, bool(self.arrived())

    def tell_echoing(self, message: Message) -> tuple[Attempt, list[str]]:
        """Send to a service that refuses with the secrets that it got; return those."""
        sent = list[str]()

        def echo(asked: Asked) -> Answer:
            sent.extend(v for name, v in asked.headers.items() if name in _SECRET_HEADERS)
            return saying({"error": {"message": " ".join(sent)[:250]}}, 400)

        return self._tell(message, echo), sent

    def refusing(self, words: str) -> Answer:
        """Make an answer that refuses in these words."""
        return saying({"error": {"message": words}}, 400)

    def arrived(self) -> int:
        """Count the requests with the last message."""
        return sum(map(_is_own, self._stand_in.asked))

    def texts(self) -> list[str]:
        """Return the texts of the last message, as people read them there."""
        own = filter(_is_own, self._stand_in.asked)
        return [html.unescape(text) for asked in own for text in _texts_of(asked)]


def _is_own(asked: Asked) -> bool:
    return asked.has_words("Ledger", "agent") or asked.has_words("run_7f3a_")


def _at_present(answer: Answer) -> Answer:
    now = int(time.time())
    headers = {
        name: str(now + int(value.removeprefix(_IN))) if value.startswith(_IN) else value
        for name, value in answer.headers.items()
    }
    return replace(answer, headers=headers)


def _texts_of(asked: Asked) -> Iterator[str]:
    yield from (value for _, value in parse_qsl(urlsplit(asked.path).query))
    try:
        yield from _members(json.loads(asked.text))
    except ValueError:
        for name, value in parse_qsl(asked.text):
            yield from _mail_texts(base64.b64decode(value)) if name.startswith("Raw") else [value]


def _members(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _members(item)


def _mail_texts(raw: bytes) -> Iterator[str]:
    mail = message_from_bytes(raw, policy=policy.default)
    yield str(mail["Subject"])
    for part in mail.walk():
        if not part.is_multipart():
            yield part.get_content()


class MailStage:
    """A mail server: its answers are lines, or None where it hangs up."""

    def __init__(self, service: Service, port: int, server: Mail) -> None:
        self.service = replace(service, address=service.address.format(port=port))
        self._server = server
        self._destination = _destination(self.service)

    def tell(self, message: Message, answer: Any) -> Attempt:
        """Send a message that gets this answer."""
        return self._tell(message, "250 OK", answer)

    def _tell(self, message: Message, to_recipient: str | None, to_mail: str | None) -> Attempt:
        self._server.envelopes.clear()
        self._server.rcpt, self._server.data = to_recipient, to_mail
        return send(self._destination, message)

    def tell_and_cut(self, message: Message) -> Attempt:
        """Send a message; the server hangs up when it has read it."""
        return self.tell(message, None)

    def tell_cut_at_once(self, message: Message) -> tuple[Attempt, bool]:
        """Send to a server that hangs up at the recipient; return whether it had the message."""
        return self._tell(message, None, "250 OK"), bool(self.arrived())

    def tell_echoing(self, message: Message) -> tuple[Attempt, list[str]]:
        """Send to a server that refuses with the login that it got; return that."""
        login = base64.b64encode("\0".join(("", "receiver", *self.service.secrets)).encode())
        return self.tell(message, self.refusing(login.decode())), [login.decode()]

    def refusing(self, words: str) -> str:
        """Make an answer that refuses in these words."""
        return f"550 {words}"

    def arrived(self) -> int:
        """Count the mails with the last message."""
        return len(self._server.envelopes)

    def texts(self) -> list[str]:
        """Return the texts of the last message, as people read them."""
        mails = (envelope.content for envelope in self._server.envelopes)
        return [text.replace("\r\n", "\n") for mail in mails for text in _mail_texts(mail)]


@contextmanager
def stage_of(service: Service, stand_in: StandIn) -> Iterator[Stage]:
    """Set the stage for a service."""
    if not service.is_mail:
        yield HttpStage(service, stand_in)
        return
    server = Mail()
    options = {"authenticator": lambda *_: AuthResult(success=True), "auth_require_tls": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the server warns of logins without TLS
        with mail_server(server, **options) as port:
            yield MailStage(service, port, server)
