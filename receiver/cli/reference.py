"""`receiver help`: the pages of the reference, read from Markdown and set for a terminal.

The pages are files beside the program, so no settings and no store are needed. A page begins with
its title and, two lines below, one line that says what it is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib import resources

import click

from receiver.cli.main import LISTED
from receiver.cli.output import PIPED, columns_of
from receiver.config.problems import near
from receiver.errors import ReceiverError

_TO = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
_CELL_END = re.compile(r"(?<!\\)\|")
_LIST_MARK = re.compile(r"[*-] |\d+\. ")
GAP, INDENT = 2, 4
# So wide may the columns be that stand before the last one, whose text goes over several lines.
MOST_BEFORE_THE_LAST = 44


def topics() -> dict[str, str]:
    """Return the Markdown of each page by its topic."""
    folder = resources.files("receiver") / "help"
    files = {each.name: each for each in folder.iterdir() if each.name.endswith(".md")}
    return {name.removesuffix(".md"): files[name].read_text("utf-8") for name in sorted(files)}


def summary(page: str) -> str:
    """Return the line that says what a page is about."""
    return page.split("\n", 3)[2]


@click.command("help")
@click.argument("topic", required=False)
def show(topic: str | None) -> None:
    """Print a page of the reference, or the list of its pages.

    A page is plain text of at most 80 columns. It needs no settings and no store.
    """
    pages = topics()
    if topic is None:
        _print_list(pages)
    else:
        _print_page(pages[_named(topic, pages)])


def _print_list(pages: dict[str, str]) -> None:
    click.echo("The reference. Print a page with `receiver help TOPIC`.\n")
    width = max(map(len, pages))
    for topic, page in pages.items():
        click.echo(f"  {topic:<{width}}  {summary(page)}")
    click.echo("\nWhat a command does, with its options: `receiver COMMAND --help`.")


def _named(topic: str, pages: dict[str, str]) -> str:
    """Return the topic that is meant; ReceiverError with the nearest for an unknown one."""
    name = topic.lower().removesuffix(".md")
    if name in pages:
        return name
    if name in LISTED:
        raise ReceiverError(f"{name} is a command: see `receiver {name} --help`.")
    hint = near(name, pages)
    listed = hint if hint.startswith(": did") else ": `receiver help` lists them."
    raise ReceiverError(f"There is no page {topic!r}{listed}")


def _print_page(page: str) -> None:
    for block in _blocks(page):
        _print_block(block)
        click.echo()


def _blocks(page: str) -> Iterator[list[str]]:
    """Yield the lines of each paragraph, list, table or block of code."""
    block: list[str] = []
    is_code = False
    for line in page.splitlines():
        if line.startswith("```"):
            is_code = not is_code
        if line.startswith("<!--"):
            continue
        if line or is_code:
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _print_block(block: Sequence[str]) -> None:
    first = block[0]
    if first.startswith("```"):
        click.echo("\n".join(f"{' ' * INDENT}{line}".rstrip() for line in block[1:-1]))
    elif first.startswith("#"):
        _print_heading(first)
    elif first.startswith("|"):
        _print_table([_cells_of(line) for line in block])
    else:
        for line in _whole_lines(block):
            mark = _LIST_MARK.match(line.lstrip())
            _print_text(line, len(line) - len(line.lstrip()), len(mark[0]) if mark else 0)


def _print_heading(line: str) -> None:
    marks, _, title = line.partition(" ")
    title = _unmarked(title)
    click.echo(title.upper() if len(marks) == 1 else title)
    if len(marks) == 2:
        click.echo("-" * columns_of(title))


def _print_text(text: str, indent: int = 0, hanging: int = 0) -> None:
    """Print a text in lines of at most 80 columns; `hanging` indents all but the first of them."""
    first, others = " " * indent, " " * (indent + hanging)
    click.echo(click.wrap_text(text.strip(), PIPED, first, others))


def _whole_lines(block: Sequence[str]) -> Iterator[str]:
    """Yield a paragraph as one line, and a list as one line an item."""
    text = ""
    for line in block:
        if text and _LIST_MARK.match(line.lstrip()):
            yield _unmarked(text)
            text = line
        else:
            text = f"{text} {line.strip()}" if text else line
    yield _unmarked(text)


def _cells_of(line: str) -> list[str]:
    """Return the cells of a line of a table."""
    return [
        _unmarked(cell.strip()).replace("\\|", "|") for cell in _CELL_END.split(line.strip())[1:-1]
    ]


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print a table in columns if its last one has room, else the cells below their first one."""
    names, _, *content = rows
    shown = [names, *content] if any(names) else content
    columns = list(zip(*shown, strict=True))
    widths = [max(map(columns_of, column)) + GAP for column in columns]
    if sum(widths) - GAP <= PIPED or sum(widths[:-1]) <= MOST_BEFORE_THE_LAST:
        for row in shown:
            cells = [c + " " * (w - columns_of(c)) for c, w in zip(row, widths, strict=True)]
            line, indent = "".join(cells[:-1]), " " * sum(widths[:-1])
            click.echo(click.wrap_text(row[-1], PIPED, line, indent) if row[-1] else line.rstrip())
    else:
        _print_entries(content, names if len(names) > 2 else [""] * len(names))


def _print_entries(content: Sequence[Sequence[str]], labels: Sequence[str]) -> None:
    for first, *others in content:
        _print_text(first)
        for label, cell in zip(labels[1:], others, strict=True):
            if cell:
                _print_text(f"{label}: {cell}" if label else cell, INDENT)


def _unmarked(text: str) -> str:
    """Return a line without the marks of Markdown; a link to a page names its command."""
    return _TO.sub(_link_words, text).replace("**", "")


def _link_words(found: re.Match[str]) -> str:
    words, target = found[1], found[2].partition("#")[0]
    if target.endswith(".md") and "/" not in target:
        command = f"`receiver help {target.removesuffix('.md')}`"
        return command if words == target.removesuffix(".md") else f"{words} ({command})"
    return f"{words} ({target})" if target.startswith("http") else words


COMMANDS = (show,)
