"""Digests: the number of messages in one, their sorts, and the first few of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from receiver.deliveries import Digest, DigestItem, Kind
from receiver.routing.policy import RouteOptions
from receiver.store.records import AHEAD
from receiver.store.sql import facts
from receiver.store.sql.database import Database, Statement, Values, statement, variants
from receiver.store.sql.facts import HEARD, STUCK, WAITS
from receiver.store.sql.silences import LAST_FIRST, MISSED, PAGE
from receiver.store.sql.silences import NEWS_CAME as NEWS_CAME_WHY
from receiver.store.sql.superseded import FELL_FROM, IF_STUCK

# The number of sorts that are counted by name, and of listed messages that need no answer.
SORTS, SHOWN = 8, 5

_JOINED = (
    "FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    " LEFT JOIN execution AS x ON x.source = e.source AND x.execution_id = e.execution_id"
)
# Its episode, or the status that it tells of, is over; somebody has taken it.
_TOLD_OF = "coalesce(d.guard_version, e.version)"
_OVER = f"({_TOLD_OF} IS NOT NULL AND (x.version IS NULL OR x.version <> {_TOLD_OF}))"
_STANDS_FOR = f"CASE WHEN d.kind = 'fallback' THEN {FELL_FROM} ELSE d.kind END"
# The event that ends an episode is the first of the next one.
_TAKEN = (
    "EXISTS (SELECT 1 FROM acknowledgement AS a WHERE a.execution = x.id"
    f" AND a.version = {_TOLD_OF} AND {_STANDS_FOR} <> 'resolved')"
)
_TAKER = (
    "(SELECT a.by FROM acknowledgement AS a WHERE a.execution = x.id"
    f" AND a.version = e.version - CASE WHEN {_STANDS_FOR} = 'resolved' THEN 1 ELSE 0 END)"
)
_STILL_WAITS = f"({WAITS} AND NOT {_OVER} AND NOT {_TAKEN})"
_GATHERED = "d.digest = :head AND d.state = 'sending'"
# Of each execution (and verdict) the one delivery that counts, as with MISSED: of the last event.
_DISTINCT = (
    "d.id IN (SELECT m.id FROM (SELECT d.id, row_number() OVER (PARTITION BY e.source,"
    " e.execution_id, CASE WHEN e.execution_id IS NULL THEN e.seq ELSE 0 END, e.verdict"
    f" ORDER BY {LAST_FIRST}) AS nth FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    f" WHERE {_GATHERED}) AS m WHERE m.nth = 1)"
)
_MISSED = f"d.id IN ({MISSED})"
# The confirmations of a page that still wait, and all messages that are no confirmation.
_PAGED = (
    f"d.id IN (SELECT d.id {_JOINED} WHERE {_MISSED} AND {WAITS} ORDER BY d.id LIMIT :page_size"
    f" OFFSET :skipped) AND {_STILL_WAITS}"
)
_OTHERS = f"{_MISSED} AND NOT {_STILL_WAITS}"
_FROM_EVENTS = "FROM delivery AS d JOIN event AS e ON e.seq = d.event WHERE {where}"
TOTAL = variants(
    "digest_total",
    f"SELECT count(*), min(e.occurred_at) {_FROM_EVENTS}",
    {"gathered": _GATHERED, "distinct": _DISTINCT, "missed": _MISSED},
)
# Most groups have no execution twice, and are not sorted by it.
HAS_REPEATS = statement(
    "digest_has_repeats",
    "SELECT count(*) > count(DISTINCT e.verdict || ' ' || d.source || ' '"
    f" || coalesce(d.execution_id, CAST(e.seq AS text))) {_FROM_EVENTS}".replace(
        "{where}", _GATHERED
    ),
)


def _counts_of(where: str) -> str:
    return (
        f"SELECT CASE WHEN {_STANDS_FOR} IN ('resolved', 'acknowledged') THEN {_STANDS_FOR}"
        f" WHEN {_OVER} THEN 'over' WHEN {_TAKEN} THEN 'acknowledged'"
        f" WHEN e.verdict <> 'applied' THEN e.verdict WHEN {STUCK} THEN 'stuck/' || e.status"
        " ELSE e.status END,"
        " coalesce(e.agent_name, x.agent_name, e.agent_id, x.agent_id, ''), count(*)"
        f" {_JOINED} WHERE {where} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT {SORTS}"
    )


COUNTS = {
    "gathered": statement("digest_counts_gathered", _counts_of(_GATHERED)),
    "distinct": statement("digest_counts_distinct", _counts_of(_DISTINCT)),
    "missed": statement(
        "digest_counts_missed",
        _counts_of(_MISSED),
    ),
}
LISTED = variants(
    "digest_listed",
    f"SELECT d.kind, d.step, d.event, o.kind, {_OVER}, {_TAKEN}, {STUCK}, {_TAKER},"
    f" e.version {_JOINED}"
    " LEFT JOIN delivery AS o ON o.id = d.origin WHERE {where} ORDER BY d.id LIMIT :limit",
    {
        "gathered_waiting": f"{_GATHERED} AND {WAITS}",
        "gathered": f"{_GATHERED} AND NOT {WAITS}",
        "distinct_waiting": f"{_DISTINCT} AND {WAITS}",
        "distinct": f"{_DISTINCT} AND NOT {WAITS}",
        "paged": _PAGED,
        "missed": _OTHERS,
    },
)
# The digest of a silence counts as a message about each episode that it lists.
TOLD = variants(
    "digest_told",
    "UPDATE delivery SET digest = :number FROM (SELECT d.event"
    f" {_JOINED} WHERE e.version = x.version AND {{where}} ORDER BY d.id LIMIT :limit) AS u"
    " WHERE delivery.event = u.event AND delivery.silence = :silence"
    " AND delivery.destination = :destination AND delivery.state = 'superseded'"
    " AND delivery.kind NOT IN ('acknowledged', 'resolved')",
    {"paged": _PAGED, "missed": _OTHERS},
)
NOT_TOLD = statement(
    "digest_not_told",
    "UPDATE delivery SET digest = NULL WHERE digest = :number AND state = 'superseded'"
    " AND silence IS NOT NULL",
)
SILENCE_REASON = statement(
    "silence_reason",
    "SELECT reason || ' (silenced by ' || by || ')' FROM silence WHERE id = :silence",
)


# Of what a silence kept back: word that nothing is heard, though an update has come since.
_HEARD_SINCE = (
    f"(SELECT d.id, {HEARD} AS heard, {IF_STUCK} AS is_first FROM delivery AS d"
    " JOIN execution AS x ON x.source = d.source AND x.execution_id = d.execution_id"
    " WHERE d.silence = :silence AND d.destination = :missed_by AND d.state = 'superseded'"
    f" AND d.route = :route AND d.guard_version = x.version AND {STUCK}) AS h"
    " WHERE delivery.id = h.id AND h.heard + :after > :now AND"
)
# It waits again for when nothing is heard for so long. A reminder is not listed, and goes on.
WATCH_AGAIN = statement(
    "watch_silenced_again",
    "UPDATE delivery SET state = 'waiting', reason = '', silence = NULL, digest = NULL,"
    " planned_at = h.heard + :after, begun_at = h.heard, owed_at = h.heard + :after + :gathers,"
    " due_at = h.heard + :after + :gathers,"
    " kept_by = CASE WHEN group_key IS NULL THEN NULL ELSE 'gathers' END"
    f" FROM {_HEARD_SINCE} h.is_first RETURNING event",
)
# The next reminder counts from that word.
REMIND_LATER = statement(
    "remind_of_watched_later",
    "UPDATE delivery SET planned_at = w.planned_at + :every, begun_at = w.planned_at,"
    " owed_at = w.owed_at + :every, due_at = w.due_at + :every, kept_by = NULL"
    " FROM delivery AS w WHERE w.event = delivery.event AND w.route = delivery.route"
    " AND w.destination = delivery.destination AND w.state = 'waiting'"
    " AND substr(w.dedup_key, 1, 6) = 'stuck/' AND delivery.kind = 'reminder'"
    " AND delivery.state = 'waiting' AND delivery.tries = 0 AND delivery.planned_at > :now"
    " AND delivery.destination = :missed_by AND delivery.route = :route"
    " AND delivery.event IN {numbers:events}",
)
NEWS_CAME = statement(
    "news_came",
    f"UPDATE delivery SET reason = '{NEWS_CAME_WHY}' FROM {_HEARD_SINCE} NOT h.is_first",
)


def watch_again(
    db: Database, silence: int, missed_by: str, options: Mapping[str, RouteOptions], now: int
) -> None:
    """Let words wait again of which a silence kept back that nothing is heard, if something was."""
    for route, each in options.items():
        if each.stuck_after is None:
            continue
        values = {
            "silence": silence, "missed_by": missed_by, "route": route, "now": now,
            "after": each.stuck_after, "gathers": each.wait, "ahead": now + AHEAD,
        }  # fmt: skip
        again = [event for (event,) in db.rows(WATCH_AGAIN, values)]
        if again and each.remind_every is not None:
            more = {"every": each.remind_every, "events": db.as_list(again)}
            db.change(REMIND_LATER, {**values, **more})
        db.change(NEWS_CAME, values)


# A digest of a silence is a message about each episode that it lists: the next reminder counts from
# it, and none goes out beside it. Quiet hours that kept one back have no say in its new time.
_REMIND_LATER = (
    "UPDATE delivery SET planned_at = u.told_at + :every, owed_at = u.told_at + :every,"
    " due_at = u.told_at + :every, begun_at = u.told_at, kept_by = NULL, group_key ="
    " CASE WHEN substr(group_key, 1, 6) = 'quiet/' THEN NULL ELSE group_key END FROM"
)
# One that each message goes out instead of tells nothing itself: they do, now.
_TOLD_AT = "CASE WHEN l.state = 'sent' THEN l.due_at ELSE CAST(:now AS bigint) END"
REMIND_AFTER = statement(
    "remind_after_digest",
    f"{_REMIND_LATER} (SELECT m.event, m.destination, {_TOLD_AT} AS told_at FROM delivery AS l"
    " JOIN delivery AS m ON m.silence = l.silence AND m.destination = l.destination"
    " WHERE l.id = :head AND l.kind = 'digest' AND m.state = 'superseded' AND m.route = :route"
    " AND m.kind IN ('notice', 'reminder', 'fallback')"
    f" GROUP BY m.event, m.destination, {_TOLD_AT}) AS u WHERE delivery.event = u.event"
    " AND delivery.route = :route AND delivery.destination = u.destination"
    " AND delivery.kind = 'reminder' AND delivery.state IN ('waiting', 'sending')"
    " AND delivery.state = 'waiting' AND delivery.tries = 0"
    " AND delivery.planned_at < u.told_at + :every",
)
PUT_OFF_LISTED = (
    f"{_REMIND_LATER} (SELECT d.id, CAST(:now AS bigint) AS told_at FROM delivery AS d"
    " WHERE d.kind = 'reminder' AND d.route = :route AND d.tries = 0 AND EXISTS (SELECT 1"
    " FROM delivery AS m JOIN delivery AS l ON l.silence = m.silence AND l.kind = 'digest'"
    " AND l.destination = m.destination WHERE m.event = d.event AND m.route = d.route"
    " AND m.destination = d.destination AND m.state = 'superseded' AND m.silence IS NOT NULL"
    " AND m.kind IN ('notice', 'reminder', 'fallback')"
    " AND (l.state = 'sending' OR (l.state = 'waiting' AND l.due_at <= :now)))"
    " AND {where}) AS u WHERE delivery.id = u.id"
)


def gathered(db: Database, head: int) -> Digest:
    """Return the digest with this head; all its messages are being sent."""
    values = {"head": head}
    which = "distinct" if db.value(HAS_REPEATS, values) else "gathered"
    waiting = _listed(db, LISTED[f"{which}_waiting"], values, PAGE)
    others = _listed(db, LISTED[which], values, SHOWN)
    ((total, since),) = db.rows(TOTAL[which], values)
    counts = _counts(db, which, values)
    return Digest(int(total), counts, (*waiting, *others), since=since)


def silenced(db: Database, number: int | None, silence: int, destination: str, page: int) -> Digest:
    """Return a page of the messages that a destination missed during a silence, by execution.

    `number` is the delivery of this digest. The episodes that it lists are marked as told by it.
    """
    values = {
        "silence": silence, "destination": destination, "number": number, "page_size": PAGE,
        "skipped": PAGE * (page - 1),
    }  # fmt: skip
    shown = SHOWN if page == 1 else 0
    if number is not None:
        db.change(NOT_TOLD, values)
        for which, limit in (("paged", PAGE), ("missed", shown)):
            db.change(TOLD[which], {**values, "limit": limit})
    waiting = _listed(db, LISTED["paged"], values, PAGE)
    others = _listed(db, LISTED["missed"], values, shown)
    ((total, since),) = db.rows(TOTAL["missed"], values)
    counts, reason = _counts(db, "missed", values), db.value(SILENCE_REASON, values)
    return Digest(int(total), counts, (*waiting, *others), reason, page, since)


def remind_after(db: Database, digest: int, options: Mapping[str, RouteOptions], now: int) -> None:
    """Let the reminders of what a silence's digest told count from it."""
    for route, each in options.items():
        if each.remind_every is not None:
            values = {"head": digest, "route": route, "every": each.remind_every, "now": now}
            db.change(REMIND_AFTER, values)


def _counts(db: Database, which: str, values: Values) -> tuple[tuple[str, str, int], ...]:
    counts = db.rows(COUNTS[which], values)
    return tuple((sort or "", agent, n) for sort, agent, n in counts)


def _listed(db: Database, which: Statement, values: Values, limit: int) -> tuple[DigestItem, ...]:
    items = db.rows(which, {**values, "limit": limit})
    return tuple(_item(db, row) for row in items)


def _item(db: Database, row: tuple[Any, ...]) -> DigestItem:
    kind, step, event, origin, over, taken, stuck, taken_by, version = row
    shown_kind = Kind(origin if kind == Kind.FALLBACK and origin else kind)
    about, _ = facts.context(db, event)
    is_end = shown_kind is Kind.RESOLVED and version is not None
    return DigestItem(
        shown_kind,
        step,
        about,
        bool(over),
        bool(taken),
        bool(stuck),
        taken_by or "",
        facts.begun(db, about, version - 1) if is_end else None,
    )
