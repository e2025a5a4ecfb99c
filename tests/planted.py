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

from tests.served import HERE


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
BUGS = (
    Bug(
        "a message is recorded as sent before it is sent",
        "receiver/dispatch.py",
        "        attempt = notify.send(self.destination, message)\n",
        "        early = follow(\n"
        "            claim, Attempt(Outcome.DELIVERED, ''), self.destination, message, now, 0.5\n"
        "        )\n"
        "        self._store.write_now(\n"
        "            _record, (claim, Attempt(Outcome.DELIVERED, ''), early, now)\n"
        "        )\n"
        "        attempt = notify.send(self.destination, message)\n",
        f"{KILLS} --moments connected",
        "nothing owed is missing",
    ),
    Bug(
        "leases of a dead process are not taken back at the start",
        "receiver/dispatch.py",
        "_release, (now, True)",
        "_release, (now, False)",
        KILLS,
        "are still owed after",
    ),
    Bug(
        "a repeat is never called one",
        "receiver/message.py",
        "[REPEAT] if repeat else []",
        "[]",
        f"{KILLS} --moments received",
        "every repeat says that it may be one",
    ),
    Bug(
        "every message is called a possible repeat",
        "receiver/message.py",
        "[REPEAT] if repeat else []",
        "[REPEAT]",
        "faultless --count 80",
        "nothing is marked as a possible repeat",
    ),
    Bug(
        "a delivery is claimed whatever its state",
        "receiver/store/sqlite_transaction.py",
        "destination = ? AND state = 'waiting' AND due_at",
        "destination = ? AND state <> 'dead' AND due_at",
        "faultless --count 80",
        "nothing repeats",
    ),
    Bug(
        "it is not asked whether a message is still true",
        "receiver/store/sqlite_transaction.py",
        'return f"no longer {facts.status}: now {facts.execution_status}" if has_moved else ""',
        'return ""',
        "late --count 40 --seconds 1 --refuse 0",
        "nothing arrives after the execution moved on",
    ),
    Bug(
        "one destination at a time is sent to",
        "receiver/dispatch.py",
        "        attempt = notify.send(self.destination, message)\n",
        "        with notify._printing:\n"
        "            attempt = notify.send(self.destination, message)\n",
        "hanging --pairs 1 --seconds 1.5 --timeout 2 --goal 20",
        "p99 of arrival",
    ),
    Bug(
        "the order within an execution is not kept",
        "receiver/store/sqlite_transaction.py",
        "e.order_key = d.order_key AND e.id < d.id",
        "e.order_key = d.order_key AND e.id < 0",
        f"{KILLS} --kills 12 --moments connected",
        "keep their order",
    ),
    Bug(
        "the signal is raised again at the end",
        "receiver/server.py",
        "def capture_signals(",
        "def capture_nothing(",
        "shutdown --runs 1 --drain 1",
        "exit code 0",
    ),
)
