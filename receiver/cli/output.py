"""Output of commands: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

MAX_CELL = 80


def json_option(command: Command) -> Command:
    """Add the option `--json`; its parameter is `in_json`."""
    return click.option("--json", "in_json", is_flag=True, help="Print JSON, one document.")(
        command
    )


def print_json(content: Any) -> None:
    """Print one document."""
    click.echo(json.dumps(content, indent=2))


def print_table(items: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print these columns of the items, below a line with the columns' names."""
    rows = [[_cell(item[column]) for column in columns] for item in items]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in [list(columns), *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


def _cell(value: object) -> str:
    """Write a value as one line for a terminal: a sender's text must not move the cursor."""
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else "�" for c in text)[:MAX_CELL]
