"""Connection: HTTP with fewer calls of the system.

A request leaves in one piece. In attempts, a connection has no time-outs of its own, with which the
system is asked before each read and write whether it would wait: the deadline cuts it.

Only who has imported Apprise imports this module: `urllib3` comes with it.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from receiver.destinations.apprise import sessions
from receiver.destinations.apprise.recorder import current_recorder

# A larger piece goes by itself: to put it together would cost more than it saves.
_MOST_TOGETHER = 65_536


_OfUrllib3: Any = object  # at run time, _InOnePiece stands before one of its connections


class _InOnePiece(_OfUrllib3):  # type: ignore[misc]
    """Connection whose request leaves in one piece. It stands before a class of urllib3."""

    _pieces: list[bytes] | None = None
    _length = 0
    timeout: Any
    sock: Any

    @property
    def is_connected(self) -> bool:
        """Say whether it can be used again. Who says something unasked is not trusted any more."""
        if super().is_connected:
            return True
        if type(self.sock) is socket.socket:
            with contextlib.suppress(OSError):
                if self.sock.recv(1, socket.MSG_PEEK):
                    sessions.distrust()
        return False

    def request(self, *arguments: Any, **named: Any) -> None:
        """Send a request."""
        self._leave_to_deadline()
        self._pieces, self._length = [], 0
        try:
            super().request(*arguments, **named)
            self._send_pieces()
        finally:
            self._pieces = None

    def send(self, data: Any) -> None:
        """Hold back what is a part of a request."""
        if self._pieces is None:
            super().send(data)
        elif type(data) is bytes and self._length + len(data) <= _MOST_TOGETHER:
            self._pieces.append(data)
            self._length += len(data)
        else:
            self._send_pieces()
            super().send(data)

    def getresponse(self) -> Any:
        """Wait for the answer."""
        self._leave_to_deadline()
        return super().getresponse()

    def _leave_to_deadline(self) -> None:
        if self.sock is not None and current_recorder() is not None:
            self.timeout = None

    def _send_pieces(self) -> None:
        if pieces := self._pieces:
            self._pieces, self._length = [], 0
            super().send(b"".join(pieces))


class _PlainConnection(_InOnePiece, HTTPConnection):
    """Connection without TLS."""


class _TlsConnection(_InOnePiece, HTTPSConnection):
    """Connection with TLS."""


class PlainPool(HTTPConnectionPool):
    """Connections to a place, without TLS."""

    ConnectionCls = _PlainConnection


class TlsPool(HTTPSConnectionPool):
    """Connections to a place, with TLS."""

    ConnectionCls = _TlsConnection
