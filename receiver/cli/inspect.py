"""Commands that inspect rules and store: check, explain, the lifecycle, doctor."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from typing import Any

import click

from receiver import lifecycle
from receiver.cli.configuration import load_configuration, source_named
from receiver.cli.output import json_option, print_json
from receiver.config.rules import Rules
from receiver.destinations import sending
from receiver.dispatch.operators import orphans
from receiver.errors import ReceiverError
from receiver.intake import explain as explaining
from receiver.intake.explain_text import as_text
from receiver.intake.subscription_hints import hints
from receiver.store import opening
from receiver.store.contract import Store
from receiver.web.server import server


@click.command()
@click.argument("file", required=False, type=click.Path())
def check(file: str | None) -> None:
    """Check settings, routes, keys and destinations, without the network.

    FILE is read instead of RECEIVER_ROUTES (routes.yaml). It lists where each destination leads. To
    try one, use `receiver test DESTINATION`.
    """
    settings, rules = load_configuration(instead={} if file is None else {"RECEIVER_ROUTES": file})
    server.check_parser(settings)
    for warning in rules.warnings:
        click.echo(warning)
    for destination in rules.destinations.values():
        for warning in sending.warnings(destination):
            click.echo(f"{rules.path}:{destination.line}: warning: {warning}")
    for line, warning in _open_incidents(rules):
        click.echo(f"{rules.path}:{line}: warning: {warning}")
    for destination in rules.destinations.values():
        click.echo(f"destination {destination.name}: {sending.leads_to(destination)}")
    if opening.exists(settings.database_url):
        with closing(opening.open_existing(settings.database_url)) as store:
            _print_hints(rules, store)
            for orphan in orphans(rules, store):
                click.echo(f"{rules.path}:1: warning: {orphan.text()}")
    click.echo(
        f"{rules.path}: {len(rules.sources)} sources, {len(rules.destinations)} destinations,"
        f" {len(rules.routes)} routes: fine."
    )


@click.command()
@click.argument("event", type=click.File("rb"))
@click.option("--source", required=True, help="The source it would come from.")
@json_option
def explain(event: Any, source: str, in_json: bool) -> None:
    """Say what would become of the webhook body in the file EVENT (- for standard input).

    The verdict against what is stored, which routes match and why the others do not, and the text
    that would go out. Nothing is stored or sent.
    """
    settings, rules = load_configuration()
    url = settings.database_url
    store = opening.open_existing(url) if opening.exists(url) else None
    try:
        explanation = explaining.explain(
            rules, source_named(rules, source), event.read(), time.time_ns(), store
        )
    finally:
        if store is not None:
            store.close()
    if in_json:
        print_json(explanation)
    else:
        click.echo(as_text(explanation))


@click.command(name="lifecycle")
@click.option("--source", help="The table in force for this source, by its `observes`.")
@click.option("--mermaid", is_flag=True, help="As a Mermaid drawing, as in the README.")
def lifecycle_(source: str | None, mermaid: bool) -> None:
    """Print the legal moves of an execution."""
    observes = None
    if source is not None:
        _, rules = load_configuration(destinations=False)
        observes = source_named(rules, source).ordering.observes
    click.echo(lifecycle.mermaid(observes) if mermaid else lifecycle.table(observes))


@click.command()
@json_option
def doctor(in_json: bool) -> None:
    """Verify the ledger and the store; say which source looks badly subscribed or off in time."""
    settings, rules = load_configuration(destinations=False)
    with closing(opening.open_existing(settings.database_url, thorough=True)) as store:
        ledger = store.ledger()
        warnings = hints(rules.orderings, store.tallies(), store.delays())
        lost = orphans(rules, store)
    if in_json:
        print_json({
            "ledger": ledger,
            "hints": [asdict(hint) for hint in warnings],
            "orphans": [asdict(orphan) for orphan in lost],
        })  # fmt: skip
    else:
        click.echo(f"{settings.database_path}: the file is whole.")
        click.echo(
            f"Ledger: {ledger['accepted']} accepted, {ledger['owed']} messages owed, imbalance"
            f" {ledger['imbalance']}."
        )
        for hint in warnings:
            click.echo(f"source {hint.source}: {hint.text}.")
        for orphan in lost:
            click.echo(f"{orphan.text()}.")
    if ledger["imbalance"]:
        raise ReceiverError(
            "What was promised and what is there differ. Keep a copy of the file and report it."
        )


def _open_incidents(rules: Rules) -> Iterator[tuple[int, str]]:
    """Yield the routes that open incidents which they never acknowledge, resolve, or tell apart."""
    pagers = {each.name for each in rules.destinations.values() if sending.opens_incidents(each)}
    for route in rules.routes:
        named = {*route.notify, *(name for each in route.escalate for name in each.notify)}
        told = ", ".join(sorted(named & pagers))
        if not told or route.is_about_dead_letters:
            continue
        name = f"route {route.name} opens incidents at {told}"
        missing = [key for key in ("acknowledged", "resolved") if not getattr(route, key)]
        if missing and route.statuses() and not route.is_about_verdicts:
            keys = " and ".join(f"{key}: true" for key in missing)
            yield route.line, f"{name}, and does not say what becomes of them: add {keys}"
        if route.group is not None:
            yield route.line, f"{name}, and a digest is no episode: leave out group for it"


def _print_hints(rules: Rules, store: Store) -> None:
    for hint in hints(rules.orderings, store.tallies(), store.delays()):
        line = rules.sources[hint.source].line
        click.echo(f"{rules.path}:{line}: warning: source {hint.source}: {hint.text}")


COMMANDS = (check, explain, lifecycle_, doctor)
