"""Loading of the stored state that events are judged against, in sets for many events at once."""

from __future__ import annotations

from collections.abc import Sequence

from receiver.events import CATEGORIES, Category, Event, Held, Status
from receiver.store.records import ExecutionKey, Loaded, change_of
from receiver.store.sql import rows
from receiver.store.sql.database import Database, statement

# The number of events rejected for a gap that are judged again when their execution moves: the
# earliest ones that are not overtaken. Of the held events none may be left out. Nothing but another
# end overtakes an end.
MAX_HEALABLE = 200
_TERMINAL = ", ".join(
    f"'{s}'" for s, category in CATEGORIES.items() if category is Category.TERMINAL
)
_OCCURRED_AT, _SEQ = rows.HELD_COLUMNS.index("occurred_at"), rows.HELD_COLUMNS.index("seq")
_HELD = f"SELECT {', '.join(rows.HELD_COLUMNS)} FROM event"
_OF_EXECUTION = (
    f"{_HELD} WHERE source = :source AND execution_id = :execution AND reason = 'gap'"
    " AND verdict <> 'applied'"
)
STILL_HELD = statement("still_held", f"{_OF_EXECUTION} AND verdict = 'held'")
HEALABLE = statement(
    "healable",
    f"{_OF_EXECUTION} AND verdict = 'rejected' AND occurred_at >= :mark"
    " ORDER BY occurred_at, seq LIMIT :limit",
)
# A bounded number of rejected events is looked through, so that no event costs more than another.
HEALABLE_ENDS = statement(
    "healable_ends",
    f"SELECT * FROM ({_OF_EXECUTION} AND verdict = 'rejected' AND occurred_at < :mark"
    f" ORDER BY occurred_at DESC, seq DESC LIMIT :limit) AS e WHERE e.status IN ({_TERMINAL})",
)
EXPIRED_HELD = statement(
    "expired_held",
    f"{_HELD} WHERE verdict = 'held' AND held_until <= :now ORDER BY held_until, seq LIMIT 256",
)


def load(
    db: Database,
    events: Sequence[Event],
    numbers: dict[ExecutionKey, int] | None = None,
    *,
    lock: bool = False,
) -> Loaded:
    """See contract.Judging.load. The executions' ids are added to `numbers`."""
    loaded = Loaded()
    ids = [(event.source, event.event_id) for event in events]
    about = [event for event in events if event.execution_id is not None]
    keys = sorted({(event.source, event.execution_id or "") for event in about})
    if lock:
        # First: what is read before may be judged elsewhere meanwhile, and has no row to lock yet.
        db.bulk.hold(ids, keys)
    loaded.event_ids.update(db.bulk.stored_event_ids(ids))
    for source, execution_id, number, has_gaps, *row in db.bulk.stored_executions(keys, lock=lock):
        key = source, execution_id
        if key in loaded.executions:
            continue
        execution = loaded.executions[key] = rows.stored_execution(key, row)
        if numbers is not None:
            numbers[key] = number
        loaded.held[key] = _healable(db, key, execution.mark) if has_gaps else []
    changes = [
        (source, execution_id, name, str(status), at)
        for source, execution_id, name, status, at in filter(None, map(change_of, about))
    ]
    for source, execution_id, name, status, occurred_at in db.bulk.stored_changes(changes):
        loaded.changes.add((source, execution_id, name, Status(status), occurred_at))
    return loaded


def _healable(db: Database, key: ExecutionKey, mark: int) -> list[Held]:
    """Return an execution's held events, and those rejected for a gap and not overtaken."""
    values = {"source": key[0], "execution": key[1], "mark": mark, "limit": MAX_HEALABLE}
    events = [
        *db.rows(HEALABLE_ENDS, values), *db.rows(STILL_HELD, values), *db.rows(HEALABLE, values)
    ]  # fmt: skip
    events.sort(key=lambda row: (row[_OCCURRED_AT], row[_SEQ]))
    return [rows.held(row) for row in events]


def expired_held(db: Database, now: int) -> list[Held]:
    """See contract.Judging.expired_held."""
    return [rows.held(row) for row in db.rows(EXPIRED_HELD, {"now": now})]
