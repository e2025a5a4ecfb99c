"""What the README says is what the program does."""

from __future__ import annotations

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
    assert len(first.splitlines()) <= 48
