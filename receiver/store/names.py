"""Names: what routes.yaml does not have any more but the store does, and carrying it over.

A name that is gone leaves orphans: executions whose end cannot come, messages that go nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from receiver.errors import NotRenamed
from receiver.store.sql.database import Database, Values, statement
from receiver.store.sql.outbox import PUT_BACK, put_back
from receiver.store.sql.rows import events_of

KINDS = ("source", "route", "destination")
NO_SOURCE = "its source is not in routes.yaml any more"
# Messages that a route of the file asks for.
_ASKED = "d.kind IN ('notice', 'reminder', 'escalation') AND d.origin IS NULL"
_LEAST_SOURCE = "(SELECT min(source) FROM execution"
OTHER_SOURCES = statement(
    "other_sources",
    f"WITH RECURSIVE leap (name) AS (SELECT {_LEAST_SOURCE})"
    f" UNION ALL SELECT {_LEAST_SOURCE} WHERE source > leap.name) FROM leap"
    " WHERE leap.name IS NOT NULL)"
    " SELECT name FROM leap WHERE name IS NOT NULL AND name NOT IN {texts:sources}",
)
OPEN_OF_SOURCE = statement(
    "open_of_source",
    "SELECT count(*) FROM execution WHERE source = :source AND category <> 'terminal'",
)
HELD_BY_SOURCE = statement(
    "held_by_source",
    "SELECT source, count(*) FROM event WHERE verdict = 'held' AND source NOT IN {texts:sources}"
    " GROUP BY source",
)
WAITING_BY_NAME = statement(
    "waiting_by_name",
    "SELECT d.source, CASE WHEN d.kind IN ('notice', 'reminder', 'escalation')"
    " AND d.origin IS NULL THEN d.route END, d.destination, count(*) FROM delivery AS d"
    " WHERE d.state = 'waiting' AND d.state IN ('waiting', 'sending', 'dead') AND d.alarm IS NULL"
    " GROUP BY 1, 2, 3",
)
# The episodes that people were told of: nobody reminds of them, or tells their end, by a name that
# is gone.
TOLD_BY_NAME = statement(
    "told_by_name",
    "SELECT d.route, d.destination, x.id FROM execution AS x JOIN delivery AS d"
    " ON d.source = x.source AND d.execution_id = x.execution_id JOIN event AS e ON e.seq = d.event"
    f" WHERE x.category <> 'terminal' AND e.version = x.version AND d.state = 'sent' AND {_ASKED}"
    " AND (d.route NOT IN {texts:routes} OR d.destination NOT IN {texts:destinations})"
    " GROUP BY 1, 2, 3",
)

# Reminders, escalations and words about stuck executions.
_NAGGING = (
    "(d.kind IN ('reminder', 'escalation') OR substr(d.dedup_key, 1, 6) = 'stuck/')"
    " AND d.guard_version IS NOT NULL"
)
_WITHOUT = (
    f"d.state = 'waiting' AND {_NAGGING} AND d.execution_id IS NOT NULL"
    " AND d.source NOT IN {texts:sources}"
)
_WITH = (
    f"d.state = 'superseded' AND d.reason = '{NO_SOURCE}' AND d.source IN {{texts:sources}}"
    " AND NOT EXISTS (SELECT 1 FROM delivery AS r WHERE r.event = d.event AND r.route = d.route"
    " AND r.destination = d.destination AND r.kind = 'reminder' AND d.kind = 'reminder'"
    " AND r.state IN ('waiting', 'sending'))"
)
UNSETTLED = statement(
    "unsettled_sources",
    f"SELECT 1 WHERE EXISTS (SELECT 1 FROM delivery AS d WHERE {_WITHOUT})"
    f" OR EXISTS (SELECT 1 FROM delivery AS d WHERE {_WITH})",
)
SUPERSEDE = statement(
    "supersede_without_source",
    f"UPDATE delivery AS d SET state = 'superseded', reason = '{NO_SOURCE}' WHERE {_WITHOUT}",
)
RESTORE = statement(
    "restore_with_source",
    "UPDATE delivery AS d SET state = 'waiting', reason = '', begun_at = :now, kept_by = NULL,"
    " planned_at = coalesce(planned_at, due_at),"
    " owed_at = CASE WHEN due_at > :now THEN due_at ELSE :now END,"
    f" due_at = CASE WHEN due_at > :now THEN due_at ELSE :now END WHERE {_WITH} {PUT_BACK}",
)

# Executions that both names know stay where they are: nobody can say which history is the true one.
BLOCKED = statement(
    "known_by_both",
    "SELECT DISTINCT e.execution_id FROM event AS e WHERE e.source = :old AND e.execution_id"
    " IS NOT NULL AND (EXISTS (SELECT 1 FROM event AS o WHERE o.verdict <> 'quarantined'"
    f" AND o.seq IN {events_of('= :new', '= e.execution_id')})"
    " OR EXISTS (SELECT 1 FROM event AS o WHERE o.source = :new AND o.event_id = e.event_id"
    " AND o.verdict <> 'quarantined' AND e.verdict <> 'quarantined'))",
)
_FREE = "(execution_id IS NULL OR execution_id NOT IN {texts:blocked})"
MOVE_EVENTS = statement(
    "rename_source_of_events",
    f"UPDATE event SET source = :new WHERE source = :old AND {_FREE}"
    " AND NOT EXISTS (SELECT 1 FROM event AS o WHERE o.source = :new"
    " AND o.event_id = event.event_id AND o.repeated = event.repeated"
    " AND o.verdict <> 'quarantined' AND event.verdict <> 'quarantined')",
)
MOVE_EXECUTIONS = statement(
    "rename_source_of_executions",
    f"UPDATE execution SET source = :new WHERE source = :old AND {_FREE}",
)
# Keys name what they are about in their first parts: `kind/source/destination/…`.
_NONE = "''"
_KIND = "substr(d.dedup_key, 1, {position}(d.dedup_key, '/'))"
_ABOUT = (
    "d.kind IN ('notice', 'reminder', 'escalation', 'acknowledged', 'resolved')"
    " AND d.origin IS NULL AND d.verdict <> 'quarantined'"
)


def _changed(column: str, before: str) -> str:
    """Return the key in a column with the new name instead of the old one, if it has that place."""
    old = f"{before} || CAST(:old AS text) || '/'"
    return (
        f"CASE WHEN {_ABOUT} AND substr({column}, 1, length({old})) = {old}"
        f" THEN {before} || CAST(:new AS text) || '/' || substr({column}, length({old}) + 1)"
        f" ELSE {column} END"
    )


_KEYS = {
    "source": _changed("d.dedup_key", _KIND),
    "destination": _changed("d.dedup_key", f"{_KIND} || d.source || '/'"),
    "route": _changed(
        "d.dedup_key",
        f"{_KIND} || d.source || '/' || d.destination || '/' || coalesce(d.event_id, '') || '/'",
    ),
}
# Keys that would be taken: of messages that both names owed.
TAKEN = {
    kind: statement(
        f"keys_taken_by_{kind}",
        f"SELECT count(*) FROM delivery AS d WHERE d.{kind} = :old AND {key} <> d.dedup_key"
        f" AND EXISTS (SELECT 1 FROM delivery AS o WHERE o.dedup_key = {key})",
    )
    for kind, key in _KEYS.items()
}
_ORDER = (
    f"CASE WHEN d.order_key = d.dedup_key THEN {{key}} ELSE {_changed('d.order_key', _NONE)} END"
)
_MOVE = {
    "source": (
        " AND EXISTS (SELECT 1 FROM event AS e WHERE e.seq = d.event AND e.source = :new)",
        f", order_key = {_ORDER}",
    ),
    "destination": ("", ", order_key = CASE WHEN d.order_key = d.dedup_key THEN {key}"
                    " ELSE d.order_key END"),
    "route": ("", ", order_key = CASE WHEN d.order_key = d.dedup_key THEN {key}"
              f" ELSE d.order_key END, group_key = {_changed('d.group_key', _NONE)}"),
}  # fmt: skip
MOVE_DELIVERIES = {
    kind: statement(
        f"rename_{kind}_of_deliveries",
        f"UPDATE delivery AS d SET {kind} = :new, dedup_key = {_KEYS[kind]}"
        f"{also.replace('{key}', _KEYS[kind])} WHERE d.{kind} = :old{where}",
    )
    for kind, (where, also) in _MOVE.items()
}
TWO_REMINDERS = {
    kind: statement(
        f"two_reminders_of_{kind}",
        f"SELECT count(*) FROM delivery AS d JOIN delivery AS o ON o.event = d.event"
        f" AND o.{other} = d.{other} WHERE d.{kind} = :old AND o.{kind} = :new"
        " AND d.kind = 'reminder' AND o.kind = 'reminder'"
        " AND d.state IN ('waiting', 'sending') AND o.state IN ('waiting', 'sending')",
    )
    for kind, other in (("route", "destination"), ("destination", "route"))
}
FORGET_DESTINATION = statement(
    "forget_renamed_destination",
    "DELETE FROM destination WHERE name = :old"
    " AND EXISTS (SELECT 1 FROM destination AS o WHERE o.name = :new)",
)
MOVE_DESTINATION = statement(
    "rename_destination", "UPDATE destination SET name = :new WHERE name = :old"
)
FORGET_SOURCE = statement(
    "forget_renamed_source",
    "DELETE FROM source WHERE name = :old"
    " AND EXISTS (SELECT 1 FROM source AS o WHERE o.name = :new)",
)
MOVE_SOURCE = statement("rename_source", "UPDATE source SET name = :new WHERE name = :old")
# An open alarm goes on under the new name, unless that has one of its own.
MOVE_ALARMS = statement(
    "rename_in_alarms",
    "UPDATE alarm SET about = :new WHERE about = :old AND ended_at IS NULL"
    " AND (kind = 'destination') = (CAST(:kind AS text) = 'destination') AND NOT EXISTS"
    " (SELECT 1 FROM alarm AS o WHERE o.kind = alarm.kind AND o.about = :new"
    " AND o.ended_at IS NULL)",
)
_GROUPS = {
    "destination": ("destination", "destination = :old", ":new", "o.key = digest_group.key"
                    " AND o.destination = :new"),
    "route": (
        "key",
        "substr(key, 1, length(CAST(:old AS text)) + 1) = CAST(:old AS text) || '/'",
        "CAST(:new AS text) || substr(key, length(CAST(:old AS text)) + 1)",
        "o.destination = digest_group.destination AND o.key = CAST(:new AS text)"
        " || substr(digest_group.key, length(CAST(:old AS text)) + 1)",
    ),
}  # fmt: skip
FORGET_GROUPS = {
    kind: statement(
        f"forget_groups_of_{kind}",
        f"DELETE FROM digest_group WHERE {mine}"
        f" AND EXISTS (SELECT 1 FROM digest_group AS o WHERE {taken})",
    )
    for kind, (_, mine, _, taken) in _GROUPS.items()
}
MOVE_GROUPS = {
    kind: statement(
        f"rename_{kind}_of_groups", f"UPDATE digest_group SET {column} = {new} WHERE {mine}"
    )
    for kind, (column, mine, new, _) in _GROUPS.items()
}
SILENCES = statement("open_silences", "SELECT id, match FROM silence WHERE listed_at IS NULL")
MATCH = statement("rename_in_silence", "UPDATE silence SET match = :match WHERE id = :silence")
# The condition that names each kind.
_CONDITIONS = {"source": "source", "destination": "dead_letter"}


@dataclass(frozen=True, slots=True)
class Orphan:
    """A name that the file has not, and what hangs on it.

    `open`: executions that have not ended, of a source, or that people were told of by a route or
    at a destination. `held` events and `waiting` messages.
    """

    kind: str
    name: str
    open: int = 0
    held: int = 0
    waiting: int = 0

    def text(self) -> str:
        """Say what hangs on it, and what to do."""
        counts = (
            (self.open, "execution that has not ended", "executions that have not ended"),
            (self.waiting, "message that waits", "messages that wait"),
            (self.held, "held event", "held events"),
        )
        parts = " and ".join(f"{n} {one if n == 1 else more}" for n, one, more in counts if n)
        return (
            f"{self.kind} {self.name} is not in routes.yaml any more, and the store has {parts} of"
            f" it: put it back, or stop the server and `receiver rename {self.kind}"
            f" {self.name} NEW`"
        )


def orphans(
    db: Database, sources: Sequence[str], routes: Sequence[str], destinations: Sequence[str]
) -> list[Orphan]:
    """See contract.Waiting.orphans."""
    known = {"source": sources, "route": routes, "destination": destinations}
    lists = {f"{kind}s": db.as_list(list(names)) for kind, names in known.items()}
    counts: dict[tuple[str, str], dict[str, int]] = {}

    def add(kind: str, name: str | None, what: str, n: int) -> None:
        if n and name is not None and name not in known[kind]:
            one = counts.setdefault((kind, name), {})
            one[what] = one.get(what, 0) + n

    for (source,) in db.rows(OTHER_SOURCES, {"sources": lists["sources"]}):
        add("source", source, "open", int(db.value(OPEN_OF_SOURCE, {"source": source})))
    for source, n in db.rows(HELD_BY_SOURCE, {"sources": lists["sources"]}):
        add("source", source, "held", n)
    for source, route, destination, n in db.rows(WAITING_BY_NAME):
        for kind, name in (("source", source), ("route", route), ("destination", destination)):
            add(kind, name, "waiting", n)
    told = db.rows(TOLD_BY_NAME, {name: lists[name] for name in ("routes", "destinations")})
    for kind, column in (("route", 0), ("destination", 1)):
        for name, _ in {(row[column], row[2]) for row in told}:
            add(kind, name, "open", 1)
    return [Orphan(kind, name, **counts[kind, name]) for kind, name in sorted(counts)]


def is_unsettled(db: Database, sources: Sequence[str]) -> bool:
    """See contract.Waiting.is_unsettled."""
    return db.row(UNSETTLED, {"sources": db.as_list(list(sources))}) is not None


def settle_sources(db: Database, sources: Sequence[str], now: int) -> tuple[int, int]:
    """See contract.Operating.settle_sources."""
    values = {"sources": db.as_list(list(sources))}
    restored = put_back(db, RESTORE, {**values, "now": now})
    return db.change(SUPERSEDE, values), restored


def rename(db: Database, kind: str, old: str, new: str, *, dry_run: bool) -> dict[str, int]:
    """See contract.Operating.rename."""
    db.connection.execute("SAVEPOINT renaming")
    try:
        return _rename(db, kind, old, new)
    finally:
        if dry_run:
            db.connection.execute("ROLLBACK TO SAVEPOINT renaming")
        db.connection.execute("RELEASE SAVEPOINT renaming")


def _rename(db: Database, kind: str, old: str, new: str) -> dict[str, int]:
    names = {"old": old, "new": new}
    counts = {"silences": _rename_in_silences(db, kind, old, new)}
    if kind == "source":
        counts |= _rename_source(db, names)
    else:
        both = db.value(TAKEN[kind], names) + db.value(TWO_REMINDERS[kind], names)
        if both:
            raise NotRenamed(
                f"{old} and {new} both have {both} messages about the same: they cannot become one."
                f" Give {old} a name that nothing has."
            )
        db.change(FORGET_GROUPS[kind], names)
        db.change(MOVE_GROUPS[kind], names)
    if kind == "destination":
        db.change(FORGET_DESTINATION, names)
        db.change(MOVE_DESTINATION, names)
    if kind != "route":
        db.change(MOVE_ALARMS, {**names, "kind": kind})
    return {"deliveries": db.change(MOVE_DELIVERIES[kind], names), **counts}


def _rename_source(db: Database, names: Mapping[str, str]) -> dict[str, int]:
    blocked = [execution for (execution,) in db.rows(BLOCKED, names)]
    values: Values = {**names, "blocked": db.as_list(blocked)}
    events = db.change(MOVE_EVENTS, values)
    db.change(FORGET_SOURCE, names)
    db.change(MOVE_SOURCE, names)
    executions = db.change(MOVE_EXECUTIONS, values)
    return {"events": events, "executions": executions, "left": len(blocked)}


def _rename_in_silences(db: Database, kind: str, old: str, new: str) -> int:
    """Change the name in the conditions of silences that last; return in how many."""
    condition, renamed = _CONDITIONS.get(kind), 0
    for silence, match in db.rows(SILENCES):
        conditions = json.loads(match)
        patterns = conditions.get(condition, ())
        changed = [{old: new, f"!{old}": f"!{new}"}.get(each, each) for each in patterns]
        if changed != list(patterns):
            text = json.dumps({**conditions, condition: changed})
            renamed += db.change(MATCH, {"match": text, "silence": silence})
    return renamed
