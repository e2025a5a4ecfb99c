"""The process that sends is killed amid messages: nothing is missing, and repeats say so."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.support import warm
from tests.support.commands import children
from tests.support.destinations import Destination
from tests.support.proving import FAST, MARK, Load, Report, arrived, in_order, rules, store_of, told
from tests.support.served import Served, until

SENDER_MOMENTS = "random,connected,received,answered"
# A sender that is stopped is ended so many seconds after the deadline, at most.
STOPPED_FOR = 5.0


def senders_of(served: Served) -> list[int]:
    """Return the processes that send. What starts warm has them started by a copy of itself."""
    assert served.process is not None
    started = children(served.process.pid)
    if isinstance(served.process, warm.Process):
        return [sender for copy in started for sender in children(copy)]
    return started


class SenderKiller:
    """Kills the sender at a moment that chance chooses; destinations tell of moments."""

    def __init__(self, served: Served, chance: random.Random, moments: Sequence[str]) -> None:
        self._served, self._chance, self._moments = served, chance, moments
        self.moments: Counter[str] = Counter()
        self._armed, self._count, self._pid = "", 0, 0
        for destination in served.destinations:
            destination.watch = self._happened

    def _happened(self, moment: str) -> None:
        if moment == self._armed:
            self._count -= 1
            if self._count == 0:
                self._kill(signal.SIGKILL)

    def _kill(self, sig: signal.Signals) -> None:
        self._armed = ""
        with suppress(ProcessLookupError):
            os.kill(self._pid, sig)

    async def life(self, timeout: float) -> None:
        """Let a sender live, from its first message to its death."""
        served, chance = self._served, self._chance
        # The newest: one before it may still finish.
        self._pid = max(await until(lambda: senders_of(served), "a sender runs"))
        before = sum(len(d.arrivals) for d in served.destinations)
        await until(lambda: sum(len(d.arrivals) for d in served.destinations) > before, "it sends")
        moment = chance.choice(self._moments)
        self.moments[moment] += 1
        if moment in ("random", "stopped"):
            await asyncio.sleep(chance.uniform(0, 0.3))
            self._kill(signal.SIGSTOP if moment == "stopped" else signal.SIGKILL)
        else:
            self._armed, self._count = moment, chance.randint(1, 20)
        seconds = timeout + STOPPED_FOR if moment == "stopped" else 60
        await until(lambda: self._pid not in senders_of(served), f"it dies when {moment}", seconds)


async def senders(given: argparse.Namespace, report: Report, folder: Path) -> None:
    # Two of them are connected to for each message, so that a kill finds that moment often.
    to = [Destination(name, keeps=name == "one") for name in ("one", "two", "three")]
    text, store = rules(to, told(to), more=f"{FAST}, timeout: {given.timeout:g}s"), store_of(given)
    # No connection of the load ends by its age: whatever is cut was cut by the death of a sender.
    settings = {"http": given.http, "keep_alive": "3600"}
    async with Served(folder, to, text, given.tree, store=store, **settings) as served:
        killer = SenderKiller(served, random.Random(given.seed), given.moments.split(","))
        load = Load(served, given.seed, most=60)
        working = asyncio.create_task(load.run(workers=6))
        for _ in range(given.kills):
            await killer.life(given.timeout)
        load.stopping = True
        await working
        ledger = await served.drained(given.patience)
        left = senders_of(served)
        served.kill(signal.SIGTERM)
        report.must(await served.ended(25) == 0, "it ends with exit code 0")
        report.must(
            not any(Path(f"/proc/{each}").exists() for each in left), "no sender is left behind"
        )
    judge_senders(report, served, load, killer, ledger)


def judge_senders(
    report: Report, served: Served, load: Load, killer: SenderKiller, ledger: dict[str, object]
) -> None:
    """Hold what arrived against what was acknowledged and against the attempts on record."""
    found = arrived(served)
    owed = {(d.name, e) for d in served.destinations for e in load.acked}
    query = (
        "SELECT d.destination, d.event_id, a.outcome, count(*) FROM attempt AS a JOIN delivery AS d"
        " ON d.id = a.delivery WHERE a.outcome <> 'delivered' GROUP BY 1, 2, 3"
    )
    outcomes: Counter[str] = Counter()
    uncertain: Counter[tuple[str, str]] = Counter()
    for destination, event_id, outcome, n in served.rows(query):
        outcomes[outcome] += n
        if outcome == "uncertain":
            uncertain[destination, event_id] += n
    repeats = {key: len(each) - 1 for key, each in found.items() if len(each) > 1}
    unmarked = sum(MARK not in a.text for each in found.values() for a in each[1:])
    marked = {key for key, each in found.items() if any(MARK in a.text for a in each)}
    report.figures |= {
        **{f"kills, {moment}": n for moment, n in sorted(killer.moments.items())},
        "kills": killer.moments.total(), "webhooks cut and sent again": served.cut,
        "deliveries owed": len(owed), "missing": len(owed - set(found)),
        "uncertain attempts": outcomes["uncertain"], "failed attempts": outcomes["failed"],
        "repeats": sum(repeats.values()), "repeats not marked": unmarked,
        "imbalance": ledger["imbalance"],
    }  # fmt: skip
    report.must(owed == set(found), "what is owed arrives, and nothing else")
    report.must(
        all(n <= uncertain[key] for key, n in repeats.items()),
        "a delivery repeats at most as often as an attempt was uncertain",
    )
    report.must(outcomes["uncertain"] > 0, "a sender is killed in the middle of a message")
    report.must(unmarked == 0, "every repeat says that it may be one")
    report.must(marked <= set(uncertain), "only what was begun is called a repeat")
    report.must(served.cut == 0, "no webhook is cut")
    report.must(in_order(served), "an execution's messages keep their order")
    report.must(ledger["imbalance"] == 0, "the ledger is balanced")
    report.must(ledger["deliveries"] == {"sent": len(owed)}, "every delivery is sent")
