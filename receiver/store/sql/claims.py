"""Which delivery goes out next, on SQLite: what is due, is still true, is not silenced, and for
which it is not quiet. See store.Transaction.claim.

What may not go out yet is put off, as a set, to the time at which it is looked at again.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from receiver.deliveries import Claim, Digest, Kind
from receiver.routing.policy import RouteOptions, SendPolicy
from receiver.routing.silences import Silence
from receiver.store.contract import AHEAD
from receiver.store.sql import digests, silences
from receiver.store.sql import reads as queries
from receiver.store.sql.episodes import remind, supersede_untrue
from receiver.store.sql.outbox import (
    ABOUT,
    COLUMNS,
    PUT_OFF_BY_HOURS,
    STUCK,
    WAITS,
    promise,
    read,
    release,
)
from receiver.times import SECOND

_CLAIMABLE = "state = 'waiting' AND due_at <= ?"
# The order of one execution within a destination is kept: nothing is taken before what is older.
_NEXT = (
    f"{ABOUT} WHERE destination = ? AND {_CLAIMABLE}"
    f" AND {queries.UNBLOCKED} ORDER BY due_at, id LIMIT 1"
)
_TAKEN = (
    "INSERT INTO destination (name, tokens, counted_at) VALUES (?, ?, ?)"
    " ON CONFLICT (name) DO UPDATE SET tokens = excluded.tokens, counted_at = excluded.counted_at"
)
# The start of `retry_for` moves along: what is put off is not failing.
_PUT_OFF = "UPDATE delivery SET owed_at = owed_at + (:to - due_at), due_at = :to, begun_at = :now"
# What was kept by the same hours goes out together. What tells of a destination's failure, or
# lists what a silence kept back, stays a message of its own.
_QUIET = (
    f"{_PUT_OFF}, order_key = dedup_key, group_key = CASE WHEN kind = 'digest'"
    " OR (kind = 'notice' AND origin IS NOT NULL) THEN NULL ELSE :key END"
    " WHERE destination = :destination AND route = :route AND state = 'waiting' AND due_at < :to"
)
_BY_HOURS = (
    f"destination = :destination AND state = 'waiting' AND due_at > :now AND {PUT_OFF_BY_HOURS}"
)
_HOURS_MOVED = (
    f"{_PUT_OFF}, group_key = iif(:key IS NULL OR group_key IS NULL, group_key, :key)"
    f" WHERE {_BY_HOURS} AND route = :route AND due_at <> :to"
)
_STUCK = (
    "UPDATE delivery SET owed_at = owed_at + (h.heard + :after - due_at),"
    " due_at = h.heard + :after, begun_at = h.heard"
    # What was received under a clock ahead of ours was heard before it was set back.
    " FROM (SELECT d.id, (SELECT max(e.received_at) FROM event AS e WHERE e.source = d.source"
    " AND e.execution_id = d.execution_id AND e.received_at <= :now + :ahead) AS heard"
    " FROM delivery AS d WHERE d.route = :route"
    " AND d.kind IN ('notice', 'reminder', 'fallback') AND d.guard_version IS NOT NULL"
    " AND {where}) AS h WHERE delivery.id = h.id AND h.heard + :after > :now"
)
# What tells of an episode because nothing is heard of it, though no rule asks for that any more.
_NOT_ASKED_FOR = (
    "UPDATE delivery SET state = 'superseded',"
    " reason = 'no route ' || route || ' asks for what is stuck any more' WHERE id IN"
    " (SELECT d.id FROM delivery AS d WHERE d.kind IN ('notice', 'reminder', 'fallback')"
    " AND d.route NOT IN (SELECT value FROM json_each(:stuck))"
    f" AND {STUCK} AND {{where}})"
)
_NOTHING_LEFT = (
    "UPDATE delivery SET state = 'superseded', reason = 'what it would list waits no longer',"
    " token = NULL, lease_until = NULL WHERE id = ?"
)
# Said twice, so that SQLite sees that it may use the index of what is not settled.
_UNSETTLED = "d.state IN ('waiting', 'sending') AND d.state"
_GROUP = f"d.destination = :destination AND d.group_key = :key AND {_UNSETTLED} = 'waiting'"
_TOGETHER = f"{_GROUP} AND d.due_at <= :until"
_ONE = "d.id = :id AND d.state = 'waiting'"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked for, by whom and when (see Transaction.claim), and the silences in force."""

    destination: str
    policy: SendPolicy
    now: int
    until: int
    silences: Sequence[Silence]


