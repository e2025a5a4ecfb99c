"""A receiver behind the real Caddy or nginx of the system, with the shipped configuration.

Only what a loopback needs is changed: ports, names, certificates, and who may look at the pages.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.support.deployed import DEPLOY
from tests.support.live import free_port, until
from tests.support.raw import ask, request
from tests.support.tools import tool

HOOKS, PAGES = "hooks.example.org", "receiver.example.org"
# A part of a configuration that a test changes: from, to.
Change = tuple[str, str]


@contextmanager
def caddy(folder: Path, upstream: int, *changes: Change) -> Iterator[int]:
    """Run Caddy before a port; yield its own."""
    port = free_port()
    text = (DEPLOY / "proxy" / "Caddyfile").read_text("utf-8")
    loopback = "{\n\tadmin off\n\tauto_https off\n\tdefault_bind 127.0.0.1\n"
    file = folder / "Caddyfile"
    file.write_text(changed(text, ("{\n\tservers", f"{loopback}\tservers"), *changes), "utf-8")
    environ = {
        **os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder),
        "SITE": f"http://{HOOKS}:{port}", "PAGES": f"http://{PAGES}:{port}",
        "UPSTREAM": f"127.0.0.1:{upstream}",
    }  # fmt: skip
    arguments = [tool("caddy"), "run", "--config", str(file), "--adapter", "caddyfile"]
    with running(arguments, folder, environ, port):
        yield port


@contextmanager
def nginx(folder: Path, upstream: int, *changes: Change) -> Iterator[int]:
    """Run nginx before a port; yield its own."""
    port, other = free_port(), free_port()
    text = changed(
        (DEPLOY / "proxy" / "nginx.conf").read_text("utf-8"),
        ("server 127.0.0.1:8000", f"server 127.0.0.1:{upstream}"),
        ("listen 80 default_server", f"listen 127.0.0.1:{other} default_server"),
        ("    ssl_reject_handshake on;\n", "    return 444;\n"),
    )
    # The checks speak HTTP to it: the certificates are the system's business.
    text = re.sub(r"listen 443 ssl( default_server)?;", rf"listen 127.0.0.1:{port}\1;", text)
    text = changed(re.sub(r"\n +ssl_certificate\S* [^;]+;", "", text), *changes)
    file = folder / "nginx.conf"
    paths = "".join(f"{name}_temp_path {folder}/{name};" for name in
                    ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))  # fmt: skip
    file.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;\n"
        f"{'user root;' if os.geteuid() == 0 else ''}\n"
        f"events {{}}\nhttp {{\naccess_log off; {paths}\n{text}\n}}\n",
        "utf-8",
    )
    arguments = [tool("nginx"), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(file)]
    with running(arguments, folder, dict(os.environ), port):
        yield port


PROXIES: dict[str, Callable[..., AbstractContextManager[int]]] = {"caddy": caddy, "nginx": nginx}


def changed(text: str, *changes: Change) -> str:
    """Return a text with its changes; AssertionError if it has not what one changes."""
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    return text


@contextmanager
def running(
    arguments: list[str], folder: Path, environ: dict[str, str], port: int
) -> Iterator[None]:
    """Run a proxy until the context ends; begin once it answers."""
    with (folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen(arguments, cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        until(lambda: process.poll() is not None or answers(port))
        assert process.poll() is None, (folder / "proxy.log").read_text("utf-8")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        for name in ("client_body", "proxy"):
            shutil.rmtree(folder / name, ignore_errors=True)


def answers(port: int) -> bool:
    """Return whether somebody answers there."""
    try:
        ask(port, request(method="GET", path="/", length=False))
    except OSError:
        return False
    return True


def to(
    host: str, path: str, body: bytes = b"", headers: list[tuple[str, str]] | None = None
) -> bytes:
    """Write a request to one of the two hosts; with a body a POST."""
    fields = [("Host", host), *(headers or [])]
    method = "POST" if body or headers else "GET"
    return request(body, fields, path=path, method=method, host=False, length=method == "POST")
