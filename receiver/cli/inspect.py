"""Commands that inspect rules and store: check, explain, a story, the lifecycle."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import click

from receiver import drawing
from receiver.cli.configuration import (
    load_configuration,
    source_named,
    spool_line,
    spool_state,
    warnings_of_incidents,
)
from receiver.cli.listing import phrase
from receiver.cli.output import clean, json_option, print_json, print_lines
from receiver.cli.setup import (
    NEWEST,
    database_lines,
    open_store,
    rules_if_readable,
    store_if_reached,
    stored_event,
    stored_execution,
)
from receiver.config import exposure
from receiver.config.rules import Rules
from receiver.destinations import sending
from receiver.dispatch.operators import orphans
from receiver.dispatch.waits import waits
from receiver.errors import ReceiverError
from receiver.events import Verdict
from receiver.intake import explain as explaining
from receiver.intake.explain_text import as_text, event_text, messages_text, story_text
from receiver.intake.subscription_hints import hints
from receiver.store import opening
from receiver.store.contract import Store
from receiver.web import json_views
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
    for line, warning in warnings_of_incidents(rules):
        click.echo(f"{rules.path}:{line}: warning: {warning}")
    for hint in exposure.hints(settings, rules):
        click.echo(hint)
    for destination in rules.destinations.values():
        click.echo(f"destination {destination.name}: {sending.leads_to(destination)}")
    spool, problem = spool_state(settings)
    if spool is not None:
        click.echo(f"warning: {problem}" if problem else spool_line(spool))
    for text in database_lines(settings.database_url, rules):
        click.echo(text)
    if (store := store_if_reached(settings.database_url)) is not None:
        with closing(store):
            _print_hints(rules, store)
            for orphan in orphans(rules, store):
                click.echo(f"{rules.path}: warning: {orphan.text()}")
    counts = {"source": rules.sources, "destination": rules.destinations, "route": rules.routes}
    parts = (f"{len(of)} {what}{'' if len(of) == 1 else 's'}" for what, of in counts.items())
    click.echo(f"{rules.path}: {', '.join(parts)}: fine.")


@click.command()
@click.argument("event", type=click.File("rb"), required=False)
@click.option("--source", help="The source it would come from, or came from.")
@click.option("--event-id", help="Instead of a file: the id of a stored event.")
@click.option("--seq", type=int, help="Instead of a file: the number in `receiver events`.")
@json_option
def explain(
    event: Any, source: str | None, event_id: str | None, seq: int | None, in_json: bool
) -> None:
    """Say what would become of the webhook body in the file EVENT (- for standard input).

    The verdict against what is stored, which routes match and why the others do not, and the text
    that would go out. Nothing is stored or sent. With --event-id or --seq it says what became of a
    stored event: its verdict, whom it was told to, and why nobody else.
    """
    if [event, event_id, seq].count(None) != 2:
        raise click.UsageError("Give a file with a webhook body, --event-id, or --seq.")
    if event is None:
        _explain_stored(event_id, seq, source, in_json)
    elif source is None:
        raise click.UsageError("--source: say which source the body would come from.")
    else:
        _explain_body(event.read(), source, in_json)


def _explain_body(body: bytes, source: str, in_json: bool) -> None:
    settings, rules = load_configuration()
    url = settings.database_url
    existing = opening.exists(url)
    with closing(opening.open_existing(url)) if existing else opening.open_empty() as store:
        explanation = explaining.explain(
            rules, source_named(rules, source), body, time.time_ns(), store,
            settings.public_url or "", settings.zone,
        )  # fmt: skip
    if in_json:
        print_json(explanation)
    else:
        for line in as_text(explanation).splitlines():
            click.echo(clean(line))


def _explain_stored(
    event_id: str | None, seq: int | None, source: str | None, in_json: bool
) -> None:
    now, rules = time.time_ns(), _rules_or_a_word()
    with closing(open_store()) as store:
        number = seq if event_id is None else stored_event(store, event_id, source)
        known = None if number is None else store.event(number)
    if known is None:
        raise ReceiverError(f"No event has the number {seq}: see `receiver events`.")
    document = json_views.known_event(known, rules, now)
    if in_json:
        print_json(document)
        return
    event, found = document["event"], document["deliveries"]
    execution = event["execution_id"] or "not said"
    phrases = _phrases(known["deliveries"], rules, now)
    print_lines([
        f"event      {event['event_id'] or 'its id could not be read'}",
        f"execution  {event['source']}/{execution}",
        *event_text(event, found, phrases, now, every_route=True),
        *messages_text(found, phrases, now),
    ])  # fmt: skip


@click.command()
@click.argument("execution", metavar="ID")
@click.option("--source", help="Its source, if several have an execution of this id.")
@json_option
def show(execution: str, source: str | None, in_json: bool) -> None:
    """Tell the story of the execution ID: its events, who was told, and why nobody was.

    ID is its id, or SOURCE/ID. A shortened id from a table, or 8 or more of its first
    characters, will do while only one fits.
    """
    now, rules = time.time_ns(), _rules_or_a_word()
    with closing(open_store()) as store:
        name, execution_id = stored_execution(store, execution, source)
        known = store.execution(name, execution_id)
        quarantined, _ = store.events(
            {"source": name, "execution_id": execution_id, "verdict": Verdict.QUARANTINED},
            NEWEST, None,
        )  # fmt: skip
    if known is None:
        raise ReceiverError(
            f"No event was applied to {execution_id}. See `receiver events --execution"
            f" {execution_id}`."
        )
    document = json_views.known(known, rules, now)
    if in_json:
        print_json(document)
        return
    phrases = _phrases(known["deliveries"], rules, now)
    apart = [json_views.event(view) for view in reversed(quarantined)]
    print_lines(story_text(document, apart, phrases, now))


def _rules_or_a_word() -> Rules | None:
    """Return the rules; without them, say that the rest is told."""
    rules, problem = rules_if_readable()
    if problem:
        click.echo(f"Which routes match is not known without the rules: {problem}", err=True)
    return rules


def _phrases(views: Sequence[Mapping[str, Any]], rules: Rules | None, now: int) -> dict[int, str]:
    return {number: phrase(wait, now) for number, wait in waits(views, rules, now).items()}


@click.command(name="lifecycle")
@click.option("--source", help="The table in force for this source, by its `observes`.")
@click.option("--mermaid", is_flag=True, help="As a Mermaid drawing, as in the reference.")
def lifecycle_(source: str | None, mermaid: bool) -> None:
    """Print the legal moves of an execution."""
    observes = None
    if source is not None:
        _, rules = load_configuration(destinations=False)
        observes = source_named(rules, source).ordering.observes
    click.echo(drawing.mermaid(observes) if mermaid else drawing.table(observes))


def _print_hints(rules: Rules, store: Store) -> None:
    for hint in hints(rules.orderings, store.tallies(), store.delays()):
        line = rules.sources[hint.source].line
        click.echo(f"{rules.path}:{line}: warning: source {hint.source}: {hint.text}")


COMMANDS = (check, explain, show, lifecycle_)
