"""`receiver test` and its address: a marked message, sent now, and what came of it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from receiver.destinations.destination import Destination
from receiver.dispatch.trial import trial_message
from tests.support.commands import run
from tests.support.live import PUBLIC, ROUTES, free_port, live, until

TWO = ROUTES.replace("  ops: console://", '  ops: "json://me:canary@127.0.0.1:${PORT}/canary"')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "routes.yaml").write_text(TWO, "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (200, 0, "delivered after "),
        (404, 1, "failed, for good: HTTP 404 Not Found. No repeat can mend it: mend the dest"),
        (503, 1, "failed: HTTP 503 Service Unavailable. A later message would be tried again"),
    ],
)
def test_a_test_message_is_sent_now_and_says_what_came_of_it(
    folder: Path, httpserver: HTTPServer, status: int, code: int, says: str
) -> None:
    httpserver.expect_request("/canary").respond_with_data("", status)
    done = run(folder, "test", "ops", PUBLIC=PUBLIC, PORT=str(httpserver.port))
    shown = (done.stdout + done.stderr).decode()
    assert (done.returncode, says in shown) == (code, True)
    assert f"destination ops: JSON at 127.0.0.1:{httpserver.port}\n" in shown
    assert "canary" not in shown
    (request, _) = httpserver.log[0]
    sent = request.get_json()
    assert sent["title"] == "Test of destination ops"
    assert "only a test: nothing has happened" in sent["message"]
    assert "with `receiver test ops`" in sent["message"]
    assert not (folder / "receiver.db").exists()


def test_an_answer_that_does_not_come_is_uncertain_at_the_timeout(
    folder: Path, httpserver: HTTPServer
) -> None:
    over = threading.Event()

    def hang(request: Request) -> Response:
        over.wait(20)
        return Response("")

    httpserver.expect_request("/canary").respond_with_handler(hang)
    text = TWO.replace('ops: "json', 'ops: {timeout: 1s, url: "json').replace('canary"', 'canary"}')
    (folder / "routes.yaml").write_text(text, "utf-8")
    done = run(folder, "test", "ops", PUBLIC=PUBLIC, PORT=str(httpserver.port))
    over.set()
    assert done.returncode == 1
    assert b"uncertain: it was sent, and no answer came within 1 s. It may have" in done.stderr


def test_a_wrong_name_a_wrong_url_and_no_name_say_what_to_do(folder: Path) -> None:
    done = run(folder, "test", "opps", PUBLIC=PUBLIC, PORT="1")
    assert (done.returncode, b"has no destination 'opps': did you mean 'ops'?" in done.stderr) == (
        1, True,
    )  # fmt: skip
    assert run(folder, "test", PUBLIC=PUBLIC, PORT="1").returncode == 2
    (folder / "routes.yaml").write_text(TWO.replace("json://", "slak://"), "utf-8")
    done = run(folder, "test", "ops", PUBLIC=PUBLIC, PORT="1")
    assert done.returncode == 1
    assert b"routes.yaml:5: destination ops: Apprise has no such kind" in done.stderr


def test_the_console_is_tried_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES, "utf-8")
    done = run(tmp_path, "test", "ops", PUBLIC=PUBLIC)
    assert done.returncode == 0
    assert "┌ to ops: Test of destination ops" in done.stdout.decode()
    assert "printed only: nobody but who reads the server's console has it" in done.stdout.decode()
    assert "delivered" not in done.stdout.decode()


def test_a_test_says_what_check_warns_of_at_that_destination(
    folder: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/canary").respond_with_data("")
    port = httpserver.port
    (folder / "routes.yaml").write_text(
        ROUTES.replace("  ops: console://", f"""\
  ops: "${{OPS_URL:-console://}}"
  more: "json://127.0.0.1:{port}/canary?verify=no"
"""), "utf-8",
    )  # fmt: skip
    done = run(folder, "test", "ops", PUBLIC=PUBLIC, OPSURL="json://canary")
    says = "warning: ops prints only: OPS_URL is not set (OPSURL is set; did you mean OPS_URL?)"
    assert f"routes.yaml:5: {says}" in done.stdout.decode()
    assert b"verify=no" not in done.stdout
    done = run(folder, "test", "more", PUBLIC=PUBLIC, OPSURL="json://canary")
    assert done.returncode == 0
    assert b"routes.yaml:6: warning: destination more does not check who answers" in done.stdout
    assert b"prints only" not in done.stdout
    assert b"canary" not in done.stdout + done.stderr


def test_check_and_serve_list_where_each_destination_leads(folder: Path) -> None:
    done = run(folder, "check", PUBLIC=PUBLIC, PORT="81")
    assert b"destination ops: JSON at 127.0.0.1:81\n" in done.stdout
    assert b"canary" not in done.stdout + done.stderr
    # The port is taken away again, so that it ends by itself after the list.
    served = run(folder, "serve", PUBLIC=PUBLIC, PORT="81", RECEIVER_HOST="192.0.2.1")
    assert b"destination.leads_to destination=ops place='JSON at 127.0.0.1:81'" in served.stderr
    assert b"canary" not in served.stderr


def test_the_api_sends_a_test_message_and_says_what_came_of_it(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_ordered_request("/canary").respond_with_data("")
    httpserver.expect_ordered_request("/canary").respond_with_data("", 410)
    with live(tmp_path, TWO, {"PORT": str(httpserver.port)}) as receiver:
        status, answer, _ = receiver.ask("/api/destinations/ops/test", method="POST")
        assert status == 200
        assert answer.pop("duration_ms") >= 0
        assert answer == {"outcome": "delivered", "detail": "", "permanent": False}
        status, answer, _ = receiver.ask("/api/destinations/ops/test", method="POST")
        assert (answer["outcome"], answer["permanent"]) == ("failed", True)
        assert answer["detail"] == "HTTP 410 Gone"
        assert receiver.ask("/api/destinations/opps/test", method="POST")[0] == 404
        assert receiver.ask("/api/destinations/ops/test")[0] == 405
        assert receiver.ask("/api/deliveries")[1]["items"] == []
    sent = httpserver.log[0][0].get_json()
    assert "through the API" in sent["message"]


def test_a_test_that_hangs_blocks_nobody_and_is_the_only_one_of_its_destination(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    arrived, over = threading.Event(), threading.Event()
    results: list[int] = []

    def hang(request: Request) -> Response:
        arrived.set()
        over.wait(20)
        return Response("")

    httpserver.expect_request("/canary").respond_with_handler(hang)
    with live(tmp_path, TWO, {"PORT": str(httpserver.port)}) as receiver:

        def ask() -> None:
            results.append(receiver.ask("/api/destinations/ops/test", method="POST")[0])

        first = threading.Thread(target=ask)
        first.start()
        assert arrived.wait(20)
        assert receiver.ask("/healthz")[0] == 200
        ask()
        over.set()
        first.join()
        until(lambda: len(results) == 2)
    assert results == [409, 200]


def test_the_sender_of_a_test_cannot_write_a_mention() -> None:
    message = trial_message(
        Destination("ops", f"json://127.0.0.1:{free_port()}"), "@everyone\n<!x>"
    )
    assert "@everyone" not in message.body
    assert len(message.body.splitlines()) == 2
