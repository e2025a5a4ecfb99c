"""deploy/README.md: it leads to every file, and its figures are those of the benches."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.deployed import DEPLOY, TOP, tracked

TEXT = (DEPLOY / "README.md").read_text("utf-8")
BENCHES = (TOP / "tests" / "README.md").read_text("utf-8")


def test_it_leads_to_every_file() -> None:
    links = {target.rstrip("/") for target in re.findall(r"\]\(([^)]+)\)", TEXT)}
    files = [Path(name).relative_to("deploy") for name in tracked() if name.startswith("deploy/")]
    hidden = {"README.md", "Dockerfile.dockerignore"}
    assert [str(file) for file in files if str(file) not in links | hidden
            and not any(str(each) in links for each in file.parents)] == []  # fmt: skip


@pytest.mark.parametrize("figure", ["4,499/s", "7,527/s", "949", "107.7", "2.6 GB", "110 MB"])
def test_its_figures_are_those_that_were_seen(figure: str) -> None:
    assert figure in TEXT
    assert figure in BENCHES


def test_what_to_do_names_each_trouble() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", TEXT.split("## What to do when")[1], re.M)
    for trouble in ("signatures fail", "nothing arrives", "a destination is dead",
                    "the disk is full", "events are rejected", "a wrong clock"):  # fmt: skip
        assert any(row.startswith(trouble) for row in rows), trouble
