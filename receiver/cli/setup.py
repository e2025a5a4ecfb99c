"""Setup of a command that needs the store: opens it, and finds what people name.

The rules are read only where the store cannot say enough, so a command starts quickly.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from receiver.cli.output import print_json_list
from receiver.config.problems import near
from receiver.config.settings import load_settings
from receiver.errors import ConfigurationError, ReceiverError, StorageRefused
from receiver.events import Verdict
from receiver.sources.formats.registry import FORMATS
from receiver.store import opening
from receiver.store.contract import Store
from receiver.store.reading import Listing, Node, Page

if TYPE_CHECKING:
    from receiver.config.rules import Rules

# The newest executions among which a misspelt id is looked for.
NEWEST = 200
# The rows that are read at once, however many are asked for.
PAGE = 200
# The fewest characters of an id's beginning that stand for the whole.
BEGINNING = 8
# The executions that are named where several fit.
SEVERAL = 5


class Newest:
    """The newest rows of a list, read page by page while somebody walks over them."""

    def __init__(self, query: Callable[[int, int | None], Page], limit: int) -> None:
        self._query, self.limit = query, limit
        self.n, self.has_more = 0, False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rows; afterwards `n` is their number, and `has_more` whether there are more."""
        following: int | None = None
        while self.n < self.limit:
            rows, following = self._query(min(self.limit - self.n, PAGE), following)
            self.n += len(rows)
            yield from rows
            if following is None:
                break
        self.has_more = following is not None


