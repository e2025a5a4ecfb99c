"""Command line. Exit codes: 0 success, 1 an error with its message, 2 wrong usage.

This module imports the module of a command only when the command is named: `receiver --help` needs
none of them, and `receiver executions` needs neither the server nor Apprise. To import all of them
costs ten times as much processor time as to list them.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

import receiver
from receiver import __version__
from receiver.errors import ReceiverError, StorageUnavailable

# The module of each command, and its line in the list of commands.
LISTED = {
    "acknowledge": ("operate", "Take what an execution waits for: its reminders end."),
    "act": ("provider", "Resume, cancel or pause an execution at its provider."),
    "audit": ("maintain", "List what people did: who, what, when, from where."),
    "backtest": ("backtest", "Say who would have been told more or less by other rules."),
    "backup": ("maintain", "Copy the store into a file, while it is served."),
    "check": ("inspect", "Check settings, routes, keys and destinations, without the network."),
    "deliveries": ("listing", "List deliveries, newest first, with why each of them waits."),
    "demo": ("serve", "Show the whole walk: a scripted sender against a real server."),
    "doctor": ("doctor", "Verify the ledger and the store, and how sources are subscribed."),
    "events": ("listing", "List events with their verdicts, newest first."),
    "executions": ("listing", "List executions, newest first; `show ID` tells the story of one."),
    "explain": ("inspect", "Say what would become of a webhook body, or became of an event."),
    "healthcheck": ("send", "Ask the server here whether it is ready: 0 if so, else 1 and why."),
    "help": ("reference", "Print a page of the reference, or the list of its pages."),
    "keygen": ("send", "Make a key for `receiver send` and for tests."),
    "lifecycle": ("inspect", "Print the legal moves of an execution."),
    "migrate": ("maintain", "Move a store that has outgrown its file to PostgreSQL."),
    "prune": ("maintain", "Remove what has been kept for long enough, now."),
    "reconcile": ("provider", "Ask the provider what is true where webhooks may be missing."),
    "redeliver": ("operate", "Give dead deliveries a new chance."),
    "rename": ("maintain", "Carry over what is stored when a name in routes.yaml changes."),
    "send": ("send", "Sign and post a test event, as the source's sender would."),
    "serve": ("serve", "Take webhooks and send messages, until SIGTERM or Ctrl-C."),
    "silence": ("operate", "Keep messages back for a while, and list them afterwards."),
    "test": ("operate", "Send a marked test message to a destination now."),
    "work": ("serve", "Send messages and take no webhooks, beside others on PostgreSQL."),
}
# Those that stand below another one.
BELOW = {"executions": {"show": ("inspect", "Tell the story of one execution.")}}
# What a locked database is called: others write, and a command may be given again.
_BUSY = ("database is locked", "database is busy")


def main() -> None:
    """Run a command; print a ReceiverError as one clear text, with exit code 1."""
    _print_replacements()
    try:
        cli()
    except ReceiverError as error:
        _end(_in_our_words(error))
    except OSError as error:
        if error.filename is not None:
            raise
        _end(f"The output cannot be written: {error.strerror}.")


def _print_replacements() -> None:
    """Let a terminal that lacks a character show another one instead."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _in_our_words(error: ReceiverError) -> str:
    """Return the error's text; a sender would send again, a person waits for others to be done."""
    if isinstance(error, StorageUnavailable) and any(word in str(error) for word in _BUSY):
        return (
            "The database is locked: another program writes to it for long. Nothing was changed."
            " End that program, or try again in a moment."
        )
    return str(error).replace(": send it again", ". Nothing was changed: try again")


def _end(message: str) -> NoReturn:
    """Print the message, and end with 1; nothing more goes to an output that failed."""
    with suppress(OSError):
        click.echo(message, err=True)
    with suppress(OSError, AttributeError, ValueError):
        sys.stdout.flush()
        sys.exit(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(1)


def _print_version(ctx: click.Context, parameter: click.Parameter, asked: bool) -> None:
    if asked:
        commit = _commit()
        click.echo(f"receiver {__version__}" + (f" (commit {commit})" if commit else ""))
        ctx.exit()


def _commit() -> str:
    """Return the commit of this program: built into it, or of its source tree; "" if unknown."""
    package = Path(receiver.__file__).parent
    with suppress(OSError):
        return (package / "commit.txt").read_text("ascii").strip()
    git, tree = shutil.which("git"), package.parent
    if git is None or not (tree / ".git").exists():
        return ""
    asked = [git, "-C", str(tree), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(  # noqa: S603  # words of our own
            asked, capture_output=True, text=True, timeout=5, check=True
        )
        return done.stdout.strip()
    return ""


class OnDemand(Mapping[str, click.Command]):
    """The commands of a list by name; a look-up imports the command."""

    def __init__(self, listed: Mapping[str, tuple[str, str]]) -> None:
        self._listed = listed

    def __getitem__(self, name: str) -> click.Command:
        module = import_module(f"receiver.cli.{self._listed[name][0]}")
        commands: Iterable[click.Command] = module.COMMANDS
        command = next(command for command in commands if command.name == name)
        if isinstance(command, click.Group) and name in BELOW:
            command.commands = OnDemand(BELOW[name])  # type: ignore[assignment]  # only read
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


class Commands(click.Group):
    """The group of all commands, which lists them without importing any."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; an id that is taken for an option gets a hint."""
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            has_arguments = error.ctx is not None and any(
                isinstance(parameter, click.Argument) for parameter in error.ctx.command.params
            )
            if not has_arguments:
                raise
            raise click.UsageError(
                f"{error.format_message()} If it is an id, write -- before it, as in: -- -abc",
                error.ctx,
            ) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in LISTED.items()])


@click.group(
    cls=Commands,
    commands=OnDemand(LISTED),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="Show the version, with the commit where it is known, and exit.",
)  # fmt: skip
def cli() -> None:
    """Judges signed status webhooks about executions of AI agents and tells the right people.

    Settings come from RECEIVER_* environment variables, the rules from routes.yaml.
    `receiver help` prints the reference.
    """
