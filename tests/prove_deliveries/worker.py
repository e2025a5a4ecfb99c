"""Workers that kill or stop themselves at a step of a delivery, for the proof `stops`.

    python -m tests.prove_deliveries.worker FOLDER LEASE URL

For each case, a destination in FOLDER/routes.yaml that is named after it, a first worker opens a
copy of the file, or the PostgreSQL that URL names, and takes its delivery with a real lane whose
store and sending are watched; at the case's step it kills or stops itself. When its lease is over,
a second worker follows. Then the first one may go on. Each worker is a process; a line of JSON says
how each case went.

* kill: the first one is gone.
* stop: the first one goes on after the second one has recorded.
* overlap: the first one goes on while the second one is sending.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from receiver.config import routes_file
from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.deliveries import Attempt, Message
from receiver.destinations import sending
from receiver.destinations.destination import Destination
from receiver.dispatch.turn import record_and_claim
from receiver.dispatch.worker import DestinationWorker
from receiver.store.contract import Store
from receiver.store.opening import open_existing
from receiver.times import SECOND
from tests.support.served import asked

SQLITE = "sqlite:///"
LONG = 60.0  # seconds: a lease that does not run out here


class Watched:
    """A store that tells of the steps of the one delivery that its worker takes.

    The lease is as long as it says. After the record, or when there is nothing to take, the
    worker ends; its exit code says which it was.
    """

    NOTHING, LOST, MINE = 3, 4, 5

    def __init__(self, store: Store, step: Callable[[str], None], lease: float) -> None:
        self._store, self._step, self._lease = store, step, int(lease * SECOND)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write_now(self, act: Any, turn: Any, *, small: bool = False) -> Any:
        """Take a turn."""
        if isinstance(turn, list):  # after an arrival it would claim several
            act, turn = record_and_claim, turn[0]
        what = "claim" if turn.finished is None else "record"
        self._step(f"before-{what}")
        # Only the one delivery: when it is recorded, no other is claimed.
        turn = replace(turn, until=turn.now + self._lease, goes_on=what == "claim")
        turned = self._store.write_now(act, turn)
        self._step(f"after-{what}")
        if what == "record":
            os._exit(self.MINE if turned.recorded else self.LOST)
        if turned.claim is None:
            os._exit(self.NOTHING)
        return turned


def work(where: str, rules: Rules, name: str, at: str, sig: int, lease: float) -> None:
    """Be a worker that sends itself the signal at that step."""

    def step(reached: str) -> None:
        if reached == at:
            # At this thread: another one could take the signal while this one goes on a little.
            signal.pthread_kill(threading.get_ident(), sig)

    def send(destination: Destination, message: Message) -> Attempt:
        step("before-send")
        attempt = sending.send(destination, message)
        step("after-send")
        return attempt

    store: Any = Watched(open_existing(where), step, lease)
    lane = DestinationWorker(
        store,
        rules.destinations[name],
        LiveRules(rules, lambda rules: None, lambda: rules),
        lease,
        send=send,
    )
    lane.start()
    lane.join(time.monotonic() + LONG)
    os._exit(1)


def forked(what: Callable[[], None]) -> int:
    """A process that does this; its id."""
    process = os.fork()
    if process == 0:
        try:
            what()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return process


def became(process: int) -> str:
    """What becomes of a process next, in a word."""
    _, status = os.waitpid(process, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        return "stopped"
    if os.WIFSIGNALED(status):
        return "killed"
    named = {Watched.NOTHING: "nothing", Watched.LOST: "lost", Watched.MINE: "recorded"}
    return named.get(os.WEXITSTATUS(status), f"exit code {os.WEXITSTATUS(status)}")


def rows(where: str, name: str) -> list[Any]:
    """All that is written about the deliveries of a destination."""
    queries = (
        "SELECT * FROM delivery WHERE destination = ?",
        "SELECT a.* FROM attempt AS a JOIN delivery AS d ON d.id = a.delivery"
        " WHERE d.destination = ? ORDER BY number",
    )
    if not where.startswith(SQLITE):
        return [asked(where, query, name) for query in queries]
    uri = f"{Path(where.removeprefix(SQLITE)).as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=10)) as db:
        return [db.execute(query, (name,)).fetchall() for query in queries]


def case(folder: Path, rules: Rules, name: str, lease: float, url: str) -> dict[str, Any]:
    """How a case went: what became of the first and second worker, and what was written."""
    at, _, how = name.rpartition("-")
    sig = signal.SIGKILL if how == "kill" else signal.SIGSTOP
    where = url
    if not url:
        # One process at a time writes a file.
        shutil.copy(folder / "receiver.db", folder / f"{name}.db")
        where = f"{SQLITE}{folder / f'{name}.db'}"
    first = forked(lambda: work(where, rules, name, at, sig, lease))
    try:
        told: dict[str, Any] = {"case": name, "first": became(first)}
        time.sleep(lease)  # until it is over, whenever in this time it began
        pause = "after-claim" if how == "overlap" else ""
        second = forked(lambda: work(where, rules, name, pause, signal.SIGSTOP, LONG))
        told["second"] = became(second)
        told["before"] = rows(where, name)
        if how != "kill":
            os.kill(first, signal.SIGCONT)
            told["first"] = became(first)
            told["after"] = rows(where, name)
        if told["second"] == "stopped":
            os.kill(second, signal.SIGCONT)
            told["second"] = became(second)
        with closing(open_existing(where)) as store:
            told["imbalance"] = store.ledger()["imbalance"]
            told["states"] = [
                d["state"] for d in store.deliveries({"destination": name}, 9, None)[0]
            ]
    finally:
        if how != "kill" and told.get("first") == "stopped":
            os.kill(first, signal.SIGKILL)
    return told


def say(told: dict[str, Any]) -> None:
    """A line in one piece: many processes write here."""
    os.write(1, json.dumps(told).encode() + b"\n")


def main() -> None:
    folder, lease, url = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    rules = routes_file.load(str(folder / "routes.yaml"), os.environ)
    for destination in rules.destinations.values():
        sending.problems(destination)  # what is slow to import is imported once
    running = [
        forked(lambda name=name: say(case(folder, rules, name, lease, url)))  # type: ignore[misc]
        for name in rules.destinations
    ]
    for process in running:
        os.waitpid(process, 0)


if __name__ == "__main__":
    main()
