"""The Dockerfile: read, linted, and its own lines carried out in a fresh folder."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from receiver import __version__
from receiver.cli.main import cli
from receiver.config.settings import load_settings
from tests.support.deployed import COMMIT, DEPLOY, TOP, Image, is_root, tracked
from tests.support.dockerfile import context, instructions, is_let_through
from tests.support.live import free_port, until
from tests.support.raw import ask, request
from tests.support.tools import said, tool

FILE = DEPLOY / "Dockerfile"
IGNORE = DEPLOY / "Dockerfile.dockerignore"
# What the lines between it and the program do in the shell of an engine.
IN_A_CONTAINER = """\
set -e
mount --make-rprivate /
mount --bind "$DATA" "$DATA"
mount -o remount,ro,bind /
mount -t tmpfs -o ro none /tmp
mount --rbind "$SHARED" "$SHARED"
mount -o remount,ro,bind "$SHARED"
mount --bind "$DATA" "$DATA" && mount -o remount,rw,bind "$DATA"
cd "$DATA"
exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
"""


def last_stage() -> dict[str, str]:
    found = instructions(FILE)
    return {each.name: each.text for each in found if each.stage == found[-1].stage}


def test_it_is_well_written() -> None:
    assert said([tool("hadolint"), FILE]) == (0, "")


def test_it_says_what_an_engine_needs() -> None:
    last = last_stage()
    user, _, group = last["USER"].partition(":")
    assert int(user) > 1000
    assert int(group) > 1000
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert last["VOLUME"] == last["WORKDIR"] == "/data"
    check = json.loads(last["HEALTHCHECK"].partition(" CMD ")[2])
    assert check == ["receiver", "healthcheck"]
    assert json.loads(last["ENTRYPOINT"]) == ["receiver"]
    for command in (check[1], *json.loads(last["CMD"])):
        assert command in cli.commands
    for label in ("title", "description", "licenses", "revision"):
        assert f"org.opencontainers.image.{label}=" in last["LABEL"]
    variables = dict(re.findall(r"(\S+?)=(\S+)", last["ENV"]))
    ours = {name: value for name, value in variables.items() if name.startswith("RECEIVER_")}
    assert load_settings(ours).port == int(last["EXPOSE"])
    assert len({each.text.partition(" AS ")[0] for each in instructions(FILE)
                if each.name == "FROM"}) == 1  # fmt: skip


def test_no_secret_and_no_history_gets_to_the_engine() -> None:
    files = context(TOP, IGNORE, tracked())
    assert {"receiver/__main__.py", "receiver/web/pages/static/pico.css", "routes.yaml",
            "deploy/requirements.lock"} <= set(files)  # fmt: skip
    patterns = IGNORE.read_text("utf-8").splitlines()
    for name in (".git/config", ".venv/bin/python", "receiver.db", "receiver.env", ".env",
                 "deploy/secrets/api_token", "try.private.pem", "tests/conftest.py",
                 "receiver/__pycache__/errors.pyc", "receiver/cli/__pycache__/x.pyc"):  # fmt: skip
        assert not is_let_through(name, patterns), name


def test_its_lines_make_a_program_that_knows_its_commit(image: Image, tmp_path: Path) -> None:
    done = image.run(tmp_path, "--version")
    assert done.stdout == f"receiver {__version__} (commit {COMMIT})\n"
    assert sorted(each.name for each in image.root.iterdir()) == ["data", "etc", "opt"]
    data = (image.root / "data").stat()
    if is_root():
        assert (data.st_uid, oct(data.st_mode & 0o777)) == (10001, "0o700")


def test_it_serves_with_nothing_to_write_to_but_its_data(image: Image, tmp_path: Path) -> None:
    """Mounts of its own stand for the read-only root; it has no capability, as with `cap_drop`."""
    unshare = tool("unshare")
    data, port = tmp_path / "data", free_port()
    data.mkdir()
    environ = {
        "DATA": str(data), "SHARED": str(tmp_path.parents[1]), "HOME": str(data),
        "RECEIVER_PORT": str(port), "RECEIVER_DATABASE_URL": f"sqlite:///{data}/receiver.db",
        "RECEIVER_ROUTES": str(image.root / "etc/receiver/routes.yaml"),
    }  # fmt: skip
    inside = [unshare, "-m", "sh", "-c", IN_A_CONTAINER, "sh"]
    tried = said([*inside, "touch", tmp_path / "x"], env=image.environ(**environ))
    if "Operation not permitted" in tried[1] or "permission denied" in tried[1]:
        pytest.skip("file systems cannot be mounted")
    assert tried[0] != 0
    assert "Read-only" in tried[1], tried[1]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*inside, image.program, "serve"], env=image.environ(**environ), stdout=log, stderr=log
        )
    try:
        until(lambda: process.poll() is not None or answers(port))
        assert process.poll() is None, (tmp_path / "log").read_text("utf-8")
        healthy = image.run(tmp_path, "healthcheck", **environ)
        assert (healthy.returncode, healthy.stdout) == (0, "Ready.\n")
        walk(image, tmp_path, port)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0
        assert time.monotonic() - began < 25
    finally:
        process.kill()
        process.wait(10)
    assert {each.name.partition(".")[0] for each in data.iterdir()} == {"receiver"}


def answers(port: int) -> bool:
    try:
        return ask(port, request(method="GET", path="/healthz", length=False)).status == 200
    except OSError:
        return False


def walk(image: Image, folder: Path, port: int) -> None:
    """Look at what is served: pages with their files, the API, the metrics, an unsigned webhook."""
    for path, words in (
        ("/", "<html"), ("/executions", "<html"), ("/static/pico.css", "color"),
        ("/static/htmx.js", "htmx"), ("/api/ledger", '"imbalance":0'), ("/openapi.json", "3.1"),
        ("/metrics", "receiver_refused_total"),
    ):  # fmt: skip
        answer = ask(port, request(method="GET", path=path, length=False))
        assert answer.status == 200, path
        assert words in answer.body.decode().replace(" ", ""), path
    assert ask(port, request(b"{}")).status == 401


def test_the_wheel_runs_the_demo_and_its_commands_without_the_tree(
    image: Image, tmp_path: Path
) -> None:
    asked = "import receiver; print(receiver.__file__)"
    python = image.program.with_name("python")
    where = said([python, "-c", asked], cwd=tmp_path, env=image.environ())
    assert where[1].startswith(str(image.root))
    done = image.run(tmp_path, "demo", "--exit")
    assert done.returncode == 0, done.stderr
    assert "imbalance 0." in done.stdout
    (tmp_path / "routes.yaml").write_bytes((TOP / "routes.yaml").read_bytes())
    for arguments in (["check"], ["help", "routes"]):
        assert image.run(tmp_path, *arguments).returncode == 0, arguments
