"""Command that verifies the store and says what does not work: doctor."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sized
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
from receiver.errors import ReceiverError, StorageAway
from receiver.intake.subscription_hints import hints
from receiver.store import opening
from receiver.store.contract import Store
from receiver.times import SECOND, format_time, span


@click.command()
@json_option
def doctor(in_json: bool) -> None:
    """Verify the ledger and the store, and say what does not work.

    Open alarms (a reload that failed among them), destinations that fail now, when each source was
    last heard, sources that look badly subscribed or off in time, and the warnings of `check`. It
    names the engine, its log, and whether a server serves the store now.
    """
    settings, rules = load_configuration(destinations=False)
    now = time.time_ns()
    spool, unspooled = spool_state(settings)
    if spool is not None and not in_json:
        click.echo(unspooled or spool_line(spool))
    url = settings.database_url
    try:
        condition = opening.condition(url) if opening.exists(url) else None
    except StorageAway:
        if in_json:
            print_json({"ledger": None, "storage": None, "spool": spool})
        raise
    with closing(opening.open_existing(url, thorough=True)) as store:
        ledger = store.ledger()
        warnings = hints(rules.orderings, store.tallies(), store.delays())
        lost = orphans(rules, store)
        alarms, failing = _alarms(store, now), _failing(rules, store, now)
        sources, nodes = _sources(rules, store, now), store.nodes()
    providers = silent_providers(rules)
    document = {
        "ledger": ledger,
        "hints": [asdict(hint) for hint in warnings],
        "orphans": [asdict(orphan) for orphan in lost],
        "alarms": alarms,
        "failing": failing,
        "sources": sources,
        "storage": None if condition is None else asdict(condition),
        "providers": providers,
        "spool": spool,
        "rules": rules.digest(),
        "nodes": [asdict(node) for node in nodes],
        "warnings": list(rules.warnings),
        "prints_only": [each.name for each in rules.destinations.values() if each.prints_only],
    }
    if in_json:
        print_json(document)
    else:
        click.echo(opening.wholeness(url))
        if condition is not None:
            click.echo(_words_of(condition))
        more = [*node_lines(nodes, rules), *(f"{orphan.text()}." for orphan in lost)]
        for line in _findings(document, more):
            click.echo(line)
    _complain(ledger, unspooled, len(alarms), len(failing), providers)


def _findings(found: Mapping[str, Any], more: Iterable[str]) -> Iterator[str]:
    ledger = found["ledger"]
    yield (
        f"Ledger: {ledger['accepted']} accepted, {ledger['owed']} messages owed, imbalance"
        f" {ledger['imbalance']}."
    )
    for source in found["sources"]:
        heard = f"last heard {source['for']} ago" if source["last_event"] else "never heard"
        of_keys = "key" if source["keys"] == 1 else "keys"
        yield f"source {source['source']}: {heard}, {source['keys']} {of_keys}."
    yield from found["warnings"]
    for name in found["prints_only"]:
        yield f"destination {name} prints only: its messages reach nobody else."
    for hint in found["hints"]:
        yield f"source {hint['source']}: {hint['text']}."
    yield from more
    for alarm in found["alarms"]:
        about = alarm["about"] or "routes.yaml"
        yield f"alarm {alarm['alarm']}: {about}, since {alarm['since']}: {alarm['cause']}"
    for name, problem in found["providers"].items():
        yield f"source {name}: its provider cannot be asked: {problem}."
    yield from map(_failing_line, found["failing"])


def _words_of(condition: opening.Condition) -> str:
    served = {
        True: "a server serves it now",
        False: "no server serves it now",
        None: "whether a server serves it is not known here",
    }
    log = "" if condition.log_bytes is None else f", {condition.log_bytes} bytes in its log"
    return f"{condition.engine}{log}; {served[condition.is_served]}."


def _sources(rules: Rules, store: Store, now: int) -> list[dict[str, Any]]:
    """Return when each source was last heard, and how many keys prove its webhooks."""
    watched = store.watched(now, now).sources
    heard = {name: watched[name].heard_at for name in rules.sources if name in watched}
    return [
        {
            "source": name,
            "last_event": None if at is None else format_time(at // SECOND * SECOND),
            "for": None if at is None else span(now - at),
            "keys": len(source.verification.keys),
        }
        for name, source in rules.sources.items()
        for at in [heard.get(name)]
    ]


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
