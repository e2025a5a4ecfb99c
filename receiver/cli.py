"""The command line. Exit codes: 0 fine, 1 it says what is wrong, 2 usage."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from receiver import (
    __version__,
    app,
    cli_people,
    cli_store,
    demo,
    lifecycle,
    logs,
    notify,
    sender,
    server,
    signatures,
)
from receiver import explain as explaining
from receiver.cli_store import as_json, configured
from receiver.errors import ReceiverError
from receiver.hints import hints
from receiver.rules import Rules, Source
from receiver.store.sqlite import SqliteStore, open_existing

log = logging.getLogger("receiver")


def main() -> None:
    """Run a command; errors of ours become one clear text and exit code 1."""
    try:
        cli()
    except ReceiverError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="receiver")
def cli() -> None:
    """Judges signed status webhooks about executions of AI agents and tells the right people.

    Settings come from RECEIVER_* environment variables, the rules from routes.yaml: see the README.
    """


@cli.command()
@click.option("--no-dispatch", is_flag=True, help="Take webhooks, send nothing.")
def serve(no_dispatch: bool) -> None:
    """Take webhooks and send messages, until SIGTERM or Ctrl-C."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it can be heard, it must not end us
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # nothing was taken yet
    os.umask(0o077)  # the database holds the bodies of webhooks
    settings, rules = configured()
    logs.configure(settings.log_format, settings.log_level)
    for warning in rules.warnings:
        log.warning("config %s", warning)
    server.check_parser(settings)
    listening = server.bind(settings)
    store = SqliteStore(settings.database_path, backlog=settings.backlog, serve=True)
    application = app.build(
        settings, rules, store, dispatch=not no_dispatch, read=lambda: configured()[1]
    )
    server.serve(application, settings, listening)


@cli.command(name="demo")
@click.option("--exit", "leave", is_flag=True, help="End after the script instead of staying up.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: a free one.")
def demo_(leave: bool, port: int) -> None:
    """Show the whole walk: a scripted sender against a real server, nothing to set up."""
    logs.configure("text", "error")
    demo.run(stay=not leave, port=port)


@cli.command()
def check() -> None:
    """Check settings, routes, keys and destinations, without the network."""
    settings, rules = configured()
    server.check_parser(settings)
    for warning in rules.warnings:
        click.echo(warning)
    for destination in rules.destinations.values():
        for warning in notify.warnings(destination):
            click.echo(f"{rules.path}:{destination.line}: warning: {warning}")
    if settings.database_path.exists():
        with closing(open_existing(settings.database_path)) as store:
            _say_hints(rules, store)
    click.echo(
        f"{rules.path}: {len(rules.sources)} sources, {len(rules.destinations)} destinations,"
        f" {len(rules.routes)} routes: fine."
    )


@cli.command()
@click.argument("event", type=click.File("rb"))
@click.option("--source", required=True, help="The source it would come from.")
@as_json
def explain(event: Any, source: str, in_json: bool) -> None:
    """Say what would become of the webhook body in the file EVENT (- for standard input).

    The verdict against what is stored, which routes match and why the others do not, and the text
    that would go out. Nothing is stored or sent.
    """
    settings, rules = configured()
    store = SqliteStore(settings.database_path) if settings.database_path.exists() else None
    try:
        told = explaining.explain(
            rules, _source(rules, source), event.read(), time.time_ns(), store
        )
    finally:
        if store is not None:
            store.close()
    click.echo(json.dumps(told, indent=2) if in_json else explaining.as_text(told))


@cli.command()
@click.option("--source", required=True, help="A source of routes.yaml: its scheme and format.")
@click.option("--event", required=True, help="EXECUTION_FAILED …; for format plain a status.")
@click.option("--execution", required=True, metavar="ID", help="The execution's id.")
@click.option(
    "--key", type=click.File("r"), required=True, help="File with the private key or the secret."
)
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The receiver.")
@click.option("--reason", help="The provider's reason to put into it.")
@click.option("--event-id", default="", help="Default: a new one.")
def send(
    source: str, event: str, execution: str, key: Any, url: str, reason: str | None, event_id: str
) -> None:
    """Sign and post a test event, as the source's sender would."""
    _, rules = configured(destinations=False)
    of = _source(rules, source)
    if of.format == "plain":
        body = sender.plain_event(event, execution, event_id=event_id, reason=reason)
    else:
        payload = {"reason": reason} if reason else {}
        body = sender.asteroid_event(event, execution, event_id=event_id, payload=payload)
    try:
        status, answer = sender.post(
            f"{url.rstrip('/')}/webhooks/{of.name}", body, of.verification, key.read().strip()
        )
    except ValueError as error:
        raise ReceiverError(f"--key: {error}") from error
    click.echo(f"HTTP {status}\n{json.dumps(answer, indent=2)}")
    if status >= 300:
        sys.exit(1)


@cli.command(name="lifecycle")
@click.option("--source", help="The table in force for this source, by its `observes`.")
@click.option("--mermaid", is_flag=True, help="As a Mermaid drawing, as in the README.")
def lifecycle_(source: str | None, mermaid: bool) -> None:
    """Print the legal moves of an execution."""
    observes = None
    if source is not None:
        _, rules = configured(destinations=False)
        observes = _source(rules, source).ordering.observes
    click.echo(lifecycle.mermaid(observes) if mermaid else lifecycle.table(observes))


@cli.command()
@click.option(
    "--scheme",
    type=click.Choice(["rsa-sha256", "standard-webhooks", "hmac-sha256", "token"]),
    default="rsa-sha256",
    show_default=True,
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="receiver-test",
    show_default=True,
    help="Files to write: OUT.private.pem and OUT.public.pem, or OUT.secret.",
)
def keygen(scheme: str, out: Path) -> None:
    """Make a key for `receiver send` and for tests. Never overwrites a file."""
    private, public = signatures.generate(scheme)
    files = {f"{out}.secret": private}
    if private != public:
        files = {f"{out}.private.pem": private, f"{out}.public.pem": public}
    for name, content in files.items():
        try:
            # Only the owner may read it, from the moment it exists.
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise ReceiverError(f"{name} exists. Choose another name with --out.") from None
        except OSError as error:
            raise ReceiverError(f"{name} cannot be written: {error.strerror}.") from error
        with os.fdopen(descriptor, "w") as file:
            file.write(content if content.endswith("\n") else content + "\n")
        click.echo(f"wrote {name}")


def _source(rules: Rules, name: str) -> Source:
    if name not in rules.sources:
        raise ReceiverError(f"--source: {rules.path} has {', '.join(rules.sources)}, not {name}.")
    return rules.sources[name]


def _say_hints(rules: Rules, store: SqliteStore) -> None:
    for hint in hints(rules.orderings, store.tallies()):
        line = rules.sources[hint.source].line
        click.echo(f"{rules.path}:{line}: warning: source {hint.source}: {hint.text}")


for _command in (*cli_store.COMMANDS, *cli_people.COMMANDS):
    cli.add_command(_command)