def claim(
    db: sqlite3.Connection,
    destination: str,
    policy: SendPolicy,
    now: int,
    until: int,
    *,
    anyway: bool,
) -> Claim | None:
    """See store.Transaction.claim."""
    release(db, now, all_leases=False)
    tokens, paused_until = _allowance(db, destination, policy, now)
    if tokens < 1 or (paused_until > now and not anyway):
        return None
    asked = _Asked(destination, policy, now, until, silences.active(db, now))
    # Each round takes one or puts at least one off, so this ends.
    while (found := db.execute(_NEXT, (destination, now)).fetchone()) is not None:
        if (taken := _take(db, asked, found)) is not None:
            db.execute(_TAKEN, (destination, tokens - 1, now))
            return taken
    return None


def recheck_quiet(db: sqlite3.Connection, destination: str, policy: SendPolicy, now: int) -> None:
    """See store.Transaction.recheck_quiet."""
    of = {"destination": destination, "now": now}
    routes = db.execute(f"SELECT DISTINCT route FROM delivery WHERE {_BY_HOURS}", of).fetchall()
    for (route,) in routes:
        end = policy.options_for(route).quiet_until
        key = None if end is None else f"quiet/{end}"
        to = now if end is None else end
        db.execute(_HOURS_MOVED, {**of, "route": route, "to": to, "key": key})


def _take(db: sqlite3.Connection, asked: _Asked, found: Sequence[Any]) -> Claim | None:
    """The delivery, or the digest it belongs to; None if it may not go out (now)."""
    delivery, route, group_key = found[0], found[1], found[12]
    route_options = asked.policy.options_for(route)
    if route_options.quiet_until is not None:
        hours = {
            "to": route_options.quiet_until,
            "key": f"quiet/{route_options.quiet_until}",
            "route": route,
        }
        db.execute(_QUIET, {**hours, "destination": asked.destination, "now": asked.now})
        return None
    if group_key is None:
        _sift(db, asked, _ONE, {"id": delivery})
        return _one(db, asked, delivery)
    group = {
        "destination": asked.destination,
        "key": group_key,
        "until": asked.now + route_options.wait,
    }
    if (wait := _told_until(db, asked, group, route_options)) is not None:
        db.execute(f"{_PUT_OFF} WHERE id IN (SELECT d.id FROM delivery AS d WHERE {_GROUP}"
                   " AND d.due_at < :to)", {**group, "to": wait, "now": asked.now})  # fmt: skip
        return None
    _sift(db, asked, _TOGETHER, group)
    return _digest(db, asked, group)


def _told_until(
    db: sqlite3.Connection, asked: _Asked, group: Mapping[str, Any], route_options: RouteOptions
) -> int | None:
    """Until when the group waits because it was told a short while ago, or is being told."""
    is_sent = (
        "SELECT 1 FROM delivery AS d WHERE d.destination = :destination AND d.group_key = :key"
        f" AND {_UNSETTLED} = 'sending' LIMIT 1"
    )
    if db.execute(is_sent, group).fetchone():
        return asked.now + SECOND
    told = "SELECT told_at FROM digest_group WHERE destination = :destination AND key = :key"
    row = db.execute(told, group).fetchone()
    wait = None if row is None else int(row[0]) + route_options.every
    return wait if wait is not None and wait > asked.now else None


def _sift(db: sqlite3.Connection, asked: _Asked, where: str, values: Mapping[str, Any]) -> None:
    """Leave those that may go out now: still true, not silenced, of stuck ones nothing heard."""
    supersede_untrue(db, where, values)
    if asked.silences:
        silenced = silences.supersede_silenced(db, asked.silences, where, values, asked.now)
        if silenced:
            _remind_silenced(db, asked)
    stuck = [
        route
        for route, route_options in asked.policy.options.items()
        if route_options.stuck_after is not None
    ]
    asked_for = {**values, "stuck": json.dumps(stuck)}
    db.execute(_NOT_ASKED_FOR.replace("{where}", where), asked_for)
    for route, route_options in asked.policy.options.items():
        if route_options.stuck_after is not None:
            of = {
                "route": route,
                "after": route_options.stuck_after,
                "now": asked.now,
                "ahead": AHEAD,
            }
            db.execute(_STUCK.replace("{where}", where), {**values, **of})


