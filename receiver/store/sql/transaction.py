"""store.Transaction and the committer's connection, on SQLite, with prepared SQL.

The hot path does not go through sqlite-utils: a prepared statement costs a half to a fifth of it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from receiver.deliveries import Acknowledgement, Attempt, Claim, Kind, PlannedDelivery, State
from receiver.events import Event, Execution, Held, Verdict
from receiver.retention import Limits
from receiver.routing.policy import SendPolicy
from receiver.routing.silences import Silence
from receiver.store.contract import (
    AttemptResult,
    ExecutionKey,
    JudgedWebhook,
    Loaded,
    PruneCursor,
    Pruned,
)
from receiver.store.sql import claims, episodes, loading, pruning, silences
from receiver.store.sql import outbox as deliveries
from receiver.store.sqlite.connection import connect
from receiver.store.sqlite.many_rows import ManyRows, Row
from receiver.store.sqlite.wal import Checkpointer

MAX_QUARANTINED = 1_000
# After a failed sync the system may call pages written that are not, and SQLite goes on accepting
# commits; a file that is damaged takes them, too.
_LOST = {
    sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC, sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
}  # fmt: skip

_EVENT = ManyRows(
    "INSERT INTO event (seq, source, event_id, repeated, execution_id, event, status, occurred_at,"
    " received_at, verdict, reason, flags, missing, held_until, agent_id, agent_name,"
    " execution_url, metadata, detail, version, owed, body) VALUES {rows}"
    " ON CONFLICT (source, event_id, repeated) WHERE verdict <> 'quarantined'"
    " DO UPDATE SET times = times + 1, received_at = excluded.received_at"
    " WHERE event.repeated = 1",
    22,
)
_JUDGED_AGAIN = (
    "UPDATE event SET verdict = ?, reason = ?, flags = ?, missing = ?, held_until = NULL,"
    " version = ?, owed = owed + ? WHERE seq = ?"
)
# The first step is written down when there is a second one.
_FIRST_STEP = (
    "INSERT INTO judgement (event, number, at, verdict, reason)"
    " SELECT seq, 1, received_at, verdict, reason FROM event WHERE seq = ?"
    " ON CONFLICT (event, number) DO NOTHING"
)
_STEP = (
    "INSERT INTO judgement (event, number, at, verdict, reason)"
    " SELECT event, max(number) + 1, ?, ?, ? FROM judgement WHERE event = ?"
)
_EXECUTION = ManyRows(
    "INSERT INTO execution (id, source, execution_id, status, category, since, mark, version,"
    " first_seen, agent_id, agent_name, execution_url, metadata, gap, assumed) VALUES {rows}",
    15,
)
EXECUTION_MOVES = ManyRows(
    # The columns of VALUES by their numbers: with their names before it, nothing would be counted.
    "UPDATE execution SET status = m.column3, category = m.column4, since = m.column5,"
    " mark = m.column6, version = m.column7, agent_id = m.column8, agent_name = m.column9,"
    " execution_url = m.column10, metadata = m.column11, gap = m.column12, assumed = m.column13"
    " FROM (VALUES {rows}) AS m WHERE execution.id = m.column1 AND execution.version = m.column2",
    13,
)
_HISTORY = ManyRows(
    "INSERT INTO history (execution, version, event, status, previous_status, previous_since,"
    " applied_at) VALUES {rows}",
    7,
)
NUMBERS = ManyRows(
    "WITH asked (source, execution_id) AS (VALUES {rows})"
    " SELECT x.source, x.execution_id, x.id FROM asked AS a CROSS JOIN execution AS x"
    " ON x.source = a.source AND x.execution_id = a.execution_id",
    2,
)


class WriteConnection:
    """What the committer owns; see committer.Connection."""

    failures: tuple[type[Exception], ...] = (sqlite3.OperationalError,)

    def __init__(self, path: Path, *, checkpoints: bool) -> None:
        # Only who serves the file copies the log back: SQLite before 3.51.3 can corrupt a file
        # whose log two connections reset (sqlite.org, "WAL-reset bug").
        self._checkpoints = checkpoints
        self._lost = self._full = False
        self._connection = connect(path)
        self._log = Checkpointer(path, self._connection)

    def begin(self) -> SqliteTransaction:
        # IMMEDIATE: a deferred one that reads first fails at once when somebody else writes.
        self._connection.execute("BEGIN IMMEDIATE")
        return SqliteTransaction(self._connection)

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def is_lost(self, error: Exception) -> bool:
        code = getattr(error, "sqlite_errorcode", 0)
        self._lost = self._lost or code in _LOST or code & 0xFF in _LOST
        self._full = code == sqlite3.SQLITE_FULL
        return self._lost

    def tidy(self) -> None:
        """Copy the log back if it is time. On a full disk the log may be what fills it."""
        if self._checkpoints:
            is_full, self._full = self._full, False
            self._tried(lambda: self._log.committed(now=is_full))

    def _tried(self, act: Callable[[], None]) -> None:
        try:
            act()
        except sqlite3.Error as error:
            # Tried again after the next batch; the commits themselves are safe in the log.
            if self.is_lost(error):
                raise

    def close(self) -> None:
        # What cannot be believed is left as it is, for the next start to look at.
        if self._checkpoints and not self._lost:
            self._tried(self._log.empty)
        self._connection.close()


class SqliteTransaction:
    """store.Transaction on SQLite. Ids are counted on from the highest: one connection writes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._numbers: dict[ExecutionKey, int] = {}  # the ids of executions, as far as known

    def load(self, events: Sequence[Event]) -> Loaded:
        return loading.load(self._db, events, self._numbers)

    def expired_held(self, now: int) -> Sequence[Held]:
        return loading.expired_held(self._db, now)

    def save(self, entries: Sequence[JudgedWebhook]) -> None:
        messages = self._not_yet_owed(entries)
        numbers = self._write_down(entries, messages)
        self._judge_again(entries, numbers)
        self._advance(entries, numbers)
        self._promise("accepted", sum(entry.accepted for entry in entries if not entry.again))
        owed = [
            row
            for entry, seq, owing in zip(entries, numbers, messages, strict=True)
            for row in _delivery_rows(seq, entry, owing)
        ]
        if owed:
            self._promise("owed", deliveries.DELIVERY.change(self._db, owed))
        # Only now: what ends here may have begun in this very batch.
        self._promise("owed", episodes.moved(self._db, entries))
        if any(entry.judgement.verdict is Verdict.QUARANTINED for entry in entries):
            self._evict()

    def _write_down(
        self, entries: Sequence[JudgedWebhook], messages: Sequence[Sequence[PlannedDelivery]]
    ) -> Sequence[int]:
        """Insert the new events; the number of each entry's event, stored before or now."""
        last = self._highest("SELECT max(seq) FROM event")
        rows, numbers = [], []
        for entry, owing in zip(entries, messages, strict=True):
            if not entry.again:
                last += 1
                rows.append(_event_row(last, entry, len(owing)))
            numbers.append(0 if entry.again else last)
        _EVENT.change(self._db, rows)
        # Only now: what is judged again may have come in this very batch.
        return [seq or self._seq(entry) for seq, entry in zip(numbers, entries, strict=True)]

    def _judge_again(self, entries: Sequence[JudgedWebhook], numbers: Sequence[int]) -> None:
        for entry, seq in zip(entries, numbers, strict=True):
            if not entry.again:
                continue
            version = entry.after.version if entry.after else None
            judged = entry.judgement.verdict, entry.judgement.reason
            told = _words(entry.judgement.flags), _words(entry.judgement.missing)
            self._db.execute(_FIRST_STEP, (seq,))
            self._db.execute(_STEP, (entry.judged_at, *judged, seq))
            self._db.execute(_JUDGED_AGAIN, (*judged, *told, version, len(entry.owed), seq))

    def _advance(self, entries: Sequence[JudgedWebhook], numbers: Sequence[int]) -> None:
        """Write down where executions stand now, and the steps that took them there."""
        last = self._highest("SELECT max(id) FROM execution")
        new: list[Row] = []
        history: list[Row] = []
        # An execution may move more than once in a batch; each step is held against the CHECKs.
        moves: list[list[Row]] = []
        moved: dict[ExecutionKey, int] = {}
        self._know([e.before for e in entries if e.before and (e.after or e.moved)])
        for entry, seq in zip(entries, numbers, strict=True):
            after = entry.after or entry.moved
            if after is None:
                continue
            key = after.source, after.execution_id
            if entry.before is None:
                last += 1
                self._numbers[key] = last
                new.append(_execution_row(last, after))
            else:
                round_ = moved.get(key, 0)
                moved[key] = round_ + 1
                if round_ == len(moves):
                    moves.append([])
                moves[round_].append(_move_row(self._numbers[key], entry.before, after))
            if entry.after is not None:
                history.append(_history_row(self._numbers[key], seq, entry))
        _EXECUTION.change(self._db, new)
        for rows in moves:
            if EXECUTION_MOVES.change(self._db, rows) != len(rows):
                raise AssertionError("an execution changed between loading and saving it")
        _HISTORY.change(self._db, history)

    def _know(self, executions: Iterable[Execution]) -> None:
        """Look up the ids of stored executions, of those that `load` did not meet."""
        keys = {(x.source, x.execution_id): None for x in executions}
        unknown = [key for key in keys if key not in self._numbers]
        for source, execution_id, number in NUMBERS.find(self._db, unknown):
            self._numbers[source, execution_id] = number

    def claim(
        self, destination: str, policy: SendPolicy, now: int, until: int, *, anyway: bool = False
    ) -> Claim | None:
        return claims.claim(self._db, destination, policy, now, until, anyway=anyway)

    def recheck_quiet(self, destination: str, policy: SendPolicy, now: int) -> None:
        claims.recheck_quiet(self._db, destination, policy, now)

    def record(self, claim: Claim, attempt: Attempt, after: AttemptResult) -> bool:
        if not deliveries.record(self._db, claim, attempt, after):
            return False
        now, gathered = claim.claimed_at, claim.group_key is not None and claim.digest is not None
        for owed in after.owed:
            if gathered and owed.kind is Kind.FALLBACK:
                fallen = deliveries.fall_back(self._db, claim, owed.destination)
                self._promise("owed", fallen)
            else:
                self.owe(claim.delivery, (owed,), now)
        if after.state is State.SENT:
            where = "d.digest = :head" if gathered else "d.id = :head"
            of = {"head": claim.delivery}
            sent = f"{where} AND d.state = 'sent'"
            # What was sent by itself has one route; a digest may be of several.
            own = {claim.route: after.options[claim.route]} if claim.route in after.options else {}
            options = after.options if gathered else own
            self._promise("owed", episodes.follow(self._db, sent, of, options, now))
            if claim.kind is Kind.DIGEST:
                listed = "d.digest = :head AND d.silence IS NOT NULL"
                late = episodes.catch_up(self._db, listed, of, after.options, now)
                self._promise("owed", late)
        return True

    def release(self, now: int, *, all_leases: bool) -> int:
        return deliveries.release(self._db, now, all_leases=all_leases)

    def set_back(self, now: int) -> int:
        return deliveries.set_back(self._db, now)

    def redeliver(self, delivery: int, now: int) -> bool | None:
        return deliveries.redeliver(self._db, delivery, now)

    def redeliver_all(self, destination: str, now: int) -> int:
        return deliveries.redeliver_all(self._db, destination, now)

    def expire_overdue(self, destination: str, policy: SendPolicy, now: int) -> Sequence[Claim]:
        return deliveries.expire_overdue(self._db, destination, policy, now)

    def end_orphans(self, destinations: Sequence[str]) -> Sequence[Claim]:
        return deliveries.end_orphans(self._db, destinations)

    def owe(self, delivery: int, messages: Sequence[PlannedDelivery], now: int) -> None:
        owed = deliveries.owe(self._db, delivery, messages, now)
        self._promise("owed", owed)

    def acknowledge(
        self, source: str, execution_id: str, taken: Acknowledgement, routes: Sequence[str]
    ) -> bool | None:
        done, owed = episodes.acknowledge(self._db, source, execution_id, taken, routes)
        self._promise("owed", owed)
        return done

    def add_silence(self, silence: Silence, now: int) -> int:
        return silences.add(self._db, silence, now)

    def expire_silence(self, silence: int, now: int) -> bool | None:
        return silences.expire(self._db, silence, now)

    def list_silences(self, now: int) -> Sequence[str]:
        told, owed = silences.list_ended(self._db, now)
        self._promise("owed", owed)
        return told

    def prune(self, limits: Limits, place: PruneCursor) -> Pruned:
        return pruning.prune(self._db, limits, place)

    def heartbeat(self) -> None:
        self._db.execute("UPDATE promised SET n = n WHERE name = 'accepted'")

    def _not_yet_owed(self, entries: Sequence[JudgedWebhook]) -> list[Sequence[PlannedDelivery]]:
        """What each entry adds to what is owed. Only quarantine asks for one message many times."""
        seen: set[str] = set()
        return [
            entry.owed
            if entry.judgement.verdict is not Verdict.QUARANTINED
            else [message for message in entry.owed if self._is_new(message.dedup_key, seen)]
            for entry in entries
        ]

    def _is_new(self, dedup_key: str, seen: set[str]) -> bool:
        stored = "SELECT 1 FROM delivery WHERE dedup_key = ?"
        if dedup_key in seen or self._db.execute(stored, (dedup_key,)).fetchone():
            return False
        seen.add(dedup_key)
        return True

    def _highest(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0] or 0)

    def _seq(self, entry: JudgedWebhook) -> int:
        """The number of a stored event that is judged again."""
        assert entry.event is not None
        row = self._db.execute(
            "SELECT seq FROM event WHERE source = ? AND event_id = ? AND repeated = 0"
            " AND verdict <> 'quarantined'",
            (entry.source, entry.event.event_id),
        ).fetchone()
        return int(row[0])

    def _promise(self, name: str, n: int) -> None:
        deliveries.promise(self._db, name, n)

    def _evict(self) -> None:
        """Quarantine is bounded: the oldest goes, unless a delivery is about it."""
        gone = self._db.execute(
            "DELETE FROM event WHERE owed = 0 AND seq IN (SELECT seq FROM event WHERE"
            " verdict = 'quarantined' ORDER BY seq DESC LIMIT -1 OFFSET ?) RETURNING reason",
            (MAX_QUARANTINED,),
        ).fetchall()
        self._promise("evicted", sum(reason != "malformed" for (reason,) in gone))


