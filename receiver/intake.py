"""One webhook in: judged against the stored execution, recorded, and what it owes, owed.

All of it in the transaction that stores it. `receive` takes what has gathered, in its order of
arrival, and answers each as if it had come alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from receiver.deliveries import Kind, Owed
from receiver.events import SECOND, Category, Event, Execution, Judgement, Status, Verdict
from receiver.lifecycle import Known, judge, moves_mark
from receiver.routing import Route, Subject, decide
from receiver.store import Entry, Loaded, Transaction

DAY = 24 * 3600 * SECOND


@dataclass(frozen=True, slots=True)
class Arrival:
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
    """What became of a webhook, and which destinations have something to send now."""

    judgement: Judgement
    event: Event | None
    execution_status: Status | None
    destinations: tuple[str, ...]


class Intake:
    """The act that judges webhooks by the routes in force."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = tuple(routes)

    def receive(self, transaction: Transaction, arrivals: Sequence[Arrival]) -> Sequence[Receipt]:
        """Judge and store webhooks in their order; one receipt each."""
        loaded = transaction.load([a.event for a in arrivals if a.event is not None])
        entries = [self._enter(arrival, loaded) for arrival in arrivals]
        transaction.save(entries)
        return [_receipt(entry) for entry in entries]

    def _enter(self, arrival: Arrival, loaded: Loaded) -> Entry:
        event = arrival.event
        if event is None:
            judgement = Judgement(Verdict.QUARANTINED, arrival.unreadable)
            entry = Entry(
                arrival.source, None, judgement, arrival.received_at, arrival.body, arrival.accepted
            )
            return replace(entry, owed=self._owed(entry, None))
        entry = enter(arrival, event, loaded)
        _remember(entry, event, loaded)
        return replace(entry, owed=self._owed(entry, entry.after or entry.before))

    def _owed(self, entry: Entry, execution: Execution | None) -> tuple[Owed, ...]:
        told = subject(entry, execution)
        return tuple(
            _owe(entry, decision.route.name, destination)
            for decision in decide(self._routes, told)
            for destination in decision.destinations
        )


def enter(arrival: Arrival, event: Event, loaded: Loaded) -> Entry:
    """The judged event and what it does to its execution; changes nothing."""
    before = loaded.executions.get((event.source, event.execution_id or ""))
    judgement = judge(event, before, known(event, loaded), arrival.received_at)
    entry = Entry(
        arrival.source, event, judgement, arrival.received_at, arrival.body, before=before
    )
    if judgement.verdict is Verdict.APPLIED:
        return replace(entry, after=advance(before, event, arrival.received_at))
    if before is not None and moves_mark(judgement, before.status):
        assert event.occurred_at is not None
        return replace(entry, moved=replace(before, mark=event.occurred_at))
    return entry


def known(event: Event, loaded: Loaded) -> Known | None:
    """What the store has of the event already."""
    if (event.source, event.event_id) in loaded.event_ids:
        return Known.EVENT_ID
    if event.execution_id is None or event.status is None or event.occurred_at is None:
        return None
    change = (event.source, event.execution_id, event.status, event.occurred_at)
    return Known.SAME_CHANGE if change in loaded.changes else None


def advance(before: Execution | None, event: Event, received_at: int) -> Execution:
    """The execution after an applied event. What the event does not say stays as it was."""
    assert event.execution_id is not None
    assert event.status is not None
    assert event.occurred_at is not None
    return Execution(
        source=event.source,
        execution_id=event.execution_id,
        status=event.status,
        since=event.occurred_at,
        mark=event.occurred_at,
        version=before.version + 1 if before else 1,
        first_seen=before.first_seen if before else received_at,
        agent_id=event.agent_id or (before.agent_id if before else None),
        agent_name=event.agent_name or (before.agent_name if before else None),
        execution_url=event.execution_url or (before.execution_url if before else None),
        metadata=event.metadata or (before.metadata if before else None),
        gap=before.gap if before else False,
        assumed="assumed" in event.flags,
    )


def subject(entry: Entry, execution: Execution | None) -> Subject:
    """What the routes' conditions look at."""
    event = entry.event
    detail = event.detail if event else {}
    metadata = (event.metadata if event else None) or (execution.metadata if execution else None)
    return Subject(
        source=entry.source,
        verdict=entry.judgement.verdict,
        status=event.status if event else None,
        agent_id=(event.agent_id if event else None) or (execution.agent_id if execution else None),
        agent_name=(event.agent_name if event else None)
        or (execution.agent_name if execution else None),
        event=event.event if event else None,
        outcome=_text(detail.get("outcome")),
        reason=_text(detail.get("reason")),
        metadata=metadata or {},
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _remember(entry: Entry, event: Event, loaded: Loaded) -> None:
    """Let the rest of the batch see this event, as the next batch will see it in the store."""
    if entry.judgement.verdict is Verdict.QUARANTINED:
        return
    loaded.event_ids.add((event.source, event.event_id))
    if event.execution_id is None or event.status is None or event.occurred_at is None:
        return
    loaded.changes.add((event.source, event.execution_id, event.status, event.occurred_at))
    after = entry.after or entry.moved
    if after is not None:
        loaded.executions[event.source, event.execution_id] = after


def _owe(entry: Entry, route: str, destination: str) -> Owed:
    event, verdict = entry.event, entry.judgement.verdict
    if verdict is Verdict.QUARANTINED or event is None:
        # The first of a kind, once a day.
        kind_of = f"{entry.source}/{entry.judgement.reason}"
        key = f"quarantine/{kind_of}/{entry.received_at // DAY}/{destination}"
        return Owed(destination, route, Kind.NOTICE, key, f"quarantine/{kind_of}", None)
    return Owed(
        destination=destination,
        route=route,
        kind=Kind.NOTICE,
        dedup_key=f"notice/{event.source}/{destination}/{event.event_id}",
        order_key=f"{event.source}/{event.execution_id or event.event_id}",
        guard_version=_guard(entry),
    )


def _guard(entry: Entry) -> int | None:
    """A message that asks people to act is only true while the execution still stands there."""
    after = entry.after
    if after is None or after.status.category not in (Category.PAUSED, Category.AWAITING):
        return None
    return after.version


def _receipt(entry: Entry) -> Receipt:
    event = entry.event
    execution = entry.after or entry.before
    return Receipt(
        judgement=entry.judgement,
        event=event,
        execution_status=execution.status if execution else None,
        destinations=tuple(owed.destination for owed in entry.owed),
    )
