"""What happens to what is owed in the course of an episode, on SQLite: reminders follow from what
was sent, its end supersedes what is no longer true and is told of, and somebody may take it.

All of it in sets: `where` names deliveries (as `d`) of which the acts below are done.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from receiver.deliveries import Acknowledgement
from receiver.routing.policy import RouteOptions
from receiver.store.contract import JudgedWebhook
from receiver.store.sql.outbox import inserted

_FELL_FROM = "(SELECT o.kind FROM delivery AS o WHERE o.id = d.origin)"
# Reminders and escalations, also where they have fallen back.
NAGGING = (
    "(d.kind IN ('reminder', 'escalation') OR (d.kind = 'fallback'"
    f" AND {_FELL_FROM} IN ('reminder', 'escalation')))"
)
# Word of who took it before, also where it has fallen back.
_WHO_TOOK_IT = (
    f"(d.kind = 'acknowledged' OR (d.kind = 'fallback' AND {_FELL_FROM} = 'acknowledged'))"
)
_OVER = (
    "UPDATE delivery SET state = 'superseded', reason = (SELECT 'no longer ' || status || ': now '"
    " || ?1 || iif(status = ?1, ' again', '') FROM event WHERE seq = delivery.event)"
    " WHERE source = ?2 AND execution_id = ?3 AND state = 'waiting' AND guard_version < ?4"
)
# What it tells of is over: what died has another chance, or nothing there is dead any more.
_ANOTHER_CHANCE = (
    "(iif(d.kind = 'fallback', o.state <> 'dead', NOT EXISTS (SELECT 1 FROM delivery AS dead"
    " WHERE dead.state = 'dead' AND dead.destination = o.destination)))"
)
# Why a delivery must not be sent any more. `d` is it, `e` its event, `x` the execution.
_UNTRUE = (
    f"SELECT d.id, CASE WHEN o.id IS NOT NULL AND {_ANOTHER_CHANCE}"
    " THEN o.destination || ' got another chance'"
    " WHEN e.verdict <> d.verdict"
    " THEN 'no longer ' || d.verdict || ': now ' || e.verdict || ' (' || e.reason || ')'"
    " WHEN x.version <> d.guard_version THEN 'no longer ' || e.status || ': now ' || x.status"
    " || iif(e.status = x.status, ' again', '')"
    " ELSE 'acknowledged by ' || a.by END AS reason"
    " FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    " LEFT JOIN execution AS x ON x.source = e.source AND x.execution_id = e.execution_id"
    " LEFT JOIN acknowledgement AS a ON a.execution = x.id AND a.version = d.guard_version"
    " LEFT JOIN delivery AS o ON o.id = d.origin"
    f" WHERE d.kind <> 'digest' AND ((o.id IS NOT NULL AND {_ANOTHER_CHANCE})"
    " OR e.verdict <> d.verdict OR x.version <> d.guard_version"
    f" OR (a.by IS NOT NULL AND {NAGGING}))"
)
# From a delivery to its episode: the execution, and the event that began it.
_EPISODE = (
    "FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    " JOIN execution AS x ON x.source = e.source AND x.execution_id = e.execution_id"
)
_COLUMNS = (
    "INSERT INTO delivery (dedup_key, event, source, execution_id, event_id, verdict, route,"
    " destination, kind, order_key, guard_version, step, group_key, created_at, owed_at, due_at)"
)
_KEY = "'reminder/' || d.source || '/' || d.destination || '/' || d.event_id || '/' || d.route"
# A reminder that a silence kept back is none that people got: the one after it has its number.
_STEP = "(d.step + iif(d.silence IS NULL OR d.step = 0, 1, 0))"
_NTH = f"{_KEY} || '/' || {_STEP} || iif({_STEP} = d.step, '/' || d.id, '')"
_REMIND = (
    f"{_COLUMNS} SELECT {_NTH}, d.event, d.source, d.execution_id,"
    f" d.event_id, d.verdict, d.route, d.destination, 'reminder', {_NTH},"
    f" e.version, {_STEP}, d.group_key, :now, :due, :due {_EPISODE}"
    f" WHERE d.route = :route AND {_STEP} <= :at_most AND e.version = x.version"
    " AND x.category <> 'terminal'"
    " AND ((d.kind IN ('notice', 'reminder') AND d.origin IS NULL) OR (d.kind = 'fallback'"
    f" AND {_FELL_FROM} NOT IN ('escalation', 'acknowledged', 'resolved', 'digest')))"
    " AND NOT EXISTS (SELECT 1 FROM acknowledgement AS a WHERE a.execution = x.id"
    " AND a.version = x.version) AND {where} ON CONFLICT DO NOTHING"
)
# Who was told of an episode: whoever was sent something about it, if only after a silence. A notice
# with an origin is about a destination's failure, whatever its route is called.
_WERE_TOLD = (
    "(d.state = 'sent' OR (d.state = 'superseded' AND d.silence IS NOT NULL"
    " AND EXISTS (SELECT 1 FROM delivery AS l WHERE l.id = d.digest AND l.state = 'sent')))"
    " AND ((d.kind IN ('notice', 'reminder', 'escalation') AND d.origin IS NULL)"
    f" OR (d.kind = 'fallback' AND {_FELL_FROM} NOT IN ('acknowledged', 'resolved', 'digest')))"
    " AND d.route IN (SELECT value FROM json_each(:routes))"
)
_RESOLVE = (
    f"{_COLUMNS} SELECT 'resolved/' || d.source || '/' || d.destination || '/' || e.event_id,"
    " n.seq, d.source, d.execution_id, n.event_id, n.verdict, min(d.route), d.destination,"
    " 'resolved', d.source || '/' || d.execution_id, NULL, 0, max(d.group_key) || '#resolved',"
    f" :now, :now, :now {_EPISODE} JOIN history AS h ON h.execution = x.id"
    " AND h.version = e.version + 1 JOIN event AS n ON n.seq = h.event"
    f" WHERE {_WERE_TOLD} AND {{where}} GROUP BY d.destination, e.seq ON CONFLICT DO NOTHING"
)
# Each time that somebody takes it, though it is the same one again.
_TOOK = (
    "'acknowledged/' || d.source || '/' || d.destination || '/' || e.event_id || '/' || a.by"
    " || '/' || a.at"
)
_TELL_WHO = (
    f"{_COLUMNS} SELECT {_TOOK}, d.event, d.source, d.execution_id, d.event_id, d.verdict,"
    f" min(d.route), d.destination, 'acknowledged', {_TOOK}, e.version, 0,"
    f" max(d.group_key) || '#acknowledged', :now, :now, :now {_EPISODE}"
    " JOIN acknowledgement AS a ON a.execution = x.id AND a.version = x.version"
    f" WHERE e.version = x.version AND {_WERE_TOLD} AND {{where}}"
    " GROUP BY d.destination, e.seq ON CONFLICT DO NOTHING"
)
UNLIMITED = 2**31


def moved(db: sqlite3.Connection, entries: Sequence[JudgedWebhook]) -> int:
    """Supersede what waits about the episodes that these entries end, and tell who was told.

    Returns how many deliveries that owes.
    """
    ended = [entry for entry in entries if entry.before is not None and entry.after is not None]
    now_at = {(e.after.source, e.after.execution_id): e.after for e in ended if e.after}
    stands = [(x.status, *key, x.version) for key, x in now_at.items()]
    db.executemany(_OVER, stands)
    owed = 0
    for entry in ended:
        if entry.resolved and entry.before is not None:
            before = entry.before
            where = "d.source = :source AND d.execution_id = :execution AND e.version = :version"
            of = {"source": before.source, "execution": before.execution_id,
                  "version": before.version}  # fmt: skip
            owed += _tell(db, _RESOLVE, where, of, entry.resolved, entry.judged_at)
    return owed


def supersede_untrue(db: sqlite3.Connection, where: str, values: Mapping[str, Any]) -> None:
    """End the deliveries that are not true any more, each with the reason."""
    db.execute(
        "UPDATE delivery SET state = 'superseded', reason = u.reason"
        f" FROM ({_UNTRUE} AND {where}) AS u WHERE delivery.id = u.id",
        values,
    )


def follow(
    db: sqlite3.Connection,
    where: str,
    values: Mapping[str, Any],
    options: Mapping[str, RouteOptions],
    now: int,
) -> int:
    """Owe what follows from deliveries that were sent; how many deliveries that is.

    The next reminders; and where the episode has ended or was taken while they were being sent,
    word of that.
    """
    return remind(db, where, values, options, now) + catch_up(db, where, values, options, now)


def catch_up(
    db: sqlite3.Connection,
    where: str,
    values: Mapping[str, Any],
    options: Mapping[str, RouteOptions],
    now: int,
) -> int:
    """Owe word of what happened to episodes while people were being told of them; how many."""
    owed = 0
    resolved = tuple(name for name, route_options in options.items() if route_options.resolved)
    taken = tuple(name for name, route_options in options.items() if route_options.acknowledged)
    if resolved:
        owed += _tell(db, _RESOLVE, where, values, resolved, now)
    if taken:
        owed += _tell(db, _TELL_WHO, where, values, taken, now)
    return owed


def remind(
    db: sqlite3.Connection,
    where: str,
    values: Mapping[str, Any],
    options: Mapping[str, RouteOptions],
    now: int,
) -> int:
    """Owe the reminder after each of these deliveries; how many."""
    owed = 0
    for route, route_options in options.items():
        if route_options.remind_every is None:
            continue
        at_most = UNLIMITED if route_options.at_most is None else route_options.at_most
        of = {
            "route": route,
            "at_most": at_most,
            "now": now,
            "due": now + route_options.remind_every,
        }
        owed += inserted(db, _REMIND.replace("{where}", where), {**values, **of})
    return owed


def acknowledge(
    db: sqlite3.Connection, source: str, execution_id: str, taken: Acknowledgement,
    routes: Sequence[str],
) -> tuple[bool | None, int]:  # fmt: skip
    """See store.Transaction.acknowledge; and how many deliveries that owes."""
    row = db.execute(
        "SELECT id, version, category FROM execution WHERE source = ? AND execution_id = ?",
        (source, execution_id),
    ).fetchone()
    if row is None or row[2] == "terminal":
        return (None if row is None else False), 0
    changed = db.execute(
        "INSERT INTO acknowledgement (execution, version, by, at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (execution, version) DO UPDATE SET by = excluded.by, at = excluded.at"
        " WHERE by <> excluded.by",
        (row[0], row[1], taken.by, taken.at),
    ).rowcount
    of = {"source": source, "execution": execution_id, "version": row[1]}
    db.execute(
        "UPDATE delivery AS d SET state = 'superseded', reason = 'acknowledged by ' || :by"
        " WHERE d.source = :source AND d.execution_id = :execution AND d.state = 'waiting'"
        f" AND d.guard_version = :version AND ({NAGGING} OR (:changed AND {_WHO_TOOK_IT}))",
        {**of, "by": taken.by, "changed": changed},
    )
    where = "d.source = :source AND d.execution_id = :execution"
    return True, _tell(db, _TELL_WHO, where, of, routes, taken.at) if routes else 0


def _tell(
    db: sqlite3.Connection, insert: str, where: str, values: Mapping[str, Any],
    routes: Sequence[str], now: int,
) -> int:  # fmt: skip
    of = {**values, "routes": json.dumps(list(routes)), "now": now}
    return inserted(db, insert.replace("{where}", where), of)