def _event_row(seq: int, entry: JudgedWebhook, owed: int) -> Row:
    event, judgement = entry.event, entry.judgement
    # As plain text: what is only like text goes a longer way into a statement.
    told = (str(judgement.verdict), judgement.reason, _words(judgement.flags))
    if event is None:
        nothing = (None,) * 8
        return (seq, entry.source, None, 0, None, None, None, None, entry.judged_at,
                *told, *nothing, owed, entry.body)  # fmt: skip
    repeated = judgement.reason == "event_id"
    return (
        seq, event.source, event.event_id, int(repeated), event.execution_id, event.event,
        str(event.status) if event.status else event.unknown_status, event.occurred_at,
        entry.judged_at, *told, _words(judgement.missing) or None, entry.until, event.agent_id,
        event.agent_name, event.execution_url, _json(event.metadata), _json(event.detail),
        entry.after.version if entry.after else None, owed,
        # The first body wins. Keeping those of repeats would let one captured webhook, sent again
        # and again, fill the disk.
        None if repeated else entry.body,
    )  # fmt: skip


def _execution_row(number: int, execution: Execution) -> Row:
    return (
        number, execution.source, execution.execution_id, str(execution.status),
        str(execution.status.category), execution.since, execution.mark, execution.version,
        execution.first_seen, execution.agent_id, execution.agent_name, execution.execution_url,
        _json(execution.metadata), int(execution.gap), int(execution.assumed),
    )  # fmt: skip


