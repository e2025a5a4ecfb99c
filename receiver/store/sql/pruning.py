"""What has been kept for long enough goes, on SQLite, a bounded portion at a time. See
store.Transaction.prune.

A walk goes over what is old, in the order of its times, and looks at each once: what must stay, for
whatever reason, is passed over and looked at again by the next walk. Deliveries go before what they
refer to: members of a digest before its head, what fell back before what died.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from receiver.retention import Limits
from receiver.store.contract import PruneCursor, Pruned, PruneStage

# How many rows one portion looks at, and how many it removes at most (but an execution's history
# goes at once). So it takes a millisecond or two, however many there are.
BODIES, EXECUTIONS, EVENTS, ROWS = 50, 5, 50, 50

_BODIES = (
    "UPDATE event SET body = NULL WHERE seq IN (SELECT seq FROM event WHERE body IS NOT NULL"
    " AND received_at < :bodies ORDER BY received_at LIMIT :n)"
)
_ENDED = (
    "SELECT since, id, source, execution_id FROM execution WHERE category = 'terminal'"
    " AND since < :executions AND (since, id) > (:at, :number) ORDER BY since, id LIMIT :n"
)
# Applied and held events have an execution, and go with it.
_UNAPPLIED = (
    "SELECT received_at, seq, source, execution_id FROM event WHERE verdict <> 'applied'"
    " AND received_at < :event_ids AND (received_at, seq) > (:at, :number)"
    " ORDER BY received_at, seq LIMIT :n"
)
_OWN = "SELECT 1 FROM execution WHERE source = ? AND execution_id = ?"
# A silence that was not listed long ago, or whose digests have not got through, still counts what
# it kept back.
_STILL_LISTED = (
    "EXISTS (SELECT 1 FROM silence AS s WHERE s.id = d.silence AND (s.listed_at IS NULL"
    " OR s.listed_at >= :executions OR EXISTS (SELECT 1 FROM delivery AS g LEFT JOIN delivery AS f"
    " ON f.origin = g.id WHERE g.silence = s.id AND g.kind = 'digest'"
    " AND (g.state IN ('waiting', 'sending') OR f.state IN ('waiting', 'sending')))))"
)
# What is owed, or ended a short while ago: `d` stays.
_KEPT = (
    "(d.state IN ('waiting', 'sending') OR d.created_at >= :executions"
    " OR (d.state IN ('sent', 'dead') AND d.due_at >= :executions)"
    " OR EXISTS (SELECT 1 FROM attempt AS a WHERE a.delivery = d.id AND a.at >= :executions)"
    f" OR (d.silence IS NOT NULL AND {_STILL_LISTED}))"
)
_OF_EXECUTION = "d.source = :source AND d.execution_id = :execution"
_OF_EVENT = "d.event = :event"
# What makes an execution (`source`, `execution`) stay, though it ended long ago.
_STAYS = (
    "(EXISTS (SELECT 1 FROM event AS r WHERE r.source = {source} AND r.execution_id = {execution}"
    " AND (r.received_at >= :executions OR r.verdict = 'held')) OR EXISTS (SELECT 1 FROM delivery"
    f" AS d WHERE d.source = {{source}} AND d.execution_id = {{execution}} AND {_KEPT}))"
)
_EXECUTION_STAYS = f"SELECT {_STAYS.format(source=':source', execution=':execution')}"
_EVENT_STAYS = f"SELECT EXISTS (SELECT 1 FROM delivery AS d WHERE {_OF_EVENT} AND {_KEPT})"
# Deliveries that no other one refers to.
_LEAVES = (
    "SELECT id FROM delivery AS d WHERE {where}"
    " AND NOT EXISTS (SELECT 1 FROM delivery AS m WHERE m.digest = d.id AND m.id <> d.id)"
    " AND NOT EXISTS (SELECT 1 FROM delivery AS f WHERE f.origin = d.id) LIMIT :n"
)
_LISTED = "(SELECT value FROM json_each(?))"
_BESIDES = (
    "SELECT seq FROM event WHERE source = :source AND execution_id = :execution"
    " AND verdict <> 'applied' LIMIT :n"
)
_SILENCES = (
    "DELETE FROM silence WHERE id IN (SELECT id FROM silence WHERE listed_at < :executions"
    " AND NOT EXISTS (SELECT 1 FROM delivery AS d WHERE d.silence = silence.id) LIMIT :n)"
)
_COUNT = (
    "INSERT INTO pruned (what, name, n) VALUES (?, ?, ?)"
    " ON CONFLICT (what, name) DO UPDATE SET n = n + excluded.n"
)


def prune(db: sqlite3.Connection, limits: Limits, place: PruneCursor) -> Pruned:
    """See store.Transaction.prune."""
    return _Portion(db, limits).taken(place)


class _Portion:
    """One portion of a walk; counts what it removed, for the ledger."""

    def __init__(self, db: sqlite3.Connection, limits: Limits) -> None:
        self._db, self._left = db, ROWS
        self._limits = {"bodies": limits.bodies, "event_ids": limits.event_ids,
                        "executions": limits.executions}  # fmt: skip
        self._gone: Counter[tuple[str, str]] = Counter()
        self._pruned = Pruned(None)

    def taken(self, place: PruneCursor) -> Pruned:
        walks = {PruneStage.EXECUTIONS: self._executions, PruneStage.EVENTS: self._events,
                 PruneStage.SILENCES: self._silences, PruneStage.BODIES: self._bodies}  # fmt: skip
        after = walks[place.step](place)
        self._db.executemany(_COUNT, [(*name, n) for name, n in self._gone.items()])
        return replace(self._pruned, after=after)

    def _executions(self, place: PruneCursor) -> PruneCursor:
        rows = self._db.execute(_ENDED, self._from(place, EXECUTIONS)).fetchall()
        for at, number, source, execution_id in rows:
            of = {**self._limits, "source": source, "execution": execution_id}
            if not self._db.execute(_EXECUTION_STAYS, of).fetchone()[0]:
                self._execution(number, of)
            if self._left <= 0:
                return place  # the rest of this one is looked for again
            place = PruneCursor(PruneStage.EXECUTIONS, at, number)
        return place if len(rows) == EXECUTIONS else PruneCursor(PruneStage.EVENTS)

    def _execution(self, number: int, of: Mapping[str, Any]) -> None:
        """Remove an execution with all about it, or as much as may go now."""
        self._deliveries(_OF_EXECUTION, of)
        stays = f"SELECT 1 FROM delivery AS d WHERE {_OF_EXECUTION}"
        if self._left <= 0 or self._db.execute(stays, of).fetchone():
            return
        besides = self._db.execute(_BESIDES, {**of, "n": self._left}).fetchall()
        self._remove_events([seq for (seq,) in besides])
        if self._left <= 0:
            return
        applied = self._db.execute("SELECT event FROM history WHERE execution = ?", (number,))
        events = [seq for (seq,) in applied.fetchall()]
        self._db.execute("DELETE FROM acknowledgement WHERE execution = ?", (number,))
        self._db.execute("DELETE FROM history WHERE execution = ?", (number,))
        self._db.execute("DELETE FROM execution WHERE id = ?", (number,))
        self._remove_events(events)
        # Nothing is left of it: also if that took all of the portion, the walk goes on behind it.
        self._left = max(self._left, 1)
        self._add(executions=1)

    def _events(self, place: PruneCursor) -> PruneCursor:
        """Events about no execution: ignored, in quarantine, or too late to begin one."""
        rows = self._db.execute(_UNAPPLIED, self._from(place, EVENTS)).fetchall()
        for at, seq, *execution in rows:
            of = {**self._limits, "event": seq}
            has_own = self._db.execute(_OWN, execution).fetchone() is not None
            if not has_own and not self._db.execute(_EVENT_STAYS, of).fetchone()[0]:
                self._deliveries(_OF_EVENT, of)
                if self._left <= 0:
                    return place
                if not self._db.execute(
                    "SELECT 1 FROM delivery WHERE event = ?", (seq,)
                ).fetchone():
                    self._remove_events([seq])
            place = PruneCursor(PruneStage.EVENTS, at, seq)
            if self._left <= 0:
                return place
        return place if len(rows) == EVENTS else PruneCursor(PruneStage.SILENCES)

    def _silences(self, place: PruneCursor) -> PruneCursor:
        n = self._db.execute(_SILENCES, {**self._limits, "n": EVENTS}).rowcount
        self._add(silences=n)
        return place if n == EVENTS else PruneCursor(PruneStage.BODIES)

    def _bodies(self, place: PruneCursor) -> PruneCursor | None:
        n = self._db.execute(_BODIES, {**self._limits, "n": BODIES}).rowcount
        self._add(bodies=n)
        return place if n == BODIES else None

    def _from(self, place: PruneCursor, n: int) -> Mapping[str, int]:
        return {**self._limits, "at": place.at, "number": place.number, "n": n}

    def _deliveries(self, where: str, of: Mapping[str, Any]) -> None:
        """Remove the deliveries that may go, as many as the portion has left."""
        leaves = _LEAVES.replace("{where}", where)
        while self._left > 0:
            found = self._db.execute(leaves, {**of, "n": self._left}).fetchall()
            if not found:
                return
            numbers = json.dumps([number for (number,) in found])
            self._db.execute(f"DELETE FROM attempt WHERE delivery IN {_LISTED}", (numbers,))
            gone = self._db.execute(
                f"DELETE FROM delivery WHERE id IN {_LISTED} RETURNING state, event", (numbers,)
            ).fetchall()
            less = Counter(event for _, event in gone)
            self._db.executemany(
                "UPDATE event SET owed = owed - ? WHERE seq = ?",
                [(n, event) for event, n in less.items()],
            )
            self._gone.update(("delivery", state) for state, _ in gone)
            self._left -= len(gone)
            self._add(deliveries=len(gone))

    def _remove_events(self, numbers: Sequence[int]) -> None:
        listed = (json.dumps(numbers),)
        self._db.execute(f"DELETE FROM judgement WHERE event IN {_LISTED}", listed)
        gone = self._db.execute(
            f"DELETE FROM event WHERE seq IN {_LISTED} RETURNING verdict, reason, times", listed
        ).fetchall()
        for verdict, reason, times in gone:
            if reason != "malformed":  # those were never promised
                self._gone["event", verdict] += times
        self._left -= len(gone)
        self._add(events=len(gone))

    def _add(self, **more: int) -> None:
        before = self._pruned
        self._pruned = replace(
            before, **{name: getattr(before, name) + n for name, n in more.items()}
        )


_PRUNABLE = {
    "executions": "SELECT count(*) FROM execution AS x WHERE {ended}",
    "events": (
        "SELECT (SELECT count(*) FROM execution AS x JOIN event AS e ON e.source = x.source"
        " AND e.execution_id = x.execution_id WHERE {ended})"
        " + (SELECT count(*) FROM event AS e WHERE {loose})"
    ),
    "deliveries": (
        "SELECT (SELECT count(*) FROM execution AS x JOIN delivery AS d ON d.source = x.source"
        " AND d.execution_id = x.execution_id WHERE {ended})"
        " + (SELECT count(*) FROM event AS e JOIN delivery AS d ON d.event = e.seq WHERE {loose})"
    ),
    "silences": "SELECT count(*) FROM silence WHERE listed_at < :executions",
    "bodies": "SELECT count(*) FROM event WHERE body IS NOT NULL AND received_at < :bodies",
}
_IS_ENDED = (
    "x.category = 'terminal' AND x.since < :executions"
    f" AND NOT {_STAYS.format(source='x.source', execution='x.execution_id')}"
)
_IS_LOOSE = (
    "e.verdict <> 'applied' AND e.received_at < :event_ids"
    " AND NOT EXISTS (SELECT 1 FROM execution AS x WHERE x.source = e.source"
    " AND x.execution_id = e.execution_id)"
    f" AND NOT EXISTS (SELECT 1 FROM delivery AS d WHERE d.event = e.seq AND {_KEPT})"
)


def prunable(db: sqlite3.Connection, limits: Limits) -> dict[str, int]:
    """See store.Store.prunable."""
    of = {"bodies": limits.bodies, "event_ids": limits.event_ids, "executions": limits.executions}
    found = {}
    for name, query in _PRUNABLE.items():
        sql = query.replace("{ended}", _IS_ENDED).replace("{loose}", _IS_LOOSE)
        found[name] = int(db.execute(sql, of).fetchone()[0])
    return found
