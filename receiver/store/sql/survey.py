"""Survey: how things stand, for people. See reading.Surveying."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from receiver.deliveries import PRINTED
from receiver.events import Judgement, Verdict
from receiver.store.reading import PastEvent
from receiver.store.records import Happened, JudgedWebhook, Standing, Waited
from receiver.store.sql.alarms import KEPT_QUIET, WAITS_SINCE, waiting_for
from receiver.store.sql.database import Database, statement
from receiver.store.sql.facts import as_judged
from receiver.store.sql.rows import events_of, mapping
from receiver.store.sql.views.events import steps_of
from receiver.store.sql.views.executions import EXECUTION, EXECUTIONS_SHOWN, execution_view
from receiver.store.sql.views.paging import View

# An execution with the event that began its present stay, whose words tell what it is about.
_BEGUN = (
    EXECUTIONS_SHOWN.replace(
        " FROM execution AS x", ", x.version, e.seq, e.detail FROM execution AS x"
    )
    + " JOIN history AS h ON h.execution = x.id AND h.version = x.version"
    " JOIN event AS e ON e.seq = h.event"
)
# The executions are found first, by one walk over them alone.
NEEDING_PEOPLE = statement(
    "needing_people",
    _BEGUN.replace(
        "FROM execution AS x",
        "FROM (SELECT * FROM execution WHERE category IN ('awaiting', 'paused')"
        " ORDER BY since, id LIMIT :limit) AS x",
    )
    + " ORDER BY x.since, x.id",
)
FAILED = statement(
    "failed",
    f"{_BEGUN} WHERE x.category = 'terminal' AND x.since >= :since AND x.status = 'failed'"
    " ORDER BY x.since DESC LIMIT :limit",
)
# What the message with this number ended with: a console says that it printed only.
_PRINTED = (
    f"coalesce((SELECT substr(t.detail, 1, {len(PRINTED)}) FROM attempt AS t"
    " WHERE t.delivery = {message} AND t.outcome <> 'failed' ORDER BY t.number DESC LIMIT 1), '')"
    f" = '{PRINTED}'"
)
# Kinds of messages about an episode. Word of an end says how it ended, so it tells of the next one.
_ABOUT = "d.kind IN ('notice', 'reminder', 'escalation', 'resolved', 'fallback')"
# What a silence kept back (`d`), once its list (`l`) names that; another destination may get the
# list in its place.
_IN_LIST = "d.state = 'superseded' AND d.silence IS NOT NULL"
_LISTS = ("l.id = d.digest", "l.origin = d.digest AND l.kind = 'fallback'")


def _printed(message: str) -> str:
    return _PRINTED.replace("{message}", message)


TOLD_OF_EPISODES = statement(
    "told_of_episodes",
    "SELECT d.event, d.destination, d.kind, d.state,"
    f" {_printed('coalesce(d.digest, d.id)')} AS printed, d.id"
    f" FROM delivery AS d WHERE d.event IN {{numbers:events}} AND {_ABOUT}"
    + "".join(
        f" UNION ALL SELECT d.event, l.destination, l.kind, l.state, {_printed('l.id')}, l.id"
        f" FROM delivery AS d JOIN delivery AS l ON {which}"
        f" WHERE d.event IN {{numbers:events}} AND {_IN_LIST}"
        for which in _LISTS
    )
    + " ORDER BY 6",
)


def _is_told(*, by_more: bool) -> str:
    """Return whether somebody was told of the present stay of `x`; or by more than a console."""
    stay = (
        "SELECT 1 FROM history AS h JOIN delivery AS d ON d.event = h.event{join}"
        " WHERE h.execution = x.id AND h.version = x.version AND {where}"
    )
    parts = [("", f"d.state = 'sent' AND {_ABOUT}", "coalesce(d.digest, d.id)")]
    parts += [
        (f" JOIN delivery AS l ON {which}", f"{_IN_LIST} AND l.state = 'sent'", "l.id")
        for which in _LISTS
    ]
    looks = [
        stay.format(join=join, where=where) + (f" AND NOT {_printed(message)}" if by_more else "")
        for join, where, message in parts
    ]
    return f"EXISTS ({' UNION ALL '.join(looks)})"


# Of these executions, those of whose present stays somebody was told.
TOLD_OF = statement(
    "told_of",
    "SELECT x.source, x.execution_id,"
    f" CASE WHEN {_is_told(by_more=True)} THEN 0 ELSE 1 END FROM execution AS x"
    " WHERE x.source IN {texts:sources} AND x.execution_id IN {texts:ids}"
    f" AND {_is_told(by_more=False)}",
)
# What a message is about: the episode that its event began, and who has taken that.
TAKING = statement(
    "taking",
    "SELECT d.destination, d.route, d.source, d.execution_id, e.seq, e.version, e.status,"
    " e.occurred_at, e.detail, x.version AS present, a.by, a.at, a.taken_from FROM delivery AS d"
    " JOIN event AS e ON e.seq = d.event JOIN execution AS x ON x.source = d.source"
    " AND x.execution_id = d.execution_id LEFT JOIN acknowledgement AS a ON a.execution = x.id"
    " AND a.version = e.version WHERE d.id = :delivery AND e.version IS NOT NULL",
)
# Each destination that was told of an episode: the first and the last time, and how often.
TOLD_WHEN = statement(
    "told_when",
    "SELECT d.destination, min(t.at) AS first, max(t.at) AS last, count(*) AS n"
    " FROM delivery AS d JOIN attempt AS t ON t.delivery = coalesce(d.digest, d.id)"
    " WHERE d.event = :seq AND d.state = 'sent' AND t.outcome <> 'failed'"
    " AND d.kind IN ('notice', 'reminder', 'escalation', 'fallback') AND d.verdict = 'applied'"
    " GROUP BY d.destination ORDER BY min(t.at), d.destination LIMIT 50",
)
# Events are numbered in the order of their receipt, so a time is found by halving.
# SQLite finds a least or a greatest number at once, and walks over everything for both together.
NUMBERS = statement(
    "event_numbers", "SELECT (SELECT min(seq) FROM event), (SELECT max(seq) FROM event)"
)
RECEIVED = statement(
    "event_received", "SELECT received_at FROM event WHERE seq >= :seq ORDER BY seq LIMIT 1"
)
HAPPENED = statement(
    "happened",
    "SELECT (received_at - :since) / :length, verdict, status, count(*) FROM event"
    " WHERE seq >= :seq AND received_at >= :since GROUP BY 1, 2, 3",
)
# The waits that ended with an event since then, by the time of their end.
WAITED = statement(
    "waited",
    "WITH wait AS (SELECT (h.applied_at - :since) / :length AS part,"
    " e.occurred_at - h.previous_since AS lasted"
    " FROM history AS h JOIN event AS e ON e.seq = h.event"
    " WHERE h.event >= :seq AND h.previous_status = 'awaiting_confirmation'"
    " AND h.applied_at >= :since AND e.occurred_at >= h.previous_since), ranked AS (SELECT part,"
    " lasted, row_number() OVER (PARTITION BY part ORDER BY lasted) AS place,"
    " count(*) OVER (PARTITION BY part) AS n FROM wait)"
    " SELECT part, max(n), max(CASE WHEN place = (n + 1) / 2 THEN lasted END), max(lasted)"
    " FROM ranked GROUP BY part ORDER BY part",
)
STANDINGS = statement(
    "standings",
    "SELECT name, succeeded_at, failing_since, coalesce(last_failure, ''), (SELECT count(*)"
    " FROM delivery AS d WHERE d.destination = s.name AND d.state = 'dead')"
    " FROM destination AS s ORDER BY name",
)
# Destinations that nothing was sent to yet have no row of their own.
UNTOLD = statement(
    "untold_destinations",
    "SELECT DISTINCT destination FROM delivery AS d WHERE state = 'waiting'"
    " AND NOT EXISTS (SELECT 1 FROM destination AS s WHERE s.name = d.destination)",
)
# Events in the order of their receipt, and when the stay that each began was over, or was taken.
PAST = statement(
    "past",
    "SELECT e.seq, e.source, e.execution_id, e.event_id, e.event, e.status, e.occurred_at,"
    " e.received_at, e.verdict, e.reason, e.flags, e.agent_id, e.agent_name, e.execution_url,"
    " e.metadata, e.detail, e.missing, e.version, h.applied_at, n.applied_at AS ended_at,"
    " a.at AS taken_at FROM event AS e"
    " LEFT JOIN history AS h ON h.event = e.seq"
    " LEFT JOIN history AS n ON n.execution = h.execution AND n.version = h.version + 1"
    " LEFT JOIN acknowledgement AS a ON a.execution = h.execution AND a.version = h.version"
    " WHERE e.seq >= :seq AND e.received_at >= :since ORDER BY e.seq LIMIT :limit",
)
HEARD_AFTER = statement(
    "heard_after",
    f"SELECT received_at FROM event WHERE seq IN {events_of('= :source', '= :execution')}"
    " AND verdict <> 'quarantined' AND seq > :seq ORDER BY received_at, seq LIMIT :limit",
)
HELD = statement("count_held", "SELECT count(*) FROM event WHERE verdict = 'held'")


def needing_people(db: Database, limit: int) -> list[View]:
    """See reading.Surveying.needing_people."""
    return _with_told(db, db.records(NEEDING_PEOPLE, {"limit": limit}))


def _with_told(db: Database, records: Sequence[View]) -> list[View]:
    """Return executions with who was told of their present episodes: one query for all."""
    told: dict[int, list[View]] = {}
    events = db.as_list([record["seq"] for record in records])
    for each in db.records(TOLD_OF_EPISODES, {"events": events}):
        about = {name: each[name] for name in ("destination", "kind", "state")}
        told.setdefault(each["event"], []).append({**about, "printed": bool(each["printed"])})
    return [{**_begun(record), "told": told.get(record["seq"], [])} for record in records]


def failed(db: Database, since: int, limit: int) -> list[View]:
    """See reading.Surveying.failed."""
    return _with_told(db, db.records(FAILED, {"since": since, "limit": limit}))


def told_of(db: Database, executions: Collection[tuple[str, str]]) -> dict[tuple[str, str], bool]:
    """See reading.Surveying.told_of."""
    if not executions:
        return {}
    sources, ids = (db.as_list(sorted(set(each))) for each in zip(*executions, strict=True))
    found = db.rows(TOLD_OF, {"sources": sources, "ids": ids})
    return {
        (source, id_): bool(printed)
        for source, id_, printed in found
        if (source, id_) in executions
    }


def _begun(record: View) -> View:
    about = {"version": record["version"], "detail": mapping(record["detail"])}
    return {**execution_view(record), **about}


def taking(db: Database, delivery: int) -> View | None:
    """See reading.Surveying.taking."""
    records = db.records(TAKING, {"delivery": delivery})
    if not records:
        return None
    (about,) = records
    key = {"source": about["source"], "execution": about["execution_id"]}
    taken = {name: about.pop(name) for name in ("by", "at", "taken_from")}
    return {
        **about,
        "detail": mapping(about["detail"]),
        "is_over": about["present"] != about["version"],
        "acknowledged": None if taken["by"] is None else taken,
        "told": db.records(TOLD_WHEN, {"seq": about["seq"]}),
        "execution": execution_view(db.records(EXECUTION, key)[0]),
    }


def happened(db: Database, since: int, length: int) -> list[Happened]:
    """See reading.Surveying.happened."""
    values = {"since": since, "length": length, "seq": _first_since(db, since)}
    return [Happened(*row) for row in db.rows(HAPPENED, values)]


def waited(db: Database, since: int, length: int) -> list[Waited]:
    """See reading.Surveying.waited."""
    values = {"since": since, "length": length, "seq": _first_since(db, since)}
    return [Waited(*row) for row in db.rows(WAITED, values)]


def _first_since(db: Database, since: int) -> int:
    """Return the number of the first event received at that time or later."""
    least, greatest = db.row(NUMBERS) or (None, None)
    if least is None:
        return 0
    low, high = int(least), int(greatest) + 1
    while low < high:
        middle = (low + high) // 2
        if int(db.value(RECEIVED, {"seq": middle})) < since:
            low = middle + 1
        else:
            high = middle
    return low


def past(db: Database, since: int, after: int, limit: int) -> list[PastEvent]:
    """See reading.Surveying.past."""
    values = {"seq": after + 1 if after else _first_since(db, since), "since": since}
    records = db.records(PAST, {**values, "limit": limit})
    steps = steps_of(db, [record["seq"] for record in records])
    return [_past(db, record, steps.get(record["seq"], [])) for record in records]


def _past(db: Database, record: View, steps: Sequence[View]) -> PastEvent:
    at = record["received_at"] if record["applied_at"] is None else record["applied_at"]
    last = as_judged(db, record, steps[-1]["at"] if steps else at)
    entries = (*(_as_judged_first(last, step) for step in steps[:-1]), last)
    return PastEvent(record["seq"], entries, record["ended_at"], record["taken_at"])


def _as_judged_first(last: JudgedWebhook, step: View) -> JudgedWebhook:
    """Return an event as an earlier verdict found it, which changed nothing."""
    verdict = Judgement(Verdict(step["verdict"]), step["reason"])
    return replace(last, judgement=verdict, judged_at=step["at"], before=last.before, after=None)


def heard_after(db: Database, source: str, execution_id: str, seq: int, limit: int) -> list[int]:
    """See reading.Surveying.heard_after."""
    values = {"source": source, "execution": execution_id, "seq": seq, "limit": limit}
    return [int(at) for (at,) in db.rows(HEARD_AFTER, values)]


def held(db: Database) -> int:
    """See reading.Surveying.held."""
    return int(db.value(HELD))


def standings(db: Database, now: int) -> dict[str, Standing]:
    """See reading.Surveying.standings."""
    untold = [(name, None, None, "", 0) for (name,) in db.rows(UNTOLD)]
    rows = [*db.rows(STANDINGS), *untold]
    return {
        name: Standing(
            name,
            succeeded_at,
            failing_since,
            detail,
            waiting_for(db, name, now),
            dead,
            db.value(WAITS_SINCE, {"destination": name, "now": now}),
            *(db.row(KEPT_QUIET, {"destination": name, "now": now}) or ()),
        )
        for name, succeeded_at, failing_since, detail, dead in rows
    }
