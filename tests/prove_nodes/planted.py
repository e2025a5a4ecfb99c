"""The bugs that the proofs of several nodes must find: `python -m tests.prove_nodes planted`."""

from __future__ import annotations

from tests.support.planting import bug

KILLS = "kills --kills 6 --patience 25"
DATABASE = "database --restarts 4 --patience 40"
CONNECTION, COPYING = "receiver/store/postgres/connection.py", "receiver/store/postgres/copying.py"
OUTBOX, WORKER = "receiver/store/sql/outbox.py", "receiver/dispatch/worker.py"
BUGS = (
    bug(
        "a webhook is answered before the commit",
        "receiver/store/committer.py",
        "            connection.commit()\n",
        "            _answer(batch)\n"
        "            threading.Event().wait(0.3 if batch[0].loop else 0)\n"
        "            connection.commit()\n",
        DATABASE,
        "nothing owed is missing",
    ),
    bug(
        "a commit does not wait for the disk",
        CONNECTION,
        'sync = "on" if row is None or row[0] in ("off", "local") else str(row[0])',
        'sync = "off" if row else "off"',
        DATABASE,
        "nothing owed is missing",
    ),
    bug(
        "a lost database is looked for once in a quarter of a minute",
        "receiver/store/postgres/link.py",
        "_AGAIN = 0.5",
        "_AGAIN = 15.0",
        DATABASE,
        "ready within",
    ),
    bug(
        "a node ends when its database is away",
        CONNECTION,
        "        return self._link.is_refused\n",
        "        return True\n",
        DATABASE,
        "no process ends",
    ),
    bug(
        "a lease that is over is not taken back",
        OUTBOX,
        "state = 'sending' AND (lease_until <= {now}",
        "state = 'sending' AND (lease_until <= -{now}",
        KILLS,
        "are still owed after",
    ),
    bug(
        "a start takes back the leases of all",
        OUTBOX,
        "substr(token, 1, length(CAST(:holder AS text))) = CAST(:holder AS text)",
        "CAST(:holder AS text) IS NOT NULL",
        f"{KILLS} --kills 20",
        "it does not start",
    ),
    bug(
        "a repeat after a lost lease is not called one",
        OUTBOX,
        "due_at = :now, begun_at = :now, repeat = 1",
        "due_at = :now, begun_at = :now, repeat = 0",
        f"{KILLS} --seed 3",
        "every repeat says that it may be one",
    ),
    bug(
        "a message is recorded as sent before it is sent",
        WORKER,
        "        attempt = self._send(self.destination, message)\n",
        "        from receiver.deliveries import Outcome\n"
        "        early = self._finished(claim, message, Attempt(Outcome.DELIVERED, ''))\n"
        "        self._stopping.set()\n"
        "        self._turns(Hand(finished=[early]))\n"
        "        self._stopping.clear()\n"
        "        attempt = self._send(self.destination, message)\n",
        f"{KILLS} --kills 12",
        "nothing owed is missing",
    ),
    bug(
        "what is being sent at the end is left",
        WORKER,
        "        while not begun or hand.is_full() or not self._stopping.is_set():",
        "        while not begun or not self._stopping.is_set():",
        "restarts --restarts 9 --patience 30",
        "a restart repeats nothing",
    ),
    bug(
        "each node has a rate of its own",
        "receiver/store/sql/claims.py",
        "request.tokens -= 1",
        "request.tokens -= 1 / 3",
        "one --count 60",
        "messages a second come",
    ),
    bug(
        "it is not noted how far the copying is",
        COPYING,
        '            self._write_note(f"table/{table}", json.dumps((n, last)))\n',
        "",
        "moves --kills 6 --executions 4000",
        "it ends with exit code",
    ),
    bug(
        "servers take a part of a store",
        "receiver/store/postgres/schema.py",
        "        if not moving and is_moving(connection):",
        "        if not moving and is_moving(connection) and SCHEMA_VERSION < 0:",
        "moves --kills 6 --executions 4000",
        "nobody opens a part",
    ),
)
