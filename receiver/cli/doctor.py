"""Command that verifies the store and says what does not work: doctor."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sized
from contextlib import closing
from dataclasses import asdict
from typing import Any

import click

from receiver.cli.configuration import load_configuration, spool_line, spool_state
from receiver.cli.output import json_option, print_json
from receiver.cli.provider import silent_providers
from receiver.cli.setup import node_lines
from receiver.config.rules import Rules
from receiver.dispatch.operators import orphans
from receiver.errors import ReceiverError
from receiver.intake.subscription_hints import hints
from receiver.store import opening
from receiver.store.contract import Store
from receiver.times import SECOND, format_time, span


@click.command()
@json_option
def doctor(in_json: bool) -> None:
    """Verify the ledger and the store, and say what does not work.

    Open alarms, destinations that fail now, sources that look badly subscribed or off in time, and
    the warnings of `check`.
    """
    settings, rules = load_configuration(destinations=False)
    now = time.time_ns()
    spool, unspooled = spool_state(settings)
    if spool is not None and not in_json:
        click.echo(unspooled or spool_line(spool))
    with closing(opening.open_existing(settings.database_url, thorough=True)) as store:
        ledger = store.ledger()
        warnings = hints(rules.orderings, store.tallies(), store.delays())
        lost = orphans(rules, store)
        alarms, failing = _alarms(store, now), _failing(rules, store, now)
        nodes = store.nodes()
    providers = silent_providers(rules)
    printing = [each.name for each in rules.destinations.values() if each.prints_only]
    if in_json:
        print_json({
            "ledger": ledger,
            "hints": [asdict(hint) for hint in warnings],
            "orphans": [asdict(orphan) for orphan in lost],
            "alarms": alarms,
            "failing": failing,
            "providers": providers,
            "spool": spool,
            "rules": rules.digest(),
            "nodes": [asdict(node) for node in nodes],
            "warnings": list(rules.warnings),
            "prints_only": printing,
        })  # fmt: skip
    else:
        click.echo(opening.wholeness(settings.database_url))
        click.echo(
            f"Ledger: {ledger['accepted']} accepted, {ledger['owed']} messages owed, imbalance"
            f" {ledger['imbalance']}."
        )
        for line in node_lines(nodes, rules):
            click.echo(line)
        for warning in rules.warnings:
            click.echo(warning)
        for name in printing:
            click.echo(f"destination {name} prints only: its messages reach nobody else.")
        for hint in warnings:
            click.echo(f"source {hint.source}: {hint.text}.")
        for orphan in lost:
            click.echo(f"{orphan.text()}.")
        for alarm in alarms:
            about = alarm["about"] or "routes.yaml"
            click.echo(f"alarm {alarm['alarm']}: {about}, since {alarm['since']}: {alarm['cause']}")
        for name, problem in providers.items():
            click.echo(f"source {name}: its provider cannot be asked: {problem}.")
        for each in failing:
            click.echo(_failing_line(each))
    _complain(ledger, unspooled, len(alarms), len(failing), providers)


def _failing_line(each: Mapping[str, Any]) -> str:
    waits = f"{each['waiting']} wait" if each["waiting"] else "nothing waits"
    since = f"{each['destination']} fails since {each['since']} ({each['for']})"
    return f"{since}: {each['last_failure']}; {waits}"


def _complain(
    ledger: Mapping[str, Any], unspooled: str, alarms: int, failing: int, providers: Sized
) -> None:
    """Raise ReceiverError for what does not work."""
    if ledger["imbalance"]:
        raise ReceiverError(
            "What was promised and what is there differ. Keep a copy of the file and report it."
        )
    if unspooled:
        raise ReceiverError(unspooled)
    if alarms or failing:
        raise ReceiverError(
            f"Open alarms: {alarms}. Destinations that fail: {failing}. See the log, and"
            " `receiver deliveries`."
        )
    if providers:
        raise ReceiverError(
            "A provider cannot be asked. Check `api` of its source in routes.yaml: `receiver help"
            " reconcile`."
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


COMMANDS = (doctor,)
