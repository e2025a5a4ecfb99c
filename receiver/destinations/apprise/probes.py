"""What Apprise does not tell: heard where it meets HTTP (requests) and SMTP.

Apprise says done or not done. What a destination answered, and whether the message was written
before a connection broke, is learnt below it, in the threads that make an attempt.
"""

from __future__ import annotations

import http
import http.client
import json
import logging
import re
import smtplib
import socket
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

from receiver.destinations.apprise import sessions
from receiver.destinations.apprise.recorder import (
    AttemptRecorder,
    Warnings,
    cause,
    current,
    heard_connect,
    wrap,
)
from receiver.destinations.outcome import Refusal

# Of an HTTP answer, and of one SMTP reply. Larger than any answer that a plugin reads.
MOST_BYTES = 1_000_000
_PIECE = 16_384
_LONGEST_WAIT = 999_999.0
_MESSAGE = "the message"
_COMMANDS = {"EHLO", "HELO", "STARTTLS", "MAIL", "RCPT", "DATA", "RSET", "QUIT"}
_TELLING = ("error", "error_description", "message", "description", "detail", "reason", "title")


def install(requests: Any) -> None:
    """Begin to listen, once a process. `requests` is the library of that name."""
    wrap(socket.socket, "connect", heard_connect)
    wrap(http.client.HTTPConnection, "send", _heard_write)
    wrap(requests.adapters.HTTPAdapter, "send", _heard_request)
    # `requests.post` and its like ask for the one, some plugins for the other.
    requests.request = requests.api.request = sessions.keeping(requests.request, requests.Session)
    module = requests.sessions
    module.get_environ_proxies = _once(module.get_environ_proxies)
    module.get_netrc_auth = _not_here(module.get_netrc_auth)
    for name in ("connect", "starttls", "login"):
        wrap(smtplib.SMTP, name, _heard_step)
    wrap(smtplib.SMTP, "send", _heard_command)
    wrap(smtplib.SMTP, "getreply", _heard_reply)
    logger = logging.getLogger("apprise")
    # Some of what it logs are addresses and tokens: nothing of it reaches the process's log.
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    logger.addHandler(Warnings())


def _once(find: Callable[..., Any]) -> Callable[..., Any]:
    """Which proxy leads to a host, found once: it took a tenth of an attempt, every time."""
    known = lru_cache(maxsize=256)(lambda host, no_proxy: find(host, no_proxy=no_proxy))

    def found(url: str, no_proxy: str | None = None) -> Any:
        if current() is None:
            return find(url, no_proxy=no_proxy)
        scheme, _, rest = url.partition("://")
        return known(f"{scheme}://{rest.partition('/')[0]}/", no_proxy)

    return found


def _not_here(find: Callable[..., Any]) -> Callable[..., Any]:
    """No login from a file of this machine: what a destination gets stands in its URL."""
    return lambda *arguments, **named: find(*arguments, **named) if current() is None else None


def _heard_write(ear: AttemptRecorder, original: Any, connection: Any, data: Any) -> None:
    if connection.sock is not None and not ear.connected:
        ear.keep(connection.sock)
    try:
        original(connection, data)
    finally:
        # Without a socket it was the connection that failed, and nothing was written.
        ear.heard.written = ear.heard.written or connection.sock is not None


def _heard_request(
    ear: AttemptRecorder, original: Any, adapter: Any, *arguments: Any, **named: Any
) -> Any:
    ear.check()
    heard = ear.heard
    heard.status, heard.error, heard.written = None, "", False
    heard.answer, heard.retry_after, heard.cut_short = "", None, False
    ear.connected = ear.kept = False
    try:
        response = original(adapter, *arguments, **named)
    except Exception as error:
        heard.error = cause(error)
        if ear.kept and not ear.is_over:
            sessions.distrust()
        if type(error).__name__ == "ProxyError":
            heard.written = False  # only the proxy was asked
        raise
    heard.written, heard.status = False, response.status_code
    heard.phrase = _phrase(response.status_code)
    heard.accepted += 200 <= response.status_code < 300
    if asked := response.headers.get("Retry-After"):
        heard.retry_after = seconds_to_wait(asked, time.time())
    if 300 <= response.status_code < 400:
        # Nowhere else, whatever a plugin asks for: without it nothing can be followed.
        response.headers.pop("Location", None)
    heard.cut_short = not _read(response)
    heard.answer = _words(response)
    return response


