"""Generated parts of README and reference: `python -m tests.support.readme_parts` writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from receiver import lifecycle
from receiver.cli.main import cli
from receiver.config.settings import PREFIX, Settings
from receiver.drawing import mermaid

TOP = Path(__file__).parents[2]
README = TOP / "README.md"
HELP = TOP / "receiver" / "help"


def topic(name: str) -> str:
    """Return the text of a page of the reference."""
    return (HELP / f"{name}.md").read_text("utf-8")


def drawing() -> str:
    """Draw the lifecycle as a page shows it."""
    return f"```mermaid\n{mermaid()}\n```"


def verdicts_table() -> str:
    """The rows of the table of verdicts."""
    return "\n".join(
        f"| {verdict} | {reason} | {text} |" for (verdict, reason), text in lifecycle.RULES.items()
    )


def settings_table() -> str:
    """Write the rows of the table of settings."""
    return "\n".join(
        f"| `{PREFIX}{name.upper()}` | {'—' if of.default is None else f'`{of.default}`'} |"
        f" {of.description} |"
        for name, of in Settings.model_fields.items()
    )


def commands(
    group: click.Group = cli, above: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    """Yield every command by its whole name, a group that does something by itself among them."""
    for name, command in group.commands.items():
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield " ".join((*above, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, (*above, name))


def options(command: click.Command) -> list[click.Option]:
    """Return the options of a command."""
    return [each for each in command.params if isinstance(each, click.Option)]


def all_commands() -> str:
    """Write a section for every command, with a row for every option."""
    parts = []
    for name, command in commands():
        context = click.Context(command, info_name=f"receiver {name}")
        arguments = [each for each in command.params if isinstance(each, click.Argument)]
        usage = " ".join([f"receiver {name}", *(each.make_metavar(context) for each in arguments)])
        rows = [f"| {_option(each, context)} | {_meaning(each)} |" for each in options(command)]
        table = ["| option | meaning |\n|---|---|\n" + "\n".join(rows)] if rows else []
        parts.append("\n\n".join([f"### {usage}", _text(command), *table]))
    return "\n\n".join(parts)


def _text(command: click.Command) -> str:
    """Write what a command says about itself, each paragraph in one line."""
    paragraphs = (command.help or "").replace("\b", "").strip().split("\n\n")
    return "\n\n".join(" ".join(each.split()) for each in paragraphs)


def _option(option: click.Option, context: click.Context) -> str:
    """Write an option with the kind of its value."""
    if option.is_flag:
        return f"`{option.opts[-1]}`"
    kinds = {click.Choice: "WORD", click.IntRange: "NUMBER", click.types.IntParamType: "NUMBER"}
    found = [word for kind, word in kinds.items() if isinstance(option.type, kind)]
    return f"`{option.opts[-1]} {[*found, option.make_metavar(context)][0]}`"


def _meaning(option: click.Option) -> str:
    """Write what an option does, the words that it takes, and what holds without it."""
    parts = [" ".join((option.help or "").split())]
    if isinstance(option.type, click.Choice):
        parts.append(f"One of {', '.join(option.type.choices)}.")
    if option.show_default is True:
        parts.append(f"Default: {option.default}.")
    return " ".join(parts)


def written(text: str) -> str:
    """Write the generated parts of a page as they have to be."""
    text = re.sub(r"```mermaid\n.*?```", lambda _: drawing(), text, flags=re.S)
    for names, rows in (
        ("variable | default | meaning", settings_table()),
        ("verdict | reason | when", verdicts_table()),
    ):
        head = rf"(\| {re.escape(names)} \|\n\|---\|---\|---\|\n).*?(?=\n\n)"
        text = re.sub(head, lambda found, rows=rows: found[1] + rows, text, flags=re.S)  # type: ignore[misc]
    begin, end = "<!-- generated: commands -->\n", "\n<!-- end -->"
    inside = rf"(?<={begin}).*?(?={end})"
    return re.sub(inside, lambda _: f"\n{all_commands()}\n", text, flags=re.S)


if __name__ == "__main__":
    for path in (README, *HELP.glob("*.md")):
        path.write_text(written(path.read_text("utf-8")), "utf-8")
