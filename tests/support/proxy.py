"""A TCP proxy before a PostgreSQL server: it can cut, refuse, and swallow what it gets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

Target = tuple[int, str | tuple[str, int]]


class Proxy:
    """A way to the server over loopback. While it `is_swallowing`, no byte comes through.

    A connection on which a client says what it `cuts_at` is cut. `turns` counts how
    often a client spoke after the server.
    """

    def __init__(self, url: str) -> None:
        self._values = {name: str(value) for name, value in conninfo_to_dict(url).items()}
        self.port = 0
        self.is_swallowing = False
        self.cuts_at: bytes | None = None
        self.n_cut = 0  # how often it did
        self.turns = 0
        self._is_client = False  # who spoke last
        self._pairs: list[socket.socket] = []
        self._listening: socket.socket | None = None
        self.open()

    @property
    def url(self) -> str:
        """The URL that leads through it."""
        values = self._values
        user, password = quote(values.get("user", "")), quote(values.get("password") or "secret-1")
        options = quote(values.get("options", ""))
        return (
            f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{values.get('dbname', '')}"
            f"?options={options}"
        )

    def open(self) -> None:
        """Take connections, at the same port each time."""
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def cut(self) -> None:
        """Cut all connections, and refuse new ones."""
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None
        while self._pairs:
            one = self._pairs.pop()
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                server = self._reach()
                self._pairs += [client, server]
                for one, other in ((client, server), (server, client)):
                    arguments = one, other, one is client
                    threading.Thread(target=self._carry, args=arguments, daemon=True).start()

    def _reach(self) -> socket.socket:
        host, port = self._values.get("host", "localhost"), self._values.get("port", "5432")
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)))
        reached = socket.socket(socket.AF_UNIX)
        reached.connect(f"{host}/.s.PGSQL.{port}")
        return reached

    def _carry(self, one: socket.socket, other: socket.socket, is_client: bool) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                self.turns += is_client and not self._is_client
                self._is_client = is_client
                if self.cuts_at is not None and self.cuts_at in data:
                    self.n_cut += 1
                    break
                if not self.is_swallowing:
                    other.sendall(data)
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy(url: str) -> Iterator[Proxy]:
    """Run a proxy; it cuts everything at its end."""
    running = Proxy(url)
    try:
        yield running
    finally:
        running.cut()
