"""Commands that inspect rules and store: check, explain, the lifecycle, doctor."""

from __future__ import annotations

import time
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
from receiver.times import SECOND, format_time, span
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
    """Verify the ledger and the store, and say what does not work.

    Open alarms, destinations that fail now, and sources that look badly subscribed or off in time.
    """
    settings, rules = load_configuration(destinations=False)
    now = time.time_ns()
    with closing(opening.open_existing(settings.database_url, thorough=True)) as store:
        ledger = store.ledger()
        warnings = hints(rules.orderings, store.tallies(), store.delays())
        lost = orphans(rules, store)
        troubles = _alarms(store, now), _failing(rules, store, now)
    alarms, failing = troubles
    if in_json:
        print_json({
            "ledger": ledger,
            "hints": [asdict(hint) for hint in warnings],
            "orphans": [asdict(orphan) for orphan in lost],
            "alarms": alarms,
            "failing": failing,
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
        for alarm in alarms:
            about = alarm["about"] or "routes.yaml"
            click.echo(f"alarm {alarm['alarm']}: {about}, since {alarm['since']}: {alarm['cause']}")
        for each in failing:
            waits = f"{each['waiting']} wait" if each["waiting"] else "nothing waits"
            click.echo(
                f"{each['destination']} fails since {each['since']} ({each['for']}):"
                f" {each['last_failure']}; {waits}"
            )
    if ledger["imbalance"]:
        raise ReceiverError(
            "What was promised and what is there differ. Keep a copy of the file and report it."
        )
    if any(troubles):
        raise ReceiverError(
            f"{len(alarms)} alarms are open and {len(failing)} destinations fail. See the log, and"
            " `receiver deliveries`."
        )


def _alarms(store: Store, now: int) -> list[dict[str, Any]]:
    return [
        {
            "alarm": str(alarm.kind),
            "about": alarm.about,
            "since": format_time(alarm.began_at // SECOND * SECOND),
            "cause": alarm.cause,
        }
        for alarm in store.watched(now, now).alarms
    ]


def _failing(rules: Rules, store: Store, now: int) -> list[dict[str, Any]]:
    return [
        {
            "destination": name,
            "since": format_time(each.failing_since // SECOND * SECOND),
            "for": span(now - each.failing_since),
            "last_failure": each.last_failure,
            "waiting": store.waiting_for(name, now),
        }
        for name, each in store.watched(now, now).failing.items()
        if name in rules.destinations
    ]


def _print_hints(rules: Rules, store: Store) -> None:
    for hint in hints(rules.orderings, store.tallies(), store.delays()):
        line = rules.sources[hint.source].line
        click.echo(f"{rules.path}:{line}: warning: source {hint.source}: {hint.text}")


COMMANDS = (check, explain, lifecycle_, doctor)
