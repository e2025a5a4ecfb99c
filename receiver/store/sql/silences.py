"""Silences: adds, ends and lists them, and supersedes what they keep back. See contract.Operating.

`routing.silences` decides which deliveries a silence keeps back. So the candidates are read, and
the silenced ones are superseded by their numbers.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from receiver.deliveries import Claim, Kind
from receiver.events import Verdict
from receiver.routing.conditions import Subject
from receiver.routing.silences import Silence, first
from receiver.store.portions import SilencePlace, SilencesListed
from receiver.store.reading import Page
from receiver.store.sql import rows
from receiver.store.sql.database import Database, Row, Statement, Values, statement
from receiver.store.sql.facts import WAITS
from receiver.store.sql.outbox import PUT_BACK, inserted, owing, put_back
from receiver.store.sql.reads import MAX_ID
from receiver.store.sql.superseded import END_HEARD, FELL_FROM

# The number of confirmations in one digest of a silence, so that each of them is listed.
PAGE = 10
# The route of these digests, which no configured route asks for.
ROUTE = "silences"
# The reason of a reminder that nothing is heard which no digest lists, because something was.
NEWS_CAME = "silenced, and an update came since"

COLUMNS = "s.id, s.match, s.reason, s.by, s.from_at, s.until_at"
# The values that conditions look at; `o` is the dead delivery that `d` tells of.
_CANDIDATES = (
    "SELECT d.id, d.kind, o.destination, e.source, e.verdict, e.status,"
    " coalesce(e.agent_id, x.agent_id), coalesce(e.agent_name, x.agent_name), e.event,"
    " e.detail, coalesce(e.metadata, x.metadata)"
    " FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    " LEFT JOIN execution AS x ON x.source = e.source AND x.execution_id = e.execution_id"
    " LEFT JOIN delivery AS o ON o.id = d.origin WHERE d.kind <> 'digest'"
)
SUPERSEDE = statement(
    "supersede_silenced",
    "UPDATE delivery SET state = 'superseded', silence = :silence, due_at = :now, reason = :reason"
    " WHERE id IN {numbers:deliveries}",
)
# What it kept back goes on being kept back by another one.
HAND_OVER = statement(
    "hand_over_silenced",
    "UPDATE delivery SET silence = :silence, reason = :reason WHERE id IN {numbers:deliveries}",
)
KEPT_BACK = statement(
    "kept_back_by_silence",
    f"{_CANDIDATES} AND d.silence = :silence AND d.state = 'superseded' AND d.id > :after"
    " ORDER BY d.id LIMIT :most",
)
# What would have been told during the silence, if nothing else had kept it back. A reminder says
# how it stands when it is told, and there is always a next one.
KEPT_BACK_BESIDE = statement(
    "kept_back_beside_silence",
    f"{_CANDIDATES} AND d.kind <> 'reminder' AND d.state = 'waiting'"
    " AND d.state IN ('waiting', 'sending', 'dead') AND d.tries = 0"
    " AND d.planned_at >= :begins AND d.planned_at < :ends AND d.id > :after"
    " ORDER BY d.id LIMIT :most",
)
ACTIVE = statement(
    "active_silences",
    f"SELECT {COLUMNS} FROM silence AS s WHERE s.listed_at IS NULL AND s.until_at > :now"
    " AND s.from_at <= :now{share}",
)
# Of the deliveries about an execution the one about its last event; before word of the end of the
# episode before, or of who took it, the one that tells of the event itself.
_STANDS_FOR = f"CASE WHEN d.kind = 'fallback' THEN {FELL_FROM} ELSE d.kind END"
LAST_FIRST = (
    f"e.seq DESC, CASE WHEN {_STANDS_FOR} IN ('acknowledged', 'resolved') THEN 1 ELSE 0 END, d.id"
)
# The deliveries that a destination missed, one for each execution (and verdict): of the last event,
# and the notice rather than its reminders. Messages about a destination's failure count separately.
MISSED = (
    "SELECT m.id FROM (SELECT d.id, row_number() OVER (PARTITION BY e.source, e.execution_id,"
    " CASE WHEN e.execution_id IS NULL THEN e.seq ELSE 0 END, e.verdict,"
    " d.kind = 'notice' AND d.origin IS NOT NULL"
    f" ORDER BY {LAST_FIRST}) AS nth"
    " FROM delivery AS d JOIN event AS e ON e.seq = d.event WHERE d.silence = :silence"
    f" AND d.destination = :destination AND d.state = 'superseded' AND d.reason <> '{NEWS_CAME}')"
    f" AS m WHERE m.nth = 1 AND NOT {END_HEARD}"
)
CONFIRMATIONS = statement(
    "missed_confirmations",
    "SELECT count(*) FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    f" WHERE d.id IN ({MISSED}) AND {WAITS}",
)
DESTINATIONS = statement(
    "silenced_destinations",
    "SELECT destination, min(id) FROM delivery WHERE silence = :silence AND state = 'superseded'"
    " GROUP BY destination",
)
OWE_LIST = statement(
    "owe_silence_digest",
    owing(
        "FROM delivery WHERE id = :delivery",
        dedup_key=":key", event="event", source="source", execution_id="execution_id",
        event_id="event_id", verdict="verdict", route=":route", destination="destination",
        kind="'digest'", order_key=":key", step=":page", silence=":silence", created_at=":now",
        owed_at=":now", due_at=":now",
    ),
)  # fmt: skip
# What one message cannot be about goes out as it was, if it is still true. There is always a next
# reminder.
GIVE_BACK = statement(
    "give_back_silenced",
    "UPDATE delivery SET state = 'waiting', reason = '', silence = NULL, digest = NULL,"
    " group_key = NULL, kept_by = NULL, due_at = :now, owed_at = :now, begun_at = :now"
    " WHERE kind <> 'reminder' AND state = 'superseded' AND destination ="
    " (SELECT h.destination FROM delivery AS h WHERE h.id = :digest)"
    f" AND silence = (SELECT h.silence FROM delivery AS h WHERE h.id = :digest) {PUT_BACK}",
)
# The same at a destination that gets the digest in place of another one (`missed_by`).
GIVE_INSTEAD = statement(
    "give_silenced_instead",
    owing(
        "FROM delivery AS d WHERE d.silence = :silence AND d.destination = :missed_by"
        " AND d.state = 'superseded' AND d.kind <> 'reminder'",
        dedup_key="'alone/' || d.id || '/' || CAST(:destination AS text)", event="d.event",
        source="d.source", execution_id="d.execution_id", event_id="d.event_id",
        verdict="d.verdict", route="d.route", destination=":destination", kind="d.kind",
        order_key="d.order_key", guard_version="d.guard_version", origin="d.origin",
        step="d.step", created_at=":now", owed_at=":now", due_at=":now",
    ),
)  # fmt: skip
DISSOLVED = statement(
    "dissolve_digest",
    "UPDATE delivery SET state = 'superseded', token = NULL, lease_until = NULL,"
    " reason = 'each of its messages goes out alone' WHERE id = :digest",
)
ADD = statement(
    "add_silence",
    "INSERT INTO silence (match, reason, by, created_at, from_at, until_at)"
    " VALUES (:match, :reason, :by, :now, :begins, :ends) RETURNING id",
)
END = statement("silence_end", "SELECT until_at FROM silence WHERE id = :silence")
EXPIRE = statement("expire_silence", "UPDATE silence SET until_at = :now WHERE id = :silence")
ENDED = statement(
    "ended_silence",
    f"SELECT {COLUMNS} FROM silence AS s WHERE s.listed_at IS NULL AND s.until_at <= :now"
    " ORDER BY s.until_at, s.id LIMIT 1{lock}",
)
MARK_LISTED = statement(
    "mark_silence_listed", "UPDATE silence SET listed_at = :now WHERE id = :silence"
)
NEXT_END = statement(
    "next_silence_end", "SELECT min(until_at) FROM silence WHERE listed_at IS NULL"
)
_VIEWS = (
    f"SELECT {COLUMNS}, s.created_at, s.listed_at, (SELECT count(*) FROM delivery AS d"
    " WHERE d.silence = s.id AND d.state = 'superseded') FROM silence AS s"
)
ONE = statement("silence", f"{_VIEWS} WHERE s.id = :id")
ALL = statement("silences", f"{_VIEWS} WHERE s.id < :after ORDER BY s.id DESC LIMIT :limit")


def candidates(where: str) -> str:
    """Return the SELECT of deliveries that a silence may keep back, with the values to compare."""
    return f"{_CANDIDATES} AND {where}"


def add(db: Database, silence: Silence, now: int) -> int:
    """See contract.Operating.add_silence."""
    match = json.dumps({name: list(patterns) for name, patterns in silence.match.items()})
    values = {
        "match": match, "reason": silence.reason, "by": silence.by, "now": now,
        "begins": silence.begins, "ends": silence.ends,
    }  # fmt: skip
    return int(db.value(ADD, values))


def expire(db: Database, silence: int, now: int) -> bool | None:
    """See contract.Operating.expire_silence."""
    row = db.row(END, {"silence": silence})
    if row is None or row[0] <= now:
        return None if row is None else False
    db.change(EXPIRE, {"silence": silence, "now": now})
    return True


def active(db: Database, now: int) -> list[Silence]:
    """Return the silences that keep messages back now."""
    return [stored_silence(row) for row in sorted(db.rows(ACTIVE, {"now": now}))]


def supersede_silenced(
    db: Database,
    silences: Sequence[Silence],
    which: Statement,
    values: Values,
    now: int,
    act: Statement = SUPERSEDE,
) -> int:
    """Supersede the candidates that a silence keeps back, at `now` (in due_at); return how many."""

    return _keep_back(db, silences, db.rows(which, values), now, act)


def _keep_back(
    db: Database, silences: Sequence[Silence], candidates: Sequence[Row], now: int, act: Statement
) -> int:
    @lru_cache(maxsize=1024)
    def keeps_back(kind: str, died: str | None, *subject: Any) -> Silence | None:
        return first(silences, stored_subject(None if kind == Kind.FALLBACK else died, *subject))

    by_id = {silence.id: silence for silence in silences}
    kept_back = defaultdict[int, list[int]](list)
    for delivery, *subject in candidates:
        if (silence := keeps_back(*subject)) is not None:
            kept_back[silence.id].append(delivery)
    for number, deliveries in kept_back.items():
        more = {"silence": number, "reason": str(by_id[number]), "now": now}
        db.change(act, {**more, "deliveries": db.as_list(deliveries)})
    return sum(map(len, kept_back.values()))


def list_ended(
    db: Database, now: int, place: SilencePlace, most: int
) -> tuple[SilencesListed, int]:
    """See contract.Operating.list_silences; return also the number of new deliveries."""
    row = db.row(ENDED, {"now": now})
    if row is None:
        return SilencesListed(()), 0
    ended = stored_silence(row)
    if place.silence != ended.id:
        place = SilencePlace(ended.id)
    if (following := _keep_back_part(db, ended, place, most, now)) is not None:
        return SilencesListed((), following), 0
    destinations, added = _owe_lists(db, ended.id, now)
    return SilencesListed(tuple(destinations), SilencePlace(ended.id)), added


def _keep_back_part(
    db: Database, ended: Silence, place: SilencePlace, most: int, now: int
) -> SilencePlace | None:
    """Keep back, or hand over, the next candidates; return the following place (None: all done)."""
    lasting = active(db, now)
    values = {"silence": ended.id, "begins": ended.begins, "ends": ended.ends, "most": most}
    for is_handing_over in (False, True) if lasting else (False,):
        if place.is_handing_over and not is_handing_over:
            continue
        which, act = (KEPT_BACK, HAND_OVER) if is_handing_over else (KEPT_BACK_BESIDE, SUPERSEDE)
        after = place.after if place.is_handing_over == is_handing_over else 0
        candidates = db.rows(which, {**values, "after": after})
        _keep_back(db, lasting if is_handing_over else [ended], candidates, now, act)
        if len(candidates) == most:
            return SilencePlace(ended.id, is_handing_over, int(candidates[-1][0]))
    return None


def _owe_lists(db: Database, silence: int, now: int) -> tuple[list[str], int]:
    """Plan the digests of a silence for all who missed something; return them and how many."""
    destinations, added = list[str](), 0
    for destination, missed in db.rows(DESTINATIONS, {"silence": silence}):
        destinations.append(destination)
        about = {"silence": silence, "destination": destination}
        confirmations = int(db.value(CONFIRMATIONS, about))
        for page in range(1, max(-(-confirmations // PAGE), 1) + 1):
            key = f"silence/{silence}/{destination}/{page}"
            page_values = {"key": key, "route": ROUTE, "page": page, "silence": silence}
            added += inserted(db, OWE_LIST, {**page_values, "now": now, "delivery": missed})
    db.change(MARK_LISTED, {"silence": silence, "now": now})
    return destinations, added


def dissolve(db: Database, digest: int, now: int) -> None:
    """Let each message that a digest would list go out alone, and the digest not at all."""
    put_back(db, GIVE_BACK, {"digest": digest, "now": now})
    db.change(DISSOLVED, {"digest": digest})


def dissolve_instead(db: Database, fallback: Claim, silence: int, missed_by: str, now: int) -> int:
    """Do the same with the fall-back of a digest; return the number of new deliveries."""
    values = {"silence": silence, "missed_by": missed_by, "destination": fallback.destination}
    db.change(DISSOLVED, {"digest": fallback.delivery})
    return inserted(db, GIVE_INSTEAD, {**values, "now": now})


def next_end(db: Database) -> int | None:
    """See contract.Waiting.next_silence_end."""
    until = db.value(NEXT_END)
    return None if until is None else int(until)


def page(db: Database, limit: int, after: int | None) -> Page:
    """See contract.Listing.silences."""
    rows = db.rows(ALL, {"limit": limit + 1, "after": MAX_ID if after is None else after})
    following = int(rows[limit - 1][0]) if len(rows) > limit else None
    return [_view(row) for row in rows[:limit]], following


def one(db: Database, number: int) -> dict[str, Any] | None:
    """See contract.Listing.silence."""
    row = db.row(ONE, {"id": number})
    return None if row is None else _view(row)


def stored_silence(row: Row) -> Silence:
    """Return a silence from a row of COLUMNS."""
    number, match, reason, by, begins, ends = row
    conditions = {name: tuple(patterns) for name, patterns in json.loads(match).items()}
    return Silence(conditions, reason, by, begins, ends, number)


def _view(row: Row) -> dict[str, Any]:
    silence, (created_at, listed_at, silenced) = stored_silence(row[:6]), row[6:]
    return {
        "id": silence.id,
        "match": {name: list(patterns) for name, patterns in silence.match.items()},
        "reason": silence.reason,
        "by": silence.by,
        "from": silence.begins,
        "until": silence.ends,
        "created_at": created_at,
        "listed_at": listed_at,
        "silenced": silenced,
    }


def stored_subject(
    died: str | None, source: str, verdict: str, status: str | None, agent_id: str | None,
    agent_name: str | None, event: str | None, detail: str | None, metadata: str | None,
) -> Subject:  # fmt: skip
    """Return the values of a stored event that conditions look at."""
    words = rows.mapping(detail)
    outcome, reason = words.get("outcome"), words.get("reason")
    return Subject(
        source=source,
        verdict=Verdict(verdict),
        status=rows.status(status),
        agent_id=agent_id,
        agent_name=agent_name,
        event=event,
        outcome=outcome if isinstance(outcome, str) else None,
        reason=reason if isinstance(reason, str) else None,
        metadata=rows.mapping(metadata),
        dead_letter=died,
    )