def _move_row(number: int, before: Execution, after: Execution) -> Row:
    return (
        number, before.version, str(after.status), str(after.status.category), after.since,
        after.mark, after.version, after.agent_id, after.agent_name, after.execution_url,
        _json(after.metadata), int(after.gap), int(after.assumed),
    )  # fmt: skip


def _history_row(number: int, seq: int, entry: JudgedWebhook) -> Row:
    assert entry.after is not None
    before = entry.before
    previous = (str(before.status), before.since) if before else (None, None)
    return (number, entry.after.version, seq, str(entry.after.status), *previous, entry.judged_at)


def _delivery_rows(
    seq: int, entry: JudgedWebhook, messages: Sequence[PlannedDelivery]
) -> list[Row]:
    event, now, verdict = entry.event, entry.judged_at, entry.judgement.verdict
    ids = (event.execution_id, event.event_id) if event else (None, None)
    return [deliveries.row(owed, (seq, entry.source, *ids, verdict), now) for owed in messages]


def _words(words: Collection[str]) -> str:
    return " ".join(sorted(words)) if words else ""


def _json(value: Mapping[str, Any] | None) -> str | None:
    # ASCII: what JSON can hold and no database can (lone surrogates, NUL) stays escaped.
    return _COMPACT(value) if value else None


_COMPACT = json.JSONEncoder(separators=(",", ":")).encode
