"""`receiver healthcheck`, as a container's engine asks: an exit code and a sentence."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.support.commands import run
from tests.support.live import free_port, live


def asked(folder: Path, *arguments: str, **environ: str) -> tuple[int, str]:
    done = run(folder, "healthcheck", *arguments, stdin=b"", **environ)
    assert b"Traceback" not in done.stderr
    return done.returncode, (done.stdout + done.stderr).decode().strip()


@contextmanager
def answering(status: int, content: object) -> Iterator[int]:
    """Answer every request the same; yield the port."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_it_goes_where_the_settings_or_options_say_past_every_proxy(tmp_path: Path) -> None:
    wrong = str(free_port())
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy"), f"http://127.0.0.1:{wrong}")
    with live(tmp_path) as running:
        port = running.url.rpartition(":")[2]
        for host in ("127.0.0.1", "0.0.0.0", "localhost"):
            settings = {"RECEIVER_HOST": host, "RECEIVER_PORT": port, **proxies}
            assert asked(tmp_path, **settings) == (0, "Ready.")
        assert asked(tmp_path, "--port", port, RECEIVER_PORT=wrong) == (0, "Ready.")
        code, words = asked(tmp_path, RECEIVER_PORT=wrong)
        assert code == 1
        assert words.startswith(
            f"Nobody answers at 127.0.0.1 port {wrong} (Connection refused). Is"
        )
        # The same process, which refuses webhooks by now.
        running.app.state.endpoint.draining = True
        assert asked(tmp_path, RECEIVER_PORT=port) == (1, "Not ready: Shutting down.")


@pytest.mark.parametrize(
    ("status", "content", "words"),
    [
        (503, {"detail": "The storage cannot be written. See the log."}, "Not ready: The storage"),
        (503, ["busy"], "is no receiver (status 503)"),
        (200, {"status": "up"}, "is no receiver (status 200)"),
        (404, {}, "is no receiver (status 404)"),
        (302, {"status": "ready"}, "is no receiver (status 302)"),
    ],
)
def test_any_other_answer_is_a_failure_that_says_what_answers(
    tmp_path: Path, status: int, content: object, words: str
) -> None:
    with answering(status, content) as port:
        code, said = asked(tmp_path, RECEIVER_PORT=str(port))
    assert code == 1
    assert words in said


def test_one_that_takes_webhooks_without_its_database_is_ready(tmp_path: Path) -> None:
    with answering(200, {"status": "spooling", "alarms": []}) as port:
        assert asked(tmp_path, RECEIVER_PORT=str(port)) == (0, "Ready.")


def test_a_server_that_never_answers_or_talks_nonsense_ends_it_too(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        code, words = asked(tmp_path, RECEIVER_PORT=port)
        assert (code, "timed out" in words) == (1, True)
    assert asked(tmp_path, RECEIVER_PORT="no")[0] == 1
