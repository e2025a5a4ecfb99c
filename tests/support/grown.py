"""A database as it is after a long time: many executions with all that belongs to them, made by SQL
through the real schema, with ids that are random UUIDs.

Of twenty executions twelve completed at once, five waited for a confirmation (of which people were
told) before they did, one failed (of which people were told), and two are still open.
"""

from __future__ import annotations

import time
from pathlib import Path

from receiver.store.sqlite.connection import connect
from receiver.store.sqlite.store import SqliteStore
from receiver.times import SECOND

DAY = 86_400 * SECOND
STEP = 20 * SECOND  # between the events of an execution; those of others come in between
# Indexes whose keys come in no order. They are filled row by row, so their pages have room left, as
# after a long time. If they were made at once, each new key would split a full page.
_GROWN = ("event_id", "event_execution", "delivery_execution")
_UUID = (
    "lower(substr(hex(b), 1, 8) || '-' || substr(hex(b), 9, 4) || '-4' || substr(hex(b), 14, 3)"
    " || '-a' || substr(hex(b), 18, 3) || '-' || substr(hex(b), 21))"
)
# The events of each sort of execution, in their order; the statuses to which they lead.
_STORIES = {
    "done": ("STARTED running", "COMPLETED completed"),
    "confirmed": ("STARTED running", "AWAITING_CONFIRMATION awaiting_confirmation",
                  "RESUMED running", "COMPLETED completed"),
    "failed": ("STARTED running", "FAILED failed"),
    "resumed": ("STARTED running", "PAUSED paused", "RESUMED running"),
    "open": ("STARTED running",),
}  # fmt: skip
_SORT = (
    "CASE WHEN :open THEN 'open' WHEN n % 20 < 12 THEN 'done' WHEN n % 20 < 17 THEN 'confirmed'"
    " WHEN n % 20 = 17 THEN 'failed' WHEN n % 20 = 18 THEN 'resumed' ELSE 'open' END"
)
_BODY = (
    '\'{"event_id":"\' || t.id || \'","type":"execution","event":"EXECUTION_\' || t.event ||'
    ' \'","timestamp":"2026-01-01T00:00:00.000Z","info":{"execution_id":"\' || x.id ||'
    ' \'","agent_id":"a-\' || (x.n % 50) || \'","agent_name":"Agent \' || (x.n % 50) ||'
    ' \'","execution_url":"https://example.org/executions/\' || x.id ||'
    ' \'","metadata":{},"payload":{"reason":"bench"}}}\''
)
_CATEGORY = (
    "CASE t.status WHEN 'running' THEN 'processing' WHEN 'paused' THEN 'paused'"
    " WHEN 'awaiting_confirmation' THEN 'awaiting' ELSE 'terminal' END"
)
_SCRIPT = (
    f"""CREATE TEMP TABLE x AS WITH RECURSIVE s (n, b) AS (SELECT :first, randomblob(16) UNION ALL
    SELECT n + 1, randomblob(16) FROM s WHERE n < :last)
    SELECT n, {_UUID} AS id, {_SORT} AS sort, :begin + (n - :first) * :span / :count AS at
    FROM s""",
    "CREATE UNIQUE INDEX temp.x_n ON x (n)",
    f"""CREATE TEMP TABLE t AS SELECT s.*, x.at + s.version * {STEP} AS at, x.n,
    {_UUID.replace("(b)", "(randomblob(16))")} AS id FROM x JOIN story AS s ON s.sort = x.sort
    ORDER BY x.at + s.version * {STEP}, x.n""",
    f"""INSERT INTO event (seq, source, event_id, execution_id, event, status, occurred_at,
    received_at, verdict, reason, agent_id, agent_name, execution_url, detail, version, owed, body)
    SELECT :events + t.rowid, 'asteroid', t.id, x.id, 'EXECUTION_' || t.event, t.status, t.at, t.at,
    'applied', iif(t.version = 1, 'first_seen', 'transition'), 'a-' || (x.n % 50),
    'Agent ' || (x.n % 50), 'https://example.org/executions/' || x.id, '{{"reason":"bench"}}',
    t.version, t.status IN ('failed', 'awaiting_confirmation'), CAST({_BODY} AS BLOB)
    FROM t JOIN x ON x.n = t.n ORDER BY t.rowid""",
    f"""INSERT INTO execution (id, source, execution_id, status, category, since, mark, version,
    first_seen, agent_id, agent_name, execution_url)
    SELECT x.n, 'asteroid', x.id, t.status, {_CATEGORY}, t.at, t.at, t.version, x.at,
    'a-' || (x.n % 50), 'Agent ' || (x.n % 50), 'https://example.org/executions/' || x.id
    FROM t JOIN x ON x.n = t.n WHERE t.is_last ORDER BY x.n""",
    """INSERT INTO history SELECT n, version, event, status, previous, since, at FROM (SELECT n,
    version, :events + rowid AS event, status, lag(status) OVER w AS previous,
    lag(at) OVER w AS since, at FROM t WINDOW w AS (PARTITION BY n ORDER BY version))
    ORDER BY event""",
    """INSERT INTO delivery (dedup_key, event, source, execution_id, event_id, verdict, route,
    destination, kind, order_key, guard_version, state, title, body, created_at, owed_at, due_at,
    attempts, tries) SELECT 'notice/asteroid/hook/' || t.id, :events + t.rowid, 'asteroid', x.id,
    t.id, 'applied', 'failures', 'hook', 'notice', 'asteroid/' || x.id, t.version, 'sent',
    'Agent failed', 'Agent failed: ' || x.id || ', and why it did so', t.at, t.at, t.at, 1, 1
    FROM t JOIN x ON x.n = t.n WHERE t.status IN ('failed', 'awaiting_confirmation')
    ORDER BY t.rowid""",
    """INSERT INTO attempt SELECT id, 1, due_at, 'delivered', '', 3 FROM delivery
    WHERE id > :deliveries""",
    "UPDATE promised SET n = (SELECT sum(times) FROM event) WHERE name = 'accepted'",
    "UPDATE promised SET n = (SELECT count(*) FROM delivery) WHERE name = 'owed'",
)


