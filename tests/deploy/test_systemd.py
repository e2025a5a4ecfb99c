"""systemd's units: verified, closed as far as today, and of settings that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from receiver.config.settings import FROM_FILES, PREFIX
from tests.support.deployed import DEPLOY, check_variables, variables_of_rules
from tests.support.tools import said, tool

SERVICE, SOCKET = DEPLOY / "receiver.service", DEPLOY / "receiver.socket"
BACKUP = DEPLOY / "backup" / "receiver-backup.service"
UNITS = [SERVICE, SOCKET, BACKUP, BACKUP.with_suffix(".timer")]
MOST_EXPOSED = 1.2


def lines(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text("utf-8"), re.M)


def variables(unit: Path) -> dict[str, str]:
    pairs = [line.partition("=") for line in lines(unit, "Environment")]
    return {name: value for name, _, value in pairs}


def test_systemd_verifies_them_without_a_word(tmp_path: Path) -> None:
    for unit in UNITS:
        text = re.sub(r"/opt/receiver/bin/\w+", "/bin/true", unit.read_text("utf-8"))
        (tmp_path / unit.name).write_text(text, "utf-8")
    verify: list[str | Path] = [
        tool("systemd-analyze"),
        "verify",
        *(tmp_path / unit.name for unit in UNITS),
    ]
    assert said(verify) == (0, "")
    service = tmp_path / SERVICE.name
    service.write_text(service.read_text("utf-8").replace("PrivateTmp=", "PrivatTmp="), "utf-8")
    assert "PrivatTmp" in said(verify)[1]


@pytest.mark.parametrize("unit", [SERVICE, BACKUP], ids=lambda unit: unit.name)
def test_they_are_hardly_exposed(unit: Path) -> None:
    code, words = said([tool("systemd-analyze"), "security", "--offline=yes", unit])
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", words)
    assert code == 0, words
    assert found is not None
    assert float(found[1]) <= MOST_EXPOSED
    for line in ("ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet=",
                 "DynamicUser=yes", "MemoryDenyWriteExecute=yes"):  # fmt: skip
        assert f"\n{line}\n" in unit.read_text("utf-8"), line


def test_each_secret_is_a_credential_and_each_variable_means_something() -> None:
    for unit in (SERVICE, BACKUP):
        given = variables(unit)
        check_variables(given)
        loaded = dict(line.split(":") for line in lines(unit, "LoadCredential"))
        from_files = {n: v for n, v in given.items() if n.endswith("_FILE")}
        assert {value.removeprefix("%d/") for value in from_files.values()} == set(loaded)
        assert all(path == f"/etc/receiver/secrets/{name}" for name, path in loaded.items())
    in_rules = variables_of_rules()
    secrets = {f"{PREFIX}{name.upper()}" for name in FROM_FILES} - {"RECEIVER_DATABASE_URL"}
    loaded_names = {name.removesuffix("_FILE") for name in variables(SERVICE)}
    assert in_rules <= loaded_names
    assert secrets <= loaded_names | {"RECEIVER_LINK_KEY"}


def test_the_example_of_an_environment_is_read_and_says_where_the_socket_is() -> None:
    text = (DEPLOY / "receiver.env.example").read_text("utf-8")
    pairs = [
        line.removeprefix("#").partition("=") for line in re.findall(r"^#?\w+=.*$", text, re.M)
    ]
    settings = check_variables({name: value for name, _, value in pairs})
    assert lines(SOCKET, "ListenStream") == [f"{settings.host}:{settings.port}"]
    assert not any(name.endswith("_FILE") for name, _, _ in pairs)


def test_the_service_ends_within_the_time_that_the_server_takes_and_reloads() -> None:
    assert int(lines(SERVICE, "TimeoutStopSec")[0]) >= 25 + 5
    assert lines(SERVICE, "ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert lines(SERVICE, "Requires") == ["receiver.socket"]
