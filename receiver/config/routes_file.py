"""Routes file: routes.yaml, read once, strictly, with the line of each error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from receiver.config import strict_yaml
from receiver.config.builders.route import build_route, late_warnings, quiet_hours, surprises
from receiver.config.builders.source import SourceBuilder
from receiver.config.exposure import without_comments, written_out
from receiver.config.problems import Place, describe_error, near, shown
from receiver.config.rules import Rules
from receiver.config.schema import (
    DestinationModel,
    FileModel,
    RouteModel,
    SourceModel,
)
from receiver.config.variables import Variables, tidy
from receiver.destinations.destination import Destination
from receiver.errors import ConfigurationError
from receiver.routing.routes import Route
from receiver.sources.source import Source

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def load(path: str, environ: Mapping[str, str]) -> Rules:
    """Read the rules of a file; ConfigurationError with all problems, as `file:line: message`."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            [
                f"{path}:1: it cannot be read ({error.strerror}). Set RECEIVER_ROUTES to the file,"
                " or name it: receiver check FILE."
            ]
        ) from error
    return read(path, raw, environ)


def read(path: str, raw: bytes, environ: Mapping[str, str]) -> Rules:
    """Read the rules of a file with this content. With `variables.UNFILLED` nothing is filled in.

    Raises the same errors; nothing but the content is read.
    """
    try:
        document = strict_yaml.read(raw)
    except strict_yaml.YamlError as error:
        raise ConfigurationError([f"{path}:{error.line}: {error.message}"]) from None
    text = raw.decode(errors="replace")
    return _Reading(path, text, document, environ).rules()


