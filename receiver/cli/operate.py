"""The commands of operators and approvers: take an episode, silence what is known."""

from __future__ import annotations

import getpass
import json
import time
from contextlib import closing
from typing import Any

import click

from receiver.cli.inspect import configured
from receiver.cli.listing import as_json, listed, stored
from receiver.config.silence_request import match_of, read_silence
from receiver.dispatch.operators import acknowledge, add_silence, expire_silence, take
from receiver.errors import ReceiverError
from receiver.web import json_views


def _whoever() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


_by = click.option("--by", default=_whoever, help="Who says so. Default: the user's name.")


@click.command(name="acknowledge")
@click.argument("source")
@click.argument("execution", metavar="ID")
@_by
def acknowledge_(source: str, execution: str, by: str) -> None:
    """Take what the execution ID of SOURCE waits for: its reminders and escalations end."""
    _, rules = configured(destinations=False)
    asked = take(source, execution, by, rules, time.time_ns())
    if asked is None:
        raise click.UsageError("--by: say who takes it.")
    with closing(stored()) as store:
        done = store.write_now(acknowledge, asked)
    if done is None:
        raise ReceiverError(
            f"There is no execution {execution} of {source}: see `receiver executions`."
        )
    if not done:
        raise ReceiverError(f"{execution} has ended: there is nothing to acknowledge.")
    click.echo(f"{asked.taken.by} takes care of {execution}: there are no more reminders of it.")


@click.group()
def silence() -> None:
    """Keep messages back for a while; who missed some gets a digest of them afterwards."""


@silence.command()
@click.option(
    "--match",
    "match",
    multiple=True,
    required=True,
    metavar="NAME=VALUE",
    help="As in routes.yaml: status=failed, metadata.team=payments. Repeat it.",
)
@click.option("--reason", required=True, help="Why; it stands beside everything it keeps back.")
@click.option("--for", "lasts", metavar="2h", help="How long it lasts.")
@click.option("--until", "ends", metavar="TIME", help="Instead: when it ends (RFC 3339).")
@click.option("--from", "begins", metavar="TIME", help="When it begins. Default: now.")
@_by  # fmt: skip
@as_json
def add(match: tuple[str, ...], in_json: bool, **said: str | None) -> None:
    """Keep messages back that all of the conditions fit."""
    _, rules = configured(destinations=False)
    names = {"lasts": "for", "ends": "until", "begins": "from"}
    given = {names.get(name, name): text for name, text in said.items() if text is not None}
    now = time.time_ns()
    content = {"match": match_of(match), **given}
    asked = read_silence(content, now, rules.sources, rules.destinations)
    with closing(stored()) as store:
        number = store.write_now(add_silence, (asked, now))
        found = store.silence(number)
    kept = None if found is None else json_views.silence(found)
    if in_json:
        click.echo(json.dumps(kept, indent=2))
    elif kept is not None:
        click.echo(
            f"Silence {number} lasts until {kept['until']}; `receiver silence expire {number}`"
            " ends it."
        )


@silence.command(name="list")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@as_json
def list_(limit: int, in_json: bool) -> None:
    """List silences, newest first, with how many messages each kept back."""
    with closing(stored()) as store:
        items, _ = store.silences({}, limit, None)
    shown: list[dict[str, Any]] = [json_views.silence(item) for item in items]
    if not in_json:
        shown = [{**item, "match": json.dumps(item["match"], ensure_ascii=False)} for item in shown]
    listed(shown, ("id", "from", "until", "silenced", "by", "reason", "match"), in_json)


@silence.command()
@click.argument("number", metavar="ID", type=click.IntRange(1, 2**63 - 1))
def expire(number: int) -> None:
    """End the silence ID now; who missed something gets its digest."""
    with closing(stored()) as store:
        done = store.write_now(expire_silence, (number, time.time_ns()))
    if done is None:
        raise ReceiverError(f"There is no silence {number}: see `receiver silence list`.")
    if not done:
        raise ReceiverError(f"Silence {number} is over already.")
    click.echo(f"Silence {number} is over.")


COMMANDS = (acknowledge_, silence)
