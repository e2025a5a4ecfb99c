"""Files with random mistakes: they are read, or have a clean list of `file:line: message`."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from receiver.config.problems import keys_of
from receiver.config.routes_file import load
from receiver.config.schema import (
    DestinationModel,
    EscalationModel,
    FileModel,
    GroupModel,
    Match,
    QuietModel,
    RemindModel,
    RouteModel,
    SourceModel,
    StuckModel,
    Verify,
)
from receiver.errors import ConfigurationError
from tests.unit.config.test_routes_file import PEOPLE, STUCK, TOP

SHIPPED = (TOP / "routes.yaml").read_text("utf-8")
FILES = {"shipped": SHIPPED, "people": PEOPLE, "stuck": STUCK}
KEYS = {
    key
    for model in (
        FileModel, SourceModel, Verify, DestinationModel, RouteModel, RemindModel, EscalationModel,
        GroupModel, QuietModel, StuckModel, Match,
    )
    for key in keys_of(model)
}  # fmt: skip
# Words of the libraries, and of Python, that nobody outside should have to know.
FOREIGN = re.compile(
    r"Input should|function-|validation|pydantic|\[type=|Traceback|Error\b|<class|NoneType|"
    r"\b(str|dict|int|bool|scalar|None)\b|<block|flow mapping|stream|0x[0-9a-f]{6}"
)
PIECES = (
    "!", "*", "&", "@", "%", "`", "[", "]", "{", "}", ":", ": ", ",", "#", " #", '"', "'", "|", ">",
    "\t", "\n", "  ", " ", "-", "- ", "?", "\\", "$", "${", "${X}", "${X:?m}", "{{ x }}", "null",
    "~", "true", "1.10", "0", "---\n", "\ufeff", "\u00a0", "\x00", "\x85", "\u2028", "é", "🙂",
    "<<: ",    "[]", "{}", "[a]", "{a: b}", "99999999999999999999", "1e999",
)  # fmt: skip


def insert(chance: random.Random, text: str) -> str:
    place = chance.randrange(len(text) + 1)
    return text[:place] + chance.choice(PIECES) + text[place:]


def remove(chance: random.Random, text: str) -> str:
    place = chance.randrange(len(text))
    return text[:place] + text[place + chance.randint(1, 8) :]


def move_a_line(chance: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    line = lines.pop(chance.randrange(len(lines)))
    lines.insert(chance.randrange(len(lines) + 1), line)
    return "".join(lines)


def indent_a_line(chance: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    number = chance.randrange(len(lines))
    by = chance.choice((-2, -1, 1, 2, 4))
    lines[number] = " " * by + lines[number] if by > 0 else lines[number][-by:]
    return "".join(lines)


def swap_a_value(chance: random.Random, text: str) -> str:
    values = list(re.finditer(r"(?<=: )[^\n#]+", text))
    value = chance.choice(values)
    return text[: value.start()] + chance.choice(PIECES) + text[value.end() :]


def swap_two(chance: random.Random, text: str) -> str:
    place = chance.randrange(len(text) - 1)
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]


CHANGES: tuple[Callable[[random.Random, str], str], ...] = (
    insert, remove, move_a_line, indent_a_line, swap_a_value, swap_two,
)  # fmt: skip


def outcome(path: Path, text: str) -> list[str]:
    """Read a file; return its problems, each of them clean, or nothing if it is read."""
    path.write_text(text, "utf-8", newline="")
    try:
        load(str(path), {})
        return []
    except ConfigurationError as error:
        problems = error.problems
    assert problems
    lines = len(re.split("\r\n|[\n\r\x85\u2028\u2029]", text))
    for problem in problems:
        found = re.fullmatch(rf"{re.escape(str(path))}:([0-9]+): (.+)", problem)
        assert found, problem
        assert 1 <= int(found[1]) <= lines, (problem, text)
        assert found[2].isprintable(), problem
        assert len(found[2]) < 700, problem
        # A word of the file may be shown, in quotes.
        assert not FOREIGN.search(re.sub(r"'[^']*'", "''", found[2])), problem
    return problems


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("name", FILES)
def test_a_mutated_file_is_read_or_has_clean_problems(
    tmp_path: Path, name: str, change: Callable[[random.Random, str], str]
) -> None:
    chance = random.Random(f"{name} {change.__name__}")
    refused = 0
    for _ in range(20):
        text = change(chance, FILES[name])
        if chance.random() < 0.5:
            text = chance.choice(CHANGES)(chance, text)
        refused += bool(outcome(tmp_path / "routes.yaml", text))
    assert refused > 3


@pytest.mark.parametrize("name", FILES)
def test_no_misspelt_key_is_taken(tmp_path: Path, name: str) -> None:
    chance = random.Random(name)
    text = FILES[name]
    places = [m for m in re.finditer(r"\b([a-z_]+)(?=:(?: |\n))", text) if m[1] in KEYS]
    taken = 0
    for found in places:
        word = found[1]
        for _ in range(2):
            letter = chance.randrange(len(word))
            wrong = word[:letter] + chance.choice("abcxyz_") + word[letter + chance.randint(0, 1) :]
            if wrong in KEYS or text[: found.start()].rpartition("\n")[2].lstrip().startswith("#"):
                continue
            changed = text[: found.start()] + wrong + text[found.end() :]
            assert any(
                f"unknown key '{wrong}'" in problem
                for problem in outcome(tmp_path / "routes.yaml", changed)
            ), (wrong, changed)
            taken += 1
    assert taken > 20


def test_each_value_in_the_place_of_each_other_has_clean_problems(tmp_path: Path) -> None:
    for text in FILES.values():
        for value in re.finditer(r"(?<=: )[^\n#]+", text):
            for piece in ("[]", "[a]", "{a: b}", "1.5", "true", "null"):
                outcome(
                    tmp_path / "routes.yaml", text[: value.start()] + piece + text[value.end() :]
                )
