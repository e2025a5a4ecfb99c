"""Blocks of the pages that people paste work as pasted, and print what the pages say."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.live import PUBLIC, free_port
from tests.support.readme_parts import HELP, README, TOP
from tests.support.shell import Terminal
from tests.support.stores import open_store

ELSEWHERE = "<!-- not here: "
PAGES = [README, *sorted(HELP.glob("*.md")), *sorted((TOP / "deploy").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A block is run with addresses that lead nowhere outside this machine.
INSTEAD = (("https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
            "console://"),)  # fmt: skip
# The execution of the first alert: another one each time.
NEW_ID = '"try-$(date +%s)"'


@dataclass(frozen=True)
class Block:
    """A block of shell, what the page says that it prints, and why it does not run here."""

    text: str
    printed: tuple[str, ...]
    elsewhere: str


def blocks(page: str) -> list[Block]:
    """The blocks of shell of a page; a block of text right after one is its output."""
    found = []
    fences = list(FENCE.finditer(page))
    for number, fence in enumerate(fences):
        if fence[1] not in ("sh", "bash", "shell", "console"):
            continue
        above = page[: fence.start()].rstrip("\n").rpartition("\n")[2]
        after = fences[number + 1] if number + 1 < len(fences) else None
        is_output = (
            after and after[1] == "text" and page[fence.end() : after.start()].count("\n\n") < 2
        )
        lines = tuple(line for line in after[2].splitlines() if line) if after and is_output else ()
        why = above.removeprefix(ELSEWHERE) if above.startswith(ELSEWHERE) else ""
        found.append(Block(fence[2], lines, why))
    return found


RUN = {
    str(page.relative_to(TOP)): those
    for page in PAGES
    if (those := [each for each in blocks(page.read_text("utf-8")) if not each.elsewhere])
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clone with what a user has by then: the rules, and the provider's key."""
    shutil.copy(TOP / "routes.yaml", tmp_path)
    shutil.copytree(TOP / "deploy" / "routes", tmp_path / "deploy" / "routes")
    (tmp_path / "asteroid-public-key.txt").write_text(PUBLIC, "utf-8")
    return tmp_path


@pytest.mark.parametrize("name", RUN)
def test_each_block_runs_and_prints_what_the_page_says(folder: Path, name: str) -> None:
    if name != README.name:
        open_store(folder / "receiver.db").close()  # a server has run here
    with Terminal(folder, RECEIVER_PORT=str(free_port())) as terminal:
        for block in RUN[name]:
            text = block.text
            for written, used in INSTEAD:
                text = text.replace(written, used)
            terminal.paste(text, *block.printed)


def test_each_command_about_why_nobody_was_told_works_after_the_first_alert(folder: Path) -> None:
    table = README.read_text("utf-8").split("| what you see |")[1].split("\n\n")[0]
    commands = re.findall(r"^\| [^|]* \| `(.*?)` \|", table, re.MULTILINE)
    assert len(commands) == 12
    first, second, *_ = RUN["README.md"]
    assert "demo" in first.text
    with Terminal(folder, RECEIVER_PORT=str(free_port())) as terminal:
        assert second.text.count(NEW_ID) == 1
        terminal.paste(second.text.replace(NEW_ID, "try-1"), *second.printed)
        for command in commands:
            text = command.replace("ID", "try-1").replace("DESTINATION", "ops")
            # grep ends with 1 if there is no such line.
            terminal.paste(f"{text} || [ $? = 1 ]" if text.startswith("grep ") else text)


def test_the_first_alert_comes_again_if_its_block_is_pasted_again(folder: Path) -> None:
    block = RUN["README.md"][1]
    assert "keygen" in block.text
    with Terminal(folder, RECEIVER_PORT=str(free_port())) as terminal:
        for told in (1, 2):
            # The block takes its execution's name from the clock.
            terminal.paste("now=$(date +%s); until [ $(date +%s) != $now ]; do :; done")
            terminal.paste(block.text, *block.printed)
            assert terminal.output.count(block.printed[0]) == told


def test_what_runs_elsewhere_says_why() -> None:
    marked = [each for page in PAGES for each in blocks(page.read_text("utf-8")) if each.elsewhere]
    assert [each.text for each in marked if not re.fullmatch(r"\S.{9,} -->", each.elsewhere)] == []


def test_a_block_that_fails_and_one_that_prints_something_else_are_found(tmp_path: Path) -> None:
    with Terminal(tmp_path) as terminal:
        assert terminal.paste("echo one\necho two", "one", "t…o") == "one\ntwo\n"
        with pytest.raises(AssertionError, match="failed: receiver check"):
            terminal.paste("receiver check\necho and on")
