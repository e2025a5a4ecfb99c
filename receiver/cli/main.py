"""Command line. Exit codes: 0 success, 1 an error with its message, 2 wrong usage.

This module imports the module of a command only when the command is named: `receiver --help` needs
none of them, and `receiver executions` needs neither the server nor Apprise. To import all of them
costs ten times as much processor time as to list them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module

import click

from receiver import __version__
from receiver.errors import ReceiverError

# The module of each command, and its line in the list of commands.
LISTED = {
    "acknowledge": ("operate", "Take what an execution waits for: its reminders end."),
    "check": ("inspect", "Check settings, routes, keys and destinations, without the network."),
    "deliveries": ("listing", "List deliveries with their attempts, newest first."),
    "demo": ("serve", "Show the whole walk: a scripted sender against a real server."),
    "doctor": ("inspect", "Verify the ledger and the store, and how sources are subscribed."),
    "executions": ("listing", "List executions, newest first."),
    "explain": ("inspect", "Say what would become of a webhook body, and why."),
    "keygen": ("send", "Make a key for `receiver send` and for tests."),
    "lifecycle": ("inspect", "Print the legal moves of an execution."),
    "prune": ("maintain", "Remove what has been kept for long enough, now."),
    "redeliver": ("operate", "Give dead deliveries a new chance."),
    "rename": ("maintain", "Carry over what is stored when a name in routes.yaml changes."),
    "send": ("send", "Sign and post a test event, as the source's sender would."),
    "serve": ("serve", "Take webhooks and send messages, until SIGTERM or Ctrl-C."),
    "silence": ("operate", "Keep messages back for a while, and list them afterwards."),
    "test": ("operate", "Send a marked test message to a destination now."),
}


def main() -> None:
    """Run a command; print a ReceiverError as one clear text, with exit code 1."""
    try:
        cli()
    except ReceiverError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


class OnDemand(Mapping[str, click.Command]):
    """The commands by name; a look-up imports the command."""

    def __getitem__(self, name: str) -> click.Command:
        module = import_module(f"receiver.cli.{LISTED[name][0]}")
        commands: Iterable[click.Command] = module.COMMANDS
        return next(command for command in commands if command.name == name)

    def __iter__(self) -> Iterator[str]:
        return iter(LISTED)

    def __len__(self) -> int:
        return len(LISTED)


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
    commands=OnDemand(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="receiver")
def cli() -> None:
    """Judges signed status webhooks about executions of AI agents and tells the right people.

    Settings come from RECEIVER_* environment variables, the rules from routes.yaml: see the README.
    """
