"""What the README says is what the program does."""

from __future__ import annotations

import re

from receiver.cli.main import LISTED
from receiver.cli.reference import topics
from tests.support.readme_parts import README, TOP

TEXT = README.read_text("utf-8")
TESTS = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"
DEMO = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/receiver demo"


def test_its_two_commands_stand_word_for_word_and_ci_runs_the_second() -> None:
    assert f"\n{DEMO}\n" in TEXT
    assert f"\n{TESTS}\n" in TEXT
    assert f"\n{TESTS}\n" in (TOP / ".ci" / "run").read_text("utf-8")


def test_it_is_short_and_its_first_screen_ends_with_an_own_alert() -> None:
    lines = TEXT.splitlines()
    assert len(lines) <= 220
    first, _, _ = TEXT.partition("\n## ")
    assert len(first.rstrip().splitlines()) <= 45
    assert "A 2xx answer means that the event is on disk." in first
    own = first.split("Your own first alert")[1].split("```")[1].strip().splitlines()[1:]
    assert len(own) == 5
    assert not [line for line in own if "slack" in line.lower()]


def test_it_names_every_command_and_every_page_of_the_reference() -> None:
    table = TEXT.split("| for | commands |")[1].split("\n\n")[0]
    assert {each.split()[0] for each in re.findall(r"`([^`]+)`", table)} == set(LISTED)
    assert set(re.findall(r"\]\(receiver/help/(\w+)\.md\)", TEXT)) == set(topics())