def seconds_to_wait(value: str, now: float) -> float | None:
    """What `Retry-After` asks for, in seconds from `now` (seconds since 1970); None if unclear."""
    text = value.strip()
    if re.fullmatch(r"[0-9]+", text, re.ASCII):
        return min(float(text[:20]), _LONGEST_WAIT)
    try:
        then = parsedate_to_datetime(text)
        # HTTP dates are GMT, whatever they say.
        wait = (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - now
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return min(max(wait, 0.0), _LONGEST_WAIT)


def _phrase(status: int) -> str:
    """What a status means; not what the destination says that it means."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


def _read(response: Any) -> bool:
    """Read the body, but not for ever: False if it did not come whole."""
    kept, whole = bytearray(), True
    try:
        for piece in response.raw.stream(_PIECE, decode_content=True):
            kept += piece
            if len(kept) >= MOST_BYTES:
                break
    except Exception:
        # Whatever breaks in the body, the status is known: what came so far is the answer.
        whole = False
    response.raw.close()
    # As requests leaves a body that it has read.
    response._content, response._content_consumed = bytes(kept[:MOST_BYTES]), True
    return whole


def _words(response: Any) -> str:
    """What the answer says to people: a short text, or such a member of a JSON object.

    Nothing else of it: an answer may hold a session's token. Not cut here: of a secret that is cut
    in two, the first half would not be known for one.
    """
    content = response.content[:4_000]
    kind = response.headers.get("Content-Type", "")
    if content[:1] in (b"{", b"["):
        try:
            found = json.loads(content)
        except ValueError:
            return ""
        found = found if isinstance(found, dict) else {}
        texts = [found[name] for name in _TELLING if isinstance(found.get(name), str)]
        return " ".join(texts[:2])
    if "html" in kind or content[:1] == b"<" or len(content) > 300:
        return ""
    return str(content.decode("utf-8", "replace"))


def _heard_step(
    ear: AttemptRecorder, original: Any, server: Any, *arguments: Any, **named: Any
) -> Any:
    try:
        return original(server, *arguments, **named)
    except (OSError, smtplib.SMTPException) as error:
        ear.heard.error = cause(error)
        raise


def _heard_command(ear: AttemptRecorder, original: Any, server: Any, data: Any) -> None:
    if isinstance(data, bytes) and data.endswith(b"\r\n.\r\n"):
        ear.command, ear.heard.written = _MESSAGE, True
    else:
        verb = str(data).partition(" ")[0].strip().upper()
        # The lines of a login have no verb: they are the name and the password.
        ear.command = verb if verb in _COMMANDS else "AUTH"
    original(server, data)


def _heard_reply(ear: AttemptRecorder, original: Any, server: Any) -> tuple[int, bytes]:
    heard = ear.heard
    if server.sock is not None:
        server.sock.settimeout(ear.timeout + 1)  # the deadline decides
        if not isinstance(server.file, _Bounded):
            server.file = _Bounded(server.file or server.sock.makefile("rb"))
        server.file.left = MOST_BYTES
    try:
        code, text = original(server)
    except (OSError, smtplib.SMTPException) as error:
        heard.error = cause(error)
        raise
    said = text[:10_000].decode("utf-8", "replace")
    no = Refusal(code, ear.command or "the greeting", said) if code >= 400 else None
    if code < 100:
        heard.error = f"it does not speak SMTP: {said}"
    if ear.command == _MESSAGE:
        heard.written = False
        heard.taken += code == 250
    if ear.command == "RCPT":
        heard.recipients += [no] if no else []
    elif ear.command not in ("RSET", "QUIT"):
        heard.refusal = no
    return code, text


class _Bounded:
    """Lines of a server's reply, until they are too many."""

    def __init__(self, file: Any) -> None:
        self._file, self.left = file, MOST_BYTES

    def readline(self, size: int) -> bytes:
        line: bytes = self._file.readline(size)
        self.left -= len(line)
        if self.left < 0:
            raise OSError("its answer does not end")
        return line

    def close(self) -> None:
        self._file.close()
