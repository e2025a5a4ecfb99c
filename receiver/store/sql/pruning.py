"""Pruning: removal of old rows, a bounded portion at a time.

A walk visits the old rows once, in the order of their times. It passes over rows that must stay;
the next walk visits them again. A delivery goes before the one that it refers to: members of a
digest before its head, a fall-back before the dead original.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from receiver.retention import Limits
from receiver.store.records import PruneCursor, Pruned, PruneStage
from receiver.store.sql.database import Database, Values, statement, variants
from receiver.store.sql.rows import events_of

# The number of rows that one portion looks at, and the most rows that it removes (an execution's
# history goes as a whole). So it takes a millisecond or two in a database of any size.
BODIES, EXECUTIONS, EVENTS, ROWS = 50, 5, 50, 50

REMOVE_BODIES = statement(
    "remove_bodies",
    "UPDATE event SET body = NULL WHERE seq IN (SELECT seq FROM event WHERE body IS NOT NULL"
    " AND received_at < :bodies ORDER BY received_at LIMIT :n)",
)
ENDED = statement(
    "ended_executions",
    "SELECT since, id, source, execution_id FROM execution WHERE category = 'terminal'"
    " AND since < :executions AND (since, id) > (:at, :number) ORDER BY since, id LIMIT :n",
)
# Applied and held events have an execution, and go with it.
UNAPPLIED = statement(
    "unapplied_events",
    "SELECT received_at, seq, source, execution_id FROM event WHERE verdict <> 'applied'"
    " AND received_at < :event_ids AND (received_at, seq) > (:at, :number)"
    " ORDER BY received_at, seq LIMIT :n",
)
HAS_EXECUTION = statement(
    "has_execution",
    "SELECT 1 FROM execution WHERE source = :source AND execution_id = :execution",
)
# A silence still counts its deliveries if it was listed only lately, or if its digests have not got
# through.
_STILL_LISTED = (
    "EXISTS (SELECT 1 FROM silence AS s WHERE s.id = d.silence AND (s.listed_at IS NULL"
    " OR s.listed_at >= :executions OR EXISTS (SELECT 1 FROM delivery AS g LEFT JOIN delivery AS f"
    " ON f.origin = g.id WHERE g.silence = s.id AND g.kind = 'digest'"
    " AND (g.state IN ('waiting', 'sending') OR f.state IN ('waiting', 'sending')))))"
)
# True if the delivery `d` stays: it is still owed, or it ended a short while ago.
_KEPT = (
    "(d.state IN ('waiting', 'sending') OR d.created_at >= :executions"
    " OR (d.state IN ('sent', 'dead') AND d.due_at >= :executions)"
    " OR EXISTS (SELECT 1 FROM attempt AS a WHERE a.delivery = d.id AND a.at >= :executions)"
    f" OR (d.silence IS NOT NULL AND {_STILL_LISTED}))"
)
_ABOUT_EXECUTION = "d.source = :source AND d.execution_id = :execution"
_OF_EVENT = "d.event = :event"
_OF_ALARM = "d.alarm = :alarm"
# True if an execution (`source`, `execution`) stays, although it ended long ago.
_STAYS = (
    f"(EXISTS (SELECT 1 FROM event AS r WHERE r.seq IN"
    f" {events_of('= {source}', '= {execution}', '= {number}')}"
    " AND (r.received_at >= :executions OR r.verdict = 'held')) OR EXISTS (SELECT 1 FROM delivery"
    f" AS d WHERE d.source = {{source}} AND d.execution_id = {{execution}} AND {_KEPT}))"
)
EXECUTION_STAYS = statement(
    "execution_stays",
    f"SELECT {_STAYS.format(source=':source', execution=':execution', number=':number')}",
)
EVENT_STAYS = statement(
    "event_stays", f"SELECT EXISTS (SELECT 1 FROM delivery AS d WHERE {_OF_EVENT} AND {_KEPT})"
)
HAS_DELIVERIES = variants(
    "has_deliveries",
    "SELECT 1 FROM delivery AS d WHERE {where} LIMIT 1",
    {"execution": _ABOUT_EXECUTION, "event": _OF_EVENT, "alarm": _OF_ALARM},
)
# Deliveries that no other one refers to.
LEAVES = variants(
    "leaves",
    "SELECT d.id FROM delivery AS d WHERE {where}"
    " AND NOT EXISTS (SELECT 1 FROM delivery AS m WHERE m.digest = d.id AND m.id <> d.id)"
    " AND NOT EXISTS (SELECT 1 FROM delivery AS f WHERE f.origin = d.id) LIMIT :n",
    {"execution": _ABOUT_EXECUTION, "event": _OF_EVENT, "alarm": _OF_ALARM},
)
REMOVE_ATTEMPTS = statement(
    "remove_attempts", "DELETE FROM attempt WHERE delivery IN {numbers:deliveries}"
)
REMOVE_DELIVERIES = statement(
    "remove_deliveries",
    "DELETE FROM delivery WHERE id IN {numbers:deliveries} RETURNING state, event, alarm",
)
OWES_LESS = statement("owes_less", "UPDATE event SET owed = owed - :n WHERE seq = :event")
ALARM_OWES_LESS = statement(
    "alarm_owes_less", "UPDATE alarm SET owed = owed - :n WHERE id = :alarm"
)
OVER = statement(
    "alarms_over",
    "SELECT ended_at, id FROM alarm WHERE ended_at < :executions"
    " AND (ended_at, id) > (:at, :number) ORDER BY ended_at, id LIMIT :n",
)
ALARM_STAYS = statement(
    "alarm_stays", f"SELECT EXISTS (SELECT 1 FROM delivery AS d WHERE {_OF_ALARM} AND {_KEPT})"
)
REMOVE_AUDIT = statement(
    "remove_audit",
    "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < :executions ORDER BY at"
    " LIMIT :n)",
)
REMOVE_ALARM = statement("remove_alarm", "DELETE FROM alarm WHERE id = :alarm")
BESIDES = statement(
    "besides_history",
    "SELECT seq FROM event WHERE source = :source AND execution_id = :execution"
    " AND verdict <> 'applied' LIMIT :n",
)
HISTORY = statement("history_events", "SELECT event FROM history WHERE execution = :number")
REMOVE_EXECUTION = (
    statement("remove_acknowledgements", "DELETE FROM acknowledgement WHERE execution = :number"),
    statement("remove_history", "DELETE FROM history WHERE execution = :number"),
    statement("remove_execution", "DELETE FROM execution WHERE id = :number"),
)
REMOVE_JUDGEMENTS = statement(
    "remove_judgements", "DELETE FROM judgement WHERE event IN {numbers:events}"
)
REMOVE_EVENTS = statement(
    "remove_events",
    "DELETE FROM event WHERE seq IN {numbers:events} RETURNING verdict, reason, times",
)
REMOVE_SILENCES = statement(
    "remove_silences",
    "DELETE FROM silence WHERE id IN (SELECT s.id FROM silence AS s"
    " WHERE s.listed_at < :executions AND NOT EXISTS"
    " (SELECT 1 FROM delivery AS d WHERE d.silence = s.id) LIMIT :n)",
)
COUNT_PRUNED = statement(
    "count_pruned",
    "INSERT INTO pruned (what, name, n) VALUES (:what, :name, :n)"
    " ON CONFLICT (what, name) DO UPDATE SET n = pruned.n + excluded.n",
)
_IS_ENDED = (
    "x.category = 'terminal' AND x.since < :executions"
    f" AND NOT {_STAYS.format(source='x.source', execution='x.execution_id', number='x.id')}"
)
_IS_LOOSE = (
    "e.verdict <> 'applied' AND e.received_at < :event_ids"
    " AND NOT EXISTS (SELECT 1 FROM execution AS x WHERE x.source = e.source"
    " AND x.execution_id = e.execution_id)"
    f" AND NOT EXISTS (SELECT 1 FROM delivery AS d WHERE d.event = e.seq AND {_KEPT})"
)
_IS_OVER = (
    "a.ended_at < :executions"
    f" AND NOT EXISTS (SELECT 1 FROM delivery AS d WHERE d.alarm = a.id AND {_KEPT})"
)
PRUNABLE = {
    "executions": statement(
        "prunable_executions", f"SELECT count(*) FROM execution AS x WHERE {_IS_ENDED}"
    ),
    "events": statement(
        "prunable_events",
        "SELECT (SELECT coalesce(sum((SELECT count(*) FROM history AS h WHERE h.execution = x.id)"
        " + (SELECT count(*) FROM event AS e WHERE e.source = x.source"
        " AND e.execution_id = x.execution_id AND e.verdict <> 'applied')), 0)"
        f" FROM execution AS x WHERE {_IS_ENDED})"
        f" + (SELECT count(*) FROM event AS e WHERE {_IS_LOOSE})",
    ),
    "deliveries": statement(
        "prunable_deliveries",
        "SELECT (SELECT count(*) FROM execution AS x JOIN delivery AS d ON d.source = x.source"
        f" AND d.execution_id = x.execution_id WHERE {_IS_ENDED})"
        " + (SELECT count(*) FROM event AS e JOIN delivery AS d ON d.event = e.seq"
        f" WHERE {_IS_LOOSE}) + (SELECT count(*) FROM alarm AS a JOIN delivery AS d"
        f" ON d.alarm = a.id WHERE {_IS_OVER})",
    ),
    "silences": statement(
        "prunable_silences", "SELECT count(*) FROM silence WHERE listed_at < :executions"
    ),
    "alarms": statement("prunable_alarms", f"SELECT count(*) FROM alarm AS a WHERE {_IS_OVER}"),
    "acts": statement("prunable_acts", "SELECT count(*) FROM audit WHERE at < :executions"),
    "bodies": statement(
        "prunable_bodies",
        "SELECT count(*) FROM event WHERE body IS NOT NULL AND received_at < :bodies",
    ),
}


def prune(db: Database, limits: Limits, place: PruneCursor) -> Pruned:
    """See contract.Operating.prune."""
    return _Portion(db, limits).remove(place)


def prunable(db: Database, limits: Limits) -> dict[str, int]:
    """See contract.Reading.prunable."""
    values = _limits(limits)
    return {name: int(db.value(count, values)) for name, count in PRUNABLE.items()}


def _limits(limits: Limits) -> dict[str, int]:
    return {
        "bodies": limits.bodies,
        "event_ids": limits.event_ids,
        "executions": limits.executions,
    }


class _Portion:
    """One portion of a walk; counts what it removed, for the ledger."""

    def __init__(self, db: Database, limits: Limits) -> None:
        self._db, self._left = db, ROWS
        self._limits = _limits(limits)
        self._gone: Counter[tuple[str, str]] = Counter()
        self._pruned = Pruned(None)

    def remove(self, place: PruneCursor) -> Pruned:
        """Remove prunable rows, from a place on."""
        walks = {
            PruneStage.EXECUTIONS: self._executions,
            PruneStage.EVENTS: self._events,
            PruneStage.SILENCES: self._silences,
            PruneStage.ALARMS: self._alarms,
            PruneStage.AUDIT: self._audit,
            PruneStage.BODIES: self._bodies,
        }
        after = walks[place.step](place)
        for (what, name), n in self._gone.items():
            self._db.change(COUNT_PRUNED, {"what": what, "name": name, "n": n})
        return replace(self._pruned, after=after)

    def _executions(self, place: PruneCursor) -> PruneCursor:
        rows = self._db.rows(ENDED, self._from(place, EXECUTIONS))
        for at, number, source, execution_id in rows:
            execution = {
                **self._limits, "source": source, "execution": execution_id, "number": number
            }  # fmt: skip
            if not self._db.value(EXECUTION_STAYS, execution):
                self._execution(number, execution)
            if self._left <= 0:
                return place  # the next portion goes on with the rest of this one
            place = PruneCursor(PruneStage.EXECUTIONS, at, number)
        return place if len(rows) == EXECUTIONS else PruneCursor(PruneStage.EVENTS)

    def _execution(self, number: int, execution: Values) -> None:
        """Remove an execution with all its rows, or as many of them as may go now."""
        self._deliveries("execution", execution)
        if self._left <= 0 or self._db.row(HAS_DELIVERIES["execution"], execution):
            return
        besides = self._db.rows(BESIDES, {**execution, "n": self._left})
        self._remove_events([seq for (seq,) in besides])
        if self._left <= 0:
            return
        applied = [seq for (seq,) in self._db.rows(HISTORY, {"number": number})]
        for act in REMOVE_EXECUTION:
            self._db.change(act, {"number": number})
        self._remove_events(applied)
        # The execution is gone. So the walk goes on behind it, even if the portion is used up.
        self._left = max(self._left, 1)
        self._add(executions=1)

    def _events(self, place: PruneCursor) -> PruneCursor:
        """Remove events without an execution: ignored, in quarantine, or too late to begin one."""
        rows = self._db.rows(UNAPPLIED, self._from(place, EVENTS))
        for at, seq, source, execution_id in rows:
            event = {**self._limits, "event": seq}
            execution = {"source": source, "execution": execution_id}
            has_own = self._db.row(HAS_EXECUTION, execution) is not None
            if not has_own and not self._db.value(EVENT_STAYS, event):
                self._deliveries("event", event)
                if self._left <= 0:
                    return place
                if not self._db.row(HAS_DELIVERIES["event"], event):
                    self._remove_events([seq])
            place = PruneCursor(PruneStage.EVENTS, at, seq)
            if self._left <= 0:
                return place
        return place if len(rows) == EVENTS else PruneCursor(PruneStage.SILENCES)

    def _silences(self, place: PruneCursor) -> PruneCursor:
        n = self._db.change(REMOVE_SILENCES, {**self._limits, "n": EVENTS})
        self._add(silences=n)
        return place if n == EVENTS else PruneCursor(PruneStage.ALARMS)

    def _alarms(self, place: PruneCursor) -> PruneCursor:
        rows = self._db.rows(OVER, self._from(place, EVENTS))
        for at, number in rows:
            alarm = {**self._limits, "alarm": number}
            if not self._db.value(ALARM_STAYS, alarm):
                self._deliveries("alarm", alarm)
                if self._left <= 0:
                    return place
                if not self._db.row(HAS_DELIVERIES["alarm"], alarm):
                    self._add(alarms=self._db.change(REMOVE_ALARM, alarm))
            place = PruneCursor(PruneStage.ALARMS, at, number)
        return place if len(rows) == EVENTS else PruneCursor(PruneStage.AUDIT)

    def _audit(self, place: PruneCursor) -> PruneCursor:
        n = self._db.change(REMOVE_AUDIT, {**self._limits, "n": ROWS})
        self._add(acts=n)
        return place if n == ROWS else PruneCursor(PruneStage.BODIES)

    def _bodies(self, place: PruneCursor) -> PruneCursor | None:
        n = self._db.change(REMOVE_BODIES, {**self._limits, "n": BODIES})
        self._add(bodies=n)
        return place if n == BODIES else None

    def _from(self, place: PruneCursor, n: int) -> dict[str, int]:
        return {**self._limits, "at": place.at, "number": place.number, "n": n}

    def _deliveries(self, which: str, values: Values) -> None:
        """Remove deliveries that may go, as many as fit into the portion."""
        while self._left > 0:
            rows = self._db.rows(LEAVES[which], {**values, "n": self._left})
            if not rows:
                return
            numbers = {"deliveries": self._db.as_list([number for (number,) in rows])}
            self._db.change(REMOVE_ATTEMPTS, numbers)
            gone = self._db.rows(REMOVE_DELIVERIES, numbers)
            for (event, alarm), n in Counter((event, alarm) for _, event, alarm in gone).items():
                if event is not None:
                    self._db.change(OWES_LESS, {"n": n, "event": event})
                else:
                    self._db.change(ALARM_OWES_LESS, {"n": n, "alarm": alarm})
            self._gone.update(("delivery", state) for state, _, _ in gone)
            self._left -= len(gone)
            self._add(deliveries=len(gone))

    def _remove_events(self, events: Sequence[int]) -> None:
        values = {"events": self._db.as_list(events)}
        self._db.change(REMOVE_JUDGEMENTS, values)
        gone = self._db.rows(REMOVE_EVENTS, values)
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
