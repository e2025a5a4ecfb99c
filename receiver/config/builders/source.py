"""Source builder: makes a source from its part of routes.yaml, with the mistakes and warnings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from receiver.config.problems import Place
from receiver.config.schema import SourceModel, Verify
from receiver.config.variables import tidy
from receiver.lifecycle import Ordering
from receiver.sources import access, keys
from receiver.sources.access import Act, ApiAccess, Reconciliation
from receiver.sources.formats.registry import APIS
from receiver.sources.source import Source
from receiver.sources.verification import Verification, check
from receiver.times import SECOND

LABEL = re.compile(r"[A-Za-z0-9._-]{1,40}")


class FileNotes(Protocol):
    """The mistakes and warnings about a file, by place."""

    def line(self, place: Place) -> int:
        """Return the line of a place in the file."""

    def problem(self, place: Place, text: str) -> None:
        """Collect a mistake."""

    def warning(self, line: int, text: str) -> None:
        """Collect a warning."""

    def absence(self, place: Place, *parts: Place) -> str:
        """Return the end of a warning: the variables at a place that are not set."""


class SourceBuilder:
    """The building of one source; what is wrong goes to the notes."""

    def __init__(self, notes: FileNotes, name: str, model: SourceModel) -> None:
        self._notes = notes
        self._name = name
        self._model = model
        self._place: Place = ("sources", name)

    def source(self) -> Source:
        """Return the source."""
        model = self._model
        agents = frozenset(filter(None, map(tidy, model.agents)))
        verification = self._verification(model.verify)
        self._warn_of_proof(verification, agents)
        api = self._api()
        return Source(
            name=self._name,
            format=model.format,
            verification=verification,
            agents=agents,
            ordering=Ordering(model.observes, model.gaps, int(model.gap_timeout * SECOND)),
            rejected_status=model.rejected_status,
            rate=model.rate,
            quiet_after=model.quiet_after,
            api=api,
            reconcile=self._reconcile() if api else None,
            acts=frozenset(map(Act, model.act)) if api else frozenset(),
            spool=model.spool,
            line=self._line(),
        )

    def _line(self, *inner: str) -> int:
        return self._notes.line((*self._place, *inner))

    def _problem(self, *inner: str | int, text: str) -> None:
        self._notes.problem((*self._place, *inner), text)

    def _absence(self, *inner: str) -> str:
        return self._notes.absence((*self._place, *inner))

    def _verification(self, verify: Verify) -> Verification:
        secret = verify.secret_header
        proof = tidy(secret.value) if secret else ""
        labelled = list(self._keys(verify))
        verification = Verification(
            **verify.model_dump(exclude={"keys", "secret_header"}),
            keys=tuple(key for key, _ in labelled),
            labels=tuple(label for _, label in labelled),
            secret_header=(secret.name, proof) if secret and proof else None,
        )
        for problem in check(verification):
            self._problem("verify", text=problem)
        return verification

    def _warn_of_proof(self, verification: Verification, agents: frozenset[str]) -> None:
        name, line = self._name, self._line()
        if not verification.keys:
            self._notes.warning(
                line,
                f"source {name} has no key: it answers 401 to everything"
                f"{self._absence('verify', 'keys')}",
            )
        elif verification.scheme == "rsa-sha256" and not verification.secret_header and not agents:
            self._notes.warning(
                line,
                f"source {name}: one key for all customers proves that the provider sent it, not"
                " that it was for you: set a secret_header or agents"
                f"{self._absence('verify', 'secret_header')}",
            )
        if self._model.agents and not agents:
            self._notes.warning(
                line, f"source {name} takes the events of every agent{self._absence('agents')}"
            )

    def _keys(self, verify: Verify) -> Iterator[tuple[keys.Key, str]]:
        labels = set[str]()
        for number, given in enumerate(verify.keys):
            text = tidy(given.key)
            if not text:
                continue
            label = given.label or str(number + 1)
            at = ("verify", "keys", number)
            if not LABEL.fullmatch(label) or label in labels:
                self._problem(*at, text="a label has 1 to 40 of A-Z a-z 0-9 . _ -, once")
            labels.add(label)
            try:
                yield keys.parse_key(verify.scheme, text), label
                weak = keys.weak(verify.scheme, text)
            except ValueError as error:
                self._problem(*at, text=f"the key {error}")
                continue
            if weak:
                self._notes.warning(self._notes.line((*self._place, *at)), weak)

    def _api(self) -> ApiAccess | None:
        """Return the way to the provider's API; None without one, or without its key."""
        model = self._model
        if model.api is None:
            for key in ("reconcile", "act"):
                if getattr(model, key):
                    self._problem(key, text="needs `api`, with the key of the provider's API")
            return None
        known = APIS.get(model.format)
        if known is None:
            self._problem("api", text=f"no API is known for the format {model.format}")
            return None
        given = model.api
        way = ApiAccess(
            base_url=tidy(given.base_url) or known.BASE_URL,
            key=tidy(given.key),
            header=tidy(given.header) or known.HEADER,
            timeout=given.timeout,
            rate=given.rate,
        )
        for problem in access.problems(way):
            self._problem("api", text=problem)
        self._warn_of_api(way)
        return way if way.key else None

    def _warn_of_api(self, way: ApiAccess) -> None:
        name, line = self._name, self._line("api")
        if not way.key:
            absence = self._absence("api", "key")
            self._notes.warning(line, f"source {name}: its provider is not asked, for want of a"
                                f" key{absence}")  # fmt: skip
        elif access.in_the_clear(way):
            self._notes.warning(line, f"source {name}: the key of its API goes over plain HTTP")
        if way.key and self._model.reconcile is None and not self._model.act:
            self._notes.warning(
                line,
                f"source {name} has an API and no use for it: add `reconcile: {{}}`, so that"
                " missing webhooks are found",
            )

    def _reconcile(self) -> Reconciliation | None:
        if (given := self._model.reconcile) is None:
            return None
        times = (given.every, given.quiet_for, given.discover)
        every, quiet_for, discover = (int(seconds * SECOND) for seconds in times)
        reconciliation = Reconciliation(every, quiet_for, discover)
        for problem in access.timing_problems(reconciliation):
            self._problem("reconcile", text=problem)
        return reconciliation
