"""The command line. Exit codes: 0 fine, 1 it says what is wrong, 2 usage."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from receiver import (
    __version__,
    app,
    config,
    demo,
    dispatch,
    exposure,
    lifecycle,
    logs,
    notify,
    sender,
    server,
    signatures,
)
from receiver import explain as explaining
from receiver.errors import ConfigurationError, ReceiverError
from receiver.settings import Settings, load_settings
from receiver.store.sqlite import SqliteStore, open_existing

Command = TypeVar("Command", bound=Callable[..., Any])
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


def as_json(command: Command) -> Command:
    """The option of every command that lists something."""
    return click.option("--json", "in_json", is_flag=True, help="Print JSON, one document.")(
        command
    )


@cli.command()
@click.option("--no-dispatch", is_flag=True, help="Take webhooks, send nothing.")
def serve(no_dispatch: bool) -> None:
    """Take webhooks and send messages, until SIGTERM or Ctrl-C."""
    settings, rules = _configured()
    logs.configure(settings.log_format, settings.log_level)
    for warning in rules.warnings:
        log.warning("config %s", warning)
    listening = server.bind(settings)
    store = SqliteStore(settings.database_path, backlog=settings.backlog, serve=True)
    application = app.build(settings, rules, store, dispatch=not no_dispatch)
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
    _, rules = _configured()
    for warning in rules.warnings:
        click.echo(warning)
    for destination in rules.destinations.values():
        for warning in notify.warnings(destination):
            click.echo(f"{rules.path}:{destination.line}: warning: {warning}")
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
    settings, rules = _configured()
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
    _, rules = _configured(destinations=False)
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


@cli.command()
@click.option("--status", help="starting, running, paused …")
@click.option("--category", help="processing, paused, awaiting or terminal.")
@click.option("--source", help="The source's name.")
@click.option("--agent", help="The agent's id or name.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@as_json
def executions(limit: int, in_json: bool, **conditions: str | None) -> None:
    """List executions, newest first."""
    given = {name: value for name, value in conditions.items() if value is not None}
    store = _stored()
    try:
        items, _ = store.executions(given, limit, None)
    finally:
        store.close()
    _list(items, ("since", "status", "source", "execution_id", "agent_name"), in_json)


@cli.command()
@click.option("--state", help="waiting, sending, sent, superseded or dead.")
@click.option("--destination", help="The destination's name.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@as_json
def deliveries(limit: int, in_json: bool, **conditions: str | None) -> None:
    """List deliveries with their attempts, newest first."""
    given = {name: value for name, value in conditions.items() if value is not None}
    store = _stored()
    try:
        items, _ = store.deliveries(given, limit, None)
    finally:
        store.close()
    columns = ("id", "created_at", "state", "destination", "execution_id", "tries", "reason")
    shown = items if in_json else [{**item, "tries": len(item["attempts"])} for item in items]
    _list(shown, columns, in_json)


@cli.command()
@click.argument("delivery", type=click.IntRange(1, 2**63 - 1))
def redeliver(delivery: int) -> None:
    """Give the dead DELIVERY (a number from `receiver deliveries`) a new chance."""
    store = _stored()
    try:
        done = store.write_now(dispatch.redeliver, (delivery, time.time_ns()))
    finally:
        store.close()
    if done is None:
        raise ReceiverError(f"There is no delivery {delivery}: see `receiver deliveries`.")
    if not done:
        raise ReceiverError(f"Delivery {delivery} is not dead, so there is nothing to redeliver.")
    click.echo(f"Delivery {delivery} waits again: `receiver serve` sends it.")


@cli.command(name="lifecycle")
@click.option("--mermaid", is_flag=True, help="As a Mermaid drawing, as in the README.")
def lifecycle_(mermaid: bool) -> None:
    """Print the legal moves of an execution."""
    click.echo(lifecycle.mermaid() if mermaid else lifecycle.table())


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


def _configured(*, destinations: bool = True) -> tuple[Settings, config.Rules]:
    """Settings and rules, both checked; ConfigurationError with every problem found."""
    settings = load_settings(os.environ)
    rules = config.load(settings.routes, os.environ)
    problems = [
        f"{rules.path}:{destination.line}: destination {name}: {problem}"
        for name, destination in (rules.destinations.items() if destinations else ())
        for problem in notify.problems(destination)
    ]
    if destinations:
        problems += exposure.problems(settings, rules)
    if problems:
        raise ConfigurationError(problems)
    return settings, replace(rules, warnings=(*rules.warnings, *exposure.warnings(settings, rules)))


def _source(rules: config.Rules, name: str) -> config.Source:
    if name not in rules.sources:
        raise ReceiverError(f"--source: {rules.path} has {', '.join(rules.sources)}, not {name}.")
    return rules.sources[name]


def _stored() -> SqliteStore:
    return open_existing(load_settings(os.environ).database_path)


def _list(items: Sequence[Mapping[str, Any]], columns: Sequence[str], in_json: bool) -> None:
    if in_json:
        click.echo(json.dumps(items, indent=2))
        return
    rows = [[_cell(item[column]) for column in columns] for item in items]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in [list(columns), *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


def _cell(value: object) -> str:
    """One line for a terminal: what the sender wrote must not move the cursor."""
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else "�" for c in text)[:80]
