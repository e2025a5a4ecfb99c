"""The commands about the rules: check, explain, the lifecycle, and what doctor finds."""

from __future__ import annotations

import json
import os
import time
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

import click

from receiver import lifecycle
from receiver.cli.listing import as_json
from receiver.config import exposure, routes_file
from receiver.config.rules import Rules
from receiver.config.settings import Settings, load_settings
from receiver.destinations import sending
from receiver.errors import ConfigurationError, ReceiverError
from receiver.intake import explain as explaining
from receiver.intake.subscription_hints import hints
from receiver.sources.source import Source
from receiver.store import opening
from receiver.store.contract import Store
from receiver.web.server import server


@click.command()
def check() -> None:
    """Check settings, routes, keys and destinations, without the network."""
    settings, rules = configured()
    server.check_parser(settings)
    for warning in rules.warnings:
        click.echo(warning)
    for destination in rules.destinations.values():
        for warning in sending.warnings(destination):
            click.echo(f"{rules.path}:{destination.line}: warning: {warning}")
    url = settings.database_url
    if opening.exists(url):
        with closing(opening.open_existing(url)) as store:
            _say_hints(rules, store)
    click.echo(
        f"{rules.path}: {len(rules.sources)} sources, {len(rules.destinations)} destinations,"
        f" {len(rules.routes)} routes: fine."
    )


@click.command()
@click.argument("event", type=click.File("rb"))
@click.option("--source", required=True, help="The source it would come from.")
@as_json
def explain(event: Any, source: str, in_json: bool) -> None:
    """Say what would become of the webhook body in the file EVENT (- for standard input).

    The verdict against what is stored, which routes match and why the others do not, and the text
    that would go out. Nothing is stored or sent.
    """
    settings, rules = configured()
    url = settings.database_url
    store = opening.open_existing(url) if opening.exists(url) else None
    try:
        told = explaining.explain(
            rules, source_named(rules, source), event.read(), time.time_ns(), store
        )
    finally:
        if store is not None:
            store.close()
    click.echo(json.dumps(told, indent=2) if in_json else explaining.as_text(told))


@click.command(name="lifecycle")
@click.option("--source", help="The table in force for this source, by its `observes`.")
@click.option("--mermaid", is_flag=True, help="As a Mermaid drawing, as in the README.")
def lifecycle_(source: str | None, mermaid: bool) -> None:
    """Print the legal moves of an execution."""
    observes = None
    if source is not None:
        _, rules = configured(destinations=False)
        observes = source_named(rules, source).ordering.observes
    click.echo(lifecycle.mermaid(observes) if mermaid else lifecycle.table(observes))


@click.command()
@as_json
def doctor(in_json: bool) -> None:
    """Verify the ledger and the store, and say which source looks badly subscribed."""
    settings, rules = configured(destinations=False)
    with closing(opening.open_existing(settings.database_url, thorough=True)) as store:
        ledger = store.ledger()
        found = hints(rules.orderings, store.tallies())
    if in_json:
        told = {"ledger": ledger, "hints": [asdict(hint) for hint in found]}
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo(f"{settings.database_path}: the file is whole.")
        click.echo(
            f"Ledger: {ledger['accepted']} accepted, {ledger['owed']} messages owed, imbalance"
            f" {ledger['imbalance']}."
        )
        for hint in found:
            click.echo(f"source {hint.source}: {hint.text}.")
    if ledger["imbalance"]:
        raise ReceiverError(
            "What was promised and what is there differ. Keep a copy of the file and report it."
        )


def configured(*, destinations: bool = True) -> tuple[Settings, Rules]:
    """Settings and rules, both checked; ConfigurationError with every problem found."""
    settings = load_settings(os.environ)
    rules = routes_file.load(settings.routes, os.environ)
    problems = [
        f"{rules.path}:{destination.line}: destination {name}: {problem}"
        for name, destination in (rules.destinations.items() if destinations else ())
        for problem in sending.problems(destination)
    ]
    if destinations:
        problems += exposure.problems(settings, rules)
    if problems:
        raise ConfigurationError(problems)
    return settings, replace(rules, warnings=(*rules.warnings, *exposure.warnings(settings, rules)))


def source_named(rules: Rules, name: str) -> Source:
    """The source that `--source` names."""
    if name not in rules.sources:
        raise ReceiverError(f"--source: {rules.path} has {', '.join(rules.sources)}, not {name}.")
    return rules.sources[name]


def _say_hints(rules: Rules, store: Store) -> None:
    for hint in hints(rules.orderings, store.tallies()):
        line = rules.sources[hint.source].line
        click.echo(f"{rules.path}:{line}: warning: source {hint.source}: {hint.text}")


COMMANDS = (check, explain, lifecycle_, doctor)
