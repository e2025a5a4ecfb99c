"""Commands that list stored executions and deliveries."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import click

from receiver.cli.output import json_option, print_json, print_table
from receiver.cli.setup import open_store
from receiver.deliveries import State
from receiver.events import Category, Status
from receiver.times import span
from receiver.web import json_views


@click.command()
@click.option("--status", type=click.Choice([status.value for status in Status]))
@click.option("--category", type=click.Choice([c.value for c in Category]))
@click.option("--source", help="The source's name.")
@click.option("--agent", help="The agent's id or name.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@json_option
def executions(limit: int, in_json: bool, **options: str | None) -> None:
    """List executions, newest first."""
    conditions = {name: value for name, value in options.items() if value is not None}
    with closing(open_store()) as store:
        rows, _ = store.executions(conditions, limit, None)
    items = [json_views.execution(row) for row in rows]
    if in_json:
        print_json(items)
    else:
        print_table(items, ("since", "status", "source", "execution_id", "agent_name"))


@click.command()
@click.option("--state", type=click.Choice([state.value for state in State]))
@click.option("--destination", help="The destination's name.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@json_option
def deliveries(limit: int, in_json: bool, **options: str | None) -> None:
    """List deliveries with their attempts, newest first."""
    conditions = {name: value for name, value in options.items() if value is not None}
    with closing(open_store()) as store:
        rows, _ = store.deliveries(conditions, limit, None)
    items = [json_views.delivery(row) for row in rows]
    if in_json:
        print_json(items)
        return
    now = time.time_ns()
    print_table(
        [{**item, **_progress(row, now)} for item, row in zip(items, rows, strict=True)],
        ("id", "age", "state", "destination", "execution_id", "tries", "next", "reason"),
    )


def _progress(delivery: Mapping[str, Any], now: int) -> dict[str, str]:
    """Return a delivery's age, number of attempts and time until the next attempt."""
    is_waiting = delivery["state"] == "waiting"
    return {
        "age": span(now - delivery["created_at"]),
        "tries": str(len(delivery["attempts"])),
        "next": span(delivery["due_at"] - now) if is_waiting else "",
    }


COMMANDS = (executions, deliveries)
