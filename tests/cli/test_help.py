"""`receiver help`: the reference at a terminal, without settings and without a store."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from receiver.cli.output import columns_of
from receiver.cli.reference import summary, topics
from tests.support.commands import run

# Nothing that a command reads works: it must need none of it.
BROKEN = {"RECEIVER_ROUTES": "no-such.yaml", "RECEIVER_PORT": "none", "RECEIVER_NO_SUCH": "x"}
TOPICS = topics()


def told(folder: Path, *arguments: str) -> str:
    """Return the output; no line of it is wider than 80 columns, whatever the terminal."""
    done = run(folder, "help", *arguments, stdin=b"", **BROKEN)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert [line for line in text.splitlines() if columns_of(line) > 80] == []
    assert list(folder.iterdir()) == []
    return text


def test_it_lists_every_page_with_one_line_each(tmp_path: Path) -> None:
    lines = [line.split(maxsplit=1) for line in told(tmp_path).splitlines() if line[:2] == "  "]
    assert lines == [[name, summary(text)] for name, text in TOPICS.items()]


@pytest.mark.parametrize("topic", TOPICS)
def test_it_prints_a_page_as_plain_text_with_every_word_of_it(tmp_path: Path, topic: str) -> None:
    text = told(tmp_path, topic)
    assert "**" not in text
    assert not re.search(r"\]\(|^#|^\||^```|<!--", text, re.MULTILINE)
    # Nothing is lost: each row of a table has its first cell, each paragraph its first words.
    flat = " ".join(text.split())
    for line in TOPICS[topic].splitlines():
        if line.startswith("| `"):
            assert line.split(" | ")[0][2:] in flat


@pytest.mark.parametrize("name", ["ROUTES", "routes.md", "routes"])
def test_a_topic_may_be_written_as_it_comes_to_mind(tmp_path: Path, name: str) -> None:
    assert told(tmp_path, name).startswith("ROUTES.YAML\n\n")


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("rout", "There is no page 'rout': did you mean 'routes'?"),
        ("zzz", "There is no page 'zzz': `receiver help` lists them."),
        ("serve", "serve is a command: see `receiver serve --help`."),
    ],
)
def test_an_unknown_topic_is_told_with_the_nearest(tmp_path: Path, asked: str, answer: str) -> None:
    done = run(tmp_path, "help", asked)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == f"{answer}\n"
