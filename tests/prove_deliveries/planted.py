"""The bugs that the proofs of deliveries must find: `python -m tests.prove_deliveries planted`."""

from __future__ import annotations

from tests.support.planting import bug

KILLS = "kills --kills 8 --patience 15"
SEND = "        attempt = self._send(self.destination, message)\n"
LANES, DISPATCH = "receiver/dispatch/worker.py", "receiver/dispatch/dispatcher.py"
DELIVERIES = "receiver/store/sql/outbox.py"
BUGS = (
    bug(
        "a message is recorded as sent before it is sent",
        LANES,
        SEND,
        "        from receiver.deliveries import Outcome\n"
        "        early = self._finished(claim, message, Attempt(Outcome.DELIVERED, ''))\n"
        "        self._stopping.set()\n"
        "        self._turns(Hand(finished=[early]))\n"
        f"        self._stopping.clear()\n{SEND}",
        f"{KILLS} --moments connected",
        "nothing owed is missing",
    ),
    bug(
        "a webhook is answered before the commit",
        "receiver/store/committer.py",
        "            connection.commit()\n",
        "            _answer(batch)\n"
        "            threading.Event().wait(0.02)\n"
        "            connection.commit()\n",
        f"{KILLS} --moments acknowledged",
        "nothing owed is missing",
    ),
    bug(
        "leases of a dead process are not taken back at the start",
        DISPATCH,
        "release(now, own=True)",
        "release(now, own=False)",
        KILLS,
        "are still owed after",
    ),
    bug(
        "a lease that is over is not taken back",
        DELIVERIES,
        "state = 'sending' AND (lease_until <= {now}",
        "state = 'sending' AND (lease_until <= -{now}",
        "stops --only after-claim",
        "its successor",
    ),
    bug(
        "what was recorded with another token counts",
        DELIVERIES,
        "lease_until = NULL, begun_at = :begun WHERE token = :token",
        "lease_until = NULL, begun_at = :begun WHERE id = :delivery AND :token <> ''"
        " AND state = 'sending'",
        "stops --only overlap",
        "nothing is recorded over a successor",
    ),
    bug(
        "a repeat after a lost lease is not called one",
        DELIVERIES,
        "due_at = :now, begun_at = :now, repeat = 1",
        "due_at = :now, begun_at = :now, repeat = 0",
        f"{KILLS} --moments received",
        "every repeat says that it may be one",
    ),
    bug(
        "every message is called a possible repeat",
        "receiver/messages/notice.py",
        "notes = [REPEAT] if self.repeat else []",
        "notes = [REPEAT]",
        "faultless --count 80",
        "nothing is marked as a possible repeat",
    ),
    bug(
        "a delivery is claimed whatever its state",
        "receiver/store/sql/claims.py",
        "_CLAIMABLE = \"state = 'waiting' AND due_at <= :now\"",
        "_CLAIMABLE = \"state <> 'dead' AND due_at <= :now\"",
        "faultless --count 80 --patience 8",
        "are still owed after",
    ),
    bug(
        "it is not asked whether a message is still true",
        "receiver/intake/plan.py",
        "        return None\n    return after.version\n",
        "        return None\n    return None\n",
        "late --count 40 --seconds 1 --refuse 0",
        "nothing arrives after the execution moved on",
    ),
    bug(
        "one destination at a time is sent to",
        LANES,
        SEND,
        f"        with log.manager.root.handlers[0].lock:\n    {SEND}",
        "hanging --pairs 1 --seconds 1.5 --timeout 2 --goal 20",
        "p99 of arrival",
    ),
    bug(
        "the order within an execution is not kept",
        "receiver/store/sql/reads.py",
        "e.order_key = d.order_key AND e.id < d.id",
        "e.order_key = d.order_key AND e.id < 0",
        f"{KILLS} --kills 12 --moments connected",
        "keep their order",
    ),
    bug(
        "it ends like a process that was ended by the signal",
        "receiver/web/server/server.py",
        '    log.info("serve.stopped")',
        "    sys.exit(143)",
        "shutdown --runs 1 --drain 1",
        "exit code 0",
    ),
    bug(
        "it takes webhooks after the signal",
        "receiver/web/webhooks/endpoint.py",
        "        if self.draining:",
        "        if False:",
        "shutdown --runs 1 --drain 2",
        "after the signal",
    ),
)
