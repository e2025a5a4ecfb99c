"""Views of events. Times are instants (nanoseconds); the callers write them as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from receiver.events import Verdict
from receiver.store.reading import Page
from receiver.store.sql.database import Database, Statement, statement
from receiver.store.sql.reads import sources_of
from receiver.store.sql.rows import events_of, mapping
from receiver.store.sql.views.paging import (
    View,
    cursor_after,
    cursor_below,
    floor_of,
    page_values,
)

_EVENTS = (
    "SELECT e.seq, e.source, e.execution_id, e.event_id, e.event, e.status, e.occurred_at,"
    " e.received_at, e.verdict, e.reason, e.flags, e.agent_id, e.agent_name, e.execution_url,"
    " e.metadata, e.detail, e.times, e.missing, e.held_until, e.version FROM event AS e"
)
EVENTS_OF_EXECUTION = statement(
    "events_of_execution",
    f"{_EVENTS} WHERE e.seq IN {events_of('= :source', '= :execution')}"
    " AND e.verdict <> 'quarantined' ORDER BY e.seq",
)
_LATEST = " AND e.seq < :after ORDER BY e.seq DESC LIMIT :limit"
_OF_EVENTS = {
    name: f"(CAST(:{name} AS text) IS NULL OR e.{name} = :{name})"
    for name in ("source", "execution_id", "event", "event_id")
}
# Those in quarantine and those held are few, and have indexes of their own.
_OF_ANY = " AND ".join(_OF_EVENTS.values())
EVENTS = statement(
    "events",
    f"{_EVENTS} WHERE (CAST(:verdict AS text) IS NULL OR e.verdict = :verdict)"
    f" AND {_OF_ANY} AND e.seq > :floor{_LATEST}",
)
NEWEST_EVENT = statement("newest_event", "SELECT max(seq) FROM event WHERE seq < :below")
EVENTS_IN_QUARANTINE = statement(
    "events_in_quarantine",
    f"{_EVENTS} WHERE e.verdict = 'quarantined' AND {_OF_ANY}{_LATEST}",
)
EVENTS_HELD = statement(
    "events_held",
    f"{_EVENTS} WHERE e.seq IN (SELECT seq FROM event WHERE verdict = 'held')"
    f" AND {_OF_ANY}{_LATEST}",
)
# Those that did not count are few, too, unless a sender sends much twice.
FEW = 20_000
UNAPPLIED_UP_TO = statement(
    "unapplied_up_to",
    "SELECT count(*) FROM (SELECT 1 FROM event WHERE verdict <> 'applied' LIMIT :limit) AS u",
)
EVENTS_UNAPPLIED = statement(
    "events_unapplied",
    f"{_EVENTS} WHERE e.seq IN (SELECT seq FROM event WHERE verdict <> 'applied'"
    f" AND verdict = :verdict) AND {_OF_ANY}{_LATEST}",
)
EVENTS_OF_ONE = statement(
    "events_of_one",
    f"{_EVENTS} WHERE e.seq IN {events_of('IN {texts:sources}', '= :execution_id')}"
    " AND (CAST(:verdict AS text) IS NULL OR e.verdict = :verdict)"
    f" AND {_OF_EVENTS['event']} AND {_OF_EVENTS['event_id']}{_LATEST}",
)
EVENTS_BY_ID = statement(
    "events_by_id",
    f"{_EVENTS} WHERE e.source = :source AND e.event_id = :event_id AND e.verdict <> 'quarantined'"
    " AND (CAST(:verdict AS text) IS NULL OR e.verdict = :verdict)"
    f" AND {_OF_EVENTS['event']} AND {_OF_EVENTS['execution_id']}{_LATEST}",
)
EVENT = statement("event", f"{_EVENTS} WHERE e.seq = :seq")
BODY = statement("event_body", "SELECT body FROM event WHERE seq = :seq")
JUDGEMENTS = statement(
    "judgements",
    "SELECT event, at, verdict, reason FROM judgement WHERE event IN {numbers:events}"
    " ORDER BY event, number",
)


def events(
    db: Database, conditions: Mapping[str, str], limit: int, after: int | None, most: int | None
) -> Page:
    """See contract.Listing.events."""
    names = ("verdict", "source", "execution_id", "event", "event_id")
    values = page_values(names, conditions, limit, after)
    if "execution_id" in conditions:
        values["sources"] = db.as_list(sources_of(db, conditions))
    which = _which(db, conditions)
    is_search = which is EVENTS and conditions
    floor = floor_of(db, NEWEST_EVENT, values["after"], most if is_search else None)
    records = db.records(which, {**values, "floor": floor})
    views = [view for _, view in with_steps(db, records[:limit])]
    following = cursor_after(records, limit, number="seq")
    return views, following or cursor_below(db, NEWEST_EVENT, floor)


def _which(db: Database, conditions: Mapping[str, str]) -> Statement:
    """Return the statement that looks at the fewest events for these conditions."""
    verdict = conditions.get("verdict")
    if verdict == Verdict.QUARANTINED:
        return EVENTS_IN_QUARANTINE
    if verdict == Verdict.HELD:
        return EVENTS_HELD
    if {"source", "event_id"} <= set(conditions):
        return EVENTS_BY_ID
    if "execution_id" in conditions:
        return EVENTS_OF_ONE
    is_unapplied = verdict not in (None, Verdict.APPLIED)
    if is_unapplied and db.value(UNAPPLIED_UP_TO, {"limit": FEW}) < FEW:
        return EVENTS_UNAPPLIED
    return EVENTS


def steps_of(db: Database, events: Sequence[int]) -> dict[int, list[View]]:
    """Return the verdicts about these events that were judged more than once, each in order."""
    steps: dict[int, list[View]] = {}
    for step in db.records(JUDGEMENTS, {"events": db.as_list(events)}):
        steps.setdefault(step.pop("event"), []).append(step)
    return steps


def with_steps(db: Database, records: Sequence[View]) -> Iterator[tuple[View, View]]:
    """Yield each row of an event with its view. One query asks for all that belongs to them."""
    steps = steps_of(db, [record["seq"] for record in records]) if records else {}
    names = ("seq", "source", "execution_id", "event_id", "event", "status", "occurred_at",
             "received_at", "verdict", "reason")  # fmt: skip
    for record in records:
        first = {
            "at": record["received_at"], "verdict": record["verdict"], "reason": record["reason"]
        }  # fmt: skip
        yield (
            record,
            {
                **{name: record[name] for name in names},
                "flags": record["flags"].split(),
                "agent_id": record["agent_id"],
                "agent_name": record["agent_name"],
                "detail": mapping(record["detail"]),
                "times": record["times"],
                "missing": (record["missing"] or "").split(),
                "held_until": record["held_until"],
                "steps": steps.get(record["seq"], [first]),
            },
        )
