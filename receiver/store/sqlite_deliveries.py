"""What is owed, on SQLite: claimed, recorded, taken back, given a new chance. Functions over the
write connection's transaction; see store.Transaction for what each promises.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from receiver.backoff import LONGEST, PAUSE_AFTER, pause
from receiver.deliveries import Attempt, Claim, Kind, Origin, Outcome, Owed, Pace, State
from receiver.events import SECOND
from receiver.store import Recorded
from receiver.store import sqlite_queries as queries

# How many deliveries die in one transaction where many have to.
MANY = 200
MS = SECOND // 1000

DELIVERY = (
    "INSERT INTO delivery (dedup_key, event, source, execution_id, event_id, verdict, route,"
    " destination, kind, order_key, guard_version, origin, created_at, owed_at, due_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ABOUT = (
    "SELECT id, route, tries, repeat, owed_at, guard_version, verdict, event, kind, order_key,"
    " origin, destination FROM delivery AS d"
)
# The order of one execution within a destination is kept: nothing is taken before what is older.
_NEXT = (
    f"{_ABOUT} WHERE destination = ? AND state = 'waiting' AND due_at <= ?"
    f" AND {queries.UNBLOCKED} ORDER BY due_at, id LIMIT 1"
)
_RECORD = (
    "UPDATE delivery SET state = ?, reason = ?, due_at = ?, title = ?, body = ?,"
    " attempts = attempts + 1, tries = tries + 1, repeat = repeat OR ?, token = NULL,"
    " lease_until = NULL WHERE id = ? AND token = ? AND state = 'sending'"
)
_TAKEN = (
    "INSERT INTO destination (name, tokens, counted_at) VALUES (?, ?, ?)"
    " ON CONFLICT (name) DO UPDATE SET tokens = excluded.tokens, counted_at = excluded.counted_at"
)
_FAILED = (
    "INSERT INTO destination (name, tokens, counted_at, failures, failing)"
    " VALUES (?1, 0, ?3, 1, ?2)"
    " ON CONFLICT (name) DO UPDATE SET failures = failures + 1, failing = coalesce(failing, ?2),"
    " several = several OR coalesce(failing <> ?2, 0) RETURNING failures, several"
)
_WORKS = (
    "UPDATE destination SET failures = 0, failing = NULL, several = 0, paused_until = NULL"
    " WHERE name = ? AND failures > 0"
)
# Waits that began in the future are counted from now. One that was, ends before its beginning.
_WAITS_SET_BACK = (
    "UPDATE delivery SET due_at = min(due_at, ?1 + due_at - begun), owed_at = min(owed_at, ?1)"
    " FROM (SELECT d.id AS waits, max(d.owed_at, coalesce((SELECT max(at) FROM attempt"
    " WHERE delivery = d.id), 0)) AS begun FROM delivery AS d WHERE d.state = 'waiting')"
    " WHERE id = waits AND begun > ?1 AND due_at >= begun"
)
_HELD_SET_BACK = (
    "UPDATE event SET held_until = min(held_until, ?1 + held_until - received_at)"
    " WHERE verdict = 'held' AND received_at > ?1 AND held_until >= received_at"
)
_PACE_SET_BACK = (
    "UPDATE destination SET paused_until = min(paused_until, ?1 + paused_until - counted_at),"
    " counted_at = ?1 WHERE counted_at > ?1"
)
_LIFTED = _WORKS.replace(" AND failures > 0", "")
_PAUSED = "UPDATE destination SET paused_until = ? WHERE name = ?"


def row(owed: Owed, about: tuple[Any, ...], now: int) -> tuple[Any, ...]:
    """A row for DELIVERY; `about` is its event, source, execution, event id and verdict."""
    return (
        owed.dedup_key, *about, owed.route, owed.destination, owed.kind, owed.order_key,
        owed.guard_version, owed.origin, now, now, now,
    )  # fmt: skip


def owe(db: sqlite3.Connection, delivery: int, messages: Sequence[Owed], now: int) -> int:
    """Owe messages about the event of a delivery, those that are not owed yet; how many."""
    if not messages:
        return 0
    about = db.execute(
        "SELECT event, source, execution_id, event_id, verdict FROM delivery WHERE id = ?",
        (delivery,),
    ).fetchone()
    added = 0
    for owed in messages:
        done = db.execute(f"{DELIVERY} ON CONFLICT (dedup_key) DO NOTHING", row(owed, about, now))
        added += done.rowcount
    db.execute("UPDATE event SET owed = owed + ? WHERE seq = ?", (added, about[0]))
    return added


def claim(
    db: sqlite3.Connection, destination: str, pace: Pace, now: int, until: int
) -> Claim | None:
    """See store.Transaction.claim."""
    release(db, now, all_leases=False)
    tokens, paused_until = _allowance(db, destination, pace, now)
    if tokens < 1 or paused_until > now:
        return None
    while (found := db.execute(_NEXT, (destination, now)).fetchone()) is not None:
        taken, verdict, version = _read(db, found)
        if untrue := _untrue(taken, verdict, version):
            _end(db, taken.delivery, State.SUPERSEDED, untrue)
            continue
        token = secrets.token_hex(8)
        db.execute(
            "UPDATE delivery SET state = 'sending', token = ?, lease_until = ? WHERE id = ?",
            (token, until, taken.delivery),
        )
        db.execute(_TAKEN, (destination, tokens - 1, now))
        return replace(taken, token=token, claimed_at=now)
    return None


def record(db: sqlite3.Connection, claim: Claim, attempt: Attempt, after: Recorded) -> bool:
    """See store.Transaction.record."""
    told = (after.state, after.reason, after.due_at, after.title, after.body)
    uncertain = int(attempt.outcome is Outcome.UNCERTAIN)
    mine = db.execute(_RECORD, (*told, uncertain, claim.delivery, claim.token)).rowcount
    if not mine:
        return False
    _attempted(db, claim.delivery, claim.claimed_at, attempt)
    if attempt.outcome is Outcome.DELIVERED:
        db.execute(_WORKS, (claim.destination,))
    elif attempt.retry_after:
        # It speaks for the destination, not for this one message.
        wait = min(attempt.retry_after, LONGEST)
        ended = claim.claimed_at + attempt.duration_ms * MS
        db.execute(_PAUSED, (ended + int(wait * SECOND), claim.destination))
    elif not attempt.permanent:
        _failed(db, claim, claim.claimed_at + attempt.duration_ms * MS, after.chance)
    return True


def _failed(db: sqlite3.Connection, claim: Claim, now: int, chance: float) -> None:
    """Count it against the destination, which waits as a whole once it looks like its own fault."""
    failures, several = db.execute(
        _FAILED, (claim.destination, claim.order_key, claim.claimed_at)
    ).fetchone()
    if several and (wait := pause(failures, chance)) > 0:
        db.execute(_PAUSED, (now + int(wait * SECOND), claim.destination))


def release(db: sqlite3.Connection, now: int, *, all_leases: bool) -> int:
    """See store.Transaction.release."""
    lost = db.execute(
        "SELECT id FROM delivery WHERE state = 'sending' AND (? OR lease_until <= ?)",
        (int(all_leases), now),
    ).fetchall()
    for (delivery,) in lost:
        db.execute(
            "UPDATE delivery SET state = 'waiting', due_at = ?, repeat = 1, token = NULL,"
            " lease_until = NULL, attempts = attempts + 1, tries = tries + 1 WHERE id = ?",
            (now, delivery),
        )
        lost_attempt = Attempt(Outcome.UNCERTAIN, "the process stopped while sending")
        _attempted(db, delivery, now, lost_attempt)
    return len(lost)


def set_back(db: sqlite3.Connection, now: int) -> int:
    """See store.Transaction.set_back."""
    acts = (_WAITS_SET_BACK, _HELD_SET_BACK, _PACE_SET_BACK)
    return sum(db.execute(act, (now,)).rowcount for act in acts)


def redeliver(db: sqlite3.Connection, delivery: int, now: int) -> bool | None:
    """See store.Transaction.redeliver."""
    state = db.execute("SELECT state FROM delivery WHERE id = ?", (delivery,)).fetchone()
    if state is None:
        return None
    # A guarded message whose moment has passed will be superseded at its claim, not sent.
    return bool(_again(db, "id = ?", delivery, now))


def lift(db: sqlite3.Connection, destination: str) -> None:
    """See store.Transaction.lift."""
    db.execute(_LIFTED, (destination,))


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
    rows = db.execute(f"{_ABOUT} WHERE {where} ORDER BY id LIMIT {MANY}", values).fetchall()
    buried = [_read(db, found)[0] for found in rows]
    for dead in buried:
        _end(db, dead.delivery, State.DEAD, reason)
    return [replace(dead, origin=Origin(dead.destination, reason, 0)) for dead in buried]


def _again(db: sqlite3.Connection, where: str, value: object, now: int) -> int:
    return db.execute(
        "UPDATE delivery SET state = 'waiting', reason = '', due_at = ?, owed_at = ?, tries = 0"
        f" WHERE {where} AND state = 'dead'",
        (now, now, value),
    ).rowcount


def _end(db: sqlite3.Connection, delivery: int, state: State, reason: str) -> None:
    db.execute("UPDATE delivery SET state = ?, reason = ? WHERE id = ?", (state, reason, delivery))


def _attempted(db: sqlite3.Connection, delivery: int, at: int, attempt: Attempt) -> None:
    db.execute(
        "INSERT INTO attempt SELECT id, attempts, ?, ?, ?, ? FROM delivery WHERE id = ?",
        (at, attempt.outcome, attempt.detail, attempt.duration_ms, delivery),
    )


def _allowance(db: sqlite3.Connection, destination: str, pace: Pace, now: int) -> tuple[float, int]:
    """How many messages the destination could get now, and until when it waits as a whole."""
    row = db.execute(
        "SELECT tokens, counted_at, coalesce(paused_until, 0) FROM destination WHERE name = ?",
        (destination,),
    ).fetchone()
    return (pace.burst, 0) if row is None else (queries.tokens(pace, row, now), row[2])


def _read(db: sqlite3.Connection, found: Sequence[Any]) -> tuple[Claim, str, int | None]:
    """A delivery as it may be claimed, its verdict when it was owed, the execution's version."""
    (delivery, route, tries, repeat, owed_at, guard, verdict, event, kind, order_key, origin,
     destination) = found  # fmt: skip
    facts, version = queries.facts(db, event)
    taken = Claim(
        delivery, "", destination, route, tries, bool(repeat), owed_at, facts, Kind(kind),
        order_key, guard, 0, _origin(db, origin),
    )  # fmt: skip
    return taken, verdict, version


