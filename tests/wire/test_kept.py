"""A plugin is kept from message to message, and no message feels the one before it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import apprise.plugins
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from receiver.deliveries import Attempt, Message, Outcome
from receiver.destinations import sending
from receiver.destinations.destination import Destination

SENT = re.compile(r".*/rooms/[^/]+/send/m\.room\.message/(.+)")
# What a plugin changes of itself while it sends: attribute → why no later message suffers.
HARMLESS = {
    "a session, made anew when it has run out or was refused": (
        "access_token", "device_id", "home_server", "user_id", "token", "token_expiry", "headers",
        "__access_token", "__access_token_expiry", "__refresh_token", "__endpoint",
        "_access_token", "_endpoint_id", "_expire_time", "_owner", "_scope", "private_key_loaded",
    ),
    "an id that was looked up, looked up again after a refusal": (
        "store", "rooms", "from_email", "from_name", "_whoami_cache", "_user_cache",
        "_lookup_users", "_cached_channels", "_cached_workspaces", "default_workspace",
        "channel_ids", "channels", "targets", "_keys", "_org_keys", "_account_salt",
    ),
    "when the service takes more, which passes by itself": (
        "ratelimit_remaining", "ratelimit_reset",
    ),
    "a key of a conversation, counted by itself": ("_e2ee_account",),
    "a connection, made for each message": ("sock", "growl", "__initial_connect", "_adapter"),
    "made anew by kept.make_ready": ("transaction_id",),
    "the same each time": (
        "user", "names", "payload_map", "smtp_host", "from_addr", "host", "port", "secure",
        "secure_mode", "auth_mode", "_re_slack_formatting_map", "_re_slack_formatting_rules",
        "enabled", "_slot", "__store", "__detected_version", "_slot",
    ),
    "kinds that act on this machine, which no destination may be": (
        "classAtom", "hinst", "hwnd", "wc", "_invalid_targets", "subscriptions",
    ),
}  # fmt: skip
READS_ITS_URL = {"__init__", "parse_url", "parse_native_url", "url", "url_identifier", "__del__"}
CHANGES = {
    "append", "extend", "add", "update", "pop", "clear", "remove", "insert", "setdefault",
    "discard", "set",
}  # fmt: skip


def test_no_plugin_keeps_what_nobody_has_looked_at() -> None:
    known = {name for names in HARMLESS.values() for name in names}
    found: set[str] = set()
    for path in Path(apprise.plugins.__file__).parent.rglob("*.py"):
        for owner in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(owner, ast.ClassDef) and owner.name.startswith("Notify"):
                found |= {name for each in owner.body for name in changed(each)}
    assert {"transaction_id", "store", "ratelimit_reset", "_cached_channels"} <= found
    assert found - known == set()


def changed(function: ast.stmt) -> Iterator[str]:
    """The attributes of itself that a method sets or changes."""
    if not isinstance(function, ast.FunctionDef) or function.name in READS_ITS_URL:
        return
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if not isinstance(owner, ast.Attribute) or node.func.attr not in CHANGES:
                continue
            if isinstance(owner.value, ast.Name) and owner.value.id == "self":
                yield owner.attr


def send(url: str, *titles: str) -> list[Attempt]:
    """Send messages in a row, all by the same thread, which keeps its plugin."""
    destination = Destination("ops", url, timeout=5)
    return [sending.send(destination, Message(title, "body")) for title in titles]


class Matrix:
    """A server that stores an event once for each transaction id, as the specification says."""

    def __init__(self, httpserver: HTTPServer) -> None:
        self.events: dict[str, str] = {}
        self.logins = 0
        self.broken = False
        self.url = f"127.0.0.1:{httpserver.port}/!room:example.org?discovery=no"
        httpserver.expect_request(re.compile("/_matrix/.*")).respond_with_handler(self._answer)

    def _answer(self, request: Request) -> Response:
        if request.path.endswith("/login") and request.method == "POST":
            self.logins += 1
            return _json({"access_token": "t", "user_id": "@u:example.org", "device_id": "D"})
        if sent := SENT.fullmatch(request.path):
            self.events.setdefault(sent[1], request.get_data(as_text=True))
            return _json({"event_id": "$1"}) if not self.broken else Response("", 502)
        return _json({"room_id": "!room:example.org", "user_id": "@u:example.org"})


def _json(value: object, status: int = 200) -> Response:
    return Response(json.dumps(value), status, content_type="application/json")


@pytest.mark.parametrize("login", ["canary-token@", "one:canary-word@"])
def test_each_matrix_message_has_a_transaction_of_its_own(
    login: str, httpserver: HTTPServer
) -> None:
    matrix = Matrix(httpserver)
    attempts = send(f"matrix://{login}{matrix.url}", "one", "two", "three")
    assert [attempt.outcome for attempt in attempts] == [Outcome.DELIVERED] * 3
    assert [title in text for title, text in zip(("one", "two", "three"), matrix.events.values(),
                                                 strict=True)] == [True] * 3  # fmt: skip


def test_a_matrix_message_after_a_failed_one_is_no_repetition_of_it(
    httpserver: HTTPServer,
) -> None:
    matrix = Matrix(httpserver)
    url = f"matrix://two:canary-word@{matrix.url}"
    matrix.broken = True
    assert send(url, "one")[0].outcome is Outcome.FAILED
    matrix.broken = False
    assert send(url, "two")[0].outcome is Outcome.DELIVERED
    assert "two" in list(matrix.events.values())[-1]
    assert len(matrix.events) == 2
    assert matrix.logins == 1


def test_the_picture_of_a_matrix_message_does_not_take_the_place_of_its_text(
    httpserver: HTTPServer,
) -> None:
    matrix = Matrix(httpserver)
    url = f"matrix://canary-picture@{matrix.url}&image=yes&v=2"
    assert [each.outcome for each in send(url, "one", "two")] == [Outcome.DELIVERED] * 2
    texts = [text for text in matrix.events.values() if "m.text" in text]
    assert ["one" in texts[0], "two" in texts[1]] == [True, True]


def test_a_channel_that_is_gone_is_looked_up_again_for_the_next_message(
    httpserver: HTTPServer,
) -> None:
    channel = "a" * 26

    def answer(request: Request) -> Response:
        if "/channels/name/" in request.path:
            return _json({"id": channel})
        is_there = request.get_json()["channel_id"] == channel
        return _json({"id": "1"}, 201) if is_there else _json({"message": "gone"}, 404)

    httpserver.expect_request(re.compile("/api/v4/.*")).respond_with_handler(answer)
    token = "canary0000000000canary0000"
    url = f"mmost://team@127.0.0.1:{httpserver.port}/{token}?mode=bot&to=%23ops"
    outcomes = [send(url, "one")[0].outcome]
    channel = "b" * 26
    outcomes += [send(url, title)[0].outcome for title in ("two", "three")]
    assert outcomes == [Outcome.DELIVERED, Outcome.FAILED, Outcome.DELIVERED]
    looked_up = [request.path for request, _ in httpserver.log if "/name/" in request.path]
    assert len(looked_up) == 2


def test_a_session_is_kept_while_nothing_is_refused(httpserver: HTTPServer) -> None:
    matrix = Matrix(httpserver)
    send(f"matrix://five:canary-word@{matrix.url}", *map(str, range(5)))
    assert (matrix.logins, len(matrix.events)) == (1, 5)
