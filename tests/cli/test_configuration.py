"""Configuration at the command line: which file and port count, and what is said of variables."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from receiver.cli import client
from receiver.errors import ReceiverError
from tests.support.commands import TOP, run
from tests.support.live import PUBLIC, ROUTES, free_port, until

# What Kubernetes sets in each pod of a namespace with a Service called receiver.
SERVICE_LINKS = {
    "RECEIVER_PORT": "tcp://10.0.0.1:8000",
    "RECEIVER_SERVICE_HOST": "10.0.0.1",
    "RECEIVER_SERVICE_PORT": "8000",
    "RECEIVER_SERVICE_PORT_HTTP": "8000",
    "RECEIVER_PORT_8000_TCP": "tcp://10.0.0.1:8000",
    "RECEIVER_PORT_8000_TCP_ADDR": "10.0.0.1",
    "RECEIVER_PORT_8000_TCP_PORT": "8000",
    "RECEIVER_PORT_8000_TCP_PROTO": "tcp",
    "RECEIVER_API_PORT": "tcp://10.0.0.2:80",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "routes.yaml").write_text(ROUTES, "utf-8")
    return tmp_path


@contextmanager
def serving(folder: Path, *options: str, **environ: str) -> Iterator[list[str]]:
    """Run `receiver serve` in a folder; yields the lines of its log until it serves."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RECEIVER_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "receiver", "serve", *options], cwd=folder, stderr=subprocess.PIPE,
        env={**clean, "PYTHONPATH": str(TOP), **environ}, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "serve.started" in line:
                break
        yield lines
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def answers(port: int, host: str = "127.0.0.1") -> bool:
    try:
        return client.post_raw(f"http://{host}:{port}/webhooks/asteroid", b"{}", {})[0] == 401
    except ReceiverError:
        return False


def test_check_reads_the_file_that_it_is_given(folder: Path) -> None:
    (folder / "other.yaml").write_text(ROUTES.replace("notify: [ops]", "notify: [opz]", 1))
    done = run(folder, "check", "other.yaml", PUBLIC=PUBLIC)
    assert done.returncode == 1
    assert done.stderr.startswith(b"other.yaml:7: there is no destination 'opz'")
    (folder / "routes.yaml").rename(folder / "good.yaml")
    done = run(folder, "check", "good.yaml", PUBLIC=PUBLIC, RECEIVER_ROUTES="other.yaml")
    assert (done.returncode, b"good.yaml: 1 source," in done.stdout) == (0, True)
    missing = run(folder, "check", "none.yaml")
    assert missing.returncode == 1
    assert b"none.yaml:1: it cannot be read" in missing.stderr
    assert b"receiver check FILE" in missing.stderr


def test_serve_listens_where_its_options_say_and_the_environment_counts_less(folder: Path) -> None:
    port = free_port()
    with serving(
        folder, "--port", str(port), "--host", "127.0.0.2", PUBLIC=PUBLIC, RECEIVER_PORT="1"
    ):
        until(lambda: answers(port, "127.0.0.2"))
        assert not answers(port)


@pytest.mark.parametrize("port", ["0", "8000x", "70000"])
def test_a_wrong_port_is_wrong_usage_and_names_the_setting(folder: Path, port: str) -> None:
    done = run(folder, "serve", "--port", port, PUBLIC=PUBLIC)
    assert (done.returncode, b"--port" in done.stderr) == (2, True)
    done = run(folder, "serve", PUBLIC=PUBLIC, RECEIVER_PORT=port)
    assert (done.returncode, done.stderr.startswith(b"RECEIVER_PORT: ")) == (1, True)
    assert b"like RECEIVER_PORT=8000" in done.stderr


def test_a_host_that_would_show_a_token_is_refused_from_an_option_too(folder: Path) -> None:
    text = ROUTES.replace(
        'rsa-sha256, keys: ["${PUBLIC}"]', "token, header: X, keys: [" + "k" * 16 + "]"
    )
    (folder / "routes.yaml").write_text(text)
    done = run(folder, "serve", "--host", "0.0.0.0", "--port", str(free_port()))
    assert (done.returncode, b"its token would come over plain HTTP" in done.stderr) == (1, True)


def test_it_serves_beside_a_kubernetes_service_of_its_name_and_says_what_it_ignores(
    folder: Path,
) -> None:
    done = run(folder, "check", stdin=b"", PUBLIC=PUBLIC, **SERVICE_LINKS)
    assert done.returncode == 0, done.stderr
    assert b"warning: RECEIVER_API_PORT and 8 more come from Kubernetes" in done.stdout
    port = free_port()
    links = {**SERVICE_LINKS, "RECEIVER_PORT": str(port)}
    with serving(folder, PUBLIC=PUBLIC, **links) as lines:
        until(lambda: answers(port))
    assert any("and 7 more come from Kubernetes" in line for line in lines)
    both = run(folder, "check", stdin=b"", PUBLIC=PUBLIC, RECEIVER_PROT="1", **SERVICE_LINKS)
    assert both.returncode == 1
    assert both.stderr.startswith(b"RECEIVER_PROT: there is no such setting")
    assert b"Did you mean RECEIVER_PORT?" in both.stderr


def test_check_and_serve_say_that_a_console_stands_for_a_misspelt_variable(folder: Path) -> None:
    (folder / "routes.yaml").write_text(
        ROUTES.replace("ops: console://", 'ops: "${OPS_URL:-console://}"')
    )
    says = "ops prints only: OPS_URL is not set (OPSURL is set; did you mean OPS_URL?)"
    url = "json://127.0.0.1/canary"
    done = run(folder, "check", PUBLIC=PUBLIC, OPSURL=url)
    assert done.returncode == 0
    assert f"routes.yaml:5: warning: {says}" in done.stdout.decode()
    with serving(folder, "--port", str(free_port()), PUBLIC=PUBLIC, OPSURL=url) as lines:
        pass
    assert any(says in line for line in lines)
    assert "canary" not in done.stdout.decode() + "".join(lines)
    right = run(folder, "check", PUBLIC=PUBLIC, OPS_URL=url)
    assert "prints only" not in right.stdout.decode()


def test_a_text_that_is_still_a_variable_stops_check_and_serve(folder: Path) -> None:
    for command in ("check", "serve"):
        done = run(folder, command, PUBLIC="{{ canary }}", RECEIVER_PORT=str(free_port()))
        assert done.returncode == 1
        assert done.stderr.startswith(b"routes.yaml:3: the value of PUBLIC looks like a variable")
        assert b"canary" not in done.stderr


def test_a_silence_that_can_match_nothing_is_an_error_at_the_command_line(folder: Path) -> None:
    for match, says in (
        ("event=EXECUTION_FAIL", b"did you mean 'EXECUTION_FAILED'?"),
        ("status=faild*", b"status: nothing fits 'faild*'"),
    ):
        done = run(folder, "silence", "add", "--match", match, "--reason", "r", "--for", "1h",
                   PUBLIC=PUBLIC)  # fmt: skip
        assert (done.returncode, says in done.stderr) == (1, True)
