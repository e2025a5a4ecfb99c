"""Destinations on loopback that behave badly: raw sockets, mail servers, certificates."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.live import free_port


class Visit:
    """One connection to a raw server: what to do with it is the test's."""

    def __init__(self, connection: socket.socket, over: threading.Event) -> None:
        self.connection, self.over, self.sent = connection, over, 0

    def read_request(self) -> bytes:
        """Read a whole HTTP request with its body."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                while len(body) < int(line.partition(b":")[2]):
                    body += self._more()
        return head + b"\r\n\r\n" + body

    def _more(self) -> bytes:
        data = self.connection.recv(65_536)
        if not data:
            raise OSError("it hung up")
        return data

    def say(self, data: bytes) -> None:
        self.connection.sendall(data)
        self.sent += len(data)

    def trickle(self, piece: bytes) -> None:
        """Say it again and again until the test is over or the other side has gone."""
        while not self.over.wait(0.02):
            self.say(piece)


@contextmanager
def raw(visited: Callable[[Visit], None]) -> Iterator[tuple[int, list[Visit]]]:
    """Serve raw sockets: the port, and the visits so far. Hang up when a visit returns."""
    over, visits, threads = threading.Event(), list[Visit](), list[threading.Thread]()

    def visit(one: Visit) -> None:
        with one.connection, contextlib.suppress(OSError):
            visited(one)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                one = Visit(listening.accept()[0], over)
                one.connection.settimeout(20)
                visits.append(one)
                threads.append(threading.Thread(target=visit, args=(one,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listening.getsockname()[1], visits
        finally:
            over.set()
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for one in visits:
                with contextlib.suppress(OSError):
                    one.connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


class Mail:
    """A mail server's answers: each is a line, or None for hanging up."""

    def __init__(
        self, rcpt: str | None = "250 OK", data: str | None = "250 OK", **recipients: str
    ) -> None:
        self.rcpt, self.data, self._recipients = rcpt, data, recipients
        self.envelopes: list[Any] = []

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        answer = self._recipients.get(address.partition("@")[0], self.rcpt)
        if answer is None:
            server.transport.abort()
        elif answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer or "421 gone"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.envelopes.append(envelope)
        if self.data is None:
            server.transport.abort()
        return self.data or "421 gone"


@contextmanager
def mail_server(mail: Mail, **options: Any) -> Iterator[int]:
    """Run a mail server and yield its port. `options` are aiosmtpd's."""
    controller = Controller(mail, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Make a certificate of 127.0.0.1 that nobody has signed, as a file, and a server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path, private = folder / "certificate.pem", folder / "key.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, private)
    return path, context
