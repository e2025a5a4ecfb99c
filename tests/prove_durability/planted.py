"""The bugs that the proofs of durability must find: `python -m tests.prove_durability planted`."""

from __future__ import annotations

from tests.support.planting import Bug

COMMITTER, TRANSACTION = "store/committer.py", "store/sql/transaction.py"
LOG = "store/sqlite/wal.py"
CONNECTION, SCHEMA = "store/sqlite/connection.py", "store/sqlite/schema.py"
MANY_ROWS, DELIVERIES = "store/sqlite/many_rows.py", "store/sql/outbox.py"
KILLS, ORDER = "kills --points 60 --kills 0 --cold 0", "order --events 60"
LOAD_ONLY = "kills --points 1 --kills 0 --cold 0"
BUGS = (
    Bug(
        "a webhook is answered before the commit",
        ((COMMITTER, "            connection.commit()\n",
          "            _answer(batch)\n            connection.commit()\n"),),
        KILLS,
        "acknowledged events are lost",
    ),
    Bug(
        "a webhook is answered before the sync (synchronous = NORMAL)",
        ((CONNECTION, "synchronous = FULL", "synchronous = NORMAL"),),
        ORDER,
        "answered before its sync",
    ),
    Bug(
        "nothing is synced (synchronous = OFF)",
        ((CONNECTION, "synchronous = FULL", "synchronous = OFF"),),
        "losses --events 90 --losses 60",
        "power lost after",
    ),
    Bug(
        "the transaction begins deferred",
        ((CONNECTION, '"BEGIN IMMEDIATE")', '"BEGIN DEFERRED")'),),
        "storage --only beside",
        "a short lock refuses nothing",
    ),
    Bug(
        "an event id is not unique, and nobody looks for it",
        (("store/sqlite/migrations/sqlite.sql",
          "CREATE UNIQUE INDEX event_id", "CREATE INDEX event_id"),
         (MANY_ROWS, '    " ON CONFLICT (source, event_id, repeated) WHERE verdict <>'
          " 'quarantined'\"\n", ""),
         (MANY_ROWS, '    " DO UPDATE SET times = times + 1, received_at ='
          ' excluded.received_at"\n', ""),
         (MANY_ROWS, '    " WHERE event.repeated = 1",\n', '    "",\n'),
         ("intake/receive.py", "in loaded.event_ids:", "in ():")),
        LOAD_ONLY,
        "an event id is stored twice",
    ),
    Bug(
        "an execution goes on after its end: no rule, no trigger",
        (("store/sqlite/migrations/sqlite.sql", "WHEN OLD.category = 'terminal'\n", "WHEN 0\n"),
         ("store/sqlite/migrations/sqlite_8_names.sql",
          "WHEN OLD.category = 'terminal'\n", "WHEN 0\n"),
         ("lifecycle.py", 'Judgement(Verdict.REJECTED, "terminal", flags)',
          'Judgement(Verdict.APPLIED, "transition", flags)')),
        LOAD_ONLY,
        "moved after its end",
    ),
    Bug(
        "a message counts as sent before it is sent",
        (("dispatch/worker.py", "        attempt = self._send(self.destination, message)\n",
          "        from receiver.deliveries import Outcome\n"
        "        early = self._finished(claim, message, Attempt(Outcome.DELIVERED, ''))\n"
          "        self._stopping.set()\n"
          "        self._turns(Hand(finished=[early]))\n"
          "        self._stopping.clear()\n"
          "        attempt = self._send(self.destination, message)\n"),),
        "kills --points 60 --kills 0 --cold 0 --calls write",
        "messages count as sent and never were",
    ),
    Bug(
        "a result is recorded with a lost token",
        ((DELIVERIES, "lease_until = NULL, begun_at = :begun WHERE token = :token",
          "lease_until = NULL, begun_at = :begun WHERE id = :delivery AND :token <> ''"
          " AND state = 'sending'"),),
        "storage --only clock",
        "recorded over its successor",
    ),
    Bug(
        "messages are owed in a transaction of their own",
        ((TRANSACTION, "        deliveries = [\n            row\n",
          '        self._database.connection.execute("COMMIT")\n'
          '        self._database.connection.execute("BEGIN IMMEDIATE")\n'
          "        deliveries = [\n            row\n"),),
        KILLS,
        "the ledger is out of balance",
    ),
    Bug(
        "of a batch that failed only the last is told",
        ((COMMITTER, "                for write in batch:\n"
          "                    write.error = _unavailable(error, connection.kind_of(error))\n",
          "                batch[-1].error = _unavailable(error, connection.kind_of(error))\n"),),
        "storage --only full",
        "acknowledged events are lost",
    ),
    Bug(
        "the log is cut off after a checkpoint, whatever that copied",
        ((LOG, "                self._copy_back(",
          "                os.truncate(self._path, 0), str("),),
        KILLS,
        "acknowledged events are lost",
    ),
    Bug(
        "the log is written anew while the file is synced",
        ((LOG, "        self._beside.hold()\n", ""),),
        "losses --events 600 --losses 400",
        "power lost after",
    ),
    Bug(
        "what is accepted is not counted in the ledger",
        ((TRANSACTION, '        self._promise("accepted", sum(',
          '        self._promise("accepted", 0 * sum('),),
        LOAD_ONLY,
        "the ledger is out of balance",
    ),
    Bug(
        "after a failed sync it goes on",
        ((COMMITTER, "            if connection.is_lost(error):\n", "            if False:\n"),),
        "storage --only eio",
        "it ends after a failed sync",
    ),
    Bug(
        "nobody looks whether the file is in its place",
        (("store/sqlite/connection.py", "            self._place.look()\n", "            pass\n"),),
        "storage --only moved",
        "moved: it ends",
    ),
    Bug(
        "the file is made under its own name",
        ((SCHEMA, '    made = path.with_name(f"{path.name}.new")\n', "    made = path\n"),
         (SCHEMA, "    made.rename(path)\n", "")),
        "kills --points 12 --kills 0 --cold 0 --calls fdatasync --fresh 1",
        "is empty",
    ),
    Bug(
        "a start does not look for damage",
        ((SCHEMA, "if thorough else \"ok\"", "if False else \"ok\""),),
        "storage --only files",
        "damaged in an index: it is refused",
    ),
    Bug(
        "an empty file is taken for a new one",
        ((SCHEMA, "        if path.stat().st_size == 0:", "        if False:"),),
        "storage --only files",
        "empty: it is refused",
    ),
    Bug(
        "waiting times are not set back with the clock",
        (("intake/expiry.py", "if self._seen_at is None or time.", "if False and time."),),
        "storage --only clock",
        "clock back",
    ),
    Bug(
        "the end waits for half-sent bodies",
        (("web/server/server.py", "timeout_graceful_shutdown=3", "timeout_graceful_shutdown=None"),
         ("config/settings.py", "    body_timeout: float = Field(\n        10.0,",
          "    body_timeout: float = Field(\n        60.0,")),
        "stops --runs 1",
        "it ends within",
    ),
    Bug(
        "it ends like a process that was ended by the signal",
        (("web/server/server.py", '    log.info("serve.stopped")', "    sys.exit(143)"),),
        "stops --runs 1 --halves 0",
        "it ends with exit code",
    ),
)  # fmt: skip
