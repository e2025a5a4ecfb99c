"""Secrets that the network would see are told before the first of them comes."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from receiver.config import exposure, routes_file
from receiver.config.settings import load_settings
from tests.support.commands import run

TOKEN = "a-token-of-sixteen-bytes"
ROUTES = f"""\
sources:
  old: {{format: plain, verify: {{scheme: token, header: X-Token, keys: [{TOKEN}]}}}}
  new:
    verify:
      scheme: rsa-sha256
      secret_header: {{name: X-Secret, value: another-of-sixteen-bytes}}
destinations: {{ops: "console://"}}
routes: [{{name: holes, match: {{verdict: rejected}}, notify: [ops]}}]
"""


@pytest.mark.parametrize(
    ("host", "url", "is_refused"),
    [
        ("127.0.0.1", "", False),
        ("::1", "", False),
        ("localhost", "", False),
        ("0.0.0.0", "", True),
        ("::", "", True),
        ("192.0.2.1", "http://hooks.example.org", True),
        ("0.0.0.0", "https://hooks.example.org", False),
    ],
)
def test_a_token_over_plain_http_is_refused_unless_only_this_machine_sees_it(
    tmp_path: Path, host: str, url: str, is_refused: bool
) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    rules = routes_file.load(str(tmp_path / "routes.yaml"), {})
    named = {"HOST": host, "PUBLIC_URL": url, "API_TOKEN": TOKEN}
    settings = load_settings({f"RECEIVER_{name}": value for name, value in named.items()})
    problems = list(exposure.problems(settings, rules))
    assert [f"{rules.path}:2: source old: its token" in p for p in problems] == [True] * is_refused
    warnings = [w for w in exposure.warnings(settings, rules) if "PUBLIC_URL is plain" not in w]
    assert ["secret_header" in warning for warning in warnings] == [True] * is_refused


def test_a_source_without_a_key_has_no_token_that_could_be_seen(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES.replace(f"[{TOKEN}]", '[""]'))
    rules = routes_file.load(str(tmp_path / "routes.yaml"), {})
    assert list(exposure.problems(load_settings({"RECEIVER_HOST": "0.0.0.0"}), rules)) == []


def test_a_token_that_the_documentation_shows_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    rules = routes_file.load(str(tmp_path / "routes.yaml"), {})
    for token, is_example in (("a-long-random-text", True), ("a-long-token-of-my-own", False)):
        settings = load_settings({"RECEIVER_API_TOKEN": token})
        found = [each for each in exposure.warnings(settings, rules) if "API_TOKEN" in each]
        assert ["is an example of the documentation" in each for each in found] == [
            True
        ] * is_example


def test_check_and_serve_refuse_it_and_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    for command in ("check", "serve"):
        done = run(tmp_path, command, RECEIVER_HOST="0.0.0.0", RECEIVER_PORT="1")
        assert done.returncode == 1
        assert b"routes.yaml:2: source old: its token would come over plain HTTP" in done.stderr
        assert b"RECEIVER_PUBLIC_URL" in done.stderr
        assert TOKEN.encode() not in done.stdout + done.stderr


def test_a_short_api_token_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    done = run(tmp_path, "check", RECEIVER_API_TOKEN="canary")
    assert done.returncode == 0
    assert b"RECEIVER_API_TOKEN has fewer than 16 bytes" in done.stdout
    assert b"canary" not in done.stdout


@pytest.mark.parametrize(
    ("url", "is_warned"),
    [
        ("http://hooks.example.org", True),
        ("http://203.0.113.9:8000/receiver", False),  # for documents: no address of the internet
        ("http://8.8.8.8/", True),
        ("https://hooks.example.org", False),
        ("http://127.0.0.1:8000", False),
        ("http://localhost:8000", False),
        ("http://10.1.2.3", False),
        ("http://[::1]:8000", False),
        ("http://receiver", False),
        ("http://receiver.internal", False),
        ("", False),
    ],
)
def test_links_that_others_on_the_way_can_read_are_warned_of(
    tmp_path: Path, url: str, is_warned: bool
) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    rules = routes_file.load(str(tmp_path / "routes.yaml"), {})
    warnings = exposure.warnings(load_settings({"RECEIVER_PUBLIC_URL": url}), rules)
    assert any("PUBLIC_URL is plain HTTP" in each for each in warnings) is is_warned


@pytest.mark.parametrize(
    ("url", "more", "address"),
    [
        ("https://hooks.example.org", {}, "https://hooks.example.org"),
        ("https://me:canary@hooks.example.org:8443/a/b", {}, "https://hooks.example.org:8443"),
        ("http://10.1.2.3", {}, "http://10.1.2.3"),
        ("https://hooks.example.org", {"API_TOKEN": TOKEN}, None),
        ("https://hooks.example.org",
         {"USER_HEADER": "X-User", "TRUSTED_PROXIES": "127.0.0.1"}, None),
        ("http://127.0.0.1:8000", {}, None),
        ("http://localhost", {}, None),
        ("https://[::1]", {}, None),
        ("", {}, None),
    ],
    ids=["public", "with a password", "private", "token", "proxy", "loopback", "localhost", "IPv6",
         "none"],
)  # fmt: skip
def test_an_address_at_which_nobody_can_use_anything_is_warned_of(
    tmp_path: Path, url: str, more: dict[str, str], address: str | None
) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    rules = routes_file.load(str(tmp_path / "routes.yaml"), {})
    named = {"PUBLIC_URL": url, **more}
    settings = load_settings({f"RECEIVER_{name}": value for name, value in named.items()})
    found = [each for each in exposure.warnings(settings, rules) if "nobody can use" in each]
    assert len(found) == (address is not None)
    for warning in found:
        assert f"the pages or the API at {address} until RECEIVER_API_TOKEN is set" in warning
        assert "canary" not in warning


def test_check_and_serve_warn_of_such_an_address(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    url = "https://hooks.example.org"
    done = run(tmp_path, "check", RECEIVER_PUBLIC_URL=url)
    assert done.returncode == 0
    text = b"nobody can use the pages or the API at https://hooks.example.org until"
    assert text in done.stdout
    # A port that is taken ends the server at once, after its warnings.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run(tmp_path, "serve", RECEIVER_PORT=port, RECEIVER_PUBLIC_URL=url)
    assert done.returncode != 0
    assert text in done.stdout + done.stderr


def test_check_hints_at_the_link_where_a_route_reminds_or_escalates(tmp_path: Path) -> None:
    for more in ("remind: {every: 15m}", "escalate: [{after: 1h, notify: [ops]}]"):
        route = f"name: waits, match: {{status: awaiting_confirmation}}, notify: [ops], {more}"
        begin = ROUTES.partition("routes:")[0]
        (tmp_path / "routes.yaml").write_text(f"{begin}routes: [{{{route}}}]\n")
        done = run(tmp_path, "check")
        assert done.returncode == 0
        (hint,) = [line for line in done.stdout.decode().splitlines() if "hint:" in line]
        assert "route 'waits' reminds or escalates: with RECEIVER_PUBLIC_URL" in hint
        done = run(tmp_path, "check", RECEIVER_PUBLIC_URL="https://hooks.example.org")
        assert b"hint:" not in done.stdout
    (tmp_path / "routes.yaml").write_text(ROUTES)
    assert b"hint:" not in run(tmp_path, "check").stdout
