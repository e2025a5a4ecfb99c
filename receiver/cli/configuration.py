"""Configuration of a command: settings and rules, read and checked together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from receiver.config import exposure, routes_file
from receiver.config.rules import Rules
from receiver.config.settings import Settings, load_settings
from receiver.config.settings import warnings as settings_warnings
from receiver.destinations import sending as here
from receiver.destinations.sending import Sending
from receiver.errors import ConfigurationError, ReceiverError, StorageRefused
from receiver.sources.source import Source
from receiver.store import opening
from receiver.store.opening import SpoolFile
from receiver.times import format_time


def load_configuration(
    *,
    destinations: bool = True,
    instead: Mapping[str, str] | None = None,
    sending: Sending = here,
) -> tuple[Settings, Rules]:
    """Read and check settings and rules; raise ConfigurationError with every problem.

    Without `destinations` it checks neither destinations nor secrets in the open: a command that
    sends and serves nothing must not fail because of them. `instead` are settings of the command
    line, by the names of their variables; they count more than the environment. `sending` checks
    the destinations.
    """
    settings, rules = read_configuration(instead)
    return check_configuration(settings, rules, destinations=destinations, instead=instead,
                               sending=sending)  # fmt: skip


def read_configuration(instead: Mapping[str, str] | None = None) -> tuple[Settings, Rules]:
    """Read settings and rules; raise ConfigurationError if they cannot be read."""
    settings = load_settings({**os.environ, **(instead or {})})
    return settings, routes_file.load(settings.routes, os.environ)


def check_configuration(
    settings: Settings, rules: Rules, *, destinations: bool = True,
    instead: Mapping[str, str] | None = None, sending: Sending = here,
) -> tuple[Settings, Rules]:  # fmt: skip
    """Check what was read, and add the warnings; see `load_configuration`."""
    problems = [
        f"{rules.path}:{destination.line}: destination {name}: {problem}"
        for name, destination in (rules.destinations.items() if destinations else ())
        for problem in sending.problems(destination)
    ]
    if destinations:
        problems += exposure.problems(settings, rules)
    if problems:
        raise ConfigurationError(problems)
    warnings = (
        *rules.warnings,
        *exposure.warnings(settings, rules),
        *_warnings_of_spool(settings, rules),
        *settings_warnings({**os.environ, **(instead or {})}),
    )
    return settings, replace(rules, warnings=warnings)


def spool_of(settings: Settings) -> SpoolFile | None:
    """Return the place of the spool; None: the database is a file and goes away with nobody."""
    if not opening.is_shared(settings.database_url):
        return None
    return SpoolFile(settings.spool_file, settings.spool_size)


def _warnings_of_spool(settings: Settings, rules: Rules) -> Iterator[str]:
    wanting = [source for source in rules.sources.values() if source.spool]
    if not wanting:
        return
    where = f"{rules.path}:{wanting[0].line}: warning: source {wanting[0].name}"
    folder = Path(settings.spool_file).absolute().parent
    if not opening.is_shared(settings.database_url):
        yield (
            f"{where}: spool is for a PostgreSQL that may be away: with the database in a file"
            " nothing is spooled"
        )
    elif not os.access(folder, os.W_OK):
        yield f"{where}: {folder} cannot be written: set RECEIVER_SPOOL_FILE to a file elsewhere"


def spool_state(settings: Settings) -> tuple[dict[str, Any] | None, str]:
    """Return what waits in the spool (None: there is none), and what is wrong with it."""
    file = spool_of(settings)
    try:
        found = None if file is None else file.look()
    except StorageRefused as error:
        return {"file": settings.spool_file}, str(error)
    if found is None:
        return None, ""
    state, is_served = found
    since = None if state.oldest is None else format_time(state.oldest)
    known = {
        "file": settings.spool_file, "waiting": state.waiting, "bytes": state.size,
        "most": state.most, "since": since,
    }  # fmt: skip
    if not state.waiting or is_served:
        return known, ""
    return known, (
        f"{state.waiting} webhooks wait in the spool {settings.spool_file} since {since}, and no"
        " process has it: start `receiver serve` with this RECEIVER_SPOOL_FILE."
    )


def spool_line(known: Mapping[str, Any]) -> str:
    """Say what waits in the spool."""
    if not known.get("waiting"):
        return f"spool {known['file']}: nothing waits."
    return f"spool {known['file']}: {known['waiting']} webhooks wait since {known['since']}."


def source_named(rules: Rules, name: str) -> Source:
    """Return the source that `--source` names; raise ReceiverError if there is none."""
    if name not in rules.sources:
        raise ReceiverError(f"--source: {rules.path} has {', '.join(rules.sources)}, not {name}.")
    return rules.sources[name]


def warnings_of_incidents(rules: Rules) -> Iterator[tuple[int, str]]:
    """Yield what may surprise of a route or a destination that opens incidents, with its line."""
    pagers = {each.name for each in rules.destinations.values() if each.opens_incidents}
    for route in rules.routes:
        named = {*route.notify, *(name for each in route.escalate for name in each.notify)}
        told = ", ".join(sorted(named & pagers))
        if not told or route.about != "events":
            continue
        name = f"route {route.name} opens incidents at {told}"
        missing = [key for key in ("acknowledged", "resolved") if not getattr(route, key)]
        if missing and route.statuses() and not route.is_about_verdicts:
            keys = " and ".join(f"{key}: true" for key in missing)
            yield route.line, f"{name}, and does not say what becomes of them: add {keys}"
        if route.group is not None:
            yield route.line, f"{name}, where each episode goes by itself: group is not used there"
        if route.quiet is not None:
            yield route.line, f"{name}, and resolves them no earlier than after its quiet hours"
    for name in sorted(pagers):
        destination = rules.destinations[name]
        if destination.quiet is not None:
            text = "opens and resolves incidents no earlier than after its quiet hours"
            yield destination.line, f"destination {name} {text}"
