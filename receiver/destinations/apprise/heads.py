"""Heads: how an answer begins, and where it ends.

The head is read without the parser for mails, which takes as long as to send. And what an answer is
not must not become that of the next request on the same connection.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
from collections.abc import Callable
from typing import Any

from receiver.destinations.apprise import sessions

# A line of a head that needs no reading as in a mail: it is whole, and no part of a line before.
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*)\r?\n")
_MOST_READ, _MOST_LINES = 65_536, 90
_ENDS = (b"\r\n", b"\n")
# Of these the library says whether it is one.
_IN_PARTS = re.compile(rb"content-type:\s*(?:multipart|message)", re.IGNORECASE)


def with_plain_lines(parse: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `http.client.parse_headers`: only what is not plain lines is left to it."""

    def parse_headers(file: Any, kind: Any = http.client.HTTPMessage, **named: Any) -> Any:
        head = kind()
        lines: list[bytes] = []
        while (line := file.readline(_MOST_READ + 1)) not in _ENDS:
            lines.append(line)
            found = _LINE.fullmatch(line)
            if found is None or len(lines) > _MOST_LINES or _IN_PARTS.match(line):
                return parse(_Lines(lines, file), kind, **named)
            head.set_raw(found[1].decode("ascii"), found[2].decode("iso-8859-1"))
        head.set_payload("")
        return head

    return parse_headers


class _Lines:
    """Lines that were read, and those that follow in the file."""

    def __init__(self, read: list[bytes], file: Any) -> None:
        self._read = read
        self._file = file

    def readline(self, size: int) -> Any:
        return self._read.pop(0) if self._read else self._file.readline(size)


class OneAnswer(http.client.HTTPResponse):
    """The answer of a request, and nothing before or behind it.

    The library skips 100 alone of what may come before an answer: it takes any other 1xx for the
    answer, and the answer for that of the next request.
    """

    def __init__(self, sock: Any, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self._connection = sock

    def begin(self) -> None:
        """Read the head of the answer."""
        super().begin()
        while self._is_announced():
            self.headers = None  # type: ignore[assignment]  # else it is taken for read
            super().begin()
            self.will_close = True
        if self.status < 200:
            self.will_close = True  # another protocol follows

    def _is_announced(self) -> bool:
        return self.status < 200 and self.status != http.HTTPStatus.SWITCHING_PROTOCOLS

    def _close_conn(self) -> None:
        """End the connection, if more has come than the answer. The library calls it at its end."""
        raw = getattr(self.fp, "raw", None)
        if isinstance(raw, socket.SocketIO):
            # Only what is read already counts: to read on would wait.
            raw.readinto = _nothing_more  # type: ignore[assignment,method-assign]
            if self.fp.peek(1):
                sessions.distrust()
                with contextlib.suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)
        self._connection = None
        super()._close_conn()  # type: ignore[misc]


def _nothing_more(_: Any) -> None:
    """Read nothing, without waiting: only what has been read already can be seen."""
