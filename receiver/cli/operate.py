"""Commands of operators and approvers: acknowledge, redeliver, silence, test."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import click

from receiver.audit import Act, Actor, Door, Entry
from receiver.cli.configuration import load_configuration
from receiver.cli.output import (
    Column,
    Cut,
    Row,
    clock,
    json_option,
    limit_option,
    print_json,
    print_table,
)
from receiver.cli.setup import (
    Newest,
    open_store,
    print_newest,
    say_more,
    unknown_execution,
    unknown_name,
)
from receiver.config.problems import near
from receiver.config.rules import Rules
from receiver.config.silence_request import match_of, read_silence
from receiver.deliveries import Attempt, Outcome
from receiver.destinations import sending
from receiver.destinations.destination import Destination
from receiver.dispatch import operators
from receiver.dispatch.trial import Trials
from receiver.errors import ReceiverError, StorageRefused
from receiver.store.reading import Listing
from receiver.store.records import TakeOutcome
from receiver.times import ago
from receiver.web import json_views

_SILENCES = (
    Column("id"),
    Column("ends"),
    Column("kept back"),
    Column("by", Cut.END),
    Column("match", Cut.END),
)


def user_name() -> str:
    """Return the name of the system's user."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


def entry_of(act: Act, about: str = "", who: str = "") -> Entry:
    """Return the row of the audit about an act by a command now."""
    user = user_name()
    return Entry(time.time_ns(), act, Actor(who or user, Door.COMMAND, user), about=about)


by_option = click.option("--by", default=user_name, help="Who does this. Default: the user's name.")


@click.command()
@click.argument("source")
@click.argument("execution", metavar="ID")
@by_option
def acknowledge(source: str, execution: str, by: str) -> None:
    """Take what the execution ID of SOURCE waits for: its reminders and escalations end.

    If somebody else has it, you take it over, and whoever was told of them is told of you.
    """
    _, rules = load_configuration(destinations=False)
    actor = Actor(by, Door.COMMAND, user_name())
    claim = operators.take(source, execution, actor, rules, time.time_ns())
    if claim is None:
        raise click.UsageError("--by: say who takes it.")
    with closing(open_store()) as store:
        result = store.write_now(operators.acknowledge, claim)
        is_unknown = result.outcome is TakeOutcome.UNKNOWN
        unknown = _unknown(store, source, execution) if is_unknown else ""
    if unknown:
        raise ReceiverError(unknown)
    if result.outcome is TakeOutcome.ENDED:
        raise ReceiverError(f"{execution} has ended: there is nothing to acknowledge.")
    click.echo(operators.in_words(claim, result, time.time_ns()))


def _unknown(store: Listing, source: str, execution: str) -> str:
    """Say which of the two names nobody knows."""
    return (
        unknown_name(store, "source", source)
        or unknown_execution(store, source, execution)
        or f"No event was applied to {execution} of {source}: there is nothing to acknowledge."
    )


@click.command()
@click.argument("delivery", type=click.IntRange(1, 2**63 - 1), required=False)
@click.option("--destination", help="All dead ones of this destination.")
def redeliver(delivery: int | None, destination: str | None) -> None:
    """Give the dead DELIVERY (a number from `receiver deliveries`) a new chance."""
    if delivery is not None and destination is None:
        _redeliver_one(delivery)
    elif destination is not None and delivery is None:
        _redeliver_all(destination)
    else:
        raise click.UsageError("Give the number of a delivery, or --destination.")


def _redeliver_one(delivery: int) -> None:
    with closing(open_store()) as store:
        entry = entry_of(Act.REDELIVER, f"delivery {delivery}")
        item = operators.Noted((delivery, entry.at), entry)
        is_waiting = store.write_now(operators.redeliver_noted, item)
    if is_waiting is None:
        raise ReceiverError(f"There is no delivery {delivery}: see `receiver deliveries`.")
    if not is_waiting:
        raise ReceiverError(f"Delivery {delivery} is not dead, so there is nothing to redeliver.")
    click.echo(f"Delivery {delivery} waits again: `receiver serve` sends it.")


def _redeliver_all(destination: str) -> None:
    with closing(open_store()) as store:
        if unknown := unknown_name(store, "destination", destination):
            raise ReceiverError(unknown)
        entry = entry_of(Act.REDELIVER, destination)
        item = operators.Noted((destination, entry.at), entry)
        count = store.write_now(operators.redeliver_all_noted, item)
    click.echo(f"{count} deliveries to {destination} wait again: `receiver serve` sends them.")


