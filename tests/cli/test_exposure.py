"""Secrets that the network would see are told before the first of them comes."""

from __future__ import annotations

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
    settings = load_settings({"RECEIVER_HOST": host, "RECEIVER_PUBLIC_URL": url})
    problems = list(exposure.problems(settings, rules))
    assert [f"{rules.path}:2: source old: its token" in p for p in problems] == [True] * is_refused
    warnings = list(exposure.warnings(settings, rules))
    assert ["secret_header" in warning for warning in warnings] == [True] * is_refused


def test_a_source_without_a_key_has_no_token_that_could_be_seen(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES.replace(f"[{TOKEN}]", '[""]'))
    rules = routes_file.load(str(tmp_path / "routes.yaml"), {})
    assert list(exposure.problems(load_settings({"RECEIVER_HOST": "0.0.0.0"}), rules)) == []


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
