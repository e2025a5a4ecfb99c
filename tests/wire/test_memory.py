"""Floods leave the memory of a server flat: the short form, on a process of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.cli import client
from receiver.sources import signing, verification
from tests.bench.intake import start
from tests.support.commands import TOP
from tests.support.live import PRIVATE, PUBLIC, ROUTES, free_port, until
from tests.support.raw import Wire, ask, request

BOUND = 300 * 2**20
GET = request(method="GET", path="/healthz", length=False)


def memory(process: int, name: str = "VmRSS") -> int:
    """Bytes of a process (VmHWM: the most it ever had)."""
    lines = Path(f"/proc/{process}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024


@pytest.fixture(params=["h11", "httptools"])
def server(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    if request.param == "httptools":
        pytest.importorskip("httptools")
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc")
    (tmp_path / "routes.yaml").write_text(ROUTES)
    port = free_port()
    environ = {"PYTHONPATH": str(TOP), "PUBLIC": PUBLIC, "RECEIVER_PORT": str(port),
               "RECEIVER_HTTP": request.param,
               "RECEIVER_LOG_LEVEL": "error"}  # fmt: skip
    process = start([sys.executable, "-m", "receiver", "serve"], port, environ, str(tmp_path))
    try:
        yield process, port
        assert b"Traceback" not in (tmp_path / "server.log").read_bytes()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0


def push(connection: Wire, data: bytes) -> None:
    """Send as much as the server takes at once."""
    connection.socket.setblocking(False)
    try:
        while data:
            data = data[connection.socket.send(data) :]
    except OSError:
        return


def test_floods_do_not_grow_it(server: tuple[subprocess.Popen[bytes], int]) -> None:
    process, port = server
    until(lambda: ask(port, GET).status == 200)
    how, body = (
        verification.Verification("rsa-sha256"),
        client.asteroid_event("EXECUTION_STARTED", "x"),
    )
    signed = signing.sign(how, PRIVATE, body, message_id="", now=0)
    large = [("Content-Length", "262144")]
    floods = {
        "bodies that never end": request(b"", large, length=False) + b" " * 262_143,
        "chunks that never end": request(b"", [("Transfer-Encoding", "chunked")], length=False)
        + b"1000\r\n" + b" " * 4_096 + b"\r\n3fff0\r\n" + b" " * 250_000,
        "heads that never end": b"GET / HTTP/1.1\r\n" + b"A: " + b"x" * 500_000,
        "fields that never end": b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 80_000,
        "chunk extensions that never end": request(
            b"", [("Transfer-Encoding", "chunked")], length=False
        ) + b"5;" + b"x" * 500_000,
        "requests in a row, unread": GET * 10_000,
        "forgeries": request(b"x" * 1_000, signed) * 300,
        "silence": b"",
    }  # fmt: skip
    seen = {}
    for name, flood in floods.items():
        held: list[Wire] = []
        for _ in range(520):
            try:
                held.append(Wire(port, 5))
            except OSError:
                break
            push(held[-1], flood)
        # It still answers, or says that it is full.
        assert ask(port, GET).status in (200, 503), name
        seen[name] = memory(process.pid) // 2**20
        for connection in held:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
        until(lambda: ask(port, GET).status == 200)
    print(seen, memory(process.pid, "VmHWM") // 2**20)
    assert memory(process.pid, "VmHWM") < BOUND, seen
    assert ask(port, request(body, signed)).status == 202
