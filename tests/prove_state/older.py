"""Stores of every earlier schema, made by the migrations' own SQL, with rows of each kind."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from receiver.routing.policy import SendPolicy
from receiver.store.contract import Transaction
from receiver.store.sqlite import schema
from receiver.store.sqlite.connection import connect
from receiver.store.sqlite.store import SqliteStore
from receiver.times import SECOND
from tests.support.proving import Report

NOW = 1_800_000_000 * SECOND
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
PACE = SendPolicy(1_000.0)
Row = Mapping[str, Any]


def events(version: int) -> Iterator[Row]:
    """Yield an event of each verdict that a program of this schema could have stored."""

    def event(seq: int, execution: str | None, status: str | None, verdict: str, reason: str,
              **more: Any) -> Row:  # fmt: skip
        at = NOW - DAY + seq * MINUTE
        return {
            "seq": seq, "source": "s", "event_id": f"e-{seq}", "execution_id": execution,
            "event": "E", "status": status, "occurred_at": at, "received_at": at,
            "verdict": verdict, "reason": reason, "body": b'{"n": 1}', "agent_name": "Agent",
            "metadata": '{"team": "payments"}', "detail": "{}", **more,
        }  # fmt: skip

    yield event(1, "waits", "running", "applied", "first_seen", version=1, owed=1)
    yield event(2, "waits", "awaiting_confirmation", "applied", "transition", version=2, owed=4)
    yield event(3, "ended", "running", "applied", "first_seen", version=1)
    yield event(4, "ended", "failed", "applied", "transition", version=2, owed=2)
    yield event(5, "ended", "running", "rejected", "terminal", owed=1)
    yield event(6, "waits", "running", "stale", "older")
    yield {**event(7, "ended", "failed", "duplicate", "event_id", repeated=1, times=3),
           "event_id": "e-4"}  # fmt: skip
    yield event(8, "other", "running", "ignored", "unknown_event")
    yield {**event(9, None, None, "quarantined", "malformed"), "event_id": None}
    yield event(10, "odd", None, "quarantined", "unknown_status", flags="late")
    yield event(11, "gap", "paused", "applied", "first_seen", version=1)
    if version >= 2:
        yield event(12, "gap", "completed", "held", "gap", missing="running",
                    held_until=NOW + MINUTE)  # fmt: skip
        yield event(13, "gap", "failed", "rejected", "gap", missing="running")


def executions() -> Iterator[Row]:
    """Yield one that waits, one that has ended and one with a hole in its story."""
    for number, (name, status, category, seq, version) in enumerate((
        ("waits", "awaiting_confirmation", "awaiting", 2, 2), ("ended", "failed", "terminal", 4, 2),
        ("gap", "paused", "paused", 11, 1),
    ), 1):  # fmt: skip
        at = NOW - DAY + seq * MINUTE
        yield {
            "id": number, "source": "s", "execution_id": name, "status": status,
            "category": category, "since": at, "mark": at, "version": version, "first_seen": at,
            "agent_name": "Agent", "gap": int(name == "gap"),
        }  # fmt: skip


def history() -> Iterator[Row]:
    """Yield the steps of these executions."""
    for execution, version, event, status, before in (
        (1, 1, 1, "running", None), (1, 2, 2, "awaiting_confirmation", "running"),
        (2, 1, 3, "running", None), (2, 2, 4, "failed", "running"), (3, 1, 11, "paused", None),
    ):  # fmt: skip
        yield {
            "execution": execution, "version": version, "event": event, "status": status,
            "previous_status": before, "previous_since": None if before is None else NOW - DAY,
            "applied_at": NOW - DAY,
        }  # fmt: skip


# The numbers of the deliveries that are due at NOW: a late one, a lease that is over.
DUE, LATER, LEASED = 3, (4, 6, 7), 5


def deliveries(version: int) -> Iterator[Row]:
    """Yield a delivery in each state, due before and after NOW."""

    def delivery(number: int, event: int, execution: str, state: str, due: int, **more: Any) -> Row:
        at = NOW - DAY + event * MINUTE
        return {
            "id": number, "dedup_key": f"notice/s/ops/e-{event}/{number}", "event": event,
            "source": "s", "execution_id": execution, "event_id": f"e-{event}", "route": "r",
            "destination": "ops", "kind": "notice", "order_key": f"s/{execution}/{number}",
            "state": state, "created_at": at, "owed_at": at, "due_at": due, **more,
        }  # fmt: skip

    yield delivery(1, 1, "waits", "sent", NOW - HOUR, title="t", body="b", attempts=1)
    yield delivery(2, 4, "ended", "dead", NOW - HOUR, reason="HTTP 404", attempts=1, tries=1)
    yield delivery(DUE, 4, "ended", "waiting", NOW - HOUR)
    yield delivery(4, 2, "waits", "waiting", NOW + HOUR, guard_version=2)
    yield delivery(LEASED, 5, "ended", "sending", NOW - HOUR, token="t", lease_until=NOW - MINUTE,
                   **({"verdict": "rejected"} if version >= 2 else {}))  # fmt: skip
    yield delivery(6, 2, "waits", "waiting", NOW + 2 * HOUR, guard_version=2, attempts=1, tries=1,
                   reason="HTTP 500")  # fmt: skip
    reminder = {"kind": "reminder", "step": 1} if version >= 4 else {}
    yield delivery(7, 2, "waits", "waiting", NOW + 3 * HOUR, guard_version=2, **reminder)
    yield delivery(8, 2, "waits", "superseded", NOW - HOUR, reason="no longer running: now done")


def rows(version: int) -> Iterator[tuple[str, Sequence[Row]]]:
    """Yield the rows of each table that a schema has, parents first."""
    yield "event", list(events(version))
    yield "execution", list(executions())
    yield "history", list(history())
    yield "delivery", list(deliveries(version))
    yield "attempt", [
        {"delivery": delivery, "number": 1, "at": NOW - HOUR, "outcome": outcome, "detail": "",
         "duration_ms": 5} for delivery, outcome in ((1, "delivered"), (2, "failed"), (6, "failed"))
    ]  # fmt: skip
    if version >= 2:
        yield (
            "judgement",
            [
                {"event": 13, "number": n, "at": NOW - HOUR, "verdict": verdict, "reason": "gap"}
                for n, verdict in ((1, "held"), (2, "rejected"))
            ],
        )
    if version >= 3:
        yield "destination", [{"name": "ops", "tokens": 1.0, "counted_at": NOW - HOUR},
                              {"name": "mail", "tokens": 0.0, "counted_at": NOW - HOUR,
                               "failures": 6, "failing": "s/x", "several": 1,
                               "paused_until": NOW + MINUTE}]  # fmt: skip
    if version >= 4:
        silence = {"match": '{"status": ["failed"]}', "reason": "known", "by": "Ann",
                   "created_at": NOW - HOUR, "from_at": NOW - HOUR}  # fmt: skip
        yield "silence", [{**silence, "id": 1, "until_at": NOW + HOUR},
                          {**silence, "id": 2, "until_at": NOW - 1, "listed_at": NOW}]  # fmt: skip
        yield "acknowledgement", [{"execution": 1, "version": 1, "by": "Ann", "at": NOW - HOUR}]
        yield "digest_group", [{"destination": "ops", "key": "r/1", "told_at": NOW - MINUTE}]
    if version >= 7:
        alarm = {"kind": "destination", "about": "mail", "cause": "HTTP 503",
                 "began_at": NOW - HOUR, "raised_at": NOW - HOUR + MINUTE}  # fmt: skip
        yield "alarm", [{**alarm, "id": 1}, {**alarm, "id": 2, "ended_at": NOW - MINUTE}]
        yield "source", [{"name": "s", "heard_at": NOW - HOUR, "quiet_from": NOW - HOUR}]
    if version >= 10:
        yield "audit", [{"id": 1, "at": NOW - HOUR, "act": "take", "who": "Ann", "door": "page",
                         "place": "127.0.0.1", "source": "s", "execution_id": "x", "about": "",
                         "result": "taken"}]  # fmt: skip
        yield "link_key", [{"id": 1, "key": b"k" * 32, "made_at": NOW - HOUR}]
    if version >= 12:
        yield "pace", [{"name": "d" * 32, "asked_at": NOW - HOUR, "taken_to": NOW - HOUR}]
        yield "acting", [{"source": "s", "execution_id": "x", "token": "t", "until_at": NOW - HOUR,
                          "audit": 1, "version": 2}]  # fmt: skip
    if version >= 5:
        yield "pruned", [{"what": "event", "name": "applied", "n": 2},
                         {"what": "delivery", "name": "sent", "n": 1}]  # fmt: skip


def make(path: Path, version: int) -> dict[str, list[dict[str, Any]]]:
    """Make a store of that schema; return its rows as they are stored."""
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        schema.migrate(connection, version)
        for table, each in rows(version):
            for row in each:
                names = ", ".join(f'"{name}"' for name in row)
                marks = ", ".join("?" * len(row))
                connection.execute(
                    f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values())
                )
        removed = (2, 1) if version >= 5 else (0, 0)
        # Each repeat of an event counts; what could not be read does not.
        accepted, owed = (
            connection.execute("SELECT sum(times) FROM event WHERE reason <> 'malformed'"),
            connection.execute("SELECT count(*) FROM delivery"),
        )
        for name, cursor, more in zip(("accepted", "owed"), (accepted, owed), removed, strict=True):
            n = cursor.fetchone()[0] + more
            connection.execute("UPDATE promised SET n = ? WHERE name = ?", (n, name))
        return stored(path, {})


def stored(path: Path, like: Mapping[str, Sequence[Row]]) -> dict[str, list[dict[str, Any]]]:
    """Read all rows, in the columns of other ones if these are given."""
    found = {}
    with closing(connect(path, read_only=True)) as connection:
        tables = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '*sqlite_*'"
            )
        ]
        for table in like or tables:
            cursor = connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
            names = [column[0] for column in cursor.description]
            wanted = like[table][0].keys() if like and like[table] else names
            found[table] = [
                {name: value for name, value in zip(names, row, strict=True) if name in wanted}
                for row in cursor.fetchall()
            ]  # fmt: skip
    return found


async def older(given: argparse.Namespace, report: Report, folder: Path) -> None:
    """Open each with this program; hold rows, due times and the ledger against what was there."""
    for version in range(1, schema.SCHEMA_VERSION):
        path = folder / f"schema-{version}.db"
        before = make(path, version)
        where = f"schema {version}"
        store = SqliteStore(path, serve=True)
        try:
            after = stored(path, before)
            for table, each in before.items():
                report.must(
                    after[table] == each, f"{where}: {table} has other rows: {after[table]}"
                )
                report.add("rows", len(each))
            ledger = store.ledger()
            report.must(ledger["imbalance"] == 0, f"{where}: the ledger: {ledger}")
            _due(store, version, report, where)
        finally:
            store.close()
        report.add("stores")


def _due(store: SqliteStore, version: int, report: Report, where: str) -> None:
    """Claim all that is due at NOW, and look at what waits for later."""
    report.must(
        store.next_given_up() == (NOW + MINUTE if version >= 2 else None), f"{where}: held events"
    )
    end = NOW + HOUR if version >= 4 else None
    report.must(store.next_silence_end() == end, f"{where}: silences")
    claimed = []

    def act(transaction: Transaction, items: Sequence[int]) -> list[Any]:
        return [transaction.claim("ops", PACE, now, now + MINUTE) for now in items]

    while (claim := store.write_now(act, NOW)) is not None:
        claimed.append(claim.delivery)
    expected = {DUE, LEASED}
    if version >= 4:
        expected.discard(DUE)  # the silence about failures keeps it back
    report.must(set(claimed) == expected, f"{where}: due are {claimed}")
    # What is due later stays so. After an end of the execution's stay it would be no longer true.
    items, _ = store.deliveries({"state": "waiting"}, 200, None)
    later = {item["id"]: item["due_at"] for item in items}
    wanted = {number: NOW + n * HOUR for n, number in enumerate(LATER, 1)}
    report.must(later == wanted, f"{where}: waiting are {later}")
    report.add("claimed", len(claimed))
