"""store.Transaction and the committer's connection, on SQLite, with prepared SQL.

The hot path does not go through sqlite-utils: a prepared statement costs a half to a fifth of it.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from receiver.deliveries import Attempt, Claim, Owed
from receiver.events import Event, Execution, Verdict
from receiver.store import Entry, Loaded, Recorded
from receiver.store import sqlite_queries as queries
from receiver.store.sqlite_connection import connect

MAX_QUARANTINED = 1_000
# Bytes in the write-ahead log before it is copied back: well under 64 MiB.
CHECKPOINT_AT = 8 * 2**20

_EVENT = (
    "INSERT INTO event (seq, source, event_id, repeated, execution_id, event, status, occurred_at,"
    " received_at, verdict, reason, flags, agent_id, agent_name, execution_url, metadata, detail,"
    " version, owed, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (source, event_id, repeated) WHERE verdict <> 'quarantined'"
    " DO UPDATE SET times = times + 1, received_at = excluded.received_at"
    " WHERE event.repeated = 1"
)
_EXECUTION = (
    "INSERT INTO execution (id, source, execution_id, status, category, since, mark, version,"
    " first_seen, agent_id, agent_name, execution_url, metadata, gap, assumed)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_EXECUTION_MOVES = (
    "UPDATE execution SET status = ?, category = ?, since = ?, mark = ?, version = ?, agent_id = ?,"
    " agent_name = ?, execution_url = ?, metadata = ?, gap = ?, assumed = ?"
    " WHERE id = ? AND version = ?"
)
_HISTORY = (
    "INSERT INTO history (execution, version, event, status, previous_status, previous_since,"
    " applied_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_DELIVERY = (
    "INSERT INTO delivery (dedup_key, event, source, execution_id, event_id, route, destination,"
    " kind, order_key, guard_version, created_at, owed_at, due_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# The order of one execution within a destination is kept: nothing is taken before what is older.
_NEXT = (
    "SELECT id, route, tries, repeat, owed_at, guard_version, event FROM delivery AS d"
    " WHERE destination = ? AND state = 'waiting' AND due_at <= ?"
    " AND NOT EXISTS (SELECT 1 FROM delivery AS e WHERE e.destination = d.destination"
    "  AND e.order_key = d.order_key AND e.id < d.id AND e.state IN ('waiting', 'sending'))"
    " ORDER BY due_at, id LIMIT 1"
)
_RECORD = (
    "UPDATE delivery SET state = ?, reason = ?, due_at = ?, title = ?, body = ?,"
    " attempts = attempts + 1, tries = tries + 1, repeat = repeat OR ?, token = NULL,"
    " lease_until = NULL WHERE id = ? AND token = ? AND state = 'sending'"
)


class WriteConnection:
    """What the committer owns; see committer.Connection."""

    failures: tuple[type[Exception], ...] = (sqlite3.OperationalError,)

    def __init__(self, path: Path, *, checkpoints: bool) -> None:
        self._log = f"{path}-wal"
        # Only who serves the file copies the log back: SQLite before 3.51.3 can corrupt a file
        # whose log two connections reset (sqlite.org, "WAL-reset bug").
        self._checkpoints = checkpoints
        self._connection = connect(path)

    def begin(self) -> SqliteTransaction:
        # IMMEDIATE: a deferred one that reads first fails at once when somebody else writes.
        self._connection.execute("BEGIN IMMEDIATE")
        return SqliteTransaction(self._connection)

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def tidy(self) -> None:
        """Checkpoint once the log is long. TRUNCATE waits for readers, so only if it must."""
        if not self._checkpoints:
            return
        try:
            size = os.stat(self._log).st_size
        except FileNotFoundError:
            return
        if size > CHECKPOINT_AT:
            self._checkpoint("TRUNCATE" if size > 4 * CHECKPOINT_AT else "PASSIVE")

    def _checkpoint(self, mode: str) -> None:
        try:
            self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except sqlite3.OperationalError:
            return  # tried again after the next batch; the commits themselves are safe in the log

    def close(self) -> None:
        if self._checkpoints:
            self._checkpoint("TRUNCATE")
        self._connection.close()


class SqliteTransaction:
    """store.Transaction on SQLite. Ids are counted on from the highest: one connection writes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def load(self, events: Sequence[Event]) -> Loaded:
        return queries.load(self._db, events)

    def save(self, entries: Sequence[Entry]) -> None:
        last = self._highest("SELECT max(seq) FROM event")
        number = self._highest("SELECT max(id) FROM execution")
        rows: list[tuple[Any, ...]] = []
        created: dict[tuple[str, str], int] = {}
        new: list[tuple[Any, ...]] = []
        moves: list[tuple[Any, ...]] = []
        history: list[tuple[Any, ...]] = []
        owed: list[tuple[Any, ...]] = []
        for seq, entry in enumerate(entries, last + 1):
            messages = self._not_yet_owed(entry, owed)
            rows.append(_event_row(seq, entry, len(messages)))
            owed += _delivery_rows(seq, entry, messages)
            after = entry.after or entry.moved
            if after is None:
                continue
            key = (after.source, after.execution_id)
            if entry.before is None:
                number += 1
                created[key] = number
                new.append(_execution_row(number, after))
            else:
                moves.append(_move_row(created.get(key) or self._number(key), entry.before, after))
            if entry.after is not None:
                history.append(_history_row(created.get(key) or self._number(key), seq, entry))
        self._db.executemany(_EVENT, rows)
        self._db.executemany(_EXECUTION, new)
        self._move(moves)
        self._db.executemany(_HISTORY, history)
        self._promise("accepted", sum(entry.accepted for entry in entries))
        if owed:
            self._promise("owed", self._db.executemany(_DELIVERY, owed).rowcount)
        if any(entry.judgement.verdict is Verdict.QUARANTINED for entry in entries):
            self._evict()

    def claim(self, destination: str, now: int, until: int) -> Claim | None:
        self.release(now, all_leases=False)
        while (found := self._db.execute(_NEXT, (destination, now)).fetchone()) is not None:
            delivery, route, tries, repeat, owed_at, guard, event = found
            facts, version = queries.facts(self._db, event)
            if guard is not None and version != guard:
                self._db.execute(
                    "UPDATE delivery SET state = 'superseded', reason = ? WHERE id = ?",
                    (f"no longer {facts.status}: now {facts.execution_status}", delivery),
                )
                continue
            token = secrets.token_hex(8)
            self._db.execute(
                "UPDATE delivery SET state = 'sending', token = ?, lease_until = ? WHERE id = ?",
                (token, until, delivery),
            )
            return Claim(delivery, token, destination, route, tries, bool(repeat), owed_at, facts)
        return None

    def record(self, claim: Claim, attempt: Attempt, after: Recorded, now: int) -> bool:
        told = (after.state, after.reason, after.due_at, after.title, after.body)
        uncertain = int(attempt.outcome == "uncertain")
        mine = self._db.execute(_RECORD, (*told, uncertain, claim.delivery, claim.token)).rowcount
        if mine:
            self._attempted(
                claim.delivery, now, attempt.outcome, attempt.detail, attempt.duration_ms
            )
        return bool(mine)

    def release(self, now: int, *, all_leases: bool) -> int:
        lost = self._db.execute(
            "SELECT id FROM delivery WHERE state = 'sending' AND (? OR lease_until <= ?)",
            (int(all_leases), now),
        ).fetchall()
        for (delivery,) in lost:
            self._db.execute(
                "UPDATE delivery SET state = 'waiting', due_at = ?, repeat = 1, token = NULL,"
                " lease_until = NULL, attempts = attempts + 1, tries = tries + 1 WHERE id = ?",
                (now, delivery),
            )
            self._attempted(delivery, now, "uncertain", "the process stopped while sending", 0)
        return len(lost)

    def redeliver(self, delivery: int, now: int) -> bool | None:
        row = self._db.execute("SELECT state FROM delivery WHERE id = ?", (delivery,)).fetchone()
        if row is None:
            return None
        # A guarded message whose moment has passed will be superseded at its claim, not sent.
        again = self._db.execute(
            "UPDATE delivery SET state = 'waiting', reason = '', due_at = ?, owed_at = ?, tries = 0"
            " WHERE id = ? AND state = 'dead'",
            (now, now, delivery),
        )
        return bool(again.rowcount)

    def touch(self) -> None:
        self._db.execute("UPDATE promised SET n = n WHERE name = 'accepted'")

    def bury(self, destinations: Sequence[str]) -> int:
        return self._db.execute(
            "UPDATE delivery SET state = 'dead', reason = 'its destination is not in routes.yaml:"
            " add it again and redeliver' WHERE state = 'waiting' AND destination"
            " NOT IN (SELECT value FROM json_each(?))",
            (json.dumps(list(destinations)),),
        ).rowcount

    def _not_yet_owed(self, entry: Entry, owed: Sequence[tuple[Any, ...]]) -> Sequence[Owed]:
        """What this entry adds to what is owed. Only quarantine asks for one message many times."""
        if entry.judgement.verdict is not Verdict.QUARANTINED:
            return entry.owed
        keys = {row[0] for row in owed}
        stored = "SELECT 1 FROM delivery WHERE dedup_key = ?"
        return [
            message
            for message in entry.owed
            if message.dedup_key not in keys
            and not self._db.execute(stored, (message.dedup_key,)).fetchone()
        ]

    def _highest(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0] or 0)

    def _number(self, key: tuple[str, str]) -> int:
        row = self._db.execute(
            "SELECT id FROM execution WHERE source = ? AND execution_id = ?", key
        ).fetchone()
        return int(row[0])

    def _move(self, moves: Sequence[tuple[Any, ...]]) -> None:
        if moves and self._db.executemany(_EXECUTION_MOVES, moves).rowcount != len(moves):
            raise AssertionError("an execution changed between loading and saving it")

    def _attempted(self, delivery: int, at: int, outcome: str, detail: str, took: int) -> None:
        self._db.execute(
            "INSERT INTO attempt SELECT id, attempts, ?, ?, ?, ? FROM delivery WHERE id = ?",
            (at, outcome, detail, took, delivery),
        )

    def _promise(self, name: str, n: int) -> None:
        if n:
            self._db.execute("UPDATE promised SET n = n + ? WHERE name = ?", (n, name))

    def _evict(self) -> None:
        """Quarantine is bounded: the oldest goes, unless a delivery is about it."""
        gone = self._db.execute(
            "DELETE FROM event WHERE owed = 0 AND seq IN (SELECT seq FROM event WHERE"
            " verdict = 'quarantined' ORDER BY seq DESC LIMIT -1 OFFSET ?) RETURNING reason",
            (MAX_QUARANTINED,),
        ).fetchall()
        self._promise("evicted", sum(reason != "malformed" for (reason,) in gone))


