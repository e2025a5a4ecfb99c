"""Audit: what people did, whose turn it is to act at a provider, and the key of links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from receiver.audit import Act, Entry, Turn
from receiver.store.reading import Page
from receiver.store.sql import asking
from receiver.store.sql.database import Database, statement
from receiver.store.sql.reads import MAX_ID
from receiver.times import SECOND

KEEP_KEY = statement(
    "keep_link_key",
    "INSERT INTO link_key (id, key, made_at) VALUES (1, :key, :now) ON CONFLICT (id) DO NOTHING",
)
LINK_KEY = statement("link_key", "SELECT key FROM link_key WHERE id = 1")
NOTE = statement(
    "note",
    "INSERT INTO audit (at, act, who, door, place, source, execution_id, about, result) VALUES"
    " (:at, :act, :who, :door, :place, :source, :execution_id, :about, :result) RETURNING id",
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


# Whose turn it is to act on an execution. The row is there before it is locked.
_TURN = "source = :source AND execution_id = :execution"
ADD_TURN = statement(
    "add_turn",
    "INSERT INTO acting (source, execution_id, token, until_at) VALUES (:source, :execution, '', 0)"
    " ON CONFLICT (source, execution_id) DO NOTHING",
)
TURN_AT = statement(
    "turn_at",
    "SELECT until_at > {now} AND until_at <= {now} + :longest, audit, version,"
    " done_at IS NOT NULL, done_at > {now} - :pending AND done_at <= {now} + :pending"
    f" FROM acting WHERE {_TURN}{{lock}}",
)
TAKE_TURN = statement(
    "take_turn",
    "UPDATE acting SET token = :token, until_at = {now} + :lease,"
    " audit = CASE WHEN done_at IS NULL THEN NULL ELSE audit END,"
    f" version = CASE WHEN done_at IS NULL THEN NULL ELSE version END WHERE {_TURN}",
)
IS_MINE = statement(
    "turn_is_mine",
    f"SELECT 1 FROM acting WHERE {_TURN} AND token = :token AND until_at > {{now}}{{lock}}",
)
BEGIN_ACT = statement(
    "begin_act",
    "UPDATE acting SET audit = :audit, version = :version, done_at = NULL,"
    f" until_at = {{now}} + :lease WHERE {_TURN}",
)
# What the provider took is pending for a while.
GIVE_TURN = statement(
    "give_turn",
    "UPDATE acting SET token = '', until_at = 0, done_at = CASE WHEN CAST(:done AS integer) = 1"
    f" THEN {{now}} ELSE done_at END WHERE {_TURN} AND token = :token",
)
FORGET_TURNS = statement(
    "forget_turns",
    "DELETE FROM acting WHERE until_at <= {now} AND (audit IS NULL OR done_at <= {now} - :pending"
    f" OR (CAST(:failed AS integer) = 1 AND token = '' AND done_at IS NULL AND {_TURN}))",
)
ABANDONED = statement(
    "abandoned_acts",
    "SELECT source, execution_id FROM acting WHERE audit IS NOT NULL AND done_at IS NULL"
    " AND until_at <= {now} LIMIT 20",
)
# Nobody overwrites a result but that of an act whose result was unknown.
RESULT = statement(
    "result_of_act",
    "UPDATE audit SET result = :result WHERE id = :audit AND result IN ('begun', 'uncertain')",
)
ACT_OF = statement("act_of", "SELECT act, who FROM audit WHERE id = :audit")
# An act whose effect does not show is pending for so long. A turn that lasts longer than the
# longest was taken under a clock that has been set back since.
PENDING_FOR, LONGEST_TURN = 60 * SECOND, 1_800 * SECOND


class SqlAuditing:
    """The part of a transaction that keeps what people did, and whose turn it is."""

    _database: Database

    def link_key(self, made: bytes, now: int) -> bytes:
        self._database.change(KEEP_KEY, {"key": made, "now": now})
        return bytes(self._database.value(LINK_KEY))

    def note(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._note(entry)

    def take_turn(self, turn: Turn, until: int, now: int) -> Turn | None:
        values = _of(turn, until, now)
        self._database.change(ADD_TURN, values)
        row = self._database.row(TURN_AT, values)
        if row is None or row[0]:  # taken, or given back and forgotten at this moment
            return None
        _, number, version, is_done, is_pending = row
        if number is not None and not is_done:
            self._database.change(RESULT, {"audit": number, "result": "uncertain"})
        self._database.change(TAKE_TURN, values)
        last = self._database.row(ACT_OF, {"audit": number}) if is_pending else None
        if last is None:
            return turn
        return replace(turn, pending=Act(last[0]), who=last[1], version=version)

    def begin_act(self, turn: Turn, entry: Entry, until: int, now: int) -> int | None:
        values = _of(turn, until, now)
        if self._database.row(IS_MINE, values) is None:
            return None
        number = self._note(entry)
        self._database.change(BEGIN_ACT, {**values, "audit": number, "version": turn.version})
        return number

    def give_turn(self, turn: Turn, number: int | None, result: str, now: int) -> None:
        is_done = number is not None and result == "done"
        values = {**_of(turn, now, now), "done": int(is_done), "failed": int(not is_done)}
        if number is not None:
            self._database.change(RESULT, {"audit": number, "result": result})
        if self._database.change(GIVE_TURN, values):
            self._database.change(FORGET_TURNS, values)

    def reserve(self, provider: str, interval: int, burst: int, now: int) -> int:
        return asking.reserve(self._database, provider, interval, burst, now)

    def _note(self, entry: Entry) -> int:
        values = {
            "at": entry.at, "act": str(entry.act), "who": entry.by.who,
            "door": str(entry.by.door), "place": entry.by.place, "source": entry.source,
            "execution_id": entry.execution_id, "about": entry.about, "result": entry.result,
        }  # fmt: skip
        return int(self._database.value(NOTE, values))


def _of(turn: Turn, until: int, now: int) -> dict[str, Any]:
    return {
        "source": turn.source, "execution": turn.execution_id, "token": turn.token,
        "lease": max(until - now, 0), "now": now, "pending": PENDING_FOR,
        "longest": LONGEST_TURN,
    }  # fmt: skip


def abandoned(db: Database, now: int) -> list[tuple[str, str]]:
    """See reading.Asking.abandoned."""
    return [(source, execution) for source, execution in db.rows(ABANDONED, {"now": now})]


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
