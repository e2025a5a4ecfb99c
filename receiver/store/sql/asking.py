"""Asking: what the provider is asked about, and what that has taught. See reading.Asking."""

from __future__ import annotations

from collections.abc import Sequence

from receiver.events import NOBODY, Execution, Status
from receiver.store.reading import Learnt
from receiver.store.records import AHEAD
from receiver.store.sql import rows
from receiver.store.sql.database import Database, Row, statement
from receiver.times import SECOND

_UNUSED = 3 * 3600 * SECOND
_VALUES = ", ".join(f"x.{name}" for name in rows.STORED_COLUMNS[4:])
_FOUND = f"SELECT x.source, x.execution_id, {_VALUES} FROM execution AS x"
# Those of which nothing was heard, and pauses of which nobody knows the kind.
UNHEARD = statement(
    "unheard",
    f"{_FOUND.replace(' FROM', ', h.applied_at FROM')}"
    " JOIN history AS h ON h.execution = x.id AND h.version = x.version"
    " WHERE x.category <> 'terminal' AND x.source = :source AND NOT EXISTS (SELECT 1"
    " FROM acknowledgement AS a WHERE a.execution = x.id AND a.version = x.version"
    " AND a.by = :nobody) AND (h.applied_at < :before OR x.assumed = 1) ORDER BY x.id LIMIT :limit",
)
STANDING = statement(
    "standing", f"{_FOUND} WHERE x.source = :source AND x.execution_id IN {{texts:ids}}"
)
HELD_UNTIL = statement(
    "held_until",
    "SELECT DISTINCT execution_id, held_until FROM event WHERE verdict = 'held'"
    " AND held_until <= :until AND source = :source ORDER BY held_until LIMIT 256",
)
# What was learnt by asking alone: no webhook of the same change came then or later.
LEARNT = statement(
    "learnt",
    "SELECT e.source, e.status, e.received_at FROM event AS e WHERE e.verdict = 'applied'"
    " AND e.flags LIKE '%polled%' AND e.received_at >= :since"
    " AND e.reason <> 'first_seen' AND NOT EXISTS (SELECT 1"
    f" FROM {rows.events_of('= e.source', '= e.execution_id')} AS m JOIN event AS w"
    " ON w.seq = m.event"
    " AND w.status = e.status AND w.seq > e.seq AND w.flags NOT LIKE '%polled%'"
    " AND w.occurred_at BETWEEN e.occurred_at - :near AND e.occurred_at + :near)",
)

# The first request of a time takes it from now on, the others behind those before them.
RESERVE = statement(
    "reserve_request",
    "INSERT INTO pace AS p (name, asked_at, taken_to) VALUES (:name, {now}, {now} + :interval)"
    " ON CONFLICT (name) DO UPDATE SET asked_at = excluded.asked_at, taken_to ="
    " CASE WHEN p.taken_to > excluded.asked_at THEN p.taken_to ELSE excluded.asked_at END"
    " + :interval RETURNING taken_to - asked_at",
)
# Keys that are not used any more, and times under a clock that was ahead.
FORGET_PACE = statement(
    "forget_pace", "DELETE FROM pace WHERE taken_to < {now} - :while OR asked_at > {now} + :ahead"
)


def reserve(db: Database, provider: str, interval: int, burst: int, now: int) -> int:
    """See contract.Auditing.reserve."""
    values = {"name": provider, "interval": interval, "now": now}
    db.change(FORGET_PACE, {"while": _UNUSED, "ahead": AHEAD, "now": now})
    return max(int(db.value(RESERVE, values)) - max(burst, interval), 0)


def unheard(db: Database, source: str, before: int, limit: int) -> list[tuple[Execution, int]]:
    """See reading.Asking.unheard."""
    values = {"source": source, "before": before, "limit": limit, "nobody": NOBODY}
    return [(_execution(row[:-1]), row[-1]) for row in db.rows(UNHEARD, values)]


def standing(db: Database, source: str, ids: Sequence[str]) -> dict[str, Execution]:
    """See reading.Asking.standing."""
    found = db.rows(STANDING, {"source": source, "ids": db.as_list(ids)})
    return {row[1]: _execution(row) for row in found}


def held_until(db: Database, source: str, until: int) -> list[tuple[str, int]]:
    """See reading.Asking.held_until."""
    return [
        (execution_id, at)
        for execution_id, at in db.rows(HELD_UNTIL, {"source": source, "until": until})
    ]


def learnt(db: Database, since: int, near: int) -> list[Learnt]:
    """See reading.Asking.learnt."""
    found = db.rows(LEARNT, {"since": since, "near": near})
    return [Learnt(source, Status(status), at) for source, status, at in found]


def _execution(row: Row) -> Execution:
    return rows.stored_execution((row[0], row[1]), row[2:])
