"""What an answer is written to: its head and its body go out in one call of the system."""

from __future__ import annotations

import asyncio
from typing import Any

# An answer of 1xx has no body that could be waited for.
_HEAD, _INFORMATION = b"HTTP/1.1 ", b"HTTP/1.1 1"


class CoalescingTransport:
    """A transport that sends the head of an answer with the first part of its body.

    uvicorn writes one after the other: each is a call of the system and a packet. A head that no
    body follows in the same turn of the event loop (the answer to HEAD) goes out by itself.
    """

    __slots__ = ("_head", "_soon", "_transport", "_write", "abort", "is_closing")

    def __init__(self, transport: Any) -> None:
        self._transport, self._write, self._head = transport, transport.write, b""
        self._soon = asyncio.get_running_loop().call_soon
        self.abort, self.is_closing = transport.abort, transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Written before this returns, but for a head, which waits for what follows it."""
        if self._head:
            head, self._head = self._head, b""
            self._write(head + data)
        elif data.startswith(_HEAD) and not data.startswith(_INFORMATION):
            self._head = data
            self._soon(self._send_head)
        else:
            self._write(data)

    def close(self) -> None:
        """Close when everything is sent, a head without a body too."""
        self._send_head()
        self._transport.close()

    def write_whole(self, data: bytes) -> None:
        """Write a whole answer: nothing will follow it."""
        self.write(data)
        self._send_head()

    def _send_head(self) -> None:
        if self._head:
            self.write(b"")
