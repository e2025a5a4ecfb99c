"""Settings: read once, strictly, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from receiver.config.settings import load_settings
from receiver.errors import ConfigurationError
from receiver.retention import Retention


def problem(**environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    return str(caught.value)


def test_nothing_set_is_a_loopback_server_on_one_file() -> None:
    settings = load_settings({"HOME": "/root"})
    assert (settings.host, settings.port, settings.database_path) == (
        "127.0.0.1", 8000, Path("receiver.db"),
    )  # fmt: skip
    assert load_settings({"RECEIVER_PORT": ""}).port == 8000


def test_four_slashes_are_an_absolute_path() -> None:
    settings = load_settings({"RECEIVER_DATABASE_URL": "sqlite:////var/lib/r.db"})
    assert settings.database_path == Path("/var/lib/r.db")


def test_an_unknown_variable_names_the_nearest() -> None:
    assert "Did you mean RECEIVER_PORT?" in problem(RECEIVER_PROT="1")
    assert "Did you mean RECEIVER_" in problem(RECEIVER_X="1")


def test_a_bad_value_is_told_without_the_value() -> None:
    for name, value in (("PORT", "canary"), ("MAX_BODY", "1"), ("LOG_LEVEL", "canary"),
                        ("DATABASE_URL", "postgresql://u:canary@h/d"), ("PUBLIC_URL", "canary"),
                        ("HTTP", "canary")):  # fmt: skip
        told = problem(**{f"RECEIVER_{name}": value})
        assert told.startswith(f"RECEIVER_{name}: ")
        assert "canary" not in told


def test_the_time_zone_is_a_known_one_or_the_nearest_is_named() -> None:
    assert load_settings({}).zone.key == "UTC"
    assert load_settings({"RECEIVER_TZ": "Europe/Berlin"}).zone.key == "Europe/Berlin"
    for name, nearest in (
        ("Europe/Berln", "Europe/Berlin"), ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"), ("new york", "America/New_York"), ("Europe", "Europe/"),
        ("../etc/passwd", ""), ("Europe/", "Europe/"),
    ):  # fmt: skip
        told = problem(RECEIVER_TZ=name)
        assert told.startswith("RECEIVER_TZ: there is no such time zone; the nearest is ")
        assert nearest in told


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token\n")
    settings = load_settings({"RECEIVER_API_TOKEN_FILE": str(tmp_path / "token")})
    assert settings.api_token is not None
    assert settings.api_token.get_secret_value() == "a-token"
    assert "a-token" not in repr(settings)
    assert "cannot be read" in problem(RECEIVER_API_TOKEN_FILE="/nowhere")
    both = {"RECEIVER_API_TOKEN": "x", "RECEIVER_API_TOKEN_FILE": str(tmp_path / "token")}
    assert "set twice" in problem(**both)


def test_what_is_kept_how_long_is_a_rule_and_is_checked_at_the_start() -> None:
    kept = load_settings({"RECEIVER_KEEP_EXECUTIONS": "400d", "RECEIVER_KEEP_BODIES": "12h"})
    assert kept.retention == Retention("12h", "90d", "400d")
    assert problem(RECEIVER_KEEP_BODIES="30") == (
        "RECEIVER_KEEP_BODIES: must be a duration like 90s, 15m, 2h or 1d."
    )
    assert "longer than events are believed (14d and 5m)" in problem(RECEIVER_KEEP_EVENT_IDS="14d")
    for few in ({"RECEIVER_KEEP_EXECUTIONS": "89d"}, {"RECEIVER_KEEP_EVENT_IDS": "91d"}):
        assert problem(**few) == (
            "RECEIVER_KEEP_EXECUTIONS: executions must be kept for at least as long as event ids."
        )
