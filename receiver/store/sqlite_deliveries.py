"""What is owed, on SQLite: owed, recorded, taken back, given a new chance. Functions over the write
connection's transaction; see store.Transaction for what each promises.

The deliveries of a digest share a token and the number of its first one, its head: what became of
the digest became of all of them. They are settled as a set, however many there are.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from receiver.backoff import LONGEST, PAUSE_AFTER, pause
from receiver.deliveries import (
    Acknowledgement,
    Attempt,
    Claim,
    Facts,
    Kind,
    Origin,
    Outcome,
    Owed,
    Pace,
    State,
    Ways,
)
from receiver.events import LATEST, SECOND
from receiver.store import AHEAD, Recorded
from receiver.store import sqlite_queries as queries
from receiver.store.sqlite_sets import Many

# How many deliveries die in one transaction where many have to.
MANY = 200
MS = SECOND // 1000

_DELIVERY = (
    "INSERT INTO delivery (dedup_key, event, source, execution_id, event_id, verdict, route,"
    " destination, kind, order_key, guard_version, origin, step, group_key, created_at, owed_at,"
    " due_at) VALUES {rows}"
)
DELIVERY = Many(_DELIVERY, 17)
_NOT_YET_OWED = Many(f"{_DELIVERY} ON CONFLICT (dedup_key) DO NOTHING", 17)
COLUMNS = (
    "id, route, tries, repeat, owed_at, guard_version, event, kind, order_key, origin,"
    " destination, step, group_key"
)
ABOUT = f"SELECT {COLUMNS} FROM delivery AS d"
# A confirmation that waits unless it is over or taken: never only counted.
WAITS = (
    "(e.status = 'awaiting_confirmation' AND d.guard_version IS NOT NULL"
    " AND d.kind <> 'acknowledged')"
)
# A route of executions that are stuck owed it, or what it follows from.
STUCK = (
    "EXISTS (SELECT 1 FROM delivery AS s WHERE s.event = d.event AND s.route = d.route"
    " AND s.source = d.source AND s.execution_id = d.execution_id AND s.dedup_key GLOB 'stuck/*')"
)
# Of a digest only the head keeps the text, and what is younger than its end allows is spared.
_RECORD = (
    "UPDATE delivery SET state = CASE WHEN ?1 = 'dead' AND owed_at > ?2 THEN 'waiting' ELSE ?1 END,"
    " reason = ?3, due_at = ?4, title = CASE WHEN id = ?7 THEN ?5 END,"
    " body = CASE WHEN id = ?7 THEN ?6 END, attempts = attempts + 1, tries = tries + 1,"
    " repeat = repeat OR ?8, begun_at = ?10, token = NULL, lease_until = NULL WHERE token = ?9"
)
_TOLD = (
    "INSERT INTO digest_group (destination, key, told_at) SELECT ?1, ?2, ?3 WHERE NOT EXISTS"
    # Of confirmations only so many fit: those left over are not made to wait for the next digest.
    # What came in meanwhile is none of them, and waits for its turn.
    " (SELECT 1 FROM delivery AS d JOIN event AS e ON e.seq = d.event WHERE d.destination = ?1"
    " AND d.group_key = ?2 AND d.state = 'waiting' AND d.state IN ('waiting', 'sending')"
    f" AND d.due_at <= ?4 AND {WAITS})"
    " ON CONFLICT (destination, key) DO UPDATE SET told_at = excluded.told_at"
)
_FALLBACK = (
    "INSERT INTO delivery (dedup_key, event, source, execution_id, event_id, verdict, route,"
    " destination, kind, order_key, guard_version, origin, step, group_key, created_at, owed_at,"
    " due_at) SELECT 'fallback/' || id || '/' || owed_at || '/' || ?1, event, source,"
    " execution_id, event_id, verdict, route, ?1, 'fallback', order_key, guard_version, id, step,"
    " group_key, ?2, ?2, ?2 FROM delivery WHERE digest = ?3 AND state = 'dead'"
    " ON CONFLICT (dedup_key) DO NOTHING"
)
_FAILED = (
    "INSERT INTO destination (name, tokens, counted_at, failures, failing)"
    " VALUES (?1, 0, ?3, 1, ?2)"
    " ON CONFLICT (name) DO UPDATE SET failures = failures + 1, failing = coalesce(failing, ?2),"
    " several = several OR coalesce(failing <> ?2, 0) RETURNING failures, several"
)
_LIFTED = (
    "UPDATE destination SET failures = 0, failing = NULL, several = 0, paused_until = NULL"
    " WHERE name = ?"
)
# It failed before, or was tried though it waits as a whole.
_WORKS = f"{_LIFTED} AND (failures > 0 OR paused_at <= ?)"
# What quiet hours put off, and nothing else since: due when they were to end.
PUT_OFF_BY_HOURS = (
    "(group_key = 'quiet/' || due_at OR (group_key IS NULL AND tries = 0"
    " AND (kind = 'digest' OR (kind = 'notice' AND origin IS NOT NULL))))"
)
# How far ahead of the clock (?1) a wait began; see store.Transaction.set_back. What was to be owed
# later keeps its distance, and hours that are quiet are looked at again.
_WAITS_SET_BACK = (
    "UPDATE delivery SET due_at = sooner, begun_at = ?1,"
    " owed_at = iif(owed_at > ?1, owed_at - due_at + sooner, owed_at)"
    f" FROM (SELECT id AS waits, iif({PUT_OFF_BY_HOURS}, ?1,"
    " due_at - coalesce(begun_at, created_at) + ?1) AS sooner FROM delivery WHERE state = 'waiting'"
    " AND coalesce(begun_at, created_at) > ?2 AND due_at >= coalesce(begun_at, created_at))"
    " WHERE id = waits"
)
_HELD_SET_BACK = (
    "UPDATE event SET held_until = held_until - coalesce(begun_at, received_at) + ?1, begun_at = ?1"
    " WHERE verdict = 'held' AND coalesce(begun_at, received_at) > ?2"
)
_GROUPS_SET_BACK = "UPDATE digest_group SET told_at = ?1 WHERE told_at > ?2"
_PACE_SET_BACK = (
    "UPDATE destination SET paused_until = paused_until + iif(coalesce(paused_at, counted_at) > ?2,"
    " ?1 - coalesce(paused_at, counted_at), 0), paused_at = iif(paused_at > ?2, ?1, paused_at),"
    " counted_at = iif(counted_at > ?2, ?1, counted_at)"
    " WHERE counted_at > ?2 OR paused_at > ?2"
)
# One that was to begin at once does; one that was planned stays.
_SILENCES_SET_BACK = (
    "UPDATE silence SET until_at = until_at - from_at + ?1, from_at = ?1"
    " WHERE listed_at IS NULL AND from_at > ?2 AND from_at <= created_at"
)
_PAUSED = "UPDATE destination SET paused_until = ?, paused_at = ? WHERE name = ?"


def row(owed: Owed, about: tuple[Any, ...], now: int) -> tuple[Any, ...]:
    """A row for DELIVERY; `about` is its event, source, execution, event id and verdict."""
    due = now + owed.due_in
    return (
        owed.dedup_key, *about, owed.route, owed.destination, owed.kind, owed.order_key,
        owed.guard_version, owed.origin, owed.step, owed.group_key, now, due, due,
    )  # fmt: skip


def inserted(db: sqlite3.Connection, insert: str, values: Sequence[Any] | Mapping[str, Any]) -> int:
    """Owe what an INSERT … SELECT says, each to its event; how many deliveries that is."""
    last = db.execute("SELECT coalesce(max(id), 0) FROM delivery").fetchone()[0]
    added = db.execute(insert, values).rowcount
    if added:
        db.execute(
            "UPDATE event SET owed = owed + new.n FROM (SELECT event, count(*) AS n FROM delivery"
            " WHERE id > ? GROUP BY event) AS new WHERE seq = new.event",
            (last,),
        )
    return int(added)


def promise(db: sqlite3.Connection, name: str, n: int) -> None:
    """Count what was promised, for the ledger."""
    if n:
        db.execute("UPDATE promised SET n = n + ? WHERE name = ?", (n, name))


def owe(db: sqlite3.Connection, delivery: int, messages: Sequence[Owed], now: int) -> int:
    """Owe messages about the event of a delivery, those that are not owed yet; how many."""
    if not messages:
        return 0
    about = db.execute(
        "SELECT event, source, execution_id, event_id, verdict FROM delivery WHERE id = ?",
        (delivery,),
    ).fetchone()
    added = _NOT_YET_OWED.change(db, [row(owed, about, now) for owed in messages])
    db.execute("UPDATE event SET owed = owed + ? WHERE seq = ?", (added, about[0]))
    return added


def record(db: sqlite3.Connection, claim: Claim, attempt: Attempt, after: Recorded) -> bool:
    """See store.Transaction.record; what it owes to others is not owed here."""
    spared = LATEST if after.spared is None else after.spared
    told = (after.state, spared, after.reason, after.due_at, after.title, after.body)
    uncertain = int(attempt.outcome is Outcome.UNCERTAIN)
    about = (claim.delivery, uncertain, claim.token, claim.claimed_at)
    if not db.execute(_RECORD, (*told, *about)).rowcount:
        return False
    _attempted(db, claim.delivery, claim.claimed_at, attempt)
    if attempt.outcome is Outcome.DELIVERED:
        db.execute(_WORKS, (claim.destination, claim.claimed_at))
    elif attempt.retry_after:
        # It speaks for the destination, not for this one message.
        wait = min(attempt.retry_after, LONGEST)
        ended = claim.claimed_at + attempt.duration_ms * MS
        db.execute(_PAUSED, (ended + int(wait * SECOND), ended, claim.destination))
    elif not attempt.permanent:
        _failed(db, claim, claim.claimed_at + attempt.duration_ms * MS, after.chance)
    if after.state is State.SENT and claim.group_key is not None:
        _told(db, claim, after.ways)
    return True


def _told(db: sqlite3.Connection, claim: Claim, ways: Mapping[str, Ways]) -> None:
    """Remember when a group was told, for as long as that makes any of them wait."""
    at, way = claim.claimed_at, ways.get(claim.route)
    gathered = at + (way.wait if way else 0)
    db.execute(_TOLD, (claim.destination, claim.group_key, at, gathered))
    longest = max((each.every for each in ways.values()), default=0)
    db.execute("DELETE FROM digest_group WHERE told_at < ?", (at - longest,))


def fall_back(db: sqlite3.Connection, claim: Claim, destination: str) -> int:
    """Owe to another destination what died with a digest, in the same group; how many."""
    return inserted(db, _FALLBACK, (destination, claim.claimed_at, claim.delivery))


def _failed(db: sqlite3.Connection, claim: Claim, now: int, chance: float) -> None:
    """Count it against the destination, which waits as a whole once it looks like its own fault."""
    failures, several = db.execute(
        _FAILED, (claim.destination, claim.order_key, claim.claimed_at)
    ).fetchone()
    if several and (wait := pause(failures, chance)) > 0:
        db.execute(_PAUSED, (now + int(wait * SECOND), now, claim.destination))


def release(db: sqlite3.Connection, now: int, *, all_leases: bool) -> int:
    """See store.Transaction.release."""
    lost = "state = 'sending' AND (? OR lease_until <= ?)"
    over = (int(all_leases), now)
    if db.execute(f"SELECT 1 FROM delivery WHERE {lost} LIMIT 1", over).fetchone() is None:
        return 0
    db.execute(
        "INSERT INTO attempt SELECT id, attempts + 1, ?, ?, ?, 0 FROM delivery"
        f" WHERE {lost} AND (digest IS NULL OR digest = id)",
        (now, Outcome.UNCERTAIN, "the process stopped while sending", *over),
    )
    return db.execute(
        "UPDATE delivery SET state = 'waiting', begun_at = ?, due_at = ?, repeat = 1, token = NULL,"
        f" lease_until = NULL, attempts = attempts + 1, tries = tries + 1 WHERE {lost}",
        (now, now, *over),
    ).rowcount


def set_back(db: sqlite3.Connection, now: int) -> int:
    """See store.Transaction.set_back."""
    acts = (_WAITS_SET_BACK, _HELD_SET_BACK, _PACE_SET_BACK, _GROUPS_SET_BACK, _SILENCES_SET_BACK)
    return sum(db.execute(act, (now, now + AHEAD)).rowcount for act in acts)


def redeliver(db: sqlite3.Connection, delivery: int, now: int) -> bool | None:
    """See store.Transaction.redeliver."""
    state = db.execute("SELECT state FROM delivery WHERE id = ?", (delivery,)).fetchone()
    if state is None:
        return None
    # A guarded message whose moment has passed will be superseded at its claim, not sent.
    return bool(_again(db, "id = ?", delivery, now))


def redeliver_all(db: sqlite3.Connection, destination: str, now: int) -> int:
    """See store.Transaction.redeliver_all."""
    again = _again(db, "destination = ?", destination, now)
    db.execute(_LIFTED, (destination,))  # somebody says that it is mended
    return again


def overdue(db: sqlite3.Connection, destination: str, pace: Pace, now: int) -> list[Claim]:
    """See store.Transaction.overdue."""
    failing = db.execute(
        "SELECT failures FROM destination WHERE name = ? AND several AND failures >= ?",
        (destination, PAUSE_AFTER),
    ).fetchone()
    if failing is None:
        return []
    reason = f"given up after retry_for: its destination failed {failing[0]} times in a row"
    where = "destination = ? AND state = 'waiting' AND owed_at < ?"
    return _bury(db, where, (destination, pace.overdue), reason)


def bury(db: sqlite3.Connection, destinations: Sequence[str]) -> list[Claim]:
    """See store.Transaction.bury."""
    return _bury(
        db,
        "state = 'waiting' AND destination NOT IN (SELECT value FROM json_each(?))",
        (json.dumps(list(destinations)),),
        "its destination is not in routes.yaml: add it again and redeliver",
    )


def _bury(db: sqlite3.Connection, where: str, values: tuple[Any, ...], reason: str) -> list[Claim]:
    rows = db.execute(f"{ABOUT} WHERE {where} ORDER BY id LIMIT {MANY}", values).fetchall()
    buried = [read(db, found) for found in rows]
    for dead in buried:
        end = "UPDATE delivery SET state = 'dead', reason = ? WHERE id = ?"
        db.execute(end, (reason, dead.delivery))
    return [replace(dead, origin=Origin(dead.destination, reason, 0)) for dead in buried]


def _again(db: sqlite3.Connection, where: str, value: object, now: int) -> int:
    # OR IGNORE: an old reminder gets no new chance while a later one of its episode waits.
    return db.execute(
        "UPDATE OR IGNORE delivery SET state = 'waiting', reason = '', due_at = ?, owed_at = ?,"
        f" begun_at = ?, tries = 0 WHERE {where} AND state = 'dead'",
        (now, now, now, value),
    ).rowcount


def _attempted(db: sqlite3.Connection, delivery: int, at: int, attempt: Attempt) -> None:
    db.execute(
        "INSERT INTO attempt SELECT id, attempts, ?, ?, ?, ? FROM delivery WHERE id = ?",
        (at, attempt.outcome, attempt.detail, attempt.duration_ms, delivery),
    )


def read(db: sqlite3.Connection, found: Sequence[Any]) -> Claim:
    """A delivery (a row of ABOUT) as it may be claimed."""
    (delivery, route, tries, repeat, owed_at, guard, event, kind, order_key, origin, destination,
     step, group_key) = found  # fmt: skip
    facts, version = queries.facts(db, event)
    died = _origin(db, origin)
    taken = Claim(
        delivery, "", destination, route, tries, bool(repeat), owed_at, facts, Kind(kind),
        order_key, guard, 0, died, step, group_key,
    )  # fmt: skip
    what = died.kind if died is not None and taken.kind is Kind.FALLBACK else taken.kind
    # The event that ends an episode is the first of the next one.
    episode = version - 1 if version is not None and what is Kind.RESOLVED else version
    took = _acknowledged(db, facts, episode) if what is Kind.ACKNOWLEDGED else None
    return replace(taken, version=episode, acknowledged=took)


def _origin(db: sqlite3.Connection, origin: int | None) -> Origin | None:
    if origin is None:
        return None
    died = "SELECT destination, reason, state, kind, step, origin FROM delivery WHERE id = ?"
    destination, reason, state, kind, step, before = db.execute(died, (origin,)).fetchone()
    while kind == Kind.FALLBACK and before is not None:
        _, _, _, kind, step, before = db.execute(died, (before,)).fetchone()
    dead, last = db.execute(
        "SELECT count(*), max(id) FROM delivery WHERE state = 'dead' AND destination = ?",
        (destination,),
    ).fetchone()
    is_dead = state == State.DEAD
    if not is_dead and dead:
        (reason,) = db.execute("SELECT reason FROM delivery WHERE id = ?", (last,)).fetchone()
    return Origin(destination, reason, dead, is_dead, Kind(kind), step)


def _acknowledged(
    db: sqlite3.Connection, facts: Facts, version: int | None
) -> Acknowledgement | None:
    row = db.execute(
        "SELECT a.by, a.at FROM acknowledgement AS a JOIN execution AS x ON x.id = a.execution"
        " WHERE x.source = ? AND x.execution_id = ? AND a.version = ?",
        (facts.source, facts.execution_id, version),
    ).fetchone()
    return None if row is None else Acknowledgement(*row)
