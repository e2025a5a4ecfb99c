"""Probes: record facts that Apprise does not report, in the HTTP (requests) and SMTP libraries.

Apprise reports only success or failure. The probes see the answer of a destination, and whether the
message was written before a connection broke. They act only in threads that make an attempt.
"""

from __future__ import annotations

import http
import http.client
import logging
import smtplib
import socket
import time
from collections.abc import Callable
from typing import Any

from receiver.destinations.apprise import answers, heads, proxies, sessions, waits
from receiver.destinations.apprise.recorder import (
    AttemptRecorder,
    WarningCollector,
    current_recorder,
    record_connect,
    root_cause,
    wrap,
)
from receiver.destinations.record import Exchange, Refusal

# The limit of an HTTP answer and of an SMTP reply. No plugin reads a larger one.
MOST_BYTES = 1_000_000
_PIECE = 16_384
_MESSAGE = "the message"
_NOT_ASCII = (
    "its login, sender or a recipient holds a letter that is not ASCII, and such mail cannot be"
    " sent: give an ASCII address (a domain as xn--…)"
)
# The words of smtplib for a server that offers no login that we speak, or no other letters. (One
# that offers no TLS may be an attacker's work, or a certificate that is being renewed.)
_NEVER = ("SMTP AUTH extension not supported", "No suitable authentication", "SMTPUTF8")
_COMMANDS = {"EHLO", "HELO", "STARTTLS", "MAIL", "RCPT", "DATA", "RSET", "QUIT"}


def install(short_way: Any) -> None:
    """Install the probes, once in a process. `short_way` is the module of that name."""
    requests = short_way.requests
    wrap(socket.socket, "connect", record_connect)
    wrap(socket.socket, "settimeout", _set_another)
    http.client.parse_headers = heads.with_plain_lines(http.client.parse_headers)
    http.client.HTTPConnection.response_class = heads.OneAnswer
    wrap(http.client.HTTPConnection, "send", _probe_write)
    wrap(requests.adapters.HTTPAdapter, "send", _probe_request)
    # `requests.post` and its like use the one, some plugins the other.
    requests.request = requests.api.request = sessions.with_session(requests.request, short_way)
    adapters, module = requests.adapters, requests.sessions
    adapters.extract_cookies_to_jar = short_way.with_set_cookies(adapters.extract_cookies_to_jar)
    module.get_environ_proxies = proxies.with_rules(module.get_environ_proxies)
    module.get_netrc_auth = _find_nothing(module.get_netrc_auth)
    for name in ("connect", "starttls", "login", "mail", "rcpt"):
        wrap(smtplib.SMTP, name, _probe_step)
    wrap(smtplib.SMTP, "send", _probe_command)
    wrap(smtplib.SMTP, "getreply", _probe_reply)
    logger = logging.getLogger("apprise")
    # Apprise logs addresses and tokens, so nothing of it may reach the process's log.
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    logger.addHandler(WarningCollector())


def _set_another(
    recorder: AttemptRecorder, original: Any, connection: socket.socket, seconds: float | None
) -> None:
    """Set a time-out only if it is another one: each takes a call of the system."""
    if connection.gettimeout() != seconds:
        original(connection, seconds)


def _find_nothing(find: Callable[..., Any]) -> Callable[..., Any]:
    """Read no login from a file of this machine: only the URL may hold a destination's login."""

    def find_login(*arguments: Any, **named: Any) -> Any:
        return find(*arguments, **named) if current_recorder() is None else None

    return find_login


def _probe_write(recorder: AttemptRecorder, original: Any, connection: Any, data: Any) -> None:
    if connection.sock is not None and not recorder.connected:
        recorder.reuse_connection(connection.sock)
    try:
        original(connection, data)
    finally:
        # Without a socket the connection failed, and nothing was written.
        if connection.sock is not None:
            recorder.mark_written()


def _probe_request(
    recorder: AttemptRecorder, original: Any, adapter: Any, request: Any, **named: Any
) -> Any:
    recorder.raise_if_over()
    exchange = recorder.begin_exchange(request)
    try:
        response = original(adapter, request, **named)
    except Exception as error:
        exchange.error = root_cause(error)
        if recorder.reused and not recorder.is_over:
            sessions.distrust()
        if type(error).__name__ == "ProxyError":
            exchange.written = False  # only the proxy got it
        raise
    if 300 <= response.status_code < 400:
        # Without this header no plugin can follow a redirect.
        response.headers.pop("Location", None)
    _record_answer(recorder, exchange, response)
    return response


