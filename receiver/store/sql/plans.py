"""Plans: episodes with all messages about them, and what waits about them. See contract.Planning.

`routing.episodes` decides what is planned next. Here stands only how it is read and written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from receiver.deliveries import Kind, State
from receiver.events import Status
from receiver.routing.planned import Changes, Episode, Plan, Told
from receiver.store.records import AHEAD, KeptBy
from receiver.store.sql.database import Database, Row, Values, statement, variants
from receiver.store.sql.facts import HEARD
from receiver.store.sql.outbox import PUT_BACK, inserted, owing, promise, put_back
from receiver.store.sql.silences import stored_subject
from receiver.store.sql.superseded import FALLEN, FELL_FROM, IF_STUCK, INSTEAD_OF

# Under a clock that was ahead an episode began when that clock was set back. (An event that counts
# as heard later, because nobody served meanwhile, began it when it was received.)
_EPISODES = (
    "SELECT x.id, x.version, e.seq, e.event_id,"
    " CASE WHEN h.applied_at = e.received_at AND e.begun_at < h.applied_at THEN e.begun_at"
    " ELSE h.applied_at END, coalesce(a.by, ''), x.execution_id, e.source, e.verdict,"
    " e.status, coalesce(e.agent_id, x.agent_id), coalesce(e.agent_name, x.agent_name), e.event,"
    " e.detail, coalesce(e.metadata, x.metadata) FROM execution AS x"
    " JOIN history AS h ON h.execution = x.id AND h.version = x.version"
    " JOIN event AS e ON e.seq = h.event"
    " LEFT JOIN acknowledgement AS a ON a.execution = x.id AND a.version = x.version"
    # Without an index on the source: else all executions are read and sorted for each part.
    " WHERE x.category <> 'terminal' AND x.source || '' IN {texts:sources} AND {where}"
)
# Those of statuses that a rule may plan for, and the others about which something waits.
EPISODES = variants(
    "episodes",
    _EPISODES,
    {
        "of_statuses": "x.id > :after AND x.status IN {texts:statuses} ORDER BY x.id LIMIT :limit",
        "waited_for": "x.id > :after AND x.status NOT IN {texts:statuses} AND EXISTS (SELECT 1"
        " FROM delivery AS d WHERE d.source = x.source AND d.execution_id = x.execution_id"
        " AND d.state = 'waiting' AND d.guard_version = x.version) ORDER BY x.id LIMIT :limit",
        "one": "x.source = :source AND x.execution_id = :execution",
    },
)
# What a silence kept back was told by its digest.
_LISTED_AT = (
    "(SELECT max(l.due_at) FROM delivery AS l WHERE l.silence = d.silence"
    " AND l.kind = 'digest' AND l.destination = d.destination AND l.state = 'sent')"
)
MESSAGES = statement(
    "messages_of_episode",
    f"SELECT d.id, d.dedup_key, d.kind, {FELL_FROM}, d.state, d.route, d.destination, d.step,"
    f" coalesce(d.planned_at, d.due_at), coalesce({_LISTED_AT}, d.due_at), d.group_key,"
    f" CASE WHEN {IF_STUCK} THEN 1 ELSE 0 END,"
    " CASE WHEN d.silence IS NULL THEN 0 ELSE 1 END, d.tries, d.reason,"
    f" CASE WHEN {FALLEN} THEN 1 ELSE 0 END, {INSTEAD_OF},"
    f" CASE WHEN {_LISTED_AT} IS NULL THEN 0 ELSE 1 END,"
    " CASE WHEN d.kept_by = 'quiet' THEN 1 ELSE 0 END"
    " FROM delivery AS d JOIN event AS e ON e.seq = d.event WHERE d.source = :source"
    " AND d.execution_id = :execution AND e.version = :version AND d.kind <> 'digest'"
    " ORDER BY d.id",
)
HEARD_AT = statement(
    "heard_at", f"SELECT {HEARD} FROM execution AS d WHERE source = :source AND id = :id"
)
ADD = statement(
    "add_plan",
    owing(
        "FROM event WHERE seq = :event",
        conflict="", dedup_key=":key", event="seq", source="source", execution_id="execution_id",
        event_id="event_id", verdict="verdict", route=":route", destination=":destination",
        kind=":kind", order_key=":key", guard_version=":version", step=":step",
        group_key=":group_key", created_at=":now", planned_at=":planned", owed_at=":due",
        due_at=":due", kept_by=":kept_by",
    ),
)  # fmt: skip
# It counts from when the wait for it began, which was before it was added.
BEGIN = statement("begin_plan", "UPDATE delivery SET begun_at = :since WHERE dedup_key = :key")
# What quiet hours or its group keep back is asked for already, and stays kept back.
MOVE = statement(
    "move_plan",
    "UPDATE delivery SET state = 'waiting', reason = '', planned_at = :planned, begun_at = :since,"
    " owed_at = CASE WHEN state = 'waiting' AND kept_by IN ('quiet', 'group')"
    " AND CAST(:planned AS bigint) <= CAST(:now AS bigint) THEN owed_at"
    " ELSE CAST(:due AS bigint) END,"
    " due_at = CASE WHEN state = 'waiting' AND kept_by IN ('quiet', 'group')"
    " AND CAST(:planned AS bigint) <= CAST(:now AS bigint) THEN due_at"
    " ELSE CAST(:due AS bigint) END,"
    " kept_by = CASE WHEN state = 'waiting' AND kept_by IN ('quiet', 'group')"
    " AND CAST(:planned AS bigint) <= CAST(:now AS bigint) THEN kept_by"
    " ELSE CAST(:kept_by AS text) END,"
    " group_key = CASE WHEN state = 'waiting' AND kept_by = 'quiet'"
    " AND CAST(:planned AS bigint) <= CAST(:now AS bigint) THEN group_key"
    " ELSE CAST(:group_key AS text) END"
    f" WHERE id = :delivery AND state IN ('waiting', 'superseded') {PUT_BACK}",
)
END = statement(
    "end_plans",
    "UPDATE delivery SET state = 'superseded', reason = :reason"
    " WHERE id = :delivery AND state = 'waiting'",
)


class SqlPlanning:
    """The part of a transaction that compares what is planned with what waits."""

    _database: Database

    def open_episode(self, source: str, execution_id: str, now: int) -> Episode | None:
        values = {"source": source, "execution": execution_id}
        sources = self._database.as_list([source])
        row = self._database.row(EPISODES["one"], {**values, "sources": sources})
        return None if row is None else _episode(self._database, row, now)

    def replan(self, episode: Episode, changes: Changes, now: int) -> None:
        promise(self._database, "owed", _replan(self._database, episode, changes, now))


def open_episodes(
    db: Database, which: str, sources: Sequence[str], statuses: Sequence[str], after: int,
    limit: int, now: int,
) -> tuple[list[Episode], int | None]:  # fmt: skip
    """See reading.Waiting.open_episodes."""
    values = {"sources": db.as_list(list(sources)), "statuses": db.as_list(list(statuses))}
    rows = db.rows(EPISODES[which], {**values, "after": after, "limit": limit})
    following = int(rows[-1][0]) if len(rows) == limit else None
    return [_episode(db, row, now) for row in rows], following


def _replan(db: Database, episode: Episode, changes: Changes, now: int) -> int:
    """Change what waits about an episode; return the number of new deliveries."""
    for number, reason in changes.ended:
        db.change(END, {"delivery": number, "reason": reason})
    for delivery, plan in changes.moved:
        values = {**_times(plan, now), "group_key": plan.group_key}
        put_back(db, MOVE, {**values, "delivery": delivery})
    return sum(_add(db, episode, plan, now) for plan in changes.added)


def _add(db: Database, episode: Episode, plan: Plan, now: int) -> int:
    values = {
        **_times(plan, now), "event": episode.event, "version": episode.version, "key": plan.key,
        "route": plan.route, "destination": plan.destination, "kind": str(plan.kind),
        "step": plan.step, "group_key": plan.group_key,
    }  # fmt: skip
    added = inserted(db, ADD, values)
    if added:
        db.change(BEGIN, values)
    return added


def _times(plan: Plan, now: int) -> Values:
    due = max(plan.planned_at, now) + plan.gathers
    kept_by = str(KeptBy.GATHERS) if plan.gathers else None
    since = min(plan.since, now)
    return {
        "planned": plan.planned_at, "due": due, "kept_by": kept_by, "since": since, "now": now,
    }  # fmt: skip


def _episode(db: Database, row: Row, now: int) -> Episode:
    number, version, event, event_id, begun_at, taken_by, execution_id, *about = row
    subject = stored_subject(None, *about)
    source = subject.source
    assert subject.status is not None
    of = {"source": source, "execution": execution_id, "version": version}
    heard = db.value(HEARD_AT, {"source": source, "id": number, "ahead": now + AHEAD})
    return Episode(
        source, execution_id, version, Status(subject.status), event, event_id, begun_at,
        begun_at if heard is None else heard, subject, taken_by,
        tuple(_told(each) for each in db.rows(MESSAGES, of)),
    )  # fmt: skip


def _told(row: Sequence[Any]) -> Told:
    (number, key, kind, fell_from, state, route, destination, step, planned_at, at, group_key,
     is_stuck, is_silenced, tries, reason, has_fallen, instead_of, is_listed,
     is_in_quiet_hours) = row  # fmt: skip
    return Told(
        number, key, Kind(kind), State(state), route, destination, step, planned_at, at, group_key,
        None if fell_from is None else Kind(fell_from), bool(is_stuck), bool(is_silenced),
        bool(tries), reason, bool(has_fallen), instead_of or "",
        bool(is_listed), bool(is_in_quiet_hours),
    )  # fmt: skip
