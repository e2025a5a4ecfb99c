"""Stories: an execution, or one event, with all that belongs to it."""

from __future__ import annotations

from receiver.store.sql.audit import AT_PROVIDER
from receiver.store.sql.database import Database
from receiver.store.sql.facts import as_judged
from receiver.store.sql.views.deliveries import (
    DELIVERIES_OF_EVENT,
    DELIVERIES_OF_EXECUTION,
    with_attempts,
)
from receiver.store.sql.views.events import BODY, EVENT, EVENTS_OF_EXECUTION, with_steps
from receiver.store.sql.views.executions import EXECUTION, execution_view
from receiver.store.sql.views.paging import View


def execution(
    db: Database, source: str, execution_id: str, newest: int | None = None
) -> View | None:
    """See contract.Listing.execution."""
    values = {"source": source, "execution": execution_id}
    records = db.records(EXECUTION, values)
    if not records:
        return None
    events = db.records(EVENTS_OF_EXECUTION, values)
    applied = [event for event in events if event["version"] is not None]
    return {
        "execution": execution_view(records[0]),
        "events": [
            {**view, "judged": as_judged(db, record, view["steps"][-1]["at"])}
            for record, view in with_steps(db, events if newest is None else events[-newest:])
        ],
        "deliveries": with_attempts(db, db.records(DELIVERIES_OF_EXECUTION, values)),
        "acts": db.records(AT_PROVIDER, values),
        "path": sorted((each["version"], each["status"], each["occurred_at"]) for each in applied),
        "n": len(events),
    }


def event(db: Database, seq: int) -> View | None:
    """See contract.Listing.event."""
    records = db.records(EVENT, {"seq": seq})
    if not records:
        return None
    ((record, view),) = with_steps(db, records)
    return {
        "event": {**view, "judged": as_judged(db, record, view["steps"][-1]["at"])},
        "body": db.value(BODY, {"seq": seq}),
        "deliveries": with_attempts(db, db.records(DELIVERIES_OF_EVENT, {"seq": seq})),
    }
