"""Settings: read once, strictly, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from receiver.config.settings import load_settings, warnings
from receiver.errors import ConfigurationError
from receiver.retention import Retention

# Forms of variables that nothing has filled in.
VARIABLES = (
    "${TOKEN}", "${NEW:-${OLD}}", "${TOKEN:?not set}", "$TOKEN", "$token", "$env:TOKEN", "$(TOKEN)",
    "$(cat /run/token)", "{{ token }}", "{{ .Values.token }}", "${{ secrets.TOKEN }}", "%TOKEN%",
    "https://{{ host }}/x", "https://${HOST}/x",
)  # fmt: skip


def problem(**environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    return str(caught.value)


def test_nothing_set_is_a_loopback_server_on_one_file() -> None:
    settings = load_settings({"HOME": "/root"})
    assert (settings.host, settings.port, settings.database_url) == (
        "127.0.0.1", 8000, "sqlite:///receiver.db",
    )  # fmt: skip
    assert load_settings({"RECEIVER_PORT": ""}).port == 8000


@pytest.mark.parametrize(
    "url",
    ["sqlite:////var/lib/r.db", "postgresql://u:canary@db/r", "postgres:///r", "postgresql://"],
)
def test_a_database_is_a_file_or_one_of_postgresql_and_is_not_shown(url: str) -> None:
    settings = load_settings({"RECEIVER_DATABASE_URL": url})
    assert settings.database_url == url
    assert "canary" not in repr(settings)


def test_an_unknown_variable_names_the_nearest() -> None:
    assert "Did you mean RECEIVER_PORT?" in problem(RECEIVER_PROT="1")
    assert "Did you mean RECEIVER_" in problem(RECEIVER_X="1")


def test_no_name_of_a_variable_reaches_a_terminal_with_its_signs_for_terminals() -> None:
    for name in ("RECEIVER_\x1b[2JX", "RECEIVER_PORT\r\n", "RECEIVER_\udcff\u202e"):
        found = problem(**{name: "1"})
        assert found.isprintable()
        assert "�" in found
    assert len(problem(**{f"RECEIVER_{'X' * 5_000}": "1"})) < 200
    (slip,) = warnings({"RECEIVE\x1bR_PORT": "1"})
    assert slip.isprintable()
    assert "did you mean RECEIVER_PORT?" in slip


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PORT", "8000x", "must be a whole number, like RECEIVER_PORT=8000."),
        ("PORT", "0", "must be greater than or equal to 1, like RECEIVER_PORT=8000."),
        ("PORT", "70000", "must be less than or equal to 65535, like RECEIVER_PORT=8000."),
        ("MAX_BODY", "1", "must be greater than or equal to 1024, like RECEIVER_MAX_BODY=262144."),
        ("RATE", "many", "must be a number, like RECEIVER_RATE=10000."),
        ("RATE", "nan", "must be less than or equal to 1000000, like RECEIVER_RATE=10000."),
        ("LOG_LEVEL", "loud", "must be 'debug', 'info', 'warning' or 'error'."),
        ("HTTP", "curl", "must be 'h11' or 'httptools'."),
        ("PUBLIC_URL", "example.org", "must be an address like https://hooks.example.org."),
        ("PUBLIC_URL", "https://", "must be an address like https://hooks.example.org."),
        ("HOST", "0.0.0.0:8000",
         "must be an address or a name alone, like 127.0.0.1 or ::1; the port is RECEIVER_PORT."),
        ("KEEP_BODIES", "30", "must be a duration like 90s, 15m, 2h or 1d."),
    ],
)  # fmt: skip
def test_a_bad_value_is_told_with_its_name_and_what_to_write(
    name: str, value: str, says: str
) -> None:
    assert problem(**{f"RECEIVER_{name}": value}) == f"RECEIVER_{name}: {says}"


def test_no_value_is_shown() -> None:
    for name, value in (
        ("DATABASE_URL", "mysql://u:canary@h/d"),
        ("PUBLIC_URL", "ftp://me:canary@hooks.example.org"),
        ("API_TOKEN", "${canary}"),
        # A secret in the wrong place, however short.
        ("PORT", "canary"),
        ("PORT", "canary-and-more-of-it"),
        ("LOG_LEVEL", "canary-and-more-of-it"),
        ("PUBLIC_URL", "canary-and-more-of-it"),
        ("HOST", "canary-and-more:of-it"),
    ):
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


def test_a_problem_is_one_printable_line_whatever_was_given() -> None:
    told = problem(RECEIVER_PORT="8\n\x1b[2J\u202e9")
    assert told.startswith("RECEIVER_PORT: must be")
    assert told.isprintable()


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
    for few, shown in (
        ({"RECEIVER_KEEP_EXECUTIONS": "89d"}, "RECEIVER_KEEP_EXECUTIONS"),
        ({"RECEIVER_KEEP_EVENT_IDS": "91d"}, "RECEIVER_KEEP_EXECUTIONS"),
    ):
        assert problem(**few) == (
            f"{shown}: executions must be kept for at least as long as event ids."
        )


@pytest.mark.parametrize("around", ["\n", "\r\n", " ", "\t", "\ufeff", "\u00a0", " \ufeff \r\n"])
def test_blanks_line_ends_and_byte_order_marks_around_a_value_go(
    tmp_path: Path, around: str
) -> None:
    (tmp_path / "token").write_text(f"{around}a-token{around}", "utf-8", newline="")
    settings = load_settings(
        {
            "RECEIVER_PORT": f"{around}9000{around}",
            "RECEIVER_API_TOKEN_FILE": f"{around}{tmp_path / 'token'}{around}",
            "RECEIVER_HOST": around,
        }
    )
    assert (settings.port, settings.host) == (9000, "127.0.0.1")
    assert settings.api_token is not None
    assert settings.api_token.get_secret_value() == "a-token"


def test_an_empty_file_is_no_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    assert "the file is empty" in problem(RECEIVER_API_TOKEN_FILE=str(tmp_path / "token"))


@pytest.mark.parametrize("value", VARIABLES)
def test_a_text_that_looks_like_a_variable_is_no_setting(tmp_path: Path, value: str) -> None:
    (tmp_path / "token").write_text(value + "\n")
    for name in ("API_TOKEN", "PUBLIC_URL", "ROUTES"):
        told = problem(**{f"RECEIVER_{name}": value})
        assert told.startswith(f"RECEIVER_{name}: it holds what looks like a variable")
        assert value not in told
    told = problem(RECEIVER_API_TOKEN_FILE=str(tmp_path / "token"))
    assert told.startswith("RECEIVER_API_TOKEN_FILE: it holds what looks like a variable")


@pytest.mark.parametrize(
    "value", ["pa$$word", "100%sure", "a$B_c", "a<b>c", "${", "%20", "$", "{x}"]
)
def test_a_dollar_in_a_token_is_a_dollar(value: str) -> None:
    token = load_settings({"RECEIVER_API_TOKEN": value}).api_token
    assert token is not None
    assert token.get_secret_value() == value


@pytest.mark.parametrize(
    ("service", "value"),
    [
        ("RECEIVER_PORT", "tcp://10.0.0.1:8000"),
        ("RECEIVER_SERVICE_HOST", "10.0.0.1"),
        ("RECEIVER_SERVICE_PORT", "8000"),
        ("RECEIVER_SERVICE_PORT_HTTP", "8000"),
        ("RECEIVER_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("RECEIVER_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("RECEIVER_PORT_80_TCP_PORT", "80"),
        ("RECEIVER_PORT_80_TCP_PROTO", "tcp"),
        ("RECEIVER_PORT_53_UDP", "udp://[fd00::1]:53"),
        ("RECEIVER_API_PORT", "tcp://10.0.0.2:80"),
        ("RECEIVER_API_SERVICE_HOST", "fd00::1"),
        ("RECEIVER_API_V2_PORT_8443_TCP_ADDR", "10.0.0.3"),
    ],
)
def test_what_kubernetes_sets_for_a_service_of_this_name_is_ignored_and_told(
    service: str, value: str
) -> None:
    environ = {service: value}
    assert load_settings(environ).port == 8000
    (warning,) = warnings(environ)
    assert warning.startswith(f"warning: {service} come")
    assert "ignored" in warning
    assert "enableServiceLinks" in warning


def test_all_that_kubernetes_sets_is_one_warning_and_a_setting_of_ours_counts() -> None:
    environ = {
        "RECEIVER_PORT": "tcp://10.0.0.1:8000",
        "RECEIVER_SERVICE_HOST": "10.0.0.1",
        "RECEIVER_SERVICE_PORT": "8000",
        "RECEIVER_LOG_LEVEL": "debug",
    }
    assert load_settings(environ).log_level == "debug"
    (warning,) = warnings(environ)
    assert "RECEIVER_PORT and 2 more" in warning


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RECEIVER_PROT", "tcp://10.0.0.1:8000"),
        ("RECEIVER_PORT", "http://10.0.0.1:8000"),
        ("RECEIVER_SERVICE", "10.0.0.1"),
        ("RECEIVER_SERVICE_PORT", "http"),
        ("RECEIVER_PORTS", "80"),
        ("RECEIVER_API_TOKN", "a"),
    ],
)
def test_what_kubernetes_does_not_set_is_a_mistake_as_ever(name: str, value: str) -> None:
    assert name in problem(**{name: value})


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("RECIEVER_PORT", "RECEIVER_PORT"),
        ("RECEIVERPORT", "RECEIVER_PORT"),
        ("receiver_port", "RECEIVER_PORT"),
        ("RECEVER_API_TOKEN", "RECEIVER_API_TOKEN"),
        ("RECIEVER_API_TOKEN_FILE", "RECEIVER_API_TOKEN_FILE"),
        ("RECEIVERS_DATABASE_URL", "RECEIVER_DATABASE_URL"),
    ],
)
def test_a_setting_under_a_misspelt_prefix_is_told(wrong: str, right: str) -> None:
    assert list(warnings({wrong: "1"})) == [f"warning: {wrong} is set; did you mean {right}?"]
    assert list(warnings({wrong: "1", right: "1"})) == []


def test_variables_of_others_are_no_settings_of_ours() -> None:
    others = {"HOME": "/", "PORT": "1", "HOST": "h", "SENDER_PORT": "2", "RECEIVED_PORTS": "3"}
    assert list(warnings(others)) == []
