"""Compose files: valid, of settings that exist, and no looser than the image allows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.deployed import DEPLOY, check_variables
from tests.support.tools import said, tool

FILES = ["compose.yaml", "compose.postgres.yaml"]


def services(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text("utf-8"))
    found: dict[str, Any] = document["services"]
    return found | {"secrets": document["secrets"], "volumes": document["volumes"]}


def test_they_are_valid_by_the_schema_of_compose(tmp_path: Path) -> None:
    checking = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    code, words = said([*checking, *(DEPLOY / name for name in FILES)])
    assert code == 0, words
    broken = tmp_path / FILES[0]
    text = (DEPLOY / FILES[0]).read_text("utf-8")
    broken.write_text(text.replace("stop_grace_period", "stop_grace_periods"), "utf-8")
    assert said([*checking, broken])[0] == 1


@pytest.mark.parametrize("name", FILES)
def test_the_receiver_has_settings_that_exist_and_secrets_as_files(name: str) -> None:
    found = services(name)
    receiver = found["receiver"]
    variables = {
        variable: re.sub(r"\$\{PAGES[^}]*\}", "receiver.example.org", value)
        for variable, value in receiver["environment"].items()
    }
    settings = check_variables(variables)
    assert settings.public_url == "https://receiver.example.org"
    named = {v.removeprefix("/run/secrets/") for n, v in variables.items() if n.endswith("_FILE")}
    assert named == set(receiver["secrets"])
    assert named <= set(found["secrets"])
    assert receiver["read_only"] is True
    assert receiver["cap_drop"] == ["ALL"]
    assert receiver["security_opt"] == ["no-new-privileges:true"]
    assert "ports" not in receiver  # only through the proxy
    # What is being sent has `drain` seconds, and the whole of the end 25.
    assert int(receiver["stop_grace_period"].removesuffix("s")) >= 25 + 5
    for mounted in [v for each in ("receiver", "caddy") for v in found[each]["volumes"]]:
        source = mounted.partition(":")[0]
        assert source in found["volumes"] or (DEPLOY / source).is_file(), source


def test_with_a_file_there_is_one_receiver_and_with_postgresql_there_are_two() -> None:
    assert "deploy" not in services(FILES[0])["receiver"]
    assert "data:/data" in services(FILES[0])["receiver"]["volumes"]
    shared = services(FILES[1])["receiver"]
    assert shared["deploy"]["replicas"] == 2
    assert not any(":/data" in each for each in shared["volumes"])
    assert shared["environment"]["RECEIVER_DATABASE_URL"] == ""
    assert "database_url" in shared["secrets"]
