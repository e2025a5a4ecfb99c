"""Connections read by httptools (extra `fast`), made as strict as h11.

By itself, httptools accepts two Hosts or none, turns the trailers of a chunked body into headers,
gives a request with `Upgrade` an empty body, does not limit the size of a head or a trailer, and
reads any number of pipelined requests ahead.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from receiver.web.server.limits import (
    MAX_FIELDS,
    MAX_HEAD,
    MAX_PIPELINED,
    BadHead,
    Bounded,
    check_head,
)


class _StrictProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the checks that httptools leaves out."""

    malformed: Any  # from Bounded

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.has_begun = False  # a head that is not complete
        self.is_in_message = False  # between the end of a head and the end of its body
        self._unanswered: deque[Any] = deque()  # requests; the first is in progress
        self._unparsed = 0  # bytes fed since the parser's last result
        self._status = 400
        self._is_resuming = False

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._unparsed += len(data)
        try:
            while data:
                data = self._feed(data)
        except httptools.HttpParserError:
            self.malformed(self._status)
            return
        if self._unparsed > MAX_HEAD:
            self.malformed(431)

    def _feed(self, data: bytes) -> bytes:
        """Parse the data; return the rest if a request asks for an upgrade."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade()
            return data[upgrade.args[0] :]
        return b""

    def _ignore_upgrade(self) -> None:
        """Read the body as HTTP: Java's client offers h2c with every request over plain HTTP.

        This parser would take the rest for another protocol. So a new parser goes on with the same
        framing. The application has not run yet.
        """
        self.parser = httptools.HttpRequestParser(self)
        framing = [
            name + b": " + value + b"\r\n"
            for name, value in self.headers
            if name in (b"content-length", b"transfer-encoding")
        ]
        self.is_in_message = self.cycle.more_body = True
        self.cycle.message_event.clear()
        self._is_resuming = True
        try:
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(framing) + b"\r\n")
        finally:
            self._is_resuming = False

    def on_message_begin(self) -> None:
        if not self._is_resuming:
            self.has_begun = True
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._is_resuming:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # A header after the head is a trailer: no signature covers it, and nothing reads it.
        if self.is_in_message:
            return
        if len(self.headers) >= MAX_FIELDS:  # before they fill the memory
            self._status = 431
            raise BadHead(431)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._is_resuming:
            return
        self._unparsed = 0
        self.has_begun = False
        version = self.parser.get_http_version()
        try:
            check_head(version, self.url, self.headers)
        except BadHead as error:
            self._status = error.status
            raise
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise BadHead(400)
        if len(self.pipeline) >= MAX_PIPELINED:
            raise BadHead(400)
        super().on_headers_complete()
        self.is_in_message = True
        self.first_unanswered()
        self._unanswered.append(self.cycle)

    def first_unanswered(self) -> Any:
        """Return the request in progress, or None."""
        while self._unanswered and self._unanswered[0].response_complete:
            self._unanswered.popleft()
        return self._unanswered[0] if self._unanswered else None

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        self.is_in_message = False
        super().on_message_complete()


class FastConnection(Bounded, _StrictProtocol):
    """A connection read by httptools."""

    def in_progress(self) -> Any:
        return self.first_unanswered()

    def is_in_head(self) -> bool:
        return self.has_begun

    def is_in_rest(self) -> bool:
        return self.is_in_message and self.in_progress() is None
