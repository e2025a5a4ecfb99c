"""Commands that maintain the store, and show its audit."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click

from receiver.audit import Act
from receiver.cli.configuration import load_configuration
from receiver.cli.operate import entry_of
from receiver.cli.output import (
    Column,
    Cut,
    Row,
    json_option,
    limit_option,
    print_json,
    print_table,
)
from receiver.cli.setup import Newest, open_store, print_newest, say_more
from receiver.config.rules import Rules
from receiver.config.settings import Settings, load_settings
from receiver.dispatch import operators
from receiver.errors import ReceiverError, StorageRefused, StorageServed
from receiver.store import opening
from receiver.store.contract import Store
from receiver.store.names import KINDS
from receiver.store.pruning import prune_all, removed
from receiver.times import ago
from receiver.web import json_views

_AUDIT = (
    Column("when"),
    Column("who", Cut.END),
    Column("what"),
    Column("about", Cut.MIDDLE),
    Column("from", Cut.END),
)


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would go, remove nothing.")
@json_option
def prune(dry_run: bool, in_json: bool) -> None:
    """Remove now what has been kept for as long as the settings RECEIVER_KEEP_… say.

    A server does this by itself, once an hour. Messages that are still owed stay, and so do
    executions that have not ended. The file does not shrink: new events use the space in it again.
    """
    settings = load_settings(os.environ)
    limits = settings.retention.limits(time.time_ns())
    store, pause = _open_prunable(settings, dry_run)
    with closing(store):
        if dry_run:
            counts = dict(store.prunable(limits))
        else:
            counts = removed(prune_all(store, limits, pause))
    if in_json:
        print_json({"removed": not dry_run, **counts})
        return
    text = ", ".join(f"{n} {name}" for name, n in counts.items())
    click.echo(f"It would remove at most {text}." if dry_run else f"Removed {text}.")


def _open_prunable(settings: Settings, dry_run: bool) -> tuple[Store, Callable[[float], object]]:
    """Open the store; return it with a function that pauses (seconds) between two portions.

    If no other process serves the store, this one does, because the log has to be tidied. Then
    nobody else needs the storage, and the function does not pause.
    """
    pause = threading.Event().wait
    store = opening.open_existing(settings.database_url)
    if dry_run:
        return store, pause
    store.close()
    try:
        return opening.open_to_serve(settings.database_url), lambda seconds: None
    except StorageServed:
        return opening.open_existing(settings.database_url), pause


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def backup(file: Path, in_json: bool) -> None:
    """Copy the store into FILE, while it is served: it goes on taking webhooks.

    The copy is the store at one moment. It gets its name once it is whole: it was read again, its
    ledger is in balance, and it is on disk. Only its owner may read it. A FILE that exists is never
    replaced. To restore one, stop the server and put it in place of the store, without the -wal and
    -shm files there.
    """
    ledger = opening.back_up(load_settings(os.environ).database_url, file)
    size = file.stat().st_size
    if in_json:
        print_json({"file": str(file), "bytes": size, "ledger": ledger})
        return
    words = "of an older schema, whose ledger was not looked at" if ledger is None else (
        f"{ledger['accepted']} accepted, {ledger['owed']} messages owed, imbalance 0"
    )  # fmt: skip
    click.echo(f"{file}: {size} bytes, whole: {words}.")


@click.command()
@click.option("--from", "source", required=True, metavar="URL", help="sqlite:///FILE, as it is.")
@click.option(
    "--to", "target", required=True, metavar="URL",
    help="postgresql://…, a database without rows; $NAME stands for an environment variable.",
)  # fmt: skip
@json_option
def migrate(source: str, target: str, in_json: bool) -> None:
    """Move a store that has outgrown its file to PostgreSQL. The file stays as it is.

    Stop the server first. It says how far it is; interrupted, run it again: it goes on. In the end
    every row was compared, and the ledger says the same of both; before that no server takes the
    database. Other people see the words of a command, so keep the password in a variable ($NAME)
    or in libpq's own.
    """
    try:
        counts = opening.migrate(source, os.path.expandvars(target), _say)
    except StorageServed as error:
        raise StorageServed(
            "A server runs on the file, and what it takes meanwhile would be missing. Stop it, and"
            " begin again."
        ) from error
    if in_json:
        print_json(counts)
        return
    text = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    click.echo(f"Moved {text or 'no rows'}.")
    click.echo(
        "Every row and the ledger are the same in both. Set RECEIVER_DATABASE_URL to the new one."
    )


def _say(text: str) -> None:
    click.echo(text, err=True)


@click.command()
@click.argument("what", type=click.Choice(KINDS))
@click.argument("old")
@click.argument("new")
@click.option("--dry-run", is_flag=True, help="Say what would be carried over, change nothing.")
@json_option
def rename(what: str, old: str, new: str, dry_run: bool, in_json: bool) -> None:
    """Carry over what is stored when a source, route or destination has a new name.

    First rename it in routes.yaml, with the server stopped: a running one would go on with the old
    name. OLD may have rows, NEW may have some already. An execution that both names of a source
    know stays with OLD, and the number of those is printed; messages that both names of a route or
    destination owe refuse the whole. All of it happens or nothing.
    """
    settings, rules = load_configuration(destinations=False)
    _check_names(rules, what, old, new)
    if not opening.exists(settings.database_url):
        raise StorageRefused("There is no database yet, so there is nothing to carry over.")
    try:
        store = opening.open_to_serve(settings.database_url, alone=True)
    except StorageServed as error:
        raise ReceiverError(
            "A server runs, and would go on with the old name. Stop it, rename, and start it again."
        ) from error
    with closing(store):
        item = operators.Renaming(what, old, new, dry_run)
        entry = entry_of(Act.RENAME, f"{what} {old} to {new}")
        if dry_run:
            counts = store.write_now(operators.rename, item)
        else:
            counts = store.write_now(operators.rename_noted, operators.Noted(item, entry))
    if in_json:
        print_json({"renamed": not dry_run, **counts})
        return
    text = ", ".join(f"{n} {name}" for name, n in counts.items() if name != "left")
    click.echo(f"It would carry over {text}." if dry_run else f"Carried over {text}.")
    if left := counts.get("left", 0):
        click.echo(f"{left} executions stay with {old}: {new} has events of them, too.")


def _check_names(rules: Rules, what: str, old: str, new: str) -> None:
    """Raise ReceiverError unless the file has the new name and not the old one."""
    names = operators.names_of(rules)[what]
    if new not in names:
        raise ReceiverError(
            f"{rules.path} has no {what} {new}: rename it there first. It has"
            f" {', '.join(names) or 'none'}."
        )
    if old in names:
        raise ReceiverError(
            f"{rules.path} still has the {what} {old}: take it out of there first, or it would go"
            " on without what is stored about it."
        )


@click.command()
@click.option("--act", type=click.Choice([each.value for each in Act]), help="Only this.")
@click.option("--who", help="Only of this person, by the name as it was given.")
@click.option("--execution", "execution_id", help="Only about the execution with this id.")
@limit_option
@json_option
def audit(limit: int, in_json: bool, **options: str | None) -> None:
    """List what people did here, newest first: who, what, about which, when, from where.

    It is kept as long as executions are (RECEIVER_KEEP_EXECUTIONS).
    """
    conditions = {name: text for name, text in options.items() if text is not None}
    with closing(open_store()) as store:
        newest = Newest(lambda n, after: store.audit(conditions, n, after), limit)
        if in_json:
            print_newest(newest, json_views.audit)
            return
        rows = list(newest)
    if not rows:
        click.echo(f"Nobody did anything {'that matches' if conditions else 'yet'}.")
        return
    now = time.time_ns()
    print_table(_AUDIT, [
        Row((ago(row["at"], now), row["who"] or "somebody", row["act"].replace("_", " "),
             row["execution_id"] or row["about"],
             f"{row['door']}{' ' if row['place'] else ''}{row['place']}"), row["result"])
        for row in rows
    ])  # fmt: skip
    say_more(newest)


COMMANDS = (prune, backup, migrate, rename, audit)
