"""Command that compares rules: what others would have told people about the stored events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import click

from receiver.cli.configuration import load_configuration
from receiver.cli.output import (
    Column,
    Row,
    clock,
    json_option,
    print_json,
    print_lines,
    print_table,
)
from receiver.cli.setup import open_store
from receiver.intake import backtest as backtesting
from receiver.times import SECOND, duration, parse_time

Document = dict[str, Any]


def _lasting(ctx: click.Context, parameter: click.Parameter, value: str) -> int:
    """Return a length of time in nanoseconds."""
    try:
        return int(duration(value) * SECOND)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.option("--routes", required=True, metavar="NEW", help="The other rules: an edited file.")
@click.option(
    "--since", default="7d", show_default=True, metavar="LENGTH", callback=_lasting,
    help="How far back to look.",
)  # fmt: skip
@click.option(
    "--most", default=200_000, show_default=True, type=click.IntRange(1),
    help="How many events at most: the newest of that time.",
)  # fmt: skip
@json_option
def backtest(routes: str, since: int, most: int, in_json: bool) -> None:
    """Say who would have been told more or less by the rules in the file NEW.

    The stored events are planned by NEW and by the rules in force (RECEIVER_ROUTES), with reminders
    and escalations for as long as each wait really lasted. Nothing is stored or sent. The exit code
    is 0 whatever differs, and 1 if either file has errors.
    """
    _, in_force = load_configuration(destinations=False)
    _, others = load_configuration(instead={"RECEIVER_ROUTES": routes})
    now = time.time_ns()
    begin = (now - since) // SECOND * SECOND
    with closing(open_store()) as store:
        found = backtesting.backtest(store, in_force, others, begin, now, most)
    if in_json:
        print_json(found)
        return
    print_lines(_summary(found, routes))
    if found["routes"]:
        click.echo()
        print_table(
            [Column("destination"), Column("route"), Column("kind"), Column("in force"),
             Column(routes)],
            [Row((r["destination"], r["route"], r["kind"], r["before"], r["after"]))
             for r in sorted(found["routes"], key=lambda r: (r["destination"], r["route"]))],
        )  # fmt: skip
    for is_more, title in (
        (True, "Would be told more, for example:"),
        (False, "Would be told less, for example:"),
    ):
        shown = [example for example in found["examples"] if example["is_more"] is is_more]
        if shown:
            print_lines(["", title, *_examples(shown, now)])
    print_lines(["", *found["left_out"]])


def _summary(found: Document, routes: str) -> Iterator[str]:
    yield (
        f"{found['events']} events since {found['since']}: {found['before']} messages by the rules"
        f" in force, {found['after']} by {routes}."
    )
    if not found["is_whole"]:
        yield "Older ones were not looked at: --most takes more."
    for each in found["destinations"]:
        change = each["after"] - each["before"]
        how = "as many" if not change else f"{abs(change)} {'more' if change > 0 else 'fewer'}"
        yield f"{each['destination']}: {each['after']} instead of {each['before']} ({how})"


def _examples(examples: list[Document], now: int) -> Iterator[str]:
    for each in examples:
        agent = each["agent"] or "an agent without a name"
        what = each["event"] or "a webhook that cannot be read"
        yield (
            f"  {clock(parse_time(each['at']), now)}  {each['destination']}, route"
            f" {each['route']}: {what} of {each['execution_id'] or 'no execution'} ({agent})"
        )
        rules = "by the rules in force" if each["is_more"] else "by the others"
        yield (
            f"    {_kinds(each['after'])} instead of {_kinds(each['before'])}; {rules}:"
            f" {each['why']}"
        )


def _kinds(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in counts.items()) or "nothing"


COMMANDS = (backtest,)
