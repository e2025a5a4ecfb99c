"""Intake: judges webhooks against the stored executions, and records them with their deliveries.

All of it happens in one transaction. `receive` takes the gathered webhooks in their order of
arrival, and answers each as if it had come alone. A webhook that moves its execution may settle
held events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

from receiver.config.rules import Rules
from receiver.errors import UnreadableWebhook, UntrustedWebhook
from receiver.events import Event, Held, Judgement, Status, Verdict
from receiver.intake.held import bounded, expire, hold, rejudge_held, remember
from receiver.intake.plan import Planner
from receiver.lifecycle import Known, Ordering, advance, judge, moves_mark
from receiver.routing.routes import Route
from receiver.sources.formats import registry
from receiver.sources.source import Source
from receiver.store.contract import Transaction
from receiver.store.records import ExecutionKey, JudgedWebhook, Loaded, change_of
from receiver.store.spooling import SpooledWebhook

# The reason (of `lifecycle.RULES`) why a webhook could not be read. Empty: it was read.
Unreadable = Literal["", "malformed", "no_envelope"]
_DEFAULT_ORDERING = Ordering()


@dataclass(frozen=True, slots=True)
class VerifiedWebhook:
    """An authentic webhook. `event` is None if it could not be read; `unreadable` says why.

    `received_at` is nanoseconds. `accepted`: the answer will be a 2xx. `problem` says in a sentence
    of ours what cannot be read. `judged_at` is later than its receipt (None: it is not) if it
    waited in a spool: what is held or owed because of it waits from then on.
    """

    source: str
    event: Event | None
    body: bytes
    received_at: int
    unreadable: Unreadable = ""
    accepted: bool = True
    problem: str = ""
    judged_at: int | None = None

    @property
    def at(self) -> int:
        """The time at which it is judged (nanoseconds)."""
        return self.received_at if self.judged_at is None else self.judged_at


def read_webhook(
    source: Source, body: bytes, message_id: str | None, received_at: int
) -> VerifiedWebhook:
    """Read the body of an authentic webhook. Raises UnreadableWebhook or UntrustedWebhook."""
    event = registry.read(source.format, source.name, body, message_id)
    if source.agents and (event is None or event.agent_id not in source.agents):
        raise UntrustedWebhook("agent")
    unreadable: Unreadable = "" if event is not None else "no_envelope"
    return VerifiedWebhook(source.name, event, body, received_at, unreadable)


def malformed_webhook(
    source: Source, body: bytes, received_at: int, problem: str
) -> VerifiedWebhook:
    """Return the body of an authentic webhook that cannot be read, because of the problem."""
    return VerifiedWebhook(
        source.name, None, body, received_at, "malformed", accepted=False, problem=problem
    )


def reread(webhook: SpooledWebhook, now: int) -> VerifiedWebhook:
    """Read a webhook again that waited in a spool, to be judged now (nanoseconds)."""
    event, problem = None, webhook.problem
    if not problem:
        try:
            event = registry.read(webhook.format, webhook.source, webhook.body, webhook.message_id)
        except (UnreadableWebhook, KeyError) as error:
            problem = f"it could be read before it was spooled, and cannot be now: {error}"
    unreadable: Unreadable = "malformed" if problem else "" if event is not None else "no_envelope"
    return VerifiedWebhook(
        webhook.source, event, webhook.body, webhook.received_at, unreadable,
        accepted=not webhook.problem, problem=problem, judged_at=now,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Receipt:
    """The result of a webhook, with the destinations that have new deliveries.

    `execution_status` is the final one; `settled` are the held events that got another verdict.
    """

    judgement: Judgement
    event: Event | None
    execution_status: Status | None
    destinations: tuple[str, ...]
    settled: tuple[JudgedWebhook, ...] = ()


@dataclass(frozen=True, slots=True)
class Lesson:
    """The events that asking the provider about an execution brought, in their order.

    They hold if the execution still has that version (0: nobody has told us of it).
    """

    source: str
    execution_id: str
    version: int
    webhooks: tuple[VerifiedWebhook, ...]


class Intake:
    """Acts that judge webhooks by the routes in force and the orderings of their sources."""

    def __init__(self, routes: Sequence[Route], orderings: Mapping[str, Ordering] = {}) -> None:
        self._plan = Planner(routes)
        self._resolved = tuple(route.name for route in routes if route.resolved)
        self._orderings = dict(orderings)

    @classmethod
    def by(cls, rules: Rules) -> Intake:
        """Build an intake that judges by these rules."""
        return cls(rules.routes, rules.orderings)

    def receive(
        self, transaction: Transaction, webhooks: Sequence[VerifiedWebhook]
    ) -> Sequence[Receipt]:
        """Judge and store webhooks in their order; return one receipt for each."""
        return [_receipt(entries) for entries in self.judge_and_save(transaction, webhooks)]

    def judge_and_save(
        self, transaction: Transaction, webhooks: Sequence[VerifiedWebhook]
    ) -> list[list[JudgedWebhook]]:
        """Do the same; return the entry of each, then those of held events that it settles."""
        loaded = transaction.load([w.event for w in webhooks if w.event is not None])
        judged = self.judge_all(webhooks, loaded)
        transaction.save([entry for entries in judged for entry in entries])
        return judged

    def learn(
        self, transaction: Transaction, lessons: Sequence[Lesson]
    ) -> Sequence[list[JudgedWebhook]]:
        """Judge and store lessons; one that is out of date teaches nothing."""
        return [self._learn(transaction, lesson) for lesson in lessons]

    def expire(
        self, transaction: Transaction, times: Sequence[int]
    ) -> Sequence[list[JudgedWebhook]]:
        """End the wait of held events due at each of these times (nanoseconds).

        Returns the entries of the settled events for each time.
        """
        return [self._expire_due(transaction, transaction.expired_held(now), now) for now in times]

    def judge_all(
        self, webhooks: Iterable[VerifiedWebhook], loaded: Loaded
    ) -> list[list[JudgedWebhook]]:
        """Judge webhooks; return for each its entry, then those of held events that it settles.

        It needs no store. It changes `loaded`, so that later webhooks see the effects of earlier
        ones.
        """
        return [self._judge(webhook, loaded) for webhook in webhooks]

    def _judge(self, webhook: VerifiedWebhook, loaded: Loaded) -> list[JudgedWebhook]:
        event, now = webhook.event, webhook.at
        if event is None:
            judgement = Judgement(Verdict.QUARANTINED, webhook.unreadable)
            entry = JudgedWebhook(
                webhook.source, None, judgement, now, webhook.body, webhook.accepted,
                problem=webhook.problem, received_at=webhook.received_at,
            )  # fmt: skip
            return [self._with_deliveries(entry)]
        ordering, key = self._ordering(event), _execution_key(event)
        entry = judge_event(webhook, event, loaded, ordering)
        _show_to_batch(entry, event, loaded, ordering)
        entries = [self._with_deliveries(entry)]
        if (entry.after or entry.moved) is not None and loaded.held.get(key):
            entries += map(self._with_deliveries, rejudge_held(loaded, key, now, ordering))
        return entries

    def _expire_due(
        self, transaction: Transaction, due: Sequence[Held], now: int
    ) -> list[JudgedWebhook]:
        loaded = transaction.load([held.event for held in due])
        entries: list[JudgedWebhook] = []
        for held in due:
            settled = expire(held, loaded, now, self._ordering(held.event))
            entries += map(self._with_deliveries, settled)
        transaction.save(entries)
        return entries

    def _learn(self, transaction: Transaction, lesson: Lesson) -> list[JudgedWebhook]:
        loaded = transaction.load([w.event for w in lesson.webhooks if w.event is not None])
        stored = loaded.executions.get((lesson.source, lesson.execution_id))
        if (stored.version if stored else 0) != lesson.version:
            return []
        entries = list(chain.from_iterable(self.judge_all(lesson.webhooks, loaded)))
        transaction.save(entries)
        return entries

    def _ordering(self, event: Event) -> Ordering:
        return self._orderings.get(event.source, _DEFAULT_ORDERING)

    def _with_deliveries(self, entry: JudgedWebhook) -> JudgedWebhook:
        """Add the deliveries that the verdict causes."""
        planned = self._plan(entry)
        ended = entry.before is not None and entry.after is not None and not _is_same_pause(entry)
        resolved = self._resolved if ended else ()
        return replace(entry, owed=planned, resolved=resolved) if planned or resolved else entry


def judge_event(
    webhook: VerifiedWebhook, event: Event, loaded: Loaded, ordering: Ordering
) -> JudgedWebhook:
    """Judge an event; return its entry with the new state of its execution. Changes nothing."""
    key, now = _execution_key(event), webhook.received_at
    before = loaded.executions.get(key)
    judgement = judge(event, before, known(event, loaded), now, ordering.observes)
    judgement = bounded(judgement, loaded, key)
    after = moved = until = None
    if judgement.verdict is Verdict.APPLIED:
        after = advance(before, event, now)
        after = replace(after, gap=after.gap or judgement.reason == "gap")
    elif judgement.verdict is Verdict.HELD:
        until = webhook.at + ordering.gap_timeout
    elif before is not None and moves_mark(judgement, before.status):
        assert event.occurred_at is not None
        moved = replace(before, mark=event.occurred_at)
    return JudgedWebhook(
        webhook.source, event, judgement, webhook.at, webhook.body,
        before=before, after=after, moved=moved, until=until, received_at=now,
    )  # fmt: skip


def _is_same_pause(entry: JudgedWebhook) -> bool:
    """Return whether a pause goes on, and the provider has said whose it is."""
    before, after = entry.before, entry.after
    if before is None or after is None or not (before.assumed and after.polled):
        return False
    return before.status is Status.PAUSED and after.status is Status.PAUSED_BY_AGENT


def _execution_key(event: Event) -> ExecutionKey:
    return event.source, event.execution_id or ""


def known(event: Event, loaded: Loaded) -> Known | None:
    """Return the part of the event that the store already has; None if it has none."""
    if (event.source, event.event_id) in loaded.event_ids:
        return Known.EVENT_ID
    return Known.SAME_CHANGE if change_of(event) in loaded.changes else None


def _show_to_batch(entry: JudgedWebhook, event: Event, loaded: Loaded, ordering: Ordering) -> None:
    """Add an event to `loaded` for the rest of the batch, as the next batch will load it."""
    if entry.judgement.verdict is Verdict.QUARANTINED:
        return
    loaded.event_ids.add((event.source, event.event_id))
    change = change_of(event)
    if change is None or entry.judgement.reason == Known.EVENT_ID:
        return  # the first body of an id wins, so another one announces no change
    loaded.changes.add(change)
    key = _execution_key(event)
    if (after := entry.after or entry.moved) is not None:
        loaded.executions[key] = after
    elif entry.judgement.reason == "gap":
        held = hold(event, entry.judgement, entry.judged_at, ordering)
        remember(held, loaded, key)


def _receipt(entries: Sequence[JudgedWebhook]) -> Receipt:
    entry, settled = entries[0], tuple(entries[1:])
    execution = entry.after or entry.before
    for each in settled:
        execution = each.after or execution
    destinations = tuple(
        delivery.destination
        for each in entries
        for delivery in each.owed
        if not delivery.due_in + delivery.gathers
    )
    status = execution.status if execution else None
    return Receipt(entry.judgement, entry.event, status, destinations, settled)
