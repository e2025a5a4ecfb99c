"""The commands about what is stored: executions, deliveries, what has been kept for long enough."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, TypeVar

import click

from receiver.config.settings import Settings, load_settings
from receiver.deliveries import State
from receiver.dispatch import operators
from receiver.errors import ReceiverError, StorageServed
from receiver.events import Category, Status
from receiver.store import opening
from receiver.store.contract import Store
from receiver.store.pruning import prune_all, removed
from receiver.times import span
from receiver.web import json_views

Command = TypeVar("Command", bound=Callable[..., Any])


def as_json(command: Command) -> Command:
    """The option of every command that lists something."""
    return click.option("--json", "in_json", is_flag=True, help="Print JSON, one document.")(
        command
    )


@click.command()
@click.option("--status", type=click.Choice([status.value for status in Status]))
@click.option("--category", type=click.Choice([c.value for c in Category]))
@click.option("--source", help="The source's name.")
@click.option("--agent", help="The agent's id or name.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@as_json
def executions(limit: int, in_json: bool, **conditions: str | None) -> None:
    """List executions, newest first."""
    given = {name: value for name, value in conditions.items() if value is not None}
    with closing(stored()) as store:
        items, _ = store.executions(given, limit, None)
    shown = [json_views.execution(item) for item in items]
    listed(shown, ("since", "status", "source", "execution_id", "agent_name"), in_json)


@click.command()
@click.option("--state", type=click.Choice([state.value for state in State]))
@click.option("--destination", help="The destination's name.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@as_json
def deliveries(limit: int, in_json: bool, **conditions: str | None) -> None:
    """List deliveries with their attempts, newest first."""
    given = {name: value for name, value in conditions.items() if value is not None}
    with closing(stored()) as store:
        items, _ = store.deliveries(given, limit, None)
    columns = ("id", "age", "state", "destination", "execution_id", "tries", "next", "reason")
    now = time.time_ns()
    shown = [json_views.delivery(item) for item in items]
    if not in_json:
        progress = [_progress(item, now) for item in items]
        shown = [{**item, **more} for item, more in zip(shown, progress, strict=True)]
    listed(shown, columns, in_json)


@click.command()
@click.argument("delivery", type=click.IntRange(1, 2**63 - 1), required=False)
@click.option("--destination", help="All dead ones of this destination.")
def redeliver(delivery: int | None, destination: str | None) -> None:
    """Give the dead DELIVERY (a number from `receiver deliveries`) a new chance."""
    if (delivery is None) == (destination is None):
        raise click.UsageError("Give the number of a delivery, or --destination.")
    with closing(stored()) as store:
        if destination is not None:
            if not store.deliveries({"destination": destination}, 1, None)[0]:
                raise ReceiverError(f"Nothing was ever owed to {destination!r}: see its spelling.")
            n = store.write_now(operators.redeliver_all, (destination, time.time_ns()))
            click.echo(f"{n} deliveries to {destination} wait again: `receiver serve` sends them.")
            return
        assert delivery is not None
        done = store.write_now(operators.redeliver, (delivery, time.time_ns()))
    if done is None:
        raise ReceiverError(f"There is no delivery {delivery}: see `receiver deliveries`.")
    if not done:
        raise ReceiverError(f"Delivery {delivery} is not dead, so there is nothing to redeliver.")
    click.echo(f"Delivery {delivery} waits again: `receiver serve` sends it.")


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would go, remove nothing.")
@as_json
def prune(dry_run: bool, in_json: bool) -> None:
    """Remove what has been kept for as long as RECEIVER_KEEP_… say, now.

    A server does so by itself, once an hour. What is owed stays, and so does an execution that has
    not ended. The file does not shrink: what becomes free in it is used again.
    """
    settings = load_settings(os.environ)
    limits = settings.retention.limits(time.time_ns())
    store, rest = _prunable(settings, dry_run)
    with closing(store):
        gone = dict(store.prunable(limits)) if dry_run else removed(prune_all(store, limits, rest))
    if in_json:
        click.echo(json.dumps({"removed": not dry_run, **gone}, indent=2))
        return
    listed = ", ".join(f"{n} {name}" for name, n in gone.items())
    click.echo(f"It would remove at most {listed}." if dry_run else f"Removed {listed}.")


def _prunable(settings: Settings, dry_run: bool) -> tuple[Store, Callable[[float], object]]:
    """The store, and how to rest: not at all where it is ours alone.

    It is served by us unless it is by another process: somebody has to tidy the log.
    """
    rest = threading.Event().wait
    store = opening.open_existing(settings.database_url)
    if dry_run:
        return store, rest
    store.close()
    try:
        return opening.open_to_serve(settings.database_url), lambda seconds: None
    except StorageServed:
        return opening.open_existing(settings.database_url), rest


def _progress(delivery: Mapping[str, Any], now: int) -> dict[str, str]:
    """What a person wants to see at once: its age, how often it was tried, when it is again."""
    waits = delivery["state"] == "waiting"
    return {
        "age": span(now - delivery["created_at"]),
        "tries": str(len(delivery["attempts"])),
        "next": span(delivery["due_at"] - now) if waits else "",
    }


def stored() -> Store:
    """The store of a server that runs or ran here."""
    return opening.open_existing(load_settings(os.environ).database_url)


def listed(items: Sequence[Mapping[str, Any]], columns: Sequence[str], in_json: bool) -> None:
    """Print a table, or JSON."""
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


COMMANDS = (executions, deliveries, redeliver, prune)
