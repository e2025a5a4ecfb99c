"""Views of deliveries. Times are instants (nanoseconds); the callers write them as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from receiver.routing.silences import SILENCED
from receiver.store.reading import Page
from receiver.store.records import KeptBy, Obstacles
from receiver.store.sql.database import Database, statement, variants
from receiver.store.sql.reads import BEFORE, sources_of
from receiver.store.sql.silences import COLUMNS, stored_silence
from receiver.store.sql.views.paging import (
    View,
    cursor_after,
    cursor_below,
    floor_of,
    page_values,
)

_SHOWN = ("id", "source", "execution_id", "event_id", "verdict", "route", "destination", "kind",
          "state", "reason", "title", "body", "origin", "step", "group_key", "digest",
          "silence")  # fmt: skip
_DELIVERIES = (
    f"SELECT {', '.join(_SHOWN)}, event AS event_seq, created_at, planned_at, due_at, kept_by"
    " FROM delivery"
)
DELIVERIES_OF_EXECUTION = statement(
    "deliveries_of_execution",
    f"{_DELIVERIES} WHERE source = :source AND execution_id = :execution ORDER BY id",
)
DELIVERIES_OF_EVENT = statement(
    "deliveries_of_event", f"{_DELIVERIES} WHERE event = :seq ORDER BY id"
)
# A rule asks for it later, and only if the execution stays where it is.
PLANNED = "(state = 'waiting' AND planned_at > :now)"
_OF_DELIVERIES = (
    " AND (CAST(:destination AS text) IS NULL OR destination = :destination)"
    " AND (CAST(:execution_id AS text) IS NULL OR execution_id = :execution_id)"
    " AND (CAST(:kind AS text) IS NULL OR kind = :kind)"
    " AND (CAST(:done AS text) IS NULL OR state NOT IN ('waiting', 'sending'))"
    " AND (CAST(:planned AS integer) IS NULL"
    f" OR CASE WHEN {PLANNED} THEN 1 ELSE 0 END = CAST(:planned AS integer))"
    " AND id < :after ORDER BY id DESC LIMIT :limit"
)
DELIVERIES = statement(
    "deliveries",
    f"{_DELIVERIES} WHERE (CAST(:state AS text) IS NULL OR state = :state) AND id > :floor"
    f"{_OF_DELIVERIES}",
)
NEWEST_OF_DELIVERIES = statement(
    "newest_of_deliveries", "SELECT max(id) FROM delivery WHERE id < :below"
)
# Those that are not done are few, and have indexes of their own.
DELIVERIES_OPEN = variants(
    "deliveries",
    f"{_DELIVERIES} WHERE id IN (SELECT id FROM delivery WHERE {{where}}){_OF_DELIVERIES}",
    {state: f"state = '{state}'" for state in ("waiting", "sending", "dead")},
)
DELIVERIES_OF_ONE = statement(
    "deliveries_of_one",
    f"{_DELIVERIES} WHERE source IN {{texts:sources}} AND execution_id = :execution_id"
    f" AND (CAST(:state AS text) IS NULL OR state = :state){_OF_DELIVERIES}",
)
# The conditions of a claim, one by one; see `claims`.
OBSTACLES = statement(
    "obstacles",
    "SELECT d.id, d.planned_at, d.due_at, d.kept_by,"
    " substr(d.dedup_key, 1, 6) = 'stuck/' AS stuck,"
    f" (SELECT min(e.id) FROM delivery AS e WHERE {BEFORE}),"
    " coalesce(s.paused_until, 0), s.tokens, coalesce(s.counted_at, 0)"
    " FROM delivery AS d LEFT JOIN destination AS s ON s.name = d.destination"
    " WHERE d.id IN {numbers:ids}",
)
# The first delivery of a digest holds its message and its attempts.
ATTEMPTS = statement(
    "attempts",
    "SELECT delivery, at, number, outcome, detail, duration_ms FROM attempt"
    " WHERE delivery IN {numbers:ids}",
)
SILENCES_OF = statement(
    "silences_of", f"SELECT {COLUMNS} FROM silence AS s WHERE s.id IN {{numbers:ids}}"
)
# Who got the list of a silence in place of another destination.
LISTS_INSTEAD = statement(
    "lists_instead",
    "SELECT origin, id, destination FROM delivery WHERE origin IN {numbers:ids}"
    " AND kind = 'fallback' AND state = 'sent' ORDER BY id",
)
SENT_TEXTS = statement(
    "sent_texts", "SELECT id, title, body FROM delivery WHERE id IN {numbers:ids}"
)


def deliveries(
    db: Database,
    conditions: Mapping[str, str],
    limit: int,
    after: int | None,
    most: int | None,
    planned: tuple[bool, int] | None,
) -> Page:
    """See contract.Listing.deliveries."""
    names = ("state", "destination", "execution_id", "kind", "done")
    values = page_values(names, conditions, limit, after)
    is_planned, now = planned if planned is not None else (None, 0)
    more = {"planned": None if is_planned is None else int(is_planned), "now": now}
    which = DELIVERIES_OPEN.get(conditions.get("state", ""), DELIVERIES)
    if "execution_id" in conditions:
        which = DELIVERIES_OF_ONE
        values["sources"] = db.as_list(sources_of(db, conditions))
    is_search = which is DELIVERIES and (conditions or planned)
    floor = floor_of(db, NEWEST_OF_DELIVERIES, values["after"], most if is_search else None)
    records = db.records(which, {**values, **more, "floor": floor})
    following = cursor_after(records, limit) or cursor_below(db, NEWEST_OF_DELIVERIES, floor)
    return with_attempts(db, records[:limit]), following


def with_attempts(db: Database, records: Sequence[View]) -> list[View]:
    """Return the views of deliveries. A query of each sort asks for what belongs to all of them."""
    if not records:
        return []
    digests = {r["digest"] for r in records if r["digest"] not in (None, r["id"])}
    instead = _lists_instead(db, records)
    attempts: dict[int, list[View]] = {}
    ids = {*digests, *(record["id"] for record in records), *(n for n, _ in instead.values())}
    for attempt in db.records(ATTEMPTS, {"ids": db.as_list(sorted(ids))}):
        attempts.setdefault(attempt.pop("delivery"), []).append(attempt)
    found = db.rows(SENT_TEXTS, {"ids": db.as_list(sorted(digests))}) if digests else ()
    texts = {number: {"title": title, "body": body} for number, title, body in found}
    waiting = [record["id"] for record in records if record["state"] == "waiting"]
    obstacles = _obstacles(db, waiting) if waiting else {}
    reasons = _reasons(db, records)
    return [
        _delivery(record, texts, attempts, obstacles.get(record["id"]), instead.get(record["id"]))
        | {"reason": reasons.get(record["id"], record["reason"])}
        for record in records
    ]


def _lists_instead(db: Database, records: Sequence[View]) -> dict[int, tuple[int, str]]:
    """Return which delivery to whom brought the list of a silence in place of the own destination.

    It is by the numbers of the messages that the list names.
    """
    listed = {
        record["id"]: record["digest"]
        for record in records
        if record["silence"] is not None and record["digest"] not in (None, record["id"])
    }
    ids = {"ids": db.as_list(sorted(set(listed.values())))}
    found = db.rows(LISTS_INSTEAD, ids) if listed else []
    by_list = {origin: (number, destination) for origin, number, destination in found}
    return {number: by_list[digest] for number, digest in listed.items() if digest in by_list}


def _reasons(db: Database, records: Sequence[View]) -> dict[int, str]:
    """Return why messages were kept back, by their numbers.

    Somebody may have ended a silence since, before the end that it had then.
    """
    kept_back = {
        record["id"]: record["silence"]
        for record in records
        if record["silence"] is not None and record["reason"].startswith(SILENCED)
    }
    ids = {"ids": db.as_list(sorted(set(kept_back.values())))}
    found = db.rows(SILENCES_OF, ids) if kept_back else []
    reasons = {silence.id: str(silence) for silence in map(stored_silence, found)}
    by_quiet_hours = {
        record["id"]: f"{record['reason']}; quiet hours had kept this back"
        for record in records
        if record["state"] == "superseded" and record["kept_by"] == KeptBy.QUIET
    }
    return by_quiet_hours | {number: reasons[silence] for number, silence in kept_back.items()}


def _delivery(
    record: View, texts: Mapping[int, View], attempts: Mapping[int, list[View]],
    obstacles: Obstacles | None, instead: tuple[int, str] | None,
) -> View:  # fmt: skip
    number, digest = record["id"], record["digest"]
    tried = list(attempts.get(number, ()))
    if instead is not None:
        tried += attempts.get(instead[0], ())
    if digest not in (None, number):
        tried += [each for each in attempts.get(digest, ()) if each["at"] >= record["created_at"]]
    tried.sort(key=lambda each: (each["at"], each["number"]))
    return {
        **{name: record[name] for name in _SHOWN},
        **texts.get(digest, {}),
        "instead": None if instead is None else instead[1],
        "event_seq": record["event_seq"],
        "created_at": record["created_at"],
        "planned_at": record["planned_at"],
        "due_at": record["due_at"] if obstacles is None else obstacles.may_go_at,
        "attempts": [
            {name: each[name] for name in ("at", "outcome", "detail", "duration_ms")}
            for each in tried
        ],
        "obstacles": obstacles,
    }


def _obstacles(db: Database, deliveries: Sequence[int]) -> dict[int, Obstacles]:
    return {
        number: Obstacles(
            planned_at, due_at, None if kept_by is None else KeptBy(kept_by), bool(stuck), *more
        )
        for number, planned_at, due_at, kept_by, stuck, *more in db.rows(
            OBSTACLES, {"ids": db.as_list(deliveries)}
        )
    }
