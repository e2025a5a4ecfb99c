"""Commands that list what is stored: executions, events, deliveries.

They start quickly: they read the rules only where the store cannot say enough by itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from receiver.cli.output import (
    Column,
    Cut,
    Row,
    Word,
    json_option,
    limit_option,
    print_json,
    print_lines,
    print_table,
    wait_phrase,
)
from receiver.cli.setup import open_store, rules_if_readable, unknown_execution, unknown_name
from receiver.config.problems import near
from receiver.deliveries import Kind, State
from receiver.errors import ReceiverError
from receiver.events import Category, Status, Verdict
from receiver.sources.formats.registry import FORMATS
from receiver.store.contract import Store
from receiver.times import ago

if TYPE_CHECKING:
    from receiver.config.rules import Rules
    from receiver.dispatch.waits import Wait

View = Mapping[str, Any]

MOST = 200
_ACTIVE = (State.WAITING, State.SENDING)
_EXECUTIONS = (
    Column("since"),
    Column("status"),
    Column("source", Cut.END),
    Column("execution", Cut.MIDDLE),
    Column("agent", Cut.END),
)
_EVENTS = (
    Column("seq"),
    Column("received"),
    Column("source", Cut.END),
    Column("execution", Cut.MIDDLE),
    Column("event", Cut.START),
    Column("verdict"),
)
_DELIVERIES = (
    Column("id"),
    Column("owed"),
    Column("state"),
    Column("kind"),
    Column("destination", Cut.END),
    Column("route", Cut.END),
    Column("execution", Cut.MIDDLE),
)
PLANNED = "Planned, if the execution stays where it is:"
_PLANNED = (Column("id"), Column("due"), *_DELIVERIES[3:])


@click.group(invoke_without_command=True)
@click.option("--status", type=Word([status.value for status in Status]), help="Their status now.")
@click.option("--category", type=Word([c.value for c in Category]), help="Its group.")
@click.option("--source", help="The source's name.")
@click.option("--agent", help="The agent's id or name, a pattern as in routes.yaml: 'Invoice *'.")
@limit_option
@json_option
@click.pass_context
def executions(ctx: click.Context, /, limit: int, in_json: bool, **options: str | None) -> None:
    """List executions, newest first; `receiver executions show ID` tells the story of one."""
    if ctx.invoked_subcommand is not None:
        return
    conditions = _given(options)
    with closing(open_store()) as store:
        rows, following = store.executions(conditions, limit, None)
        unknown = "" if rows else _unknown_name(store, conditions)
    if in_json:
        from receiver.web import json_views

        _print_list([json_views.execution(row) for row in rows], unknown)
        return
    if _is_empty("executions", rows, unknown):
        return
    now = time.time_ns()
    print_table(_EXECUTIONS, [
        Row((ago(row["since"], now), row["status"], row["source"], row["execution_id"],
             row["agent_name"] or row["agent_id"]))
        for row in rows
    ])  # fmt: skip
    if following is not None:
        _say_more(limit)


@click.command()
@click.option("--verdict", type=Word([verdict.value for verdict in Verdict]), help="Such as held.")
@click.option("--source", help="The source's name.")
@click.option("--execution", "execution_id", help="The execution's id.")
@click.option("--event", help="The sender's name of the event, such as EXECUTION_FAILED.")
@limit_option
@json_option
def events(limit: int, in_json: bool, **options: str | None) -> None:
    """List events with their verdicts, newest first, those in quarantine included."""
    conditions = _given(options)
    with closing(open_store()) as store:
        rows, following = store.events(conditions, limit, None)
        unknown = "" if rows else _unknown_name(store, conditions)
    if in_json:
        from receiver.web import json_views

        _print_list([json_views.event(row) for row in rows], unknown)
        return
    if _is_empty("events", rows, unknown):
        return
    now = time.time_ns()
    print_table(_EVENTS, [
        Row((row["seq"], ago(row["received_at"], now), row["source"], row["execution_id"],
             row["event"], f"{row['verdict']} ({row['reason']})"), _problem(row))
        for row in rows
    ])  # fmt: skip
    if following is not None:
        _say_more(limit)


@click.command()
@click.option("--state", type=Word([state.value for state in State]), help="Such as waiting.")
@click.option("--destination", help="The destination's name.")
@click.option("--execution", "execution_id", help="The execution's id.")
@click.option("--kind", type=Word([kind.value for kind in Kind]), help="Such as reminder.")
@click.option("--planned", is_flag=True, help="Only those planned for later.")
@limit_option
@json_option
def deliveries(limit: int, in_json: bool, planned: bool, **options: str | None) -> None:
    """List deliveries, newest first, with why each of them waits and until when.

    Those that wait or are being sent come first. Reminders, escalations and the like that are
    planned for later stand apart: they go out only if the execution stays where it is.
    """
    conditions, now = _given(options), time.time_ns()
    with closing(open_store()) as store:
        rows = store.deliveries(conditions, limit, planned=(True, now) if planned else None)[0]
        unknown = "" if rows else _unknown_name(store, conditions)
        sections = [] if in_json else _sections(store, conditions, limit, now, planned=planned)
    rules = _rules_for([*rows, *(each for _, some in sections for each in some)], now)
    if in_json:
        from receiver.web import json_views

        _print_list(json_views.deliveries(rows, rules, now), unknown)
        return
    if _is_empty("deliveries", rows, unknown):
        return
    for number, (title, some) in enumerate(sections):
        if number:
            click.echo()
        if len(sections) > 1:
            click.echo(title)
        _print_deliveries(some, rules, now, planned=title == PLANNED)
    if any(len(some) >= limit for _, some in sections):
        _say_more(limit)


def _problem(row: View) -> str:
    """Return what cannot be read in a quarantined webhook."""
    return str(row["detail"].get("problem", "")) if row["event_id"] is None else ""


def _sections(
    store: Store, conditions: Mapping[str, str], limit: int, now: int, *, planned: bool
) -> list[tuple[str, list[View]]]:
    """Return the parts of the list with their titles: active, planned, done; none is empty."""

    def page(is_planned: bool, **more: str) -> list[View]:
        return [*store.deliveries({**conditions, **more}, limit, planned=(is_planned, now))[0]]

    state = conditions.get("state", "")
    active = [
        each
        for one in _ACTIVE
        if not planned and state in ("", one)
        for each in page(False, state=one)
    ]
    later = page(True) if state in ("", State.WAITING) else []
    done = [] if planned or state in _ACTIVE else page(False)
    parts = (
        ("Waiting or being sent:", sorted(active, key=lambda each: -each["id"])),
        (PLANNED, sorted(later, key=lambda each: each["due_at"])),
        ("Done:", [each for each in done if each["state"] not in _ACTIVE]),
    )
    return [(title, some) for title, some in parts if some]


def _print_deliveries(
    rows: Sequence[View], rules: Rules | None, now: int, *, planned: bool
) -> None:
    if planned:
        print_table(_PLANNED, [Row((row["id"], ago(row["due_at"], now), *_about(row)))
                               for row in rows])  # fmt: skip
        return
    found = _waits(rows, rules, now)
    print_table(_DELIVERIES, [
        Row((row["id"], ago(row["created_at"], now), row["state"], *_about(row)),
            _note(row, found.get(row["id"]), now))
        for row in rows
    ])  # fmt: skip


def _waits(rows: Sequence[View], rules: Rules | None, now: int) -> Mapping[int, Wait]:
    """Return why each of the deliveries waits, by its number; of most lists none does."""
    waiting = [row for row in rows if row["state"] == State.WAITING]
    if not waiting:
        return {}
    from receiver.dispatch.waits import waits

    return waits(waiting, rules, now)


def _about(row: View) -> tuple[object, ...]:
    step = f" {row['step']}" if row["kind"] in (Kind.REMINDER, Kind.ESCALATION) else ""
    return (f"{row['kind']}{step}", row["destination"], row["route"], row["execution_id"])


def _note(row: View, wait: Wait | None, now: int) -> str:
    """Say why it waits, or why it was not sent; how often it was tried, if that says anything."""
    text = phrase(wait, now) if wait is not None else ""
    tried = len(row["attempts"])
    if row["state"] == State.SENT and tried:
        text = row["attempts"][-1]["detail"]
    if row["reason"]:
        text = f"{text}: {row['reason']}" if text else row["reason"]
    if tried > 1 or (tried and row["state"] == State.WAITING):
        text += f"{' ' if text else ''}(tried {tried} times)" if tried > 1 else " (tried once)"
    return text


def phrase(wait: Wait, now: int) -> str:
    """Write a wait: its reason, and until when."""
    return wait_phrase(wait.words, wait.until, now, is_moment=wait.is_moment)


def _rules_for(rows: Sequence[View], now: int) -> Rules | None:
    """Read the rules if the store alone cannot say why each of the deliveries waits."""
    if not any(wait.until is None for wait in _waits(rows, None, now).values()):
        return None
    rules, problem = rules_if_readable()
    if problem:
        click.echo(f"Why some wait is not known without the rules: {problem}", err=True)
    return rules


def _given(options: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}


def _print_list(items: Sequence[Mapping[str, Any]], unknown: str) -> None:
    """Print the JSON of a list; it is empty without an error, whatever the reason."""
    print_json(items)
    if unknown:
        click.echo(unknown, err=True)


def _is_empty(what: str, rows: Sequence[View], unknown: str) -> bool:
    """Say that a list is empty; raise ReceiverError if that is so for want of such a name."""
    if unknown:
        raise ReceiverError(unknown)
    if not rows:
        click.echo(f"No {what} match.")
    return not rows


def _say_more(limit: int) -> None:
    more = "--limit shows more" if limit < MOST else "--json and the API show all"
    print_lines([f"These are the newest {limit}: {more}."])


def _unknown_name(store: Store, conditions: Mapping[str, str]) -> str:
    """Say which of the names is unknown, with the nearest that is known; nothing if all are."""
    for kind in ("source", "destination"):
        name = conditions.get(kind)
        if name is not None and (hint := unknown_name(store, kind, name)):
            return hint
    if (event := conditions.get("event")) is not None:
        known = [name for each in FORMATS.values() for name in each.ANNOUNCES]
        if event not in known and (hint := near(event, known)).startswith(": did"):
            return f"No event {event!r} is stored{hint}"
    if (execution_id := conditions.get("execution_id")) is not None:
        return unknown_execution(store, conditions.get("source"), execution_id)
    return ""


COMMANDS = (executions, events, deliveries)