def grow(path: Path, count: int, *, days: tuple[float, float], is_open: bool = False) -> None:
    """Add that many executions that began between so many days ago (from, to)."""
    SqliteStore(path).close()
    db = connect(path)
    for setting in ("synchronous = OFF", "journal_mode = OFF", "cache_size = -1000000",
                    "foreign_keys = OFF", "temp_store = MEMORY"):  # fmt: skip
        db.execute(f"PRAGMA {setting}").fetchall()
    indexes = db.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall()
    highest = {
        table: db.execute(f"SELECT coalesce(max({key}), 0) FROM {table}").fetchone()[0]
        for table, key in (("execution", "id"), ("event", "seq"), ("delivery", "id"))
    }
    begin = time.time_ns() - int(days[0] * DAY)
    of = {
        "first": highest["execution"] + 1, "last": highest["execution"] + count, "count": count,
        "begin": begin, "span": int((days[0] - days[1]) * DAY), "open": is_open,
        "events": highest["event"], "deliveries": highest["delivery"],
    }  # fmt: skip
    db.execute("BEGIN")
    db.execute("CREATE TEMP TABLE story (sort, version, event, status, is_last)")
    for sort, steps in _STORIES.items():
        for version, step in enumerate(steps, 1):
            row = (sort, version, *step.split(), version == len(steps))
            db.execute("INSERT INTO story VALUES (?, ?, ?, ?, ?)", row)
    indexes = [(name, sql) for name, sql in indexes if name not in _GROWN]
    for name, _ in indexes:
        db.execute(f"DROP INDEX {name}")
    for statement in _SCRIPT:
        db.execute(statement, of)
    for _, sql in indexes:
        db.execute(sql)
    db.execute("COMMIT")
    for setting in ("journal_mode = WAL", "synchronous = FULL"):
        db.execute(f"PRAGMA {setting}").fetchall()
    db.close()
