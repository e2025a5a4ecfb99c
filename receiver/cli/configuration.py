"""Configuration of a command: settings and rules, read and checked together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from receiver.config import exposure, routes_file
from receiver.config.rules import Rules
from receiver.config.settings import Settings, load_settings
from receiver.config.settings import warnings as settings_warnings
from receiver.destinations import sending
from receiver.errors import ConfigurationError, ReceiverError
from receiver.sources.source import Source


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
        *settings_warnings(environ),
    )
    return settings, replace(rules, warnings=warnings)


def source_named(rules: Rules, name: str) -> Source:
    """Return the source that `--source` names; raise ReceiverError if there is none."""
    if name not in rules.sources:
        raise ReceiverError(f"--source: {rules.path} has {', '.join(rules.sources)}, not {name}.")
    return rules.sources[name]
