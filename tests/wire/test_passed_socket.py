"""A listening socket that a supervisor passes on and keeps: the real process, restarted under load.

Connections that come while it restarts wait in the socket's queue; none is refused.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Self

import pytest

from receiver.cli import client
from receiver.config.settings import load_settings
from receiver.errors import ConfigurationError
from receiver.sources import signing
from receiver.web.server.passed import passed_socket
from tests.support.live import until
from tests.support.raw import Answer, request, wire
from tests.support.served import HERE, HOW, SECRET, SOURCE

ROUTES = (SOURCE % SECRET) + "destinations: {ops: 'console://'}\n"
# What systemd does: the socket is the third descriptor, and the variables name this process.
AS_SYSTEMD = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True);"
    "os.environ.update(LISTEN_FDS=sys.argv[2], LISTEN_PID=str(os.getpid()));"
    "os.execv(sys.executable, [sys.executable, '-m', 'receiver', 'serve'])"
)
READY = request(method="GET", path="/readyz", length=False)


def start(
    folder: Path, passed: socket.socket, *, how: str, **settings: str
) -> subprocess.Popen[bytes]:
    (folder / "routes.yaml").write_text(ROUTES, "utf-8")
    number = passed.fileno()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RECEIVER_")}
    environ = {**clean, "PYTHONPATH": str(HERE), **settings}
    if how == "RECEIVER_FD":
        arguments = ["-m", "receiver", "serve"]
        environ["RECEIVER_FD"] = str(number)
    else:
        arguments = ["-c", AS_SYSTEMD, str(number), how.rpartition("=")[2]]
    with (folder / "serve.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, env=environ, stdout=log, stderr=log,
            pass_fds=[number],
        )  # fmt: skip


def answer(port: int, whole: bytes) -> Answer:
    """Send a request and wait for its answer for as long as a start may take."""
    with wire(port, timeout=60) as connection:
        connection.send(whole)
        return connection.answer()


def webhook(number: int) -> bytes:
    body = client.asteroid_event("EXECUTION_STARTED", f"x-{number}", event_id=f"e-{number}")
    return request(body, signing.sign(HOW, SECRET, body, message_id="", now=time.time()))


class Load:
    """Somebody who posts webhooks all the time, each on a connection of its own."""

    def __init__(self, port: int) -> None:
        self.statuses: Counter[int] = Counter()
        self.refused: list[OSError] = []
        self._port, self._over = port, threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(4)]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join()

    def goes_on(self) -> None:
        """Wait until some more were answered."""
        before = self.statuses[202]
        until(lambda: self.statuses[202] > before + 20, seconds=60)

    def _send(self, first: int) -> None:
        number = first
        while not self._over.is_set():
            number += 4
            try:
                self.statuses[answer(self._port, webhook(number)).status] += 1
            except OSError as error:
                self.refused.append(error)


def test_no_webhook_is_refused_or_sent_away_while_it_restarts(tmp_path: Path) -> None:
    how = "LISTEN_FDS=1"
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as passed:
        port = passed.getsockname()[1]
        process = start(tmp_path, passed, how=how, RECEIVER_PORT="1")
        try:
            # Nobody listens by itself: the first waits until it is there.
            assert answer(port, READY).status == 200
            with Load(port) as load:
                load.goes_on()
                process.send_signal(signal.SIGTERM)
                assert process.wait(25) == 0
                process = start(tmp_path, passed, how=how, RECEIVER_PORT="1")
                load.goes_on()
        finally:
            process.terminate()
            process.wait(25)
        assert load.refused == []
        # Those that were accepted before the signal and come after it are told to come again.
        assert set(load.statuses) <= {202, 503}
        assert load.statuses[503] <= 4, load.statuses


def test_what_cannot_be_listened_on_is_refused_with_what_to_do() -> None:
    by_systemd = {"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid())}
    with pytest.raises(ConfigurationError, match="LISTEN_FDS: 2 sockets were passed on"):
        passed_socket(load_settings({}), by_systemd)
    # What was passed to another process is none of this one's business.
    assert passed_socket(load_settings({}), {"LISTEN_FDS": "1", "LISTEN_PID": "1"}) is None
    with socket.socket() as unbound, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        for number in (unbound.fileno(), datagrams.fileno()):
            with pytest.raises(ConfigurationError, match="it is no TCP socket that listens"):
                passed_socket(load_settings({"RECEIVER_FD": str(number)}), {})
            os.fstat(number)  # still open: it is not ours
    with pytest.raises(ConfigurationError, match="Bad file descriptor"):
        passed_socket(load_settings({"RECEIVER_FD": "9999"}), {})


def test_the_api_is_open_by_where_the_socket_is_and_not_by_what_a_setting_says(
    tmp_path: Path,
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as passed:
        port = passed.getsockname()[1]
        process = start(tmp_path, passed, how="RECEIVER_FD", RECEIVER_HOST="127.0.0.1")
        try:
            asked = answer(port, request(method="GET", path="/api/ledger", length=False))
            assert asked.status == 403
        finally:
            process.terminate()
            process.wait(25)
