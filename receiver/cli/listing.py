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
    limit_of_parts_option,
    limit_option,
    print_json_list,
    print_table,
    wait_phrase,
)
from receiver.cli.setup import (
    Newest,
    in_full,
    is_empty,
    open_store,
    print_newest,
    rules_if_readable,
    say_more,
    unknown_in,
)
from receiver.deliveries import Kind, State
from receiver.events import Category, Status, Verdict
from receiver.store.contract import Store
from receiver.store.reading import Page
from receiver.times import ago

if TYPE_CHECKING:
    from receiver.config.rules import Rules
    from receiver.dispatch.waits import Wait

View = Mapping[str, Any]

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
ACTIVE, DONE = "Waiting or being sent:", "Done:"
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
    with closing(open_store()) as store:
        conditions = _given(options)
        newest = Newest(lambda n, after: store.executions(conditions, n, after), limit)
        rows = _rows(store, "executions", conditions, newest, in_json=in_json)
    if not rows:
        return
    now = time.time_ns()
    print_table(_EXECUTIONS, [
        Row((ago(row["since"], now), row["status"], row["source"], row["execution_id"],
             row["agent_name"] or row["agent_id"]))
        for row in rows
    ])  # fmt: skip
    say_more(newest)


@click.command()
@click.option("--verdict", type=Word([verdict.value for verdict in Verdict]), help="Such as held.")
@click.option("--source", help="The source's name.")
@click.option("--execution", "execution_id", help="Its id, or a shortened one of a table.")
@click.option("--event", help="The sender's name of the event, such as EXECUTION_FAILED.")
@limit_option
@json_option
def events(limit: int, in_json: bool, **options: str | None) -> None:
    """List events with their verdicts, newest first, those in quarantine included."""
    with closing(open_store()) as store:
        conditions = in_full(store, _given(options))
        newest = Newest(lambda n, after: store.events(conditions, n, after), limit)
        rows = _rows(store, "events", conditions, newest, in_json=in_json)
    if not rows:
        return
    now = time.time_ns()
    print_table(_EVENTS, [
        Row((row["seq"], ago(row["received_at"], now), row["source"], row["execution_id"],
             row["event"], f"{row['verdict']} ({row['reason']})"), _problem(row))
        for row in rows
    ])  # fmt: skip
    say_more(newest)


@click.command()
@click.option("--state", type=Word([state.value for state in State]), help="Such as waiting.")
@click.option("--destination", help="The destination's name.")
@click.option("--execution", "execution_id", help="Its id, or a shortened one of a table.")
@click.option("--kind", type=Word([kind.value for kind in Kind]), help="Such as reminder.")
@click.option("--planned", is_flag=True, help="Only those planned for later.")
@limit_of_parts_option
@json_option
def deliveries(limit: int, in_json: bool, planned: bool, **options: str | None) -> None:
    """List deliveries, newest first, with why each of them waits and until when.

    Those that wait or are being sent come first, in JSON too. Reminders, escalations and the like
    that are planned for later stand apart: they go out only if the execution stays where it is.
    """
    now = time.time_ns()
    with closing(open_store()) as store:
        conditions = in_full(store, _given(options))
        parts = _sections(store, conditions, limit, now, planned=planned)
        if in_json:
            _print_sections(store, conditions, parts, now)
            return
        sections = [(title, some, rows) for title, some in parts if (rows := list(some))]
        unknown = "" if sections else unknown_in(store, conditions)
    rules = _rules_for([row for _, _, rows in sections for row in rows], now)
    if is_empty("deliveries", sections, unknown):
        return
    for number, (title, some, rows) in enumerate(sections):
        if number:
            click.echo()
        if len(sections) > 1:
            click.echo(title)
        _print_deliveries(rows, rules, now, planned=title == PLANNED)
        say_more(some)


def _print_sections(
    store: Store, conditions: Mapping[str, str], parts: Sequence[tuple[str, Newest]], now: int
) -> None:
    """Print the parts of the list as one list in JSON, those that wait first."""
    from receiver.web import json_views

    waiting = {title: list(some) for title, some in parts if title != DONE}
    rules = _rules_for([row for rows in waiting.values() for row in rows], now)
    views = (row for title, some in parts for row in waiting.get(title, some))
    print_json_list(each for row in views for each in json_views.deliveries([row], rules, now))
    if not any(some.n for _, some in parts) and (unknown := unknown_in(store, conditions)):
        click.echo(unknown, err=True)
    for title, some in parts:
        say_more(some, of=title, in_json=True)


def _problem(row: View) -> str:
    """Return what cannot be read in a quarantined webhook."""
    return str(row["detail"].get("problem", "")) if row["event_id"] is None else ""


def _sections(
    store: Store, conditions: Mapping[str, str], limit: int, now: int, *, planned: bool
) -> list[tuple[str, Newest]]:
    """Return the parts of the list with their titles: active, planned, done."""

    def done(n: int, after: int | None) -> Page:
        asked = {**conditions, "done": "yes"}
        return store.deliveries(asked, n, after, planned=(False, now))

    def later(n: int, after: int | None) -> Page:
        asked = {**conditions, "state": State.WAITING.value}
        return store.deliveries(asked, n, after, planned=(True, now))

    def active(n: int, after: int | None) -> Page:
        pages = [
            store.deliveries({**conditions, "state": each}, n, after, planned=(False, now))
            for each in _ACTIVE
            if state in ("", each)
        ]
        rows = sorted((row for page, _ in pages for row in page), key=lambda row: -row["id"])
        has_more = len(rows) > n or any(following is not None for _, following in pages)
        return rows[:n], rows[:n][-1]["id"] if has_more else None

    state = conditions.get("state", "")
    parts = [
        (ACTIVE, active, not planned and (not state or state in _ACTIVE)),
        (PLANNED, later, state in ("", State.WAITING)),
        (DONE, done, not planned and state not in _ACTIVE),
    ]
    return [(title, Newest(query, limit)) for title, query, is_asked in parts if is_asked]


def _print_deliveries(
    rows: Sequence[View], rules: Rules | None, now: int, *, planned: bool
) -> None:
    if planned:
        print_table(_PLANNED, [Row((row["id"], ago(row["due_at"], now), *_about(row)))
                               for row in sorted(rows, key=lambda row: row["due_at"])])  # fmt: skip
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


def _rows(
    store: Store, what: str, conditions: Mapping[str, str], newest: Newest, *, in_json: bool
) -> list[dict[str, Any]]:
    """Return the rows of a table; none if JSON was asked for, which is printed, or if it is empty.

    The JSON of an empty list is no error, whatever the reason.
    """
    rows = [] if in_json else list(newest)
    if in_json:
        from receiver.web import json_views

        print_newest(newest, json_views.execution if what == "executions" else json_views.event)
    unknown = "" if newest.n else unknown_in(store, conditions)
    if in_json and unknown:
        click.echo(unknown, err=True)
    elif not in_json:
        is_empty(what, rows, unknown)
    return rows


COMMANDS = (executions, events, deliveries)
