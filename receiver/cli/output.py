"""Output of commands: tables and text for people, JSON for programs.

A sender's text must not move the cursor, and no line is wider than the terminal (80 columns if
there is none). A cell is cut only when the table would not fit otherwise.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

import click

from receiver.config.problems import near
from receiver.times import SECOND, ago

Command = TypeVar("Command", bound=Callable[..., Any])

PIPED = 80
GAP, INDENT = 2, 4
# A cut cell keeps at least so many columns, as long as that fits.
LEAST = 8
_WEEK = 7 * 86_400
_EMOJI_STYLE = "\ufe0f"


class Cut(Enum):
    """The place at which a cell loses text when it must: ids keep both ends, names their begin."""

    NOWHERE = "nowhere"
    START = "start"
    MIDDLE = "middle"
    END = "end"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    cut: Cut = Cut.NOWHERE


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table; the note stands below it, indented."""

    cells: Sequence[object]
    note: str = ""


class Word(click.Choice[str]):
    """Word out of a few; a mistake is told with the nearest of them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value not in self.choices:
            self.fail(f"there is no {value!r}{near(str(value), self.choices)}", param, ctx)
        return value


def json_option(command: Command) -> Command:
    """Add the option `--json`; its parameter is `in_json`."""
    return click.option("--json", "in_json", is_flag=True, help="Print JSON, one document.")(
        command
    )


def limit_option(command: Command) -> Command:
    """Add the option `--limit`."""
    return _limit_option("How many at most.")(command)


def limit_of_parts_option(command: Command) -> Command:
    """Add the option `--limit` to a list of several parts."""
    return _limit_option("How many of each part at most.")(command)


def _limit_option(words: str) -> Callable[[Command], Command]:
    number = click.IntRange(1, 2**31)
    return click.option("--limit", type=number, default=50, show_default=True, help=words)


def print_json(content: Any) -> None:
    """Print one document."""
    click.echo(json.dumps(content, indent=2))


def print_json_list(items: Iterable[Any]) -> None:
    """Print one document, a list, as its items come: it may be longer than memory has room."""
    before = "[\n"
    for item in items:
        click.echo(before + textwrap.indent(json.dumps(item, indent=2), "  "), nl=False)
        before = ",\n"
    click.echo("[]" if before == "[\n" else "\n]")


def print_table(columns: Sequence[Column], rows: Sequence[Row]) -> None:
    """Print the rows below a line with the columns' names, no wider than the terminal."""
    cells = [[clean(cell) for cell in row.cells] for row in rows]
    names = [column.name for column in columns]
    natural = [max(map(columns_of, texts)) for texts in zip(names, *cells, strict=True)]
    widths = _fitted(natural, columns, line_width())
    _print_cells(names, columns, widths)
    for texts, row in zip(cells, rows, strict=True):
        _print_cells(texts, columns, widths)
        if row.note:
            print_lines([" " * INDENT + row.note])


def print_lines(lines: Iterable[str]) -> None:
    """Print text; what is too long goes on below, indented as its line and a little more."""
    for line in lines:
        text = clean(line)
        indent = " " * (len(text) - len(text.lstrip()))
        for part in _wrapped(text.strip(), line_width(), indent) or [""]:
            click.echo(part)


def line_width() -> int:
    """Return the columns of the terminal; PIPED if the output goes elsewhere."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size((PIPED, 24)).columns if is_terminal else PIPED


def clean(value: object) -> str:
    """Write a value as one line for a terminal: a sender's text must not move the cursor."""
    text = "" if value is None else str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


def columns_of(text: str) -> int:
    """Return the columns that a printable text takes: a wide character takes two."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def shorten(text: str, width: int, cut: Cut) -> str:
    """Cut a text to a width in columns, with an ellipsis where something is missing."""
    if columns_of(text) <= width:
        return text
    room = max(width - 1, 0)
    if cut is Cut.START:
        return "…" + _last(text, room)
    if cut is Cut.MIDDLE:
        tail = room // 2
        return _first(text, room - tail) + "…" + _last(text, tail)
    return _first(text, room) + "…"


def clock(instant: int, now: int) -> str:
    """Write an instant as clocks of this machine show it: 07:00, Tue 07:00, 2 Jun 07:00."""
    at, today = time.localtime(instant // SECOND), time.localtime(now // SECOND)
    hour = time.strftime("%H:%M", at)
    if (at.tm_year, at.tm_yday) == (today.tm_year, today.tm_yday):
        return hour
    if abs(instant - now) < (_WEEK - 86_400) * SECOND:
        return f"{time.strftime('%a', at)} {hour}"
    year = f" {at.tm_year}" if at.tm_year != today.tm_year else ""
    return f"{at.tm_mday} {time.strftime('%b', at)}{year} {hour}"


def wait_phrase(words: str, until: int | None, now: int, *, is_moment: bool) -> str:
    """Write why something waits and until when: “quiet hours until 07:00”, “next try in 40 s”."""
    if until is None:
        return words
    return f"{words} {ago(until, now)}" if is_moment else f"{words} until {clock(until, now)}"


def _columns(character: str) -> int:
    if character == _EMOJI_STYLE:
        return 1  # it makes the character before it as wide as an emoji
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _first(text: str, width: int) -> str:
    """Return as much of the beginning as fits."""
    used = 0
    for index, character in enumerate(text):
        used += _columns(character)
        if used > width:
            return text[:index]
    return text


def _last(text: str, width: int) -> str:
    """Return as much of the end as fits."""
    used = 0
    for index in range(len(text) - 1, -1, -1):
        used += _columns(text[index])
        if used > width:
            return text[index + 1 :]
    return text


def _fitted(natural: Sequence[int], columns: Sequence[Column], width: int) -> list[int]:
    """Return the columns' widths: the widest that may be cut gives way first."""
    widths = list(natural)
    for may_give, least in (
        ([column.cut is not Cut.NOWHERE for column in columns], LEAST),
        ([True] * len(columns), 1),
    ):
        while sum(widths) + GAP * (len(widths) - 1) > width:
            giving = [i for i, may in enumerate(may_give) if may and widths[i] > least]
            if not giving:
                break
            widths[max(giving, key=lambda i: widths[i])] -= 1
    return widths


def _print_cells(texts: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> None:
    cells = []
    for text, column, width in zip(texts, columns, widths, strict=True):
        cell = shorten(text, width, column.cut)
        cells.append(cell + " " * (width - columns_of(cell)))
    click.echo((" " * GAP).join(cells).rstrip())


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    """Break a line between words; a word that is too long is broken, too."""
    room = max(width - len(indent), 2 * INDENT)
    lines: list[str] = []
    line = ""
    for word in _pieces(text, room - INDENT // 2):
        following = f"{line} {word}" if line else word
        hanging = INDENT // 2 if lines else 0
        if line and columns_of(following) > room - hanging:
            lines.append(line)
            following = word
        line = following
    lines.append(line)
    hanging_indent = indent + " " * (INDENT // 2)
    return [
        ((hanging_indent if index else indent) + each).rstrip() for index, each in enumerate(lines)
    ]


def _pieces(text: str, width: int) -> Iterator[str]:
    for word in text.split(" "):
        rest = word
        while columns_of(rest) > width:
            head = _first(rest, width)
            yield head
            rest = rest[len(head) :]
        yield rest
