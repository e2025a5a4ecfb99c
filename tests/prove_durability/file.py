"""What must be true of a receiver's file, whatever happened to the process that wrote it."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from receiver.errors import StorageRefused
from receiver.store.sqlite.store import SqliteStore
from tests.prove_durability.driver import Receiver
from tests.support.proving import Report

TERMINAL = "('completed', 'failed', 'cancelled')"


def look(
    receiver: Receiver, acknowledged: Mapping[str, str], report: Report, where: str,
    *, printed: bool = True,
) -> None:  # fmt: skip
    """Open a copy of the file as a start would, and hold it against what was acknowledged.

    The file itself is left as the process left it, for the next start.
    """
    path, log = receiver.path, receiver.log()
    report.must("Traceback" not in log, f"{where}: a traceback: {log[-1500:]}")
    copy = receiver.folder / "look" / path.name
    shutil.rmtree(copy.parent, ignore_errors=True)
    copy.parent.mkdir()
    for end in ("", "-wal"):
        if (one := path.with_name(path.name + end)).exists():
            shutil.copyfile(one, copy.with_name(one.name))
    look_at(copy, acknowledged, report, where)
    if printed and copy.exists() and not report.broken:
        with closing(sqlite3.connect(copy)) as database:
            _told(database, report, where, log)


def look_at(copy: Path, acknowledged: Mapping[str, str], report: Report, where: str) -> None:
    """Open a file that nobody needs any more, and hold it against what was acknowledged."""
    if not copy.exists():
        report.must(not acknowledged, f"{where}: the file is gone")
        return
    try:
        store = SqliteStore(copy, serve=True)
    except StorageRefused as refused:
        report.must(False, f"{where}: the file is refused: {refused}")
        return
    try:
        ledger = store.ledger()
        report.must(ledger["imbalance"] == 0, f"{where}: the ledger is out of balance: {ledger}")
    finally:
        store.close()
    with closing(sqlite3.connect(copy)) as database:
        _inspect(database, acknowledged, report, where)


def _inspect(
    database: sqlite3.Connection, acknowledged: Mapping[str, str], report: Report, where: str
) -> None:
    def none(query: str, promise: str) -> None:
        found = database.execute(query).fetchmany(3)
        report.must(not found, f"{where}: {promise}: {found}")

    (checked,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    report.must(checked == "ok", f"{where}: integrity_check says {checked}")
    none("PRAGMA foreign_key_check", "a row refers to nothing")
    none(
        "SELECT event_id FROM event WHERE verdict <> 'quarantined' AND repeated = 0"
        " GROUP BY source, event_id HAVING count(*) > 1",
        "an event id is stored twice",
    )
    none(
        f"SELECT execution, version FROM history WHERE previous_status IN {TERMINAL}",
        "an execution moved after its end",
    )
    none(
        "SELECT seq FROM event AS e WHERE owed <> (SELECT count(*) FROM delivery AS d"
        " WHERE d.event = e.seq)",
        "an event owes other messages than there are",
    )
    stored = dict(database.execute("SELECT event_id, verdict FROM event WHERE repeated = 0"))
    lost = [event for event in acknowledged if event not in stored]
    report.must(not lost, f"{where}: {len(lost)} acknowledged events are lost: {lost[:3]}")
    undone = [
        event
        for event, verdict in acknowledged.items()
        if verdict == "applied" and stored.get(event, verdict) != verdict
    ]
    report.must(not undone, f"{where}: applied events are no longer that: {undone[:3]}")


def _told(database: sqlite3.Connection, report: Report, where: str, log: str) -> None:
    """What counts as sent was printed."""
    rows = database.execute("SELECT event_id FROM delivery WHERE state = 'sent'")
    silent = {event for (event,) in rows} - set(re.findall(r"\[(x[0-9.]+)\]", log))
    report.must(not silent, f"{where}: {len(silent)} messages count as sent and never were")
