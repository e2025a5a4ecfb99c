"""The lock files: hashes for all, no address, and what the project asks for."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.support.deployed import DEPLOY, TOP

PROJECT: dict[str, Any] = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))
WANTED = {
    "requirements.lock": [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["fast"],
        *PROJECT["project"]["optional-dependencies"]["postgres"],
    ],
    "build.lock": PROJECT["build-system"]["requires"],
}


@pytest.mark.parametrize("name", list(WANTED))
def test_it_has_what_the_project_asks_for_with_hashes_and_no_address(name: str) -> None:
    text = (DEPLOY / name).read_text("utf-8")
    assert "://" not in text
    assert "--index" not in text
    blocks = re.split(r"\n(?=\S)", text.strip())
    locked = {}
    for block in blocks:
        first, *hashes = block.replace("\\", "").splitlines()
        assert hashes, first
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64} ?", each) for each in hashes), (
            first
        )
        package, _, version = first.partition(" ;")[0].strip().partition("==")
        locked[package] = version
    for each in map(Requirement, WANTED[name]):
        version = locked.get(each.name.lower(), "")
        assert each.specifier.contains(version), f"{each}: {version or 'not locked'}"
        for extra in each.extras:
            assert f"{each.name}-{extra}" in locked
