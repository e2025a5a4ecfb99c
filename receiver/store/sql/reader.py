"""Reader: the reading side of a store, on any engine with a read connection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from receiver.events import Execution
from receiver.retention import Limits
from receiver.routing.planned import Episode
from receiver.routing.policy import SendPolicy
from receiver.store import names
from receiver.store.names import Orphan
from receiver.store.reading import Learnt, Node, Page, PastEvent
from receiver.store.records import Delays, Happened, Standing, Tally, Waited, Watched
from receiver.store.sql import (
    alarms,
    asking,
    audit,
    ledger,
    plans,
    pruning,
    reads,
    silences,
    survey,
)
from receiver.store.sql.database import Database
from receiver.store.sql.views import deliveries, events, executions, stories

Found = TypeVar("Found")


class SqlReader(ABC):
    """contract.Listing, Reading, Surveying, Asking and Waiting; an engine's store runs queries."""

    @abstractmethod
    def _query(self, query: Callable[[Database], Found]) -> Found:
        """Run the query on committed data. StorageUnavailable if the database cannot be read."""

    def _look(self, query: Callable[[Database], Found]) -> Found:
        """Do the same where it may take long: no worker of the dispatch has to wait for it."""
        return self._query(query)

    def execution(
        self, source: str, execution_id: str, newest: int | None = None
    ) -> dict[str, Any] | None:
        return self._look(lambda db: stories.execution(db, source, execution_id, newest))

    def executions(
        self, conditions: Mapping[str, str], limit: int, after: int | None, most: int | None = None
    ) -> Page:
        return self._look(lambda db: executions.executions(db, conditions, limit, after, most))

    def events(
        self, conditions: Mapping[str, str], limit: int, after: int | None, most: int | None = None
    ) -> Page:
        return self._look(lambda db: events.events(db, conditions, limit, after, most))

    def event(self, seq: int) -> dict[str, Any] | None:
        return self._look(lambda db: stories.event(db, seq))

    def deliveries(
        self,
        conditions: Mapping[str, str],
        limit: int,
        after: int | None = None,
        most: int | None = None,
        planned: tuple[bool, int] | None = None,
    ) -> Page:
        return self._look(
            lambda db: deliveries.deliveries(db, conditions, limit, after, most, planned)
        )

    def audit(self, conditions: Mapping[str, str], limit: int, after: int | None) -> Page:
        return self._look(lambda db: audit.page(db, conditions, limit, after))

    def nodes(self) -> Sequence[Node]:
        return ()

    def names(self) -> dict[str, list[str]]:
        return self._query(reads.names)

    def silences(self, conditions: Mapping[str, str], limit: int, after: int | None) -> Page:
        return self._query(lambda db: silences.page(db, limit, after))

    def silence(self, number: int) -> dict[str, Any] | None:
        return self._query(lambda db: silences.one(db, number))

    def ledger(self) -> dict[str, Any]:
        return self._look(ledger.ledger)

    def tallies(self) -> list[Tally]:
        return self._look(reads.tallies)

    def delays(self) -> list[Delays]:
        return self._look(reads.delays)

    def prunable(self, limits: Limits) -> dict[str, int]:
        return self._look(lambda db: pruning.prunable(db, limits))

    def needing_people(self, limit: int) -> list[dict[str, Any]]:
        return self._look(lambda db: survey.needing_people(db, limit))

    def failed(self, since: int, limit: int) -> list[dict[str, Any]]:
        return self._look(lambda db: survey.failed(db, since, limit))

    def told_of(self, executions: Collection[tuple[str, str]]) -> dict[tuple[str, str], bool]:
        return self._look(lambda db: survey.told_of(db, executions))

    def taking(self, delivery: int) -> dict[str, Any] | None:
        return self._query(lambda db: survey.taking(db, delivery))

    def happened(self, since: int, length: int) -> list[Happened]:
        return self._look(lambda db: survey.happened(db, since, length))

    def waited(self, since: int, length: int) -> list[Waited]:
        return self._look(lambda db: survey.waited(db, since, length))

    def past(self, since: int, after: int, limit: int) -> list[PastEvent]:
        return self._look(lambda db: survey.past(db, since, after, limit))

    def heard_after(self, source: str, execution_id: str, seq: int, limit: int) -> list[int]:
        return self._look(lambda db: survey.heard_after(db, source, execution_id, seq, limit))

    def held(self) -> int:
        return self._look(survey.held)

    def standings(self, now: int) -> dict[str, Standing]:
        return self._query(lambda db: survey.standings(db, now))

    def unheard(self, source: str, before: int, limit: int) -> list[tuple[Execution, int]]:
        return self._look(lambda db: asking.unheard(db, source, before, limit))

    def standing(self, source: str, ids: Sequence[str]) -> dict[str, Execution]:
        return self._look(lambda db: asking.standing(db, source, ids))

    def held_until(self, source: str, until: int) -> list[tuple[str, int]]:
        return self._look(lambda db: asking.held_until(db, source, until))

    def learnt(self, since: int, near: int) -> list[Learnt]:
        return self._look(lambda db: asking.learnt(db, since, near))

    def abandoned(self, now: int) -> list[tuple[str, str]]:
        return self._query(lambda db: audit.abandoned(db, now))

    def next_due(self, destination: str, policy: SendPolicy, now: int) -> int | None:
        return self._query(lambda db: reads.next_due(db, destination, policy, now))

    def waits_for_others(self, destinations: Sequence[str]) -> bool:
        return not self._query(reads.waited_for) <= set(destinations)

    def orphans(
        self, sources: Sequence[str], routes: Sequence[str], destinations: Sequence[str]
    ) -> Sequence[Orphan]:
        return self._query(lambda db: names.orphans(db, sources, routes, destinations))

    def is_unsettled(self, sources: Sequence[str]) -> bool:
        return self._query(lambda db: names.is_unsettled(db, sources))

    def next_given_up(self) -> int | None:
        return self._query(reads.next_given_up)

    def next_silence_end(self) -> int | None:
        return self._query(silences.next_end)

    def watched(self, now: int, since: int) -> Watched:
        return self._query(lambda db: alarms.watched(db, now, since))

    def waiting_for(self, destination: str, now: int) -> int:
        return self._query(lambda db: alarms.waiting_for(db, destination, now))

    def open_episodes(
        self,
        which: str,
        sources: Sequence[str],
        statuses: Sequence[str],
        after: int,
        limit: int,
        now: int,
    ) -> tuple[Sequence[Episode], int | None]:
        return self._look(
            lambda db: plans.open_episodes(db, which, sources, statuses, after, limit, now)
        )
