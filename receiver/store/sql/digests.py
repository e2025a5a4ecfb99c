"""What a digest says, read from SQLite: how many messages, of which sorts, the first few."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from receiver.deliveries import Digest, DigestItem, Kind
from receiver.store.sql import reads as queries
from receiver.store.sql.outbox import STUCK, WAITS
from receiver.store.sql.silences import MISSED, PAGE

# How many sorts of messages are counted by name, and how many are shown that need nobody's answer.
SORTS, SHOWN = 8, 5

_JOINED = (
    "FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    " LEFT JOIN execution AS x ON x.source = e.source AND x.execution_id = e.execution_id"
)
# Its episode is over; somebody has taken it. What a digest gathers is asked before, by the claim.
_OVER = "(d.guard_version IS NOT NULL AND x.version IS NOT d.guard_version)"
_TAKEN = (
    "EXISTS (SELECT 1 FROM acknowledgement AS a WHERE a.execution = x.id"
    " AND a.version = d.guard_version)"
)
_STILL_WAITS = f"({WAITS} AND NOT {_OVER} AND NOT {_TAKEN})"
_BY_NOW = f"WHEN {_OVER} THEN 'over' WHEN {_TAKEN} THEN 'acknowledged'"
_COUNTS = (
    "SELECT CASE WHEN d.kind IN ('resolved', 'acknowledged') THEN d.kind {by_now}"
    f" WHEN e.verdict <> 'applied' THEN e.verdict WHEN {STUCK} THEN 'stuck/' || e.status"
    " ELSE e.status END,"
    " coalesce(e.agent_name, x.agent_name, e.agent_id, x.agent_id, ''), count(*)"
    f" {_JOINED} WHERE {{where}} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT {SORTS}"
)
_LISTED = (
    f"SELECT d.kind, d.step, d.event, o.kind, {_OVER}, {_TAKEN}, {STUCK} {_JOINED}"
    " LEFT JOIN delivery AS o ON o.id = d.origin WHERE {where} ORDER BY d.id LIMIT {limit}"
)
# Who learns of an episode from the digest of a silence was told of it, as from any message.
_TOLD = (
    "UPDATE delivery SET digest = :number FROM (SELECT d.event"
    f" {_JOINED} WHERE e.version = x.version AND {{where}} ORDER BY d.id LIMIT {{limit}}) AS u"
    " WHERE delivery.event = u.event AND silence = :silence AND destination = :destination"
    " AND state = 'superseded' AND kind NOT IN ('acknowledged', 'resolved')"
)
_NOT_TOLD = (
    "UPDATE delivery SET digest = NULL WHERE digest = ? AND state = 'superseded'"
    " AND silence IS NOT NULL"
)


def gathered(db: sqlite3.Connection, head: int) -> Digest:
    """What the digest with this head says of its messages, all of which are being sent."""
    where, values = "d.digest = :head AND d.state = 'sending'", {"head": head}
    waiting = _listed(db, f"{where} AND {WAITS}", values, PAGE)
    others = _listed(db, f"{where} AND NOT {WAITS}", values, SHOWN)
    return Digest(_total(db, where, values), _counts(db, where, values), (*waiting, *others))


def silenced(
    db: sqlite3.Connection, number: int | None, silence: int, destination: str, page: int
) -> Digest:
    """What a destination missed because of a silence, by execution; confirmations by the page.

    The delivery with this number tells of it: what it lists as it still stands is marked so.
    """
    where = f"d.id IN ({MISSED})"
    values = {"silence": silence, "destination": destination, "number": number}
    paged = (
        f"d.id IN (SELECT d.id {_JOINED} WHERE {where} AND {WAITS} ORDER BY d.id LIMIT {PAGE}"
        f" OFFSET {PAGE * (page - 1)}) AND {_STILL_WAITS}"
    )
    other, shown = f"{where} AND NOT {_STILL_WAITS}", SHOWN if page == 1 else 0
    if number is not None:
        db.execute(_NOT_TOLD, (number,))
        for part, limit in ((paged, PAGE), (other, shown)):
            db.execute(_TOLD.replace("{where}", part).replace("{limit}", str(limit)), values)
    waiting = _listed(db, paged, values, PAGE)
    others = _listed(db, other, values, shown, of_silence=True)
    said = db.execute(
        "SELECT reason || ' (silenced by ' || by || ')' FROM silence WHERE id = ?", (silence,)
    ).fetchone()[0]
    total, counts = _total(db, where, values), _counts(db, where, values, _BY_NOW)
    return Digest(total, counts, (*waiting, *others), said, page)


def _total(db: sqlite3.Connection, where: str, values: Mapping[str, Any]) -> int:
    found = db.execute(f"SELECT count(*) FROM delivery AS d WHERE {where}", values)
    return int(found.fetchone()[0])


def _counts(
    db: sqlite3.Connection, where: str, values: Mapping[str, Any], by_now: str = ""
) -> tuple[tuple[str, str, int], ...]:
    rows = db.execute(_COUNTS.replace("{where}", where).replace("{by_now}", by_now), values)
    return tuple((status or "", agent, n) for status, agent, n in rows)


def _listed(
    db: sqlite3.Connection, where: str, values: Mapping[str, Any], limit: int,
    *, of_silence: bool = False,
) -> tuple[DigestItem, ...]:  # fmt: skip
    sql = _LISTED.replace("{where}", where).replace("{limit}", str(limit))
    return tuple(
        DigestItem(
            Kind(origin if kind == Kind.FALLBACK and origin else kind),
            step,
            queries.facts(db, event)[0],
            # A digest that gathers notices lists each confirmation as waiting, whoever took it.
            of_silence and bool(over),
            of_silence and bool(taken),
            bool(stuck),
        )
        for kind, step, event, origin, over, taken, stuck in db.execute(sql, values).fetchall()
    )
