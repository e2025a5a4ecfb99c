"""Transport of answers: the head and the body go out in one system call."""

from __future__ import annotations

import asyncio
from typing import Any

_HEAD = b"HTTP/1.1 "
_INFORMATION = b"HTTP/1.1 1"  # an answer of 1xx: no body follows it


class CoalescingTransport:
    """A transport that sends the head of an answer with the first part of its body.

    uvicorn writes them one after the other, each with a system call and a packet. A head without a
    body in the same turn of the event loop (the answer to HEAD) goes out alone.
    """

    __slots__ = ("_call_soon", "_head", "_transport", "_write", "abort", "is_closing")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._write = transport.write
        self._head = b""
        self._call_soon = asyncio.get_running_loop().call_soon
        self.abort = transport.abort
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write the data at once, but keep a head until the data after it comes."""
        if self._head:
            head, self._head = self._head, b""
            self._write(head + data)
        elif data.startswith(_HEAD) and not data.startswith(_INFORMATION):
            self._head = data
            self._call_soon(self._send_head)
        else:
            self._write(data)

    def close(self) -> None:
        """Close after everything is sent, including a head without a body."""
        self._send_head()
        self._transport.close()

    def write_whole(self, data: bytes) -> None:
        """Write a complete answer at once: no more data follows it."""
        self.write(data)
        self._send_head()

    def _send_head(self) -> None:
        if self._head:
            self.write(b"")
