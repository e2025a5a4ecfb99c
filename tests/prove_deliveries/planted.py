"""Bugs that are planted into a copy of the program, to see that the proofs can fail.

`python -m tests.prove_deliveries planted` runs for each the proof that must turn red, and for the
promise that it breaks: a copy that does not even start would be red for nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.served import HERE


@dataclass(frozen=True)
class Bug:
    """A text replaced in a file of the program, the proof that finds it, and what that must say."""

    name: str
    file: str
    old: str
    new: str
    proof: str
    says: str


@contextmanager
def planted(bug: Bug) -> Iterator[Path]:
    """A copy of the checkout with the bug; ValueError if there is no place for it."""
    with TemporaryDirectory(prefix="receiver-planted-") as folder:
        tree = Path(folder)
        for part in ("receiver", "tests"):
            kept = shutil.ignore_patterns("__pycache__")
            shutil.copytree(HERE / part, tree / part, ignore=kept)
        path = tree / bug.file
        text = path.read_text("utf-8")
        if text.count(bug.old) != 1:
            raise ValueError(f"{bug.name}: {bug.file} has {bug.old!r} {text.count(bug.old)} times")
        path.write_text(text.replace(bug.old, bug.new), "utf-8")
        yield tree


KILLS = "kills --kills 8 --patience 15"
SEND = "        attempt = sending.send(self.destination, message)\n"
LANES, DISPATCH = "receiver/dispatch/worker.py", "receiver/dispatch/dispatcher.py"
DELIVERIES = "receiver/store/sql/outbox.py"
BUGS = (
    Bug(
        "a message is recorded as sent before it is sent",
        LANES,
        SEND,
        "        from receiver.deliveries import Outcome\n"
        "        told = Attempt(Outcome.DELIVERED, '')\n"
        "        early = follow(claim, told, self.destination, message, 0, 0.5)\n"
        "        self._stopping.set()\n"
        "        self._turn(FinishedAttempt(claim, told, early))\n"
        f"        self._stopping.clear()\n{SEND}",
        f"{KILLS} --moments connected",
        "nothing owed is missing",
    ),
    Bug(
        "a webhook is answered before the commit",
        "receiver/store/committer.py",
        "            connection.commit()\n",
        "            _answer(batch)\n"
        "            threading.Event().wait(0.02)\n"
        "            connection.commit()\n",
        f"{KILLS} --moments acknowledged",
        "nothing owed is missing",
    ),
    Bug(
        "leases of a dead process are not taken back at the start",
        DISPATCH,
        "release(now, own=True)",
        "release(now, own=False)",
        KILLS,
        "are still owed after",
    ),
    Bug(
        "a lease that is over is not taken back",
        DELIVERIES,
        "state = 'sending' AND (lease_until <= {now}",
        "state = 'sending' AND (lease_until <= -{now}",
        "stops --only after-claim",
        "its successor",
    ),
    Bug(
        "what was recorded with another token counts",
        DELIVERIES,
        "lease_until = NULL, begun_at = :now WHERE token = :token",
        "lease_until = NULL, begun_at = :now WHERE id = :delivery AND :token <> ''"
        " AND state = 'sending'",
        "stops --only overlap",
        "nothing is recorded over a successor",
    ),
    Bug(
        "a repeat after a lost lease is not called one",
        DELIVERIES,
        "due_at = :now, begun_at = :now, repeat = 1",
        "due_at = :now, begun_at = :now, repeat = 0",
        f"{KILLS} --moments received",
        "every repeat says that it may be one",
    ),
    Bug(
        "every message is called a possible repeat",
        "receiver/messages/notice.py",
        "notes = [REPEAT] if repeat else []",
        "notes = [REPEAT]",
        "faultless --count 80",
        "nothing is marked as a possible repeat",
    ),
    Bug(
        "a delivery is claimed whatever its state",
        "receiver/store/sql/claims.py",
        "_CLAIMABLE = \"state = 'waiting' AND due_at <= :now\"",
        "_CLAIMABLE = \"state <> 'dead' AND due_at <= :now\"",
        "faultless --count 80 --patience 8",
        "are still owed after",
    ),
    Bug(
        "it is not asked whether a message is still true",
        "receiver/intake/plan.py",
        "        return None\n    return after.version\n",
        "        return None\n    return None\n",
        "late --count 40 --seconds 1 --refuse 0",
        "nothing arrives after the execution moved on",
    ),
    Bug(
        "one destination at a time is sent to",
        LANES,
        SEND,
        f"        with log.manager.root.handlers[0].lock:\n    {SEND}",
        "hanging --pairs 1 --seconds 1.5 --timeout 2 --goal 20",
        "p99 of arrival",
    ),
    Bug(
        "the order within an execution is not kept",
        "receiver/store/sql/reads.py",
        "e.order_key = d.order_key AND e.id < d.id",
        "e.order_key = d.order_key AND e.id < 0",
        f"{KILLS} --kills 12 --moments connected",
        "keep their order",
    ),
    Bug(
        "it ends like a process that was ended by the signal",
        "receiver/web/server/server.py",
        '    log.info("serve.stopped")',
        "    sys.exit(143)",
        "shutdown --runs 1 --drain 1",
        "exit code 0",
    ),
    Bug(
        "it takes webhooks after the signal",
        "receiver/web/webhooks/endpoint.py",
        "        if self.draining:",
        "        if False:",
        "shutdown --runs 1 --drain 2",
        "after the signal",
    ),
)