def _origin(db: sqlite3.Connection, origin: int | None) -> Origin | None:
    if origin is None:
        return None
    destination, reason, state = db.execute(
        "SELECT destination, reason, state FROM delivery WHERE id = ?", (origin,)
    ).fetchone()
    dead, last = db.execute(
        "SELECT count(*), max(id) FROM delivery WHERE state = 'dead' AND destination = ?",
        (destination,),
    ).fetchone()
    is_dead = state == State.DEAD
    if not is_dead and dead:
        (reason,) = db.execute("SELECT reason FROM delivery WHERE id = ?", (last,)).fetchone()
    return Origin(destination, reason, dead, is_dead)


def _untrue(claim: Claim, verdict: str, version: int | None) -> str:
    """Why a message must not be sent any more; empty if it is still true."""
    facts, origin = claim.facts, claim.origin
    if origin is not None and not (origin.is_dead if claim.kind is Kind.FALLBACK else origin.dead):
        return f"{origin.destination} got another chance"
    if facts.verdict != verdict:
        return f"no longer {verdict}: now {facts.verdict} ({facts.verdict_reason})"
    if claim.guard_version is not None and version != claim.guard_version:
        again = " again" if facts.status == facts.execution_status else ""
        return f"no longer {facts.status}: now {facts.execution_status}{again}"
    return ""
