"""What a digest says, read from SQLite: how many messages, of which sorts, the first few."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from receiver.deliveries import Digest, Kind, Listed
from receiver.store import sqlite_queries as queries
from receiver.store.sqlite_silences import PAGE

# How many sorts of messages are counted by name, and how many are shown that need nobody's answer.
SORTS, SHOWN = 8, 5

# A confirmation that still waits: never only counted.
WAITS = (
    "(e.status = 'awaiting_confirmation' AND d.guard_version IS NOT NULL"
    " AND d.kind <> 'acknowledged')"
)
_JOINED = (
    "FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    " LEFT JOIN execution AS x ON x.source = e.source AND x.execution_id = e.execution_id"
)
_COUNTS = (
    "SELECT CASE WHEN d.kind IN ('resolved', 'acknowledged') THEN d.kind"
    " WHEN e.verdict <> 'applied' THEN e.verdict ELSE e.status END,"
    " coalesce(e.agent_name, x.agent_name, e.agent_id, x.agent_id, ''), count(*)"
    f" {_JOINED} WHERE {{where}} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT {SORTS}"
)
_LISTED = (
    f"SELECT d.kind, d.step, d.event, o.kind {_JOINED} LEFT JOIN delivery AS o ON o.id = d.origin"
    " WHERE {where} ORDER BY d.id LIMIT {limit}"
)


def gathered(db: sqlite3.Connection, head: int) -> Digest:
    """What the digest with this head says of its messages, all of which are being sent."""
    where, values = "d.digest = :head AND d.state = 'sending'", {"head": head}
    waiting = _listed(db, f"{where} AND {WAITS}", values, PAGE)
    others = _listed(db, f"{where} AND NOT {WAITS}", values, SHOWN)
    return Digest(_total(db, where, values), _counts(db, where, values), (*waiting, *others))


def silenced(db: sqlite3.Connection, silence: int, destination: str, page: int) -> Digest:
    """What a destination missed because of a silence; confirmations by the page."""
    where = "d.silence = :silence AND d.destination = :destination AND d.state = 'superseded'"
    values = {"silence": silence, "destination": destination}
    still = f"{where} AND {WAITS} AND d.id IN (SELECT d.id {_JOINED} WHERE {where} AND {WAITS}"
    paged = f"{still} ORDER BY d.id LIMIT {PAGE} OFFSET {PAGE * (page - 1)})"
    waiting = _listed(db, f"{paged} AND x.version = d.guard_version", values, PAGE)
    others = _listed(db, f"{where} AND NOT {WAITS}", values, SHOWN) if page == 1 else ()
    said = db.execute(
        "SELECT reason || ' (silenced by ' || by || ')' FROM silence WHERE id = ?", (silence,)
    ).fetchone()[0]
    total, counts = _total(db, where, values), _counts(db, where, values)
    return Digest(total, counts, (*waiting, *others), said, page)


def _total(db: sqlite3.Connection, where: str, values: Mapping[str, Any]) -> int:
    found = db.execute(f"SELECT count(*) FROM delivery AS d WHERE {where}", values)
    return int(found.fetchone()[0])


def _counts(
    db: sqlite3.Connection, where: str, values: Mapping[str, Any]
) -> tuple[tuple[str, str, int], ...]:
    rows = db.execute(_COUNTS.replace("{where}", where), values)
    return tuple((status or "", agent, n) for status, agent, n in rows)


def _listed(
    db: sqlite3.Connection, where: str, values: Mapping[str, Any], limit: int
) -> tuple[Listed, ...]:
    sql = _LISTED.replace("{where}", where).replace("{limit}", str(limit))
    return tuple(
        Listed(
            Kind(origin if kind == Kind.FALLBACK and origin else kind),
            step,
            queries.facts(db, event)[0],
        )
        for kind, step, event, origin in db.execute(sql, values).fetchall()
    )
