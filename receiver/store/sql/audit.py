"""Audit: what people did, and the key of the links by which they may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from receiver.audit import Entry
from receiver.store.reading import Page
from receiver.store.sql.database import Database, statement
from receiver.store.sql.reads import MAX_ID

KEEP_KEY = statement(
    "keep_link_key",
    "INSERT INTO link_key (id, key, made_at) VALUES (1, :key, :now) ON CONFLICT (id) DO NOTHING",
)
LINK_KEY = statement("link_key", "SELECT key FROM link_key WHERE id = 1")
NOTE = statement(
    "note",
    "INSERT INTO audit (at, act, who, door, place, source, execution_id, about, result) VALUES"
    " (:at, :act, :who, :door, :place, :source, :execution_id, :about, :result)",
)
_COLUMNS = "id, at, act, who, door, place, source, execution_id, about, result"
CONDITIONS = ("act", "door", "who", "source", "execution_id")
_FILTER = " AND ".join(
    f"(CAST(:{name} AS text) IS NULL OR a.{name} = :{name})" for name in CONDITIONS
)
AUDIT = statement(
    "audit",
    f"SELECT {_COLUMNS} FROM audit AS a WHERE {_FILTER} AND a.id < :after ORDER BY a.id DESC"
    " LIMIT :limit",
)

AT_PROVIDER = statement(
    "acts_at_provider",
    f"SELECT {_COLUMNS} FROM audit AS a WHERE a.source = :source AND a.execution_id = :execution"
    " AND a.act IN ('resume', 'cancel', 'pause') ORDER BY a.id LIMIT 200",
)


class SqlAuditing:
    """The part of a transaction that keeps what people did."""

    _database: Database

    def link_key(self, made: bytes, now: int) -> bytes:
        self._database.change(KEEP_KEY, {"key": made, "now": now})
        return bytes(self._database.value(LINK_KEY))

    def note(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            values = {
                "at": entry.at, "act": str(entry.act), "who": entry.by.who,
                "door": str(entry.by.door), "place": entry.by.place, "source": entry.source,
                "execution_id": entry.execution_id, "about": entry.about, "result": entry.result,
            }  # fmt: skip
            self._database.change(NOTE, values)


def page(db: Database, conditions: Mapping[str, str], limit: int, after: int | None) -> Page:
    """See reading.Listing.audit."""
    values = {
        **{name: conditions.get(name) for name in CONDITIONS},
        "limit": limit + 1,
        "after": MAX_ID if after is None else after,
    }
    records = db.records(AUDIT, values)
    following = int(records[limit - 1]["id"]) if len(records) > limit else None
    return records[:limit], following
