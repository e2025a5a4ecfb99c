"""Commands that maintain the store: prune."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import closing

import click

from receiver.cli.output import json_option, print_json
from receiver.config.settings import Settings, load_settings
from receiver.errors import StorageServed
from receiver.store import opening
from receiver.store.contract import Store
from receiver.store.pruning import prune_all, removed


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


COMMANDS = (prune,)