def _event_row(seq: int, entry: Entry, owed: int) -> tuple[Any, ...]:
    event, judgement = entry.event, entry.judgement
    told = (judgement.verdict, judgement.reason, " ".join(sorted(judgement.flags)))
    if event is None:
        nothing = (None,) * 6
        return (seq, entry.source, None, 0, None, None, None, None, entry.received_at,
                *told, *nothing, owed, entry.body)  # fmt: skip
    repeated = judgement.reason == "event_id"
    return (
        seq, event.source, event.event_id, int(repeated), event.execution_id, event.event,
        event.status or event.unknown_status, event.occurred_at, entry.received_at, *told,
        event.agent_id, event.agent_name, event.execution_url, _json(event.metadata),
        _json(event.detail), entry.after.version if entry.after else None, owed,
        # The first body wins. Keeping those of repeats would let one captured webhook, sent again
        # and again, fill the disk.
        None if repeated else entry.body,
    )  # fmt: skip


def _execution_row(number: int, execution: Execution) -> tuple[Any, ...]:
    return (
        number, execution.source, execution.execution_id, execution.status,
        execution.status.category, execution.since, execution.mark, execution.version,
        execution.first_seen, execution.agent_id, execution.agent_name, execution.execution_url,
        _json(execution.metadata), int(execution.gap), int(execution.assumed),
    )  # fmt: skip


