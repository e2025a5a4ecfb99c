"""Alarms: what shows that telling fails, and the rows about it. See alarming.Alarming.

What is decided about it stands in the dispatch. At most one alarm of a kind is open about a name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from receiver.alarms import Alarm, AlarmKind
from receiver.store.records import FailingDestination, HeardSource, SetAside, Watched
from receiver.store.sql.database import Database, statement
from receiver.store.sql.outbox import inserted, owing
from receiver.store.sql.rows import ALARM_COLUMNS, alarm, events_of

_ALARM = f"SELECT {', '.join(ALARM_COLUMNS)} FROM alarm"
OPEN = statement("open_alarms", f"{_ALARM} WHERE ended_at IS NULL ORDER BY id")
TOLD = statement(
    "told_of_alarm", "SELECT destination, state FROM delivery WHERE alarm = :alarm AND step = 0"
)
FAILING = statement(
    "failing_destinations",
    "SELECT name, failing_since, failed_at, starving_since, last_failure FROM destination"
    " WHERE failing_since IS NOT NULL ORDER BY name",
)
# A delivery waits if it has been owed: those that gather, and later reminders, are owed later, and
# quiet hours put the time off at which it is owed.
_WAITS = (
    "FROM delivery WHERE destination = :destination AND state IN ('waiting', 'sending')"
    " AND owed_at <= :now AND planned_at <= :now"
    " AND (due_at <= :now OR coalesce(kept_by, '') <> 'quiet')"
)
# What was given up since the destination fails was owed to it, too. (An alarm was owed to whoever
# can be told of it.)
_DIED = (
    "FROM delivery WHERE destination = :destination AND state = 'dead'"
    " AND due_at >= :since AND due_at <= :now AND alarm IS NULL"
)
ANY_WAITS = statement("any_waits", f"SELECT 1 {_WAITS} LIMIT 1")
ANY_DIED = statement("any_died", f"SELECT 1 {_DIED} LIMIT 1")
WAITS_SINCE = statement("waits_since", f"SELECT min(owed_at) {_WAITS}")
DIED_SINCE = statement("died_since", f"SELECT min(owed_at) {_DIED}")
COUNT_WAITING = statement("count_waiting", f"SELECT count(*) {_WAITS}")
# What quiet hours keep back is not owed yet.
KEPT_QUIET = statement(
    "kept_quiet",
    "SELECT count(*), min(due_at) FROM delivery WHERE destination = :destination"
    " AND state = 'waiting' AND planned_at <= :now AND due_at > :now AND kept_by = 'quiet'",
)
COUNT_DEAD = statement(
    "count_dead_since",
    "SELECT count(*) FROM delivery WHERE destination = :destination AND state = 'dead'"
    " AND (due_at >= :since OR owed_at >= :since)",
)
HEARD_SOURCES = statement(
    "heard_sources", "SELECT name, heard_at, quiet_from, served_at FROM source ORDER BY name"
)
HEARD = statement(
    "source_heard",
    "INSERT INTO source AS s (name, heard_at, quiet_from) VALUES (:source, :at, :at)"
    " ON CONFLICT (name) DO UPDATE SET heard_at = CASE WHEN s.heard_at > excluded.heard_at"
    " THEN s.heard_at ELSE excluded.heard_at END, quiet_from = CASE"
    " WHEN s.quiet_from > excluded.quiet_from THEN s.quiet_from ELSE excluded.quiet_from END",
)
SERVED = statement(
    "source_served",
    "INSERT INTO source (name, quiet_from, served_at) VALUES (:source, :quiet_from, :now)"
    " ON CONFLICT (name) DO UPDATE SET quiet_from = excluded.quiet_from,"
    " served_at = excluded.served_at",
)
_HEARD = "coalesce(begun_at, received_at)"
ABSENT = statement(
    "source_absent",
    f"UPDATE event SET begun_at = CASE WHEN {_HEARD} > :since THEN CAST(:now AS bigint)"
    f" ELSE {_HEARD} + :now - :since END WHERE {_HEARD} < :now AND seq IN (SELECT (SELECT e.seq"
    f" FROM event AS e WHERE e.seq IN {events_of('= x.source', '= x.execution_id', '= x.id')}"
    " AND coalesce(e.begun_at, e.received_at) < :now"
    " ORDER BY coalesce(e.begun_at, e.received_at) DESC, e.seq DESC LIMIT 1) FROM execution AS x"
    " WHERE x.category <> 'terminal' AND x.source = :source AND x.status IN {texts:statuses})",
)
LAST_SET_ASIDE = statement(
    "last_set_aside",
    "SELECT received_at FROM event WHERE verdict = 'quarantined' ORDER BY seq DESC LIMIT 1",
)
SET_ASIDE = statement(
    "set_aside",
    "SELECT source, reason, min(received_at), count(*) FROM event WHERE verdict = 'quarantined'"
    " AND received_at > :since GROUP BY source, reason ORDER BY min(seq)",
)
TOLD_OF_SET_ASIDE = statement(
    "told_of_set_aside",
    "SELECT DISTINCT d.destination FROM event AS e JOIN delivery AS d ON d.event = e.seq"
    " WHERE e.verdict = 'quarantined' AND e.received_at > :since AND e.source = :source"
    " AND e.reason = :reason AND d.kind = 'notice' AND d.state <> 'dead' ORDER BY d.destination",
)
STARVE = statement(
    "starve_destination",
    "UPDATE destination SET starving_since = :since"
    " WHERE name = :destination AND failing_since IS NOT NULL",
)
RAISE = statement(
    "raise_alarm",
    "INSERT INTO alarm (kind, about, began_at, raised_at, cause, n, dead)"
    " VALUES (:kind, :about, :began_at, :raised_at, :cause, :n, :dead)"
    " ON CONFLICT (kind, about) WHERE ended_at IS NULL DO NOTHING RETURNING id",
)
END = statement(
    "end_alarm",
    "UPDATE alarm SET ended_at = :now, end_cause = :cause, waiting = :waiting, dead = :dead"
    " WHERE id = :alarm AND ended_at IS NULL",
)
SUPERSEDE_RAISED = statement(
    "supersede_raised_alarm",
    "UPDATE delivery SET state = 'superseded', reason = 'it was over before it could be sent'"
    " WHERE alarm = :alarm AND step = 0 AND state = 'waiting'",
)
# Who was told, or may have been, is told of the end.
MAY_KNOW = statement(
    "may_know_of_alarm",
    "SELECT destination, route FROM delivery WHERE alarm = :alarm AND step = 0"
    " AND (state IN ('sent', 'sending') OR repeat = 1) ORDER BY id",
)
OWE_ALARM = statement(
    "owe_alarm",
    owing(
        "FROM alarm WHERE id = :alarm",
        dedup_key=":dedup_key", alarm="id", source=":source", verdict="'applied'", route=":route",
        destination=":destination", kind="'alarm'", order_key=":order_key", step=":step",
        created_at=":now", owed_at=":now", due_at=":now",
    ),
)  # fmt: skip


def watched(db: Database, now: int, since: int) -> Watched:
    """See alarming.Alarming.watched."""
    alarms = tuple(map(alarm, db.rows(OPEN)))
    return Watched(
        alarms=alarms,
        told={each.id: dict(db.rows(TOLD, {"alarm": each.id})) for each in alarms},
        failing={row[0]: _failing(db, row[0], now, *row[1:]) for row in db.rows(FAILING)},
        sources={row[0]: HeardSource(*row) for row in db.rows(HEARD_SOURCES)},
        set_aside=tuple(_set_aside(db, since, alarms)),
    )


def _failing(
    db: Database, name: str, now: int, since: int, failed_at: int, starving: int | None, detail: str
) -> FailingDestination:
    values = {"destination": name, "now": now, "since": since}
    if starving is None:
        begun = [db.value(which, values) for which in (WAITS_SINCE, DIED_SINCE)]
        owed_since = min((at for at in begun if at is not None), default=None)
    else:
        is_owed = db.row(ANY_WAITS, values) or db.row(ANY_DIED, values)
        owed_since = starving if is_owed else None
    return FailingDestination(name, since, failed_at, starving, owed_since, detail or "")


def _set_aside(db: Database, since: int, alarms: Sequence[Alarm]) -> list[SetAside]:
    """Return the webhooks set aside after that time, by source and reason."""
    last = db.value(LAST_SET_ASIDE)
    if last is None or last <= since:
        return []
    found = [SetAside(*row) for row in db.rows(SET_ASIDE, {"since": since})]
    known = {each.about for each in alarms if each.kind is AlarmKind.QUARANTINED}
    return [
        each if each.about in known else replace(each, told=_told_of(db, each, since))
        for each in found
    ]


def _told_of(db: Database, set_aside: SetAside, since: int) -> frozenset[str]:
    values = {"since": since, "source": set_aside.source, "reason": set_aside.reason}
    return frozenset(name for (name,) in db.rows(TOLD_OF_SET_ASIDE, values))


def waiting_for(db: Database, destination: str, now: int) -> int:
    """See contract.Waiting.waiting_for."""
    return int(db.value(COUNT_WAITING, {"destination": destination, "now": now}))


def starve(db: Database, destination: str, since: int | None) -> None:
    """See alarming.Alarming.starve."""
    db.change(STARVE, {"destination": destination, "since": since})


def served(db: Database, source: str, quiet_from: int, now: int) -> None:
    """See alarming.Alarming.served."""
    db.change(SERVED, {"source": source, "quiet_from": quiet_from, "now": now})


def absent(db: Database, source: str, statuses: Sequence[str], since: int, now: int) -> None:
    """See alarming.Alarming.absent."""
    if statuses:
        values = {"source": source, "statuses": db.as_list(statuses), "since": since, "now": now}
        db.change(ABSENT, values)


def heard(db: Database, sources: Mapping[str, int]) -> None:
    """Remember when these sources were last heard (nanoseconds)."""
    for source in sorted(sources):
        db.change_later(HEARD, {"source": source, "at": sources[source]})


def raise_alarm(db: Database, new: Alarm) -> Alarm | None:
    """See alarming.Alarming.raise_alarm; the deliveries are added elsewhere."""
    waiting, dead = new.n, 0
    if new.kind is AlarmKind.DESTINATION:
        waiting = waiting_for(db, new.about, new.raised_at)
        dead = db.value(COUNT_DEAD, {"destination": new.about, "since": new.began_at})
    number = db.value(
        RAISE,
        {
            "kind": str(new.kind), "about": new.about, "began_at": new.began_at,
            "raised_at": new.raised_at, "cause": new.cause, "n": waiting,
            "dead": dead,
        },
    )  # fmt: skip
    return None if number is None else replace(new, id=number, n=waiting, dead=dead)


def tell(db: Database, told: Alarm, routes: Mapping[str, str], now: int, step: int = 0) -> int:
    """See alarming.Alarming.tell_alarm; return the number of new deliveries."""
    return sum(
        inserted(
            db,
            OWE_ALARM,
            {
                "alarm": told.id, "source": told.source, "route": route, "step": step, "now": now,
                "destination": destination, "order_key": f"alarm/{told.kind}/{told.about}",
                "dedup_key": f"alarm/{told.id}/{'end' if step else 'raise'}/{destination}",
            },
        )
        for destination, route in routes.items()
    )  # fmt: skip


def end(db: Database, over: Alarm, cause: str, now: int) -> dict[str, str] | None:
    """See alarming.Alarming.end_alarm; return the destinations to tell, with their routes."""
    waiting = dead = 0
    if over.kind is AlarmKind.DESTINATION:
        waiting = waiting_for(db, over.about, now)
        dead = db.value(COUNT_DEAD, {"destination": over.about, "since": over.began_at})
    values = {"alarm": over.id, "now": now, "cause": cause, "waiting": waiting, "dead": dead}
    if not db.change(END, values):
        return None
    db.change(SUPERSEDE_RAISED, values)
    return dict(db.rows(MAY_KNOW, values))