def print_newest(
    newest: Newest, document: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> None:
    """Print rows as one document of JSON; the other output says if there are more."""
    print_json_list(map(document, newest))
    say_more(newest, in_json=True)


def say_more(newest: Newest, of: str = "These are", *, in_json: bool = False) -> None:
    """Say that a list has more rows than are shown, if so; beside JSON on the other output."""
    if newest.has_more:
        line = f"{of} the newest {newest.limit}: --limit shows more."
        click.echo(line, err=in_json)


def open_store() -> Store:
    """Open the store of a running or stopped server; StorageRefused if there is none."""
    return opening.open_existing(load_settings(os.environ).database_url)


def store_if_reached(url: str) -> Store | None:
    """Open the store; None if there is none, or if its server is not reached, which is said."""
    try:
        return opening.open_existing(url) if opening.exists(url) else None
    except StorageRefused as error:
        if not opening.is_shared(url):
            raise
        click.echo(f"warning: what is stored was not looked at. {error}")
        return None


def database_lines(url: str, rules: Rules) -> list[str]:
    """Say which schema a shared database has and who serves it; nothing if it is not reached."""
    try:
        schema = opening.schema_of(url)
    except StorageRefused:
        return []  # whoever opens it says so
    if schema is None:
        return []
    # Of another schema, whoever opens it says so.
    lines = [schema.text()] if schema.found in (0, schema.ours) else []
    return [*lines, *node_lines(schema.nodes, rules)]


def node_lines(nodes: Sequence[Node], rules: Rules) -> list[str]:
    """Say which processes serve the database, and where they are not alike."""
    lines = [f"serves: {each.name}, version {each.version}, rules {each.rules}" for each in nodes]
    if len({each.version for each in nodes}) > 1:
        lines.append("warning: their versions differ: replace the older ones soon")
    if len({each.rules for each in nodes}) > 1:
        lines.append(
            "warning: their rules differ: give all of them the same routes.yaml, and reload it"
            " (SIGHUP)"
        )
    elif any(each.rules != rules.digest() for each in nodes):
        lines.append(
            f"warning: this {rules.path} ({rules.digest()}) is not what they have: reload it there"
            " (SIGHUP)"
        )
    return lines


def rules_if_readable() -> tuple[Rules | None, str]:
    """Return the rules, or None and what is wrong with them."""
    from receiver.cli.configuration import load_configuration

    try:
        return load_configuration(destinations=False)[1], ""
    except ConfigurationError as error:
        return None, str(error)


def unknown_name(store: Listing, kind: str, name: str) -> str:
    """Say that there is no `source` or `destination` of that name; nothing if there is one."""
    known = set(store.names()[kind])
    if name in known:
        return ""
    rules, _ = rules_if_readable()
    if rules is not None:
        known.update(rules.sources if kind == "source" else rules.destinations)
    return "" if name in known else f"There is no {kind} {name!r}{near(name, sorted(known))}"


def unknown_execution(store: Listing, source: str | None, execution_id: str) -> str:
    """Say that nothing is stored about an execution, with the nearest; nothing if something is."""
    sources = store.names()["source"] if source is None else [source]
    asked = [{"source": each, "execution_id": execution_id} for each in sources]
    if any(store.events(conditions, 1, None)[0] for conditions in asked):
        return ""
    newest, _ = store.executions({} if source is None else {"source": source}, NEWEST, None)
    hint = near(execution_id, [row["execution_id"] for row in newest])
    listed = hint if hint.startswith(": did") else ": see `receiver executions`."
    return f"There is no execution {execution_id}{listed}"


def unknown_in(store: Listing, conditions: Mapping[str, str]) -> str:
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


def is_empty(what: str, rows: Sequence[object], unknown: str) -> bool:
    """Say that a list is empty; raise ReceiverError if that is so for want of such a name."""
    if unknown:
        raise ReceiverError(unknown)
    if not rows:
        click.echo(f"No {what} match.")
    return not rows


def in_full(store: Listing, conditions: dict[str, str]) -> dict[str, str]:
    """Return conditions with the whole id of an execution where a shortened one is given."""
    text = conditions.get("execution_id")
    if text is None or not _is_short(text):
        return conditions
    source = conditions.get("source")
    if "…" not in text and store.events(conditions_of(text, source), 1, None)[0]:
        return conditions
    found = _shortened(store, text, source)
    return {**conditions, "execution_id": _only(found)[1]} if found else conditions


def conditions_of(execution_id: str, source: str | None) -> dict[str, str]:
    """Return the conditions for the events of an execution."""
    return {"execution_id": execution_id} | ({} if source is None else {"source": source})


def stored_event(store: Listing, event_id: str, source: str | None) -> int:
    """Return the number of a stored event: the one that kept the id, or the last in quarantine."""
    sources = store.names()["source"] if source is None else [source]
    found: dict[str, int] = {}
    for name in sources:
        asked = {"source": name, "event_id": event_id}
        rows = [
            *store.events({**asked, "verdict": Verdict.QUARANTINED}, 1, None)[0],
            *store.events(asked, 2, None)[0],
        ]
        if rows:
            found[name] = rows[-1]["seq"]
    if len(found) > 1:
        raise click.UsageError(f"--source: {', '.join(found)} sent events with this id: say which.")
    if not found:
        unknown = "" if source is None else unknown_name(store, "source", source)
        raise ReceiverError(unknown or f"No event {event_id!r} is stored: see `receiver events`.")
    return next(iter(found.values()))


def stored_execution(store: Listing, text: str, source: str | None) -> tuple[str, str]:
    """Return the source and the id that a text names; else an error with what to say instead."""
    names = store.names()["source"] if source is None else [source]
    found = [(name, text) for name in names if _knows(store, name, text)]
    before, slash, after = text.partition("/")
    if not found and slash and source is None and _knows(store, before, after):
        found = [(before, after)]
    if not found and _is_short(text):
        found = _shortened(store, text, source)
    if not found:
        unknown = "" if source is None else unknown_name(store, "source", source)
        raise ReceiverError(unknown or unknown_execution(store, source, text))
    return _only(found)


def _only(found: Sequence[tuple[str, str]]) -> tuple[str, str]:
    if len(found) > 1:
        ids = ", ".join("/".join(each) for each in found[:SEVERAL])
        more = f" and {len(found) - SEVERAL} more" if len(found) > SEVERAL else ""
        raise click.UsageError(f"There are several: {ids}{more}. Say which, or use --source.")
    return found[0]


def _is_short(text: str) -> bool:
    return "…" in text or len(text) >= BEGINNING


def _knows(store: Listing, source: str, execution_id: str) -> bool:
    return bool(store.events({"source": source, "execution_id": execution_id}, 1, None)[0])


def _shortened(store: Listing, text: str, source: str | None) -> list[tuple[str, str]]:
    """Find the executions that a table shortens to this text, or whose ids begin with it."""
    begin, _, end = text.rpartition("/")[2].partition("…")
    conditions = {"q": begin} if source is None else {"q": begin, "source": source}
    rows, _ = store.executions(conditions, NEWEST, None)
    return [
        (row["source"], row["execution_id"])
        for row in rows
        if row["execution_id"].startswith(begin) and row["execution_id"].endswith(end)
    ]