def _move_row(number: int, before: Execution, after: Execution) -> tuple[Any, ...]:
    return (
        after.status, after.status.category, after.since, after.mark, after.version,
        after.agent_id, after.agent_name, after.execution_url, _json(after.metadata),
        int(after.gap), int(after.assumed), number, before.version,
    )  # fmt: skip


def _history_row(number: int, seq: int, entry: Entry) -> tuple[Any, ...]:
    assert entry.after is not None
    before = entry.before
    previous = (before.status, before.since) if before else (None, None)
    return (number, entry.after.version, seq, entry.after.status, *previous, entry.received_at)


def _delivery_rows(seq: int, entry: Entry, messages: Sequence[Owed]) -> list[tuple[Any, ...]]:
    event, now = entry.event, entry.received_at
    ids = (event.execution_id, event.event_id) if event else (None, None)
    return [
        (owed.dedup_key, seq, entry.source, *ids, owed.route, owed.destination, owed.kind,
         owed.order_key, owed.guard_version, now, now, now)
        for owed in messages
    ]  # fmt: skip


def _json(value: Mapping[str, Any] | None) -> str | None:
    # ASCII: what JSON can hold and no database can (lone surrogates, NUL) stays escaped.
    return json.dumps(value, separators=(",", ":")) if value else None
