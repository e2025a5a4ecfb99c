"""Digests: the number of messages in one, their sorts, and the first few of them."""

from __future__ import annotations

from typing import Any

from receiver.deliveries import Digest, DigestItem, Kind
from receiver.store.sql import facts
from receiver.store.sql.database import Database, Statement, Values, statement, variants
from receiver.store.sql.facts import STUCK, WAITS
from receiver.store.sql.silences import MISSED, PAGE

# The number of sorts that are counted by name, and of listed messages that need no answer.
SORTS, SHOWN = 8, 5

_JOINED = (
    "FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    " LEFT JOIN execution AS x ON x.source = e.source AND x.execution_id = e.execution_id"
)
# Its episode is over; somebody has taken it. (For a digest of a group the claim has checked this.)
_OVER = "(d.guard_version IS NOT NULL AND (x.version IS NULL OR x.version <> d.guard_version))"
_TAKEN = (
    "EXISTS (SELECT 1 FROM acknowledgement AS a WHERE a.execution = x.id"
    " AND a.version = d.guard_version)"
)
# The event that ends an episode is the first of the next one.
_TAKER = (
    "(SELECT a.by FROM acknowledgement AS a WHERE a.execution = x.id"
    " AND a.version = e.version - CASE WHEN d.kind = 'resolved' THEN 1 ELSE 0 END)"
)
_STILL_WAITS = f"({WAITS} AND NOT {_OVER} AND NOT {_TAKEN})"
_GATHERED = "d.digest = :head AND d.state = 'sending'"
_MISSED = f"d.id IN ({MISSED})"
# The confirmations of a page that still wait, and all messages that are no confirmation.
_PAGED = (
    f"d.id IN (SELECT d.id {_JOINED} WHERE {_MISSED} AND {WAITS} ORDER BY d.id LIMIT :page_size"
    f" OFFSET :skipped) AND {_STILL_WAITS}"
)
_OTHERS = f"{_MISSED} AND NOT {_STILL_WAITS}"
TOTAL = variants(
    "digest_total",
    "SELECT count(*), min(e.occurred_at) FROM delivery AS d JOIN event AS e ON e.seq = d.event"
    " WHERE {where}",
    {"gathered": _GATHERED, "missed": _MISSED},
)


def _counts_of(by_now: str, where: str) -> str:
    return (
        f"SELECT CASE WHEN d.kind IN ('resolved', 'acknowledged') THEN d.kind {by_now}"
        f" WHEN {_TAKEN} THEN 'acknowledged'"
        f" WHEN e.verdict <> 'applied' THEN e.verdict WHEN {STUCK} THEN 'stuck/' || e.status"
        " ELSE e.status END,"
        " coalesce(e.agent_name, x.agent_name, e.agent_id, x.agent_id, ''), count(*)"
        f" {_JOINED} WHERE {where} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT {SORTS}"
    )


COUNTS = {
    "gathered": statement("digest_counts_gathered", _counts_of("", _GATHERED)),
    "missed": statement(
        "digest_counts_missed",
        _counts_of(f"WHEN {_OVER} THEN 'over'", _MISSED),
    ),
}
LISTED = variants(
    "digest_listed",
    f"SELECT d.kind, d.step, d.event, o.kind, {_OVER}, {_TAKEN}, {STUCK}, {_TAKER},"
    f" e.version {_JOINED}"
    " LEFT JOIN delivery AS o ON o.id = d.origin WHERE {where} ORDER BY d.id LIMIT :limit",
    {
        "waiting": f"{_GATHERED} AND {WAITS}",
        "gathered": f"{_GATHERED} AND NOT {WAITS}",
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


def gathered(db: Database, head: int) -> Digest:
    """Return the digest with this head; all its messages are being sent."""
    values = {"head": head}
    waiting = _listed(db, LISTED["waiting"], values, PAGE)
    others = _listed(db, LISTED["gathered"], values, SHOWN)
    ((total, since),) = db.rows(TOTAL["gathered"], values)
    counts = _counts(db, "gathered", values)
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
    others = _listed(db, LISTED["missed"], values, shown, of_silence=True)
    ((total, since),) = db.rows(TOTAL["missed"], values)
    counts, reason = _counts(db, "missed", values), db.value(SILENCE_REASON, values)
    return Digest(int(total), counts, (*waiting, *others), reason, page, since)


def _counts(db: Database, which: str, values: Values) -> tuple[tuple[str, str, int], ...]:
    counts = db.rows(COUNTS[which], values)
    return tuple((sort or "", agent, n) for sort, agent, n in counts)


def _listed(
    db: Database, which: Statement, values: Values, limit: int, *, of_silence: bool = False
) -> tuple[DigestItem, ...]:
    items = db.rows(which, {**values, "limit": limit})
    return tuple(_item(db, row, of_silence=of_silence) for row in items)


def _item(db: Database, row: tuple[Any, ...], *, of_silence: bool) -> DigestItem:
    kind, step, event, origin, over, taken, stuck, taken_by, version = row
    shown_kind = Kind(origin if kind == Kind.FALLBACK and origin else kind)
    about, _ = facts.context(db, event)
    is_end = shown_kind is Kind.RESOLVED and version is not None
    return DigestItem(
        shown_kind,
        step,
        about,
        # The claim has checked that nothing in the digest of a group is over.
        of_silence and bool(over),
        bool(taken),
        bool(stuck),
        taken_by or "",
        facts.begun(db, about, version - 1) if is_end else None,
    )