def _record_answer(recorder: AttemptRecorder, exchange: Exchange, response: Any) -> None:
    exchange.written = False
    exchange.status = response.status_code
    exchange.phrase = _status_phrase(response.status_code)
    if value := response.headers.get("Retry-After"):
        exchange.retry_after = waits.retry_after(value, time.time())
    whole = _read_body(response)
    reading = answers.read(
        response.status_code, response.headers, response.content, recorder.vendor, time.time()
    )
    exchange.answer = reading.words
    exchange.says_no = reading.says_no
    exchange.lasting = reading.lasting
    exchange.unclear = reading.unclear
    exchange.ended = reading.ended
    exchange.partial = reading.partial
    if exchange.retry_after is None:
        exchange.retry_after = reading.wait
    exchange.whole = whole


def _status_phrase(status: int) -> str:
    """Return the standard's phrase for a status: the destination may send any text."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


def _read_body(response: Any) -> bool:
    """Read the body within limits; return False if it is incomplete."""
    body = bytearray()
    whole = True
    try:
        for piece in response.raw.stream(_PIECE, decode_content=True):
            body += piece
            if len(body) >= MOST_BYTES:
                break
    except Exception:
        # Even if the body breaks, the status is valid: the answer is the part that came so far.
        whole = False
    response.raw.close()
    # requests itself stores a body like this.
    response._content = bytes(body[:MOST_BYTES])
    response._content_consumed = True
    return whole


def _probe_step(
    recorder: AttemptRecorder, original: Any, server: Any, *arguments: Any, **named: Any
) -> Any:
    record = recorder.record
    try:
        return original(server, *arguments, **named)
    except UnicodeEncodeError:
        record.unsendable = _NOT_ASCII
        raise
    except (OSError, smtplib.SMTPException) as error:
        record.error = root_cause(error)
        if any(words in str(error) for words in _NEVER):
            record.unsendable = f"the mail server cannot do what the URL asks for: {record.error}"
        raise


def _probe_command(recorder: AttemptRecorder, original: Any, server: Any, data: Any) -> None:
    if isinstance(data, bytes) and data.endswith(b"\r\n.\r\n"):
        recorder.command = _MESSAGE
        recorder.record.written = True
    else:
        verb = str(data).partition(" ")[0].strip().upper()
        # The lines of a login have no verb: they hold the name and the password.
        recorder.command = verb if verb in _COMMANDS else "AUTH"
    try:
        original(server, data)
    except UnicodeEncodeError:
        recorder.record.unsendable = _NOT_ASCII
        raise


def _probe_reply(recorder: AttemptRecorder, original: Any, server: Any) -> tuple[int, bytes]:
    record = recorder.record
    if server.sock is not None:
        server.sock.settimeout(recorder.timeout + 1)  # the deadline comes first
        if not isinstance(server.file, _BoundedReply):
            server.file = _BoundedReply(server.file or server.sock.makefile("rb"))
        server.file.left = MOST_BYTES
    try:
        code, text = original(server)
    except (OSError, smtplib.SMTPException) as error:
        record.error = root_cause(error)
        raise
    words = text[:10_000].decode("utf-8", "replace")
    refusal = Refusal(code, recorder.command or "the greeting", words) if code >= 400 else None
    if code < 100:
        record.error = f"it does not speak SMTP: {words}"
    if recorder.command == _MESSAGE:
        record.written = False
        record.mails_taken += code == 250
    if recorder.command == "RCPT":
        record.refused_recipients += [refusal] if refusal else []
    elif recorder.command not in ("RSET", "QUIT"):
        record.refusal = refusal
    return code, text


class _BoundedReply:
    """The lines of a mail server's reply, up to a limit."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.left = MOST_BYTES

    def readline(self, size: int) -> bytes:
        line: bytes = self._file.readline(size)
        self.left -= len(line)
        if self.left < 0:
            raise OSError("its answer does not end")
        return line

    def close(self) -> None:
        self._file.close()
