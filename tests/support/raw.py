"""Raw bytes over a socket, and the answers as they come: for what no decent client would send."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """One answer. `status` 0: the connection was closed without one."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        """Its JSON."""
        content = json.loads(self.body)
        assert isinstance(content, dict)
        return content


class Wire:
    """A connection to a server of ours."""

    def __init__(self, port: int, timeout: float = 10.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._buffer = b""

    def send(self, *parts: bytes) -> None:
        """Write; a server that has closed already may not hear it."""
        for part in parts:
            try:
                self.socket.sendall(part)
            except OSError:
                return

    def answer(self, *, head: bool = False) -> Answer:
        """Read the next answer but those with 1xx. `head`: it answers HEAD, without a body."""
        while True:
            while b"\r\n\r\n" not in self._buffer:
                if not self._read():
                    return Answer(0, {}, self._buffer)
            raw, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            line, *fields = raw.decode("latin-1").split("\r\n")
            status = int(line.split(" ")[1])
            if status >= 200:
                break
        headers = {
            name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)
        }
        length = 0 if head else int(headers.get("content-length", 0))
        while len(self._buffer) < length and self._read():
            pass
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Answer(status, headers, body)

    def is_closed(self) -> bool:
        """Wait until the server closes; False if it sends something or the time is over."""
        return not self._buffer and not self._read()

    def _read(self) -> bool:
        try:
            data = self.socket.recv(65_536)
        except ConnectionError:
            return False
        self._buffer += data
        return bool(data)

    def close(self) -> None:
        self.socket.close()


@contextmanager
def wire(port: int, timeout: float = 10.0) -> Iterator[Wire]:
    """Open a connection that is closed in the end."""
    connection = Wire(port, timeout)
    try:
        yield connection
    finally:
        connection.close()


def ask(port: int, *parts: bytes, head: bool = False) -> Answer:
    """Send these bytes on a connection of their own; its first answer."""
    with wire(port) as connection:
        connection.send(*parts)
        return connection.answer(head=head)


def request(
    body: bytes = b"",
    headers: Headers = (),
    *,
    path: str = "/webhooks/asteroid",
    method: str = "POST",
    length: bool = True,
    host: bool = True,
) -> bytes:
    """Write a whole HTTP/1.1 request; `headers` in their order, repeated where they repeat."""
    fields = [*([("Host", "localhost")] if host else []), *headers]
    if length:
        fields.append(("Content-Length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("utf-8", "surrogateescape") + body


def chunked(body: bytes, *, size: int = 7, trailers: str = "") -> bytes:
    """Write the body in chunks."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + (
        f"0\r\n{trailers}\r\n".encode()
    )
