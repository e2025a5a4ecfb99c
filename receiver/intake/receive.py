"""One webhook in: judged against the stored execution, recorded, and what it owes, owed.

All of it in the transaction that stores it. `receive` takes what has gathered, in its order of
arrival, and answers each as if it had come alone. What it moves may settle events that are held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from receiver.events import Event, Held, Judgement, Status, Verdict
from receiver.intake.held import bounded, expire, hold, rejudge_held, remember
from receiver.intake.plan import Planner
from receiver.lifecycle import Known, Ordering, advance, judge, moves_mark
from receiver.routing.routes import Route
from receiver.store.contract import Transaction
from receiver.store.records import ExecutionKey, JudgedWebhook, Loaded


@dataclass(frozen=True, slots=True)
class VerifiedWebhook:
    """An authentic webhook. `event` is None if it could not be read; `unreadable` says why.

    `received_at` is nanoseconds. `accepted`: the answer will be a 2xx.
    """

    source: str
    event: Event | None
    body: bytes
    received_at: int
    unreadable: str = ""
    accepted: bool = True


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a webhook, and which destinations have something to send now.

    `execution_status` is after all of it; `settled` are held events that it gave another verdict.
    """

    judgement: Judgement
    event: Event | None
    execution_status: Status | None
    destinations: tuple[str, ...]
    settled: tuple[JudgedWebhook, ...] = ()


class Intake:
    """The act that judges webhooks by the routes in force and the orderings of their sources."""

    def __init__(self, routes: Sequence[Route], orderings: Mapping[str, Ordering] = {}) -> None:
        self._owes = Planner(routes)
        self._resolved = tuple(route.name for route in routes if route.resolved)
        self._orderings = dict(orderings)

    def receive(
        self, transaction: Transaction, arrivals: Sequence[VerifiedWebhook]
    ) -> Sequence[Receipt]:
        """Judge and store webhooks in their order; one receipt each."""
        loaded = transaction.load([a.event for a in arrivals if a.event is not None])
        judged = self.judge_all(arrivals, loaded)
        transaction.save([entry for entries in judged for entry in entries])
        return [_receipt(entries) for entries in judged]

    def expire(
        self, transaction: Transaction, times: Sequence[int]
    ) -> Sequence[list[JudgedWebhook]]:
        """Give up held events whose time is over at each of these times; what that settled."""
        return [self._given_up(transaction, transaction.expired_held(now), now) for now in times]

    def judge_all(
        self, arrivals: Iterable[VerifiedWebhook], loaded: Loaded
    ) -> list[list[JudgedWebhook]]:
        """For each arrival its own entry, then those of the held events that it settles.

        Needs no store; `loaded` is changed so that later arrivals see what earlier ones did.
        """
        return [self._enter(arrival, loaded) for arrival in arrivals]

    def _enter(self, arrival: VerifiedWebhook, loaded: Loaded) -> list[JudgedWebhook]:
        event, now = arrival.event, arrival.received_at
        if event is None:
            judgement = Judgement(Verdict.QUARANTINED, arrival.unreadable)
            entry = JudgedWebhook(
                arrival.source, None, judgement, now, arrival.body, arrival.accepted
            )
            return [self._owing(entry)]
        ordering, key = self._ordering(event), _key(event)
        entry = enter(arrival, event, loaded, ordering)
        _remember(entry, event, loaded, ordering)
        entries = [self._owing(entry)]
        if (entry.after or entry.moved) is not None and loaded.held.get(key):
            entries += map(self._owing, rejudge_held(loaded, key, now, ordering))
        return entries

    def _given_up(
        self, transaction: Transaction, due: Sequence[Held], now: int
    ) -> list[JudgedWebhook]:
        loaded = transaction.load([held.event for held in due])
        entries: list[JudgedWebhook] = []
        for held in due:
            settled = expire(held, loaded, now, self._ordering(held.event))
            entries += map(self._owing, settled)
        transaction.save(entries)
        return entries

    def _ordering(self, event: Event) -> Ordering:
        return self._orderings.get(event.source, _DEFAULT)

    def _owing(self, entry: JudgedWebhook) -> JudgedWebhook:
        """The entry with the deliveries that its verdict owes."""
        owed = self._owes(entry)
        ended = entry.before is not None and entry.after is not None
        resolved = self._resolved if ended else ()
        return replace(entry, owed=owed, resolved=resolved) if owed or resolved else entry


_DEFAULT = Ordering()


def enter(
    arrival: VerifiedWebhook, event: Event, loaded: Loaded, ordering: Ordering
) -> JudgedWebhook:
    """The judged event and what it does to its execution; changes nothing."""
    key, now = _key(event), arrival.received_at
    before = loaded.executions.get(key)
    judgement = judge(event, before, known(event, loaded), now, ordering.observes)
    judgement = bounded(judgement, loaded, key)
    after = moved = until = None
    if judgement.verdict is Verdict.APPLIED:
        after = advance(before, event, now)
    elif judgement.verdict is Verdict.HELD:
        until = now + ordering.gap_timeout
    elif before is not None and moves_mark(judgement, before.status):
        assert event.occurred_at is not None
        moved = replace(before, mark=event.occurred_at)
    return JudgedWebhook(
        arrival.source, event, judgement, now, arrival.body,
        before=before, after=after, moved=moved, until=until,
    )  # fmt: skip


def _key(event: Event) -> ExecutionKey:
    return event.source, event.execution_id or ""


def known(event: Event, loaded: Loaded) -> Known | None:
    """What the store has of the event already."""
    if (event.source, event.event_id) in loaded.event_ids:
        return Known.EVENT_ID
    if event.execution_id is None or event.status is None or event.occurred_at is None:
        return None
    change = (event.source, event.execution_id, event.status, event.occurred_at)
    return Known.SAME_CHANGE if change in loaded.changes else None


def _remember(entry: JudgedWebhook, event: Event, loaded: Loaded, ordering: Ordering) -> None:
    """Let the rest of the batch see this event, as the next batch will see it in the store."""
    if entry.judgement.verdict is Verdict.QUARANTINED:
        return
    loaded.event_ids.add((event.source, event.event_id))
    if event.execution_id is None or event.status is None or event.occurred_at is None:
        return
    if entry.judgement.reason == Known.EVENT_ID:
        return  # of a repeated id the first body wins: what a later one says is nobody's change
    loaded.changes.add((event.source, event.execution_id, event.status, event.occurred_at))
    key = _key(event)
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
    owed = [owed.destination for each in entries for owed in each.owed if not owed.due_in]
    status = execution.status if execution else None
    return Receipt(entry.judgement, entry.event, status, tuple(owed), settled)
