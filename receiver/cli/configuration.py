"""Configuration of a command: settings and rules, read and checked together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace

from receiver.config import exposure, routes_file
from receiver.config.rules import Rules
from receiver.config.settings import Settings, load_settings
from receiver.config.settings import warnings as settings_warnings
from receiver.destinations import sending
from receiver.errors import ConfigurationError, ReceiverError
from receiver.sources.source import Source
from receiver.store import opening
from receiver.store.opening import SpoolFile


def load_configuration(
    *, destinations: bool = True, instead: Mapping[str, str] | None = None
) -> tuple[Settings, Rules]:
    """Read and check settings and rules; raise ConfigurationError with every problem.

    Without `destinations` it checks neither destinations nor secrets in the open: a command that
    sends and serves nothing must not fail because of them. `instead` are settings of the command
    line, by the names of their variables; they count more than the environment.
    """
    environ = {**os.environ, **(instead or {})}
    settings = load_settings(environ)
    rules = routes_file.load(settings.routes, os.environ)
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
        *settings_warnings(environ),
    )
    return settings, replace(rules, warnings=warnings)


def spool_of(settings: Settings) -> SpoolFile | None:
    """Return the place of the spool; None: the database is a file and goes away with nobody."""
    if not opening.is_shared(settings.database_url):
        return None
    return SpoolFile(settings.spool_file, settings.spool_size)


def _warnings_of_spool(settings: Settings, rules: Rules) -> Iterator[str]:
    wanting = [source for source in rules.sources.values() if source.spool]
    if wanting and not opening.is_shared(settings.database_url):
        yield (
            f"{rules.path}:{wanting[0].line}: warning: source {wanting[0].name}: spool is for a"
            " PostgreSQL that may be away: with the database in a file nothing is spooled"
        )


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