def _remind_silenced(db: sqlite3.Connection, asked: _Asked) -> None:
    """A silence keeps messages back, it does not end an episode: its reminders go on."""
    where = "d.silence = :silence AND d.destination = :destination AND d.due_at = :at"
    for silence in asked.silences:
        of = {"silence": silence.id, "destination": asked.destination, "at": asked.now}
        owed = remind(
            db, f"{where} AND d.state = 'superseded'", of, asked.policy.options, asked.now
        )
        promise(db, "owed", owed)


def _one(db: sqlite3.Connection, asked: _Asked, delivery: int) -> Claim | None:
    """Take this one, if it is there still."""
    token = secrets.token_hex(8)
    taken = db.execute(
        "UPDATE delivery SET state = 'sending', token = ?, lease_until = ?, digest = NULL"
        f" WHERE id = ? AND {_CLAIMABLE} RETURNING {COLUMNS}",
        (token, asked.until, delivery, asked.now),
    ).fetchall()
    if not taken:
        return None
    claim = read(db, taken[0])
    kind = claim.origin.kind if claim.origin and claim.kind is Kind.FALLBACK else claim.kind
    if kind is Kind.DIGEST:
        claim = replace(claim, digest=(missed := _missed(db, claim)))
        if missed.page > 1 and not missed.listed:
            db.execute(_NOTHING_LEFT, (delivery,))
            return None
    return replace(claim, token=token, claimed_at=asked.now)


def _digest(db: sqlite3.Connection, asked: _Asked, group: Mapping[str, Any]) -> Claim | None:
    """Take all of the group that goes out now; an only one as an ordinary message."""
    eleventh = db.execute(
        f"SELECT d.id FROM delivery AS d JOIN event AS e ON e.seq = d.event WHERE {_TOGETHER}"
        f" AND {WAITS} ORDER BY d.id LIMIT 1 OFFSET {silences.PAGE}",
        group,
    ).fetchone()
    before = queries.MAX_ID if eleventh is None else eleventh[0]
    together = {**group, "before": before, "end": asked.until, "token": secrets.token_hex(8)}
    head, n = db.execute(
        f"SELECT min(d.id), count(*) FROM delivery AS d WHERE {_TOGETHER} AND d.id < :before",
        together,
    ).fetchone()
    if n < 2:
        return None if head is None else _one_of(db, asked, head)
    db.execute(
        "UPDATE delivery AS d SET state = 'sending', token = :token, lease_until = :end,"
        f" digest = :head WHERE {_TOGETHER} AND d.id < :before",
        {**together, "head": head},
    )
    claim = read(db, db.execute(f"{ABOUT} WHERE id = ?", (head,)).fetchone())
    repeat = db.execute(
        "SELECT max(repeat) FROM delivery WHERE token = ?", (together["token"],)
    ).fetchone()[0]
    return replace(
        claim,
        token=together["token"],
        claimed_at=asked.now,
        repeat=bool(repeat),
        digest=digests.gathered(db, head),
    )


def _one_of(db: sqlite3.Connection, asked: _Asked, delivery: int) -> Claim | None:
    """An only one may be due a moment later than the one by which its group was found."""
    db.execute("UPDATE delivery SET due_at = min(due_at, ?) WHERE id = ?", (asked.now, delivery))
    return _one(db, asked, delivery)


def _missed(db: sqlite3.Connection, claim: Claim) -> Digest:
    """What a silence kept back from the destination for which the digest was owed."""
    number = claim.delivery
    while True:
        row = db.execute(
            "SELECT silence, destination, step, origin FROM delivery WHERE id = ?", (number,)
        ).fetchone()
        if row[0] is not None:
            # Whom a fall-back tells was not told itself, and nobody else was.
            number_told = claim.delivery if claim.kind is Kind.DIGEST else None
            return digests.silenced(db, number_told, *row[:3])
        number = row[3]


def _allowance(
    db: sqlite3.Connection, destination: str, policy: SendPolicy, now: int
) -> tuple[float, int]:
    """How many messages the destination could get now, and until when it waits as a whole."""
    row = db.execute(
        "SELECT tokens, counted_at, coalesce(paused_until, 0) FROM destination WHERE name = ?",
        (destination,),
    ).fetchone()
    return (policy.burst, 0) if row is None else (queries.tokens(policy, row, now), row[2])