class _Reading:
    """One reading of a file: collects problems, so that all are reported at once."""

    def __init__(
        self, path: str, text: str, document: strict_yaml.Document, environ: Mapping[str, str]
    ) -> None:
        self._path = path
        self._text = text
        self._document = document
        self._problems: list[tuple[int, str]] = []
        self._warnings: list[str] = []
        # Absent variables that a warning names already.
        self._told: set[str] = set()
        self._variables = Variables(environ, text, self.problem)

    def rules(self) -> Rules:
        """Return the rules, or raise ConfigurationError with every problem."""
        content = self._filled(self._document.content, ())
        if not isinstance(content, dict):
            self.problem(
                (), "must hold sources, destinations and routes: see `receiver help routes`"
            )
            self._stop()
        try:
            model = FileModel.model_validate(content)
        except ValidationError as error:
            for each in error.errors():
                place = tuple(step for step in each["loc"] if step != "[key]")
                self.problem(place, describe_error(dict(each), place, FileModel))
        self._stop()
        sources = {name: self._source(name, m) for name, m in model.sources.items()}
        destinations = {name: self._destination(name, m) for name, m in model.destinations.items()}
        self._check_fallbacks(destinations)
        alone = frozenset(name for name, each in destinations.items() if each.opens_incidents)
        routes = tuple(
            replace(self._route(n, m, model), alone=alone) for n, m in enumerate(model.routes)
        )
        self._check_route_names(model)
        self._stop()
        self._warn(routes, destinations, {source.format for source in sources.values()})
        self._warn_of_shared_keys(sources)
        written = tuple(dict.fromkeys(map(self._place, written_out(self._document.content))))
        text, warnings = "" if written else without_comments(self._text), tuple(self._warnings)
        return Rules(self._path, sources, destinations, routes, warnings, text, written)

    def _place(self, place: Place) -> str:
        """Write a place of the file as people look for it."""
        return (
            f"line {self.line(place)}, {'.'.join(name for name in place if isinstance(name, str))}"
        )

    def line(self, place: Place) -> int:
        """Return the line of a place in the file."""
        return self._document.line(place)

    def problem(self, place: Place, text: str) -> None:
        """Collect a problem, without the values that came from the environment."""
        self._problems.append((self.line(place), self._variables.redact(text)))

    def _stop(self) -> None:
        """Raise ConfigurationError if there are problems so far."""
        if self._problems:
            lines = sorted(set(self._problems))
            raise ConfigurationError([f"{self._path}:{line}: {text}" for line, text in lines])

    def warning(self, line: int, text: str) -> None:
        """Collect a warning."""
        self._warnings.append(f"{self._path}:{line}: warning: {text}")

    def _filled(self, value: Any, place: Place) -> Any:
        """Return the content with the variables in its values filled in; keys stay as they are."""
        if isinstance(value, dict):
            for name in value:
                if "${" in name:
                    self.problem((*place, name), "variables are filled in in values, not in keys")
            return {name: self._filled(inner, (*place, name)) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._filled(inner, (*place, n)) for n, inner in enumerate(value)]
        if not isinstance(value, str):
            return value
        filled = self._variables.fill(value, place)
        is_plain = isinstance(value, strict_yaml.Plain) and filled
        return strict_yaml.Plain(filled) if is_plain else filled

    def _check_name(self, name: str, place: Place) -> None:
        if not NAME.fullmatch(name):
            self.problem(place, f"{shown(name)}: a name has 1 to 40 of a-z, 0-9, - and _")

    def _source(self, name: str, model: SourceModel) -> Source:
        self._check_name(name, ("sources", name))
        return SourceBuilder(self, name, model).source()

    def _destination(self, name: str, model: DestinationModel) -> Destination:
        place: Place = ("destinations", name)
        self._check_name(name, place)
        fields = model.model_dump(exclude={"fallback", "quiet"}) | {"url": tidy(model.url)}
        line = self.line(place)
        if "warn_after" in model.model_fields_set:
            for text in late_warnings(model):
                self.warning(line, f"destination {name}: {text}")
        return Destination(
            name=name,
            line=line,
            fallback=tuple(dict.fromkeys(model.fallback)),
            quiet=quiet_hours(model.quiet),
            **fields,
        )

    def _check_fallbacks(self, destinations: Mapping[str, Destination]) -> None:
        """Check that each fall-back exists, and that none leads back to its start."""
        for name, destination in destinations.items():
            place: Place = ("destinations", name, "fallback")
            for other in destination.fallback:
                if other not in destinations:
                    hint = near(other, list(destinations))
                    self.problem(place, f"there is no destination {shown(other)}{hint}")
            seen: set[str] = set()
            edge = set(destination.fallback)
            while edge:
                seen |= edge
                edge = {f for n in edge & destinations.keys() for f in destinations[n].fallback}
                edge -= seen
            if name in seen:
                self.problem(place, f"the fall-back of {name} leads back to it: remove one")

    def _route(self, number: int, model: RouteModel, file: FileModel) -> Route:
        place: Place = ("routes", number)
        return build_route(
            model,
            file,
            self.line(place),
            lambda inner, text: self.problem((*place, *inner), text),
        )

    def _check_route_names(self, model: FileModel) -> None:
        seen: set[str] = set()
        for number, route in enumerate(model.routes):
            if route.name in seen:
                self.problem(
                    ("routes", number), f"there is a route {shown(route.name)} above already"
                )
            seen.add(route.name)

    def absence(self, place: Place, *parts: Place) -> str:
        """Return the end of a warning: the variables at a place, or its parts, that are not set."""
        names = dict.fromkeys(
            name
            for where, names in self._variables.absent.items()
            if where[: len(place)] == place and (not parts or where[len(place) :] in parts)
            for name in names
        )
        self._told.update(names)
        return f": {' and '.join(map(self._variables.absence, names))}" if names else ""

    def _warn_of_shared_keys(self, sources: Mapping[str, Source]) -> None:
        """Warn of sources that ask the same provider about the same executions."""
        asking = [source for source in sources.values() if source.reconcile is not None]
        for number, source in enumerate(asking):
            for other in asking[:number]:
                is_same = source.api is not None and other.api is not None and (
                    source.api.base_url, source.api.key
                ) == (other.api.base_url, other.api.key)  # fmt: skip
                is_apart = source.agents and other.agents and not source.agents & other.agents
                if is_same and not is_apart:
                    self.warning(
                        source.line,
                        f"source {source.name} asks with the key of {other.name}: executions that"
                        f" no webhook told of go to {other.name} alone, and those of which both get"
                        " webhooks are told by each. Give them different `agents`, or let one ask",
                    )

    def _warn(
        self,
        routes: tuple[Route, ...],
        destinations: Mapping[str, Destination],
        formats: Iterable[str],
    ) -> None:
        used = {name for route in routes for name in route.notify}
        used |= {n for route in routes for later in route.escalate for n in later.notify}
        used |= {name for destination in destinations.values() for name in destination.fallback}
        for name, destination in destinations.items():
            absence = self.absence(("destinations", name), (), ("url",))
            if absence and destination.prints_only:
                self.warning(destination.line, f"{name} prints only{absence}")
            if name not in used:
                self.warning(destination.line, f"no route names the destination {name}")
        if len(destinations) == 1:
            (only,) = destinations.values()
            self.warning(
                only.line,
                f"nobody can be told when {only.name} fails: add another destination, and a route"
                " with `dead_letter: true` that names it",
            )
        for route in routes:
            for text in surprises(route, formats):
                self.warning(route.line, f"route {route.name!r}: {text}")
        if not any(route.is_about_verdicts for route in routes):
            self.warning(1, "nobody is told of rejected events: add a route with `verdict`")
        for place, name in self._variables.examples.items():
            what = f"the value of {name}" if name else str(place[-1])
            self.warning(
                self.line(place), f"{what} is an example of the documentation: set it to your own"
            )
        for place, name, text in self._variables.slips():
            if name not in self._told:
                self.warning(self.line(place), text)
