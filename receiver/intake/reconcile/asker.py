"""Asker: asks a source's provider about one execution, and stores what that teaches.

What is learnt goes the way of a webhook: it is judged, recorded and owed in one transaction. If a
webhook moved the execution while the provider was asked, the answer may be older: it is left out,
and the next round asks again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.errors import MalformedEnvelope
from receiver.events import Event, Execution, Status, Verdict
from receiver.intake.receive import Intake, Lesson, VerifiedWebhook
from receiver.intake.reconcile.learning import learnt, needs_changes
from receiver.intake.reconcile.pacing import Clock
from receiver.intake.reconcile.provider import Outcome, Provider, Reply
from receiver.metrics import Counters
from receiver.sources.answers import ActiveExecutions, Answer, StatusChange
from receiver.sources.formats.registry import APIS
from receiver.sources.source import Source
from receiver.store.contract import Store
from receiver.store.records import JudgedWebhook
from receiver.times import SECOND

log = logging.getLogger("receiver.reconcile")


@dataclass(frozen=True, slots=True)
class Asked:
    """The result of asking about an execution.

    `answer` is what the provider says (None: nothing), `before` what was stored. `events` are those
    that were judged because of it, in their order. `retry_after`: the pause that it asks for
    (seconds). `detail` says in our words what failed.
    """

    outcome: Outcome
    answer: Answer | None = None
    before: Execution | None = None
    events: tuple[JudgedWebhook, ...] = ()
    retry_after: float | None = None
    detail: str = ""


class Asker:
    """The questions to one source's provider. For one thread at a time."""

    def __init__(
        self,
        store: Store,
        live_rules: LiveRules[Intake],
        source: Source,
        provider: Provider,
        counters: Counters,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or Clock()
        self._store = store
        self._live_rules = live_rules
        self._source = source
        self._api = APIS[source.format]
        self._provider = provider
        self._counters = counters

    @property
    def rules(self) -> Rules:
        """The rules in force."""
        return self._live_rules.rules

    def ask(
        self,
        execution_id: str,
        may_go_on: Callable[[], bool] = lambda: True,
        *,
        insists: bool = True,
    ) -> Asked:
        """Ask about an execution and store what that teaches.

        Before a second request `may_go_on` waits for its turn; False ends the question. If it
        `insists`, a list of changes that cannot be read is a failure; else it does without.
        """
        source = self._source.name
        if execution_id in (".", ".."):
            return Asked(Outcome.NOT_FOUND, detail="its id is no address")
        reply = self._get(self._api.execution_path(execution_id))
        if reply.outcome is not Outcome.ANSWERED:
            return Asked(reply.outcome, retry_after=reply.retry_after, detail=reply.detail)
        try:
            answer = self._api.read_execution(reply.content)
        except MalformedEnvelope as error:
            return Asked(Outcome.UNREADABLE, detail=f"its answer cannot be read: {error}")
        if answer.execution_id != execution_id:
            return Asked(Outcome.UNREADABLE, detail="its answer is about another execution")
        if self._source.agents and answer.agent_id not in self._source.agents:
            return Asked(Outcome.ANSWERED, answer, detail="its agent is not one of the source")
        before = self._store.standing(source, [execution_id]).get(execution_id)
        changes: Sequence[StatusChange] = ()
        if needs_changes(answer, before):
            if not may_go_on():
                return Asked(Outcome.FAILED, answer, before, detail="it was broken off")
            changes, failed = self._changes(execution_id, insists=insists)
            if failed is not None:
                return failed
        events = learnt(source, self._api, answer, changes, before, reply.at)
        if not events:
            self._note_disagreement(answer, before)
            return Asked(Outcome.ANSWERED, answer, before)
        return Asked(Outcome.ANSWERED, answer, before, self._store_lesson(before, events))

    def knows(self, execution_id: str) -> bool:
        """Return whether the provider knows an execution."""
        return self._get(self._api.execution_path(execution_id)).outcome is Outcome.ANSWERED

    def active(self, page: int | None = None) -> tuple[ActiveExecutions | None, Reply]:
        """Return a page of the executions that have not ended; None if there is no answer.

        The list may have become shorter: a later page that the provider refuses is an empty one.
        """
        reply = self._get(self._api.active_path(page))
        if page is not None and reply.outcome in (Outcome.REFUSED, Outcome.NOT_FOUND):
            return ActiveExecutions((), page, page), reply
        if reply.outcome is not Outcome.ANSWERED:
            return None, reply
        try:
            return self._api.read_active(reply.content), reply
        except MalformedEnvelope as error:
            return None, Reply(Outcome.UNREADABLE, reply.at, detail=f"it cannot be read: {error}")

    def post(self, path: str) -> Reply:
        """Act; the reply is `uncertain` if the act may have happened."""
        reply = self._provider.post(path)
        self._counters.asked(self._source.name, reply.outcome)
        return reply

    def unknown(self, answers: Iterable[Answer]) -> list[str]:
        """Return the executions among these that nobody has told us of.

        Of sources that ask with one key, the first that may have an execution gets it, unless
        another one was told of it.
        """
        ids = [
            answer.execution_id
            for answer in answers
            if answer.status is not None and self._is_ours(answer)
        ]
        unknown = list(dict.fromkeys(ids))
        for source in (self._source, *self._with_same_key()):
            stored = self._store.standing(source.name, unknown)
            unknown = [execution_id for execution_id in unknown if execution_id not in stored]
        return unknown

    def _is_ours(self, answer: Answer) -> bool:
        """Return whether this is the first source that may have an execution."""
        if not _may_have(self._source, answer):
            return False
        names = list(self._live_rules.rules.sources)
        own = names.index(self._source.name) if self._source.name in names else 0
        return not any(
            _may_have(source, answer)
            for source in self._with_same_key()
            if names.index(source.name) < own
        )

    def _with_same_key(self) -> list[Source]:
        """Return the other sources that ask the same provider with the same key."""
        mine = self._source.api
        return [
            source
            for source in self._live_rules.rules.sources.values()
            if source.name != self._source.name
            and source.reconcile is not None
            and source.api is not None
            and mine is not None
            and (source.api.base_url, source.api.key) == (mine.base_url, mine.key)
        ]

    def _get(self, path: str) -> Reply:
        reply = self._provider.get(path)
        self._counters.asked(self._source.name, reply.outcome)
        return reply

    def _changes(
        self, execution_id: str, *, insists: bool
    ) -> tuple[Sequence[StatusChange], Asked | None]:
        """Return the changes of an execution; without an answer, why the question has failed.

        An answer that lists none is no failure: the present status is known.
        """
        reply = self._get(self._api.changes_path(execution_id))
        if reply.outcome in (Outcome.KEY_REFUSED, Outcome.BUSY, Outcome.FAILED):
            return (), Asked(reply.outcome, retry_after=reply.retry_after, detail=reply.detail)
        unreadable = Asked(Outcome.UNREADABLE, detail=reply.detail or "it cannot be read")
        if reply.outcome is Outcome.UNREADABLE and insists:
            return (), unreadable
        if reply.outcome is not Outcome.ANSWERED:
            return (), None
        try:
            return self._api.read_changes(reply.content), None
        except MalformedEnvelope:
            return (), unreadable if insists else None

    def _store_lesson(
        self, before: Execution | None, events: Sequence[Event]
    ) -> tuple[JudgedWebhook, ...]:
        now = self._clock.time_ns()
        webhooks = tuple(
            VerifiedWebhook(event.source, event, _kept_of(event), now) for event in events
        )
        execution_id = events[-1].execution_id or ""
        version = before.version if before else 0
        lesson = Lesson(self._source.name, execution_id, version, webhooks)
        entries = self._store.write_now(self._live_rules.derived.learn, lesson)
        for entry in entries:
            self._report(entry)
        return tuple(entries)

    def _report(self, entry: JudgedWebhook) -> None:
        event = entry.event
        assert event is not None
        if entry.judgement.verdict is Verdict.APPLIED and not entry.again:
            lag = (entry.judged_at - (event.occurred_at or entry.judged_at)) / SECOND
            self._counters.learnt(entry.source, max(lag, 0.0))
        log.info(
            "execution.learnt source=%s execution_id=%r status=%s verdict=%s reason=%s owed=%d",
            entry.source,
            event.execution_id,
            event.status,
            entry.judgement.verdict,
            entry.judgement.reason,
            len(entry.owed),
        )

    def _note_disagreement(self, answer: Answer, before: Execution | None) -> None:
        """Count and log that the provider says what cannot be true by what is stored."""
        if answer.status is None or before is None or answer.status is before.status:
            return
        pauses = (Status.PAUSED, Status.PAUSED_BY_AGENT)
        if answer.status in pauses and before.status in pauses:
            return
        self._counters.disagreed(before.source)
        log.warning(
            "execution.disagreement source=%s execution_id=%r provider=%s stored=%s",
            before.source,
            before.execution_id,
            answer.status,
            before.status,
        )


def _may_have(source: Source, answer: Answer) -> bool:
    return not source.agents or answer.agent_id in source.agents


def _kept_of(event: Event) -> bytes:
    """Return what is kept of an answer as the raw body of its event."""
    content = {
        "asked": True,
        "execution_id": event.execution_id,
        "status": event.status,
        "occurred_at": event.occurred_at,
        "detail": event.detail,
    }
    return json.dumps(content, ensure_ascii=True).encode()
