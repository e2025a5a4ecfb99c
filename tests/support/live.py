"""A real server on loopback for tests: its own database, rules and key; stopped when it ends."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from receiver.cli import client
from receiver.cli.configuration import spool_of
from receiver.config import routes_file
from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.config.settings import load_settings
from receiver.intake.receive import Intake
from receiver.sources import signing
from receiver.sources.verification import Verification
from receiver.store import opening
from receiver.store.contract import Store
from receiver.web import app
from receiver.web.server import server
from tests.support.stores import prepared

PRIVATE, PUBLIC = signing.generate("rsa-sha256")
ROUTES = """\
sources:
  asteroid:
    verify: {scheme: rsa-sha256, keys: ["${PUBLIC}"]}
destinations:
  ops: console://
routes:
  - {name: failures, match: {status: failed}, notify: [ops]}
  - {name: not accepted, match: {verdict: [rejected, quarantined]}, notify: [ops]}
"""


@dataclass(frozen=True)
class Live:
    """A running receiver: where it is, how to speak to it, what it stores."""

    url: str
    verification: Verification
    store: Store
    in_force: LiveRules[Intake]
    app: Starlette

    def post(
        self, body: bytes, *, source: str = "asteroid", private: str = PRIVATE
    ) -> tuple[int, dict[str, Any]]:
        """Sign and post a webhook."""
        url = f"{self.url}/webhooks/{source}"
        return client.post(url, body, self.verification, private)

    def ask(
        self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> tuple[int, dict[str, Any], Message]:  # fmt: skip
        """Make any request; its status, its JSON, and its headers whatever their case."""
        request = urllib.request.Request(
            self.url + path,
            body,
            {**({"Content-Type": "application/json"} if body else {}), **(headers or {})},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"{}"), answer.headers
        except urllib.error.HTTPError as error:
            content = error.read()
            is_json = "json" in error.headers.get("Content-Type", "")
            return error.code, json.loads(content) if is_json else {}, error.headers


@contextmanager
def live(
    folder: Path, routes: str = ROUTES, environ: Mapping[str, str] | None = None, **settings: str
) -> Iterator[Live]:
    """Serve `routes` from a database in `folder`; settings by name (api_token="…")."""
    with live_part(folder, routes, environ or {}, settings) as node:
        yield node


@contextmanager
def live_part(
    folder: Path, routes: str, environ: Mapping[str, str], settings: Mapping[str, str],
    *, may_be_away: bool = False, **parts: Any,
) -> Iterator[Live]:  # fmt: skip
    """Do the same with a process that does not do everything (dispatch=False, receive=False)."""
    path = folder / "routes.yaml"
    path.write_text(routes, "utf-8")

    def read() -> Rules:
        return routes_file.load(str(path), {"PUBLIC": PUBLIC, **environ})

    rules = read()
    named = {f"RECEIVER_{name.upper()}": value for name, value in settings.items()}
    chosen = load_settings(named).model_copy(update={"port": 0})
    url = settings.get("database_url") or f"sqlite:///{prepared(folder / 'receiver.db')}"
    store = opening.open_to_serve(url, backlog=chosen.backlog, may_be_away=may_be_away)
    application = app.build(chosen, rules, store, read=read, spool=spool_of(chosen), **parts)
    with server.serving(application, chosen, server.bind(chosen)) as url:
        how = next(iter(rules.sources.values())).verification
        yield Live(url, how, store, application.state.in_force, application)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(is_so: Callable[[], object], *, seconds: float = 20) -> None:
    """Wait until it is so, looking often; AssertionError after so many seconds."""
    pause = threading.Event()
    for _ in range(int(seconds * 50)):
        if is_so():
            return
        pause.wait(0.02)
    raise AssertionError(f"not so after {seconds} s")
