"""A stand-in for the hosts of all services: the real plugins reach it on loopback, TLS and all.

Within `standing_in` each name of a host leads to one port of this machine. It notes every request,
and answers as the test says. Its certificates are signed by an authority of the test.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import ipaddress
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_TLS = 0x16
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it arrived."""

    method: str
    host: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Its body as text."""
        return self.body.decode("utf-8", "replace")

    def has_words(self, *words: str) -> bool:
        """Return whether words stand in it, as they are or in base64."""
        plain = unquote_plus(f"{self.path} {self.body.decode('utf-8', 'replace')}")
        pieces = re.findall(r"[A-Za-z0-9+/]{40,}={0,2}", plain)
        decoded = [base64.b64decode(f"{piece[: len(piece) // 4 * 4]}") for piece in pieces]
        texts = [plain, *(text.decode("utf-8", "replace") for text in decoded)]
        return any(all(word in text for word in words) for text in texts)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; `cut` hangs up after the request was read, `hangs` waits for the end."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    hangs: bool = False


CUT = Answer(cut=True)
HANGS = Answer(hangs=True)


def saying(said: object, status: int = 200, **headers: str) -> Answer:
    """Make an answer of a text, of XML, or of JSON."""
    if isinstance(said, str):
        kind = "text/xml" if said.startswith("<") else "text/plain"
        body = said.encode()
    else:
        kind, body = "application/json", json.dumps(said).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, body, {"Content-Type": kind, **named})


Answering = Callable[[Asked], Answer]


class StandIn:
    """All hosts at once: `answering` decides about each request, `asked` are those so far."""

    def __init__(self, folder: Path) -> None:
        self.authority = folder / "authority.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("stand-in")
        self._keys = folder / "key.pem"
        self._keys.write_bytes(_pem(self._key))
        self.authority.write_bytes(self._signed("stand-in", None))
        self._folder, self._numbers = folder, count()
        self._certificate = cache(self._new_certificate)
        self._context = cache(self._new_context)
        self.answering: Answering = lambda _: Answer()
        self.asked: list[Asked] = []
        self._over = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listening.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def answer(self, answering: Answering | Answer) -> None:
        """Forget what was asked, and answer so from now on."""
        self.asked = []
        self.answering = answering if callable(answering) else lambda _: answering

    def close(self) -> None:
        """Stop listening, and hang up everywhere."""
        self._over.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listening.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    # Not that of TLS, which takes away what its thread is reading from.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._listening.accept()[0]
                connection.settimeout(20)
                thread = threading.Thread(target=self._visited, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _visited(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            if connection.recv(1, socket.MSG_PEEK)[:1] == bytes([_TLS]):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*self._certificate("localhost"))
                context.sni_callback = self._of_the_name
                connection = context.wrap_socket(connection, server_side=True)
            with self._lock:
                self._open.add(connection)
            with connection:
                self._serve(connection)
        with self._lock:
            self._open.discard(connection)
        connection.close()

    def _serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            while (asked := _read(lines)) is not None:
                self.asked.append(asked)
                answer = self.answering(asked)
                if answer.hangs:
                    self._over.wait(20)
                if answer.cut or answer.hangs:
                    return
                connection.sendall(_written(answer))

    def _of_the_name(self, connection: Any, name: str | None, _: Any) -> None:
        connection.context = self._context(name or "localhost")

    def _new_context(self, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._certificate(name))
        return context

    def _new_certificate(self, host: str) -> tuple[Path, Path]:
        path = self._folder / f"{next(self._numbers)}.pem"
        path.write_bytes(self._signed(host, host))
        return path, self._keys

    def _signed(self, title: str, host: str | None) -> bytes:
        now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
        made = x509.CertificateBuilder(
            self._name, _name(title), self._key.public_key(), x509.random_serial_number(),
            now - day, now + day,
        )  # fmt: skip
        made = made.add_extension(x509.BasicConstraints(ca=host is None, path_length=None), True)
        if host is not None:
            made = made.add_extension(x509.SubjectAlternativeName([_alternative(host)]), False)
        return made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@contextmanager
def standing_in(folder: Path) -> Iterator[StandIn]:
    """Lead every name of a host to one stand-in, for as long as this lasts."""
    service = StandIn(folder)
    place = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", service.port))]
    look_up = socket.getaddrinfo

    def lead(host: Any, *rest: Any, **named: Any) -> Any:
        """Lead names to the stand-in; an address of this machine is another server of the test."""
        return look_up(host, *rest, **named) if host == "127.0.0.1" else place

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lead)
        patch.setenv("REQUESTS_CA_BUNDLE", str(service.authority))
        for name in _PROXIES:
            patch.delenv(name, raising=False)
            patch.delenv(name.upper(), raising=False)
        try:
            yield service
        finally:
            service.close()


def _read(lines: Any) -> Asked | None:
    """Read a whole request; None if there is none any more."""
    start = lines.readline().decode("latin-1").split()
    if len(start) != 3:
        return None
    headers: dict[str, str] = {}
    while (line := lines.readline().decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = lines.read(int(headers.get("content-length", 0)))
    return Asked(start[0], headers.get("host", ""), start[1], headers, body)


def _written(answer: Answer) -> bytes:
    headers = {**answer.headers, "Content-Length": str(len(answer.body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {answer.status} x\r\n{lines}\r\n".encode("latin-1") + answer.body


def _name(title: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