@click.command()
@click.argument("destination")
def test(destination: str) -> None:
    """Send a message that is marked as a test to DESTINATION now, and say what came of it.

    It goes the way of every message, with the timeout of the destination, and no list but the
    audit has it. Exit code 0 only if it was delivered.
    """
    _, rules = load_configuration(destinations=False)
    known = rules.destinations
    if destination not in known:
        raise ReceiverError(
            f"{rules.path} has no destination {destination!r}{near(destination, known)}"
        )
    chosen = known[destination]
    if problems := sending.problems(chosen):
        places = (f"{rules.path}:{chosen.line}: destination {destination}: {p}" for p in problems)
        raise ReceiverError("\n".join(places))
    for warning in _warnings_about(chosen, rules):
        click.echo(warning)
    click.echo(f"destination {destination}: {sending.leads_to(chosen)}")
    attempt = Trials().try_destination(chosen, f"{user_name()} with `receiver test {destination}`")
    if attempt is not None:
        _note_test(destination, attempt)
    if attempt is None or attempt.outcome is not Outcome.DELIVERED:
        raise ReceiverError(_what_failed(attempt))
    if attempt.detail:
        click.echo(f"{attempt.detail}. Give it the URL of a service to reach people.")
    else:
        click.echo(f"delivered after {attempt.duration_ms} ms: look whether it is there.")


def _note_test(destination: str, attempt: Attempt) -> None:
    """Write down a test; without a database there is no audit yet."""
    entry = entry_of(Act.TEST, destination).with_result(str(attempt.outcome))
    with suppress(StorageRefused), closing(open_store()) as store:
        operators.write_down(store, entry)


def _warnings_about(destination: Destination, rules: Rules) -> Iterator[str]:
    """Yield what `check` warns of at this destination."""
    place = f"{rules.path}:{destination.line}: "
    yield from (warning for warning in rules.warnings if warning.startswith(place))
    yield from (f"{place}warning: {warning}" for warning in sending.warnings(destination))


def _what_failed(attempt: Attempt | None) -> str:
    """Say what came of a test that was not delivered, and what to do next."""
    if attempt is None:
        return "another test of it is under way: wait for its end."
    if attempt.outcome is Outcome.UNCERTAIN:
        return f"uncertain: {attempt.detail}. It may have arrived: look there before you try again."
    if attempt.permanent:
        return f"failed, for good: {attempt.detail}. No repeat can mend it: mend the destination."
    return f"failed: {attempt.detail}. A later message would be tried again."


@click.group()
def silence() -> None:
    """Keep messages back for a while; a digest lists them afterwards."""


@silence.command()
@click.option(
    "--match",
    "match",
    multiple=True,
    required=True,
    metavar="NAME=VALUE",
    help="As in routes.yaml: status=failed, metadata.team=payments. Repeat it.",
)
@click.option("--reason", required=True, help="Why; listed beside each message that is kept back.")
@click.option("--for", "lasts", metavar="2h", help="How long it lasts.")
@click.option("--until", "ends", metavar="TIME", help="Instead: when it ends (RFC 3339).")
@click.option("--from", "begins", metavar="TIME", help="When it begins. Default: now.")
@by_option
@json_option
def add(match: tuple[str, ...], in_json: bool, **options: str | None) -> None:
    """Keep back the messages that fit all of the conditions."""
    _, rules = load_configuration(destinations=False)
    keys = {"lasts": "for", "ends": "until", "begins": "from"}
    given = {keys.get(name, name): text for name, text in options.items() if text is not None}
    now = time.time_ns()
    content = {"match": match_of(match), **given}
    request = read_silence(content, now, rules.sources, rules.destinations)
    with closing(open_store()) as store:
        entry = entry_of(Act.SILENCE, who=request.by).with_result(request.reason)
        item = operators.Noted((request, now), entry)
        number = store.write_now(operators.add_silence_noted, item)
        row = store.silence(number)
    if in_json:
        print_json(None if row is None else json_views.silence(row))
    elif row is not None:
        end = f"{clock(row['until'], now)} ({ago(row['until'], now)})"
        click.echo(
            f"Silence {number} lasts until {end}; `receiver silence expire {number}` ends it."
        )


@silence.command(name="list")
@limit_option
@json_option
def list_(limit: int, in_json: bool) -> None:
    """List silences, newest first, with how many messages each kept back."""
    with closing(open_store()) as store:
        newest = Newest(lambda n, after: store.silences({}, n, after), limit)
        if in_json:
            print_newest(newest, json_views.silence)
            return
        rows = list(newest)
    if not rows:
        click.echo("There are no silences.")
        return
    now = time.time_ns()
    print_table(_SILENCES, [
        Row((row["id"], ago(row["until"], now), row["silenced"], row["by"],
             json.dumps(json_views.silence(row)["match"], ensure_ascii=False)), row["reason"])
        for row in rows
    ])  # fmt: skip
    say_more(newest)


@silence.command()
@click.argument("number", metavar="ID", type=click.IntRange(1, 2**63 - 1))
def expire(number: int) -> None:
    """End the silence ID now; its digest goes out."""
    with closing(open_store()) as store:
        entry = entry_of(Act.END_SILENCE, str(number))
        item = operators.Noted((number, entry.at), entry)
        is_ended = store.write_now(operators.expire_silence_noted, item)
    if is_ended is None:
        raise ReceiverError(f"There is no silence {number}: see `receiver silence list`.")
    if not is_ended:
        raise ReceiverError(f"Silence {number} is over already.")
    click.echo(f"Silence {number} is over.")


COMMANDS = (acknowledge, redeliver, silence, test)
