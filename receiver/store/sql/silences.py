"""Silences on SQLite: added, ended, listed once; what they keep back. See store.Transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from receiver.deliveries import Kind
from receiver.events import Status, Verdict
from receiver.routing.conditions import Subject
from receiver.routing.silences import Silence, first
from receiver.store.sql.outbox import WAITS, inserted
from receiver.store.sql.reads import MAX_ID
from receiver.times import format_time

# A silence has a digest for each so many confirmations, so that each of them is listed.
PAGE = 10
# The route of what no route asks for.
ROUTE = "silences"
_ENDING = 100

_COLUMNS = "id, match, reason, by, from_at, until_at"
# What conditions look at; `o` is the delivery whose end it tells of.
_SUBJECT = (
    "silenced(d.kind, o.destination, e.source, e.verdict, e.status,"
    " coalesce(e.agent_id, x.agent_id), coalesce(e.agent_name, x.agent_name), e.event,"
    # Read in Python: what JSON can hold, not every text of SQLite can.
    " e.detail, coalesce(e.metadata, x.metadata))"
)
_SILENCED = (
    f"SELECT d.id, {_SUBJECT} AS silence FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    " LEFT JOIN execution AS x ON x.source = e.source AND x.execution_id = e.execution_id"
    " LEFT JOIN delivery AS o ON o.id = d.origin WHERE d.kind <> 'digest'"
)
ACTIVE = f"SELECT {_COLUMNS} FROM silence WHERE listed_at IS NULL AND until_at > ? AND from_at <= ?"
# What a destination missed, one row for each execution (and verdict): what came last, and of that
# the notice rather than its reminders. A destination's failure is a matter of its own.
MISSED = (
    "SELECT id FROM (SELECT d.id, row_number() OVER (PARTITION BY e.source, e.execution_id,"
    " iif(e.execution_id IS NULL, e.seq, 0), e.verdict, d.kind = 'notice' AND d.origin IS NOT NULL"
    " ORDER BY e.seq DESC, d.kind = 'acknowledged', d.id) AS nth"
    " FROM delivery AS d JOIN event AS e ON e.seq = d.event WHERE d.silence = :silence"
    " AND d.destination = :destination AND d.state = 'superseded') WHERE nth = 1"
)
_CONFIRMATIONS = (
    "SELECT count(*) FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    f" WHERE d.id IN ({MISSED}) AND {WAITS}"
)
_DESTINATIONS = (
    "SELECT destination, min(id) FROM delivery WHERE silence = ? AND state = 'superseded'"
    " GROUP BY destination"
)
_LIST = (
    "INSERT INTO delivery (dedup_key, event, source, execution_id, event_id, verdict, route,"
    " destination, kind, order_key, step, silence, created_at, owed_at, due_at)"
    " SELECT ?1, event, source, execution_id, event_id, verdict, ?2, destination, 'digest', ?1, ?3,"
    " ?4, ?5, ?5, ?5 FROM delivery WHERE id = ?6 ON CONFLICT (dedup_key) DO NOTHING"
)


def add(db: sqlite3.Connection, silence: Silence, now: int) -> int:
    """See store.Transaction.add_silence."""
    match = json.dumps({name: list(patterns) for name, patterns in silence.match.items()})
    row = db.execute(
        "INSERT INTO silence (match, reason, by, created_at, from_at, until_at)"
        " VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
        (match, silence.reason, silence.by, now, silence.begins, silence.ends),
    ).fetchone()
    return int(row[0])


def expire(db: sqlite3.Connection, silence: int, now: int) -> bool | None:
    """See store.Transaction.expire_silence."""
    row = db.execute("SELECT until_at FROM silence WHERE id = ?", (silence,)).fetchone()
    if row is None or row[0] <= now:
        return None if row is None else False
    db.execute("UPDATE silence SET until_at = ? WHERE id = ?", (now, silence))
    return True


def active(db: sqlite3.Connection, now: int) -> list[Silence]:
    """The silences that keep messages back now."""
    rows = db.execute(ACTIVE, (now, now)).fetchall()
    return [_read(row) for row in sorted(rows)]


def supersede_silenced(
    db: sqlite3.Connection, silences: Sequence[Silence], where: str, values: Mapping[str, Any],
    now: int,
) -> int:  # fmt: skip
    """End the deliveries that a silence keeps back (due_at says when); how many."""

    @lru_cache(maxsize=1024)
    def silenced(kind: str, died: str | None, *said: Any) -> int | None:
        found = first(silences, _subject(None if kind == Kind.FALLBACK else died, *said))
        return found.id if found is not None else None

    db.create_function("silenced", 10, silenced)
    reasons = json.dumps({silence.id: str(silence) for silence in silences})
    return db.execute(
        "UPDATE delivery SET state = 'superseded', silence = u.silence, due_at = :now,"
        " reason = json_extract(:reasons, '$.\"' || u.silence || '\"')"
        f" FROM ({_SILENCED} AND {where}) AS u WHERE delivery.id = u.id AND u.silence IS NOT NULL",
        {**values, "reasons": reasons, "now": now},
    ).rowcount


def list_ended(db: sqlite3.Connection, now: int) -> tuple[list[str], int]:
    """See store.Transaction.list_silences; and how many deliveries that owes."""
    told, owed = list[str](), 0
    ended = db.execute(
        "SELECT id FROM silence WHERE listed_at IS NULL AND until_at <= ? ORDER BY until_at, id"
        f" LIMIT {_ENDING}",
        (now,),
    ).fetchall()
    for (silence,) in ended:
        for destination, missed in db.execute(_DESTINATIONS, (silence,)).fetchall():
            told.append(destination)
            of = {"silence": silence, "destination": destination}
            confirmations = int(db.execute(_CONFIRMATIONS, of).fetchone()[0])
            for page in range(max(-(-confirmations // PAGE), 1)):
                key = f"silence/{silence}/{destination}/{page + 1}"
                owed += inserted(db, _LIST, (key, ROUTE, page + 1, silence, now, missed))
        db.execute("UPDATE silence SET listed_at = ? WHERE id = ?", (now, silence))
    return told, owed


def _subject(
    died: str | None, source: str, verdict: str, status: str | None, agent_id: str | None,
    agent_name: str | None, event: str | None, detail: str | None, metadata: str | None,
) -> Subject:  # fmt: skip
    said = json.loads(detail) if detail else {}
    outcome, reason = said.get("outcome"), said.get("reason")
    return Subject(
        source=source,
        verdict=Verdict(verdict),
        status=Status(status) if status in set(Status) else None,
        agent_id=agent_id,
        agent_name=agent_name,
        event=event,
        outcome=outcome if isinstance(outcome, str) else None,
        reason=reason if isinstance(reason, str) else None,
        metadata=json.loads(metadata) if metadata else {},
        dead_letter=died,
    )


def _read(row: Sequence[Any]) -> Silence:
    number, match, reason, by, begins, ends = row
    conditions = {name: tuple(patterns) for name, patterns in json.loads(match).items()}
    return Silence(conditions, reason, by, begins, ends, number)


def next_end(db: sqlite3.Connection) -> int | None:
    """See store.Store.next_silence_end."""
    found = db.execute("SELECT min(until_at) FROM silence WHERE listed_at IS NULL").fetchone()[0]
    return None if found is None else int(found)


def page(
    db: sqlite3.Connection, limit: int, after: int | None
) -> tuple[list[dict[str, Any]], int | None]:
    """See store.Store.silences."""
    rows = db.execute(
        f"{_SHOWN} WHERE id < ? ORDER BY id DESC LIMIT ?",
        (MAX_ID if after is None else after, limit + 1),
    ).fetchall()
    following = int(rows[limit - 1][0]) if len(rows) > limit else None
    return [_shown(row) for row in rows[:limit]], following


def one(db: sqlite3.Connection, number: int) -> dict[str, Any] | None:
    """See store.Store.silence."""
    row = db.execute(f"{_SHOWN} WHERE id = ?", (number,)).fetchone()
    return None if row is None else _shown(row)


_SHOWN = (
    f"SELECT {_COLUMNS}, created_at, listed_at, (SELECT count(*) FROM delivery WHERE"
    " delivery.silence = silence.id AND state = 'superseded') FROM silence"
)


def _shown(row: Sequence[Any]) -> dict[str, Any]:
    silence, (created_at, listed_at, silenced) = _read(row[:6]), row[6:]
    match: dict[str, Any] = {}
    for name, patterns in silence.match.items():
        key, _, inner = name.partition(".")
        if inner:
            match.setdefault(key, {})[inner] = list(patterns)
        else:
            match[name] = list(patterns)
    return {
        "id": silence.id,
        "match": match,
        "reason": silence.reason,
        "by": silence.by,
        "from": format_time(silence.begins),
        "until": format_time(silence.ends),
        "created_at": format_time(created_at),
        "listed_at": None if listed_at is None else format_time(listed_at),
        "silenced": silenced,
    }
