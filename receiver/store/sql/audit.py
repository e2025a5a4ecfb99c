"""Audit: what people did, and the key of the links by which they may."""

from __future__ import annotations

from receiver.store.sql.database import Database, statement

KEEP_KEY = statement(
    "keep_link_key",
    "INSERT INTO link_key (id, key, made_at) VALUES (1, :key, :now) ON CONFLICT (id) DO NOTHING",
)
LINK_KEY = statement("link_key", "SELECT key FROM link_key WHERE id = 1")


class SqlAuditing:
    """The part of a transaction that keeps what people did."""

    _database: Database

    def link_key(self, made: bytes, now: int) -> bytes:
        self._database.change(KEEP_KEY, {"key": made, "now": now})
        return bytes(self._database.value(LINK_KEY))
