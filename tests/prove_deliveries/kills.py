"""Killed at any moment, nothing owed is missing, and every repeat says so."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.support.destinations import Destination
from tests.support.proving import (
    FAST,
    MARK,
    Key,
    Load,
    Report,
    arrived,
    in_order,
    rules,
    store_of,
    told,
)
from tests.support.served import Served, until

MOMENTS = "starting,random,claimed,acknowledged,connected,received,answered"


class Killer:
    """Kills the process at a moment that chance chooses; destinations and acks tell of moments."""

    def __init__(self, served: Served, chance: random.Random, moments: Sequence[str]) -> None:
        self._served, self._chance, self._moments = served, chance, moments
        self.moments: Counter[str] = Counter()
        self.sending: Counter[Key] = Counter()
        self._tokens: set[str] = set()
        self._armed, self._count = "", 0
        for destination in served.destinations:
            destination.watch = self.happened

    def happened(self, moment: str) -> None:
        """Count a moment, and kill if it is the one."""
        if moment == self._armed:
            self._count -= 1
            if self._count == 0:
                self._kill()

    def _kill(self) -> None:
        self._armed = ""
        self._served.kill()

    async def life(self) -> None:
        """One life of the process, from its start to its death, and what it was sending then."""
        served, chance = self._served, self._chance
        moment = chance.choice(self._moments)
        self.moments[moment] += 1
        served.cold = moment == "starting"  # the whole of a start is killed
        served.launch()
        process = served.process
        assert process is not None
        if moment == "starting":
            await asyncio.sleep(chance.uniform(0, 1.2))
            self._kill()
        else:
            before = sum(len(d.arrivals) for d in served.destinations)
            if moment in ("random", "claimed"):
                await until(
                    lambda: sum(len(d.arrivals) for d in served.destinations) > before, "it sends"
                )
                await asyncio.sleep(chance.uniform(0, 0.3))
                if moment == "claimed":
                    await until(self._claimed, "it claims")
                self._kill()
            else:
                self._armed, self._count = moment, chance.randint(1, 20)
        await until(lambda: process.poll() is not None, f"killed when {moment}")
        await self.count()

    async def count(self) -> None:
        """Note what a process that was killed has left in sending."""
        await self._served.forgotten()
        query = "SELECT destination, event_id, token FROM delivery WHERE state = 'sending'"
        for destination, event_id, token in self._served.rows(query):
            # On PostgreSQL it stays so until its lease is over, whatever is killed meanwhile.
            self.sending[destination, event_id] += token not in self._tokens
            self._tokens.add(token)

    def _claimed(self) -> bool:
        return bool(self._served.rows("SELECT 1 FROM delivery WHERE state = 'sending' LIMIT 1"))


async def kills(given: argparse.Namespace, report: Report, folder: Path) -> None:
    # Two of them are connected to for each message, so that a kill finds that moment often.
    to = [Destination(name, keeps=name == "one") for name in ("one", "two", "three")]
    # A lease is ten seconds longer than that.
    text, store = rules(to, told(to), more=f"{FAST}, timeout: 5s"), store_of(given)
    async with Served(folder, to, text, given.tree, http=given.http, store=store) as served:
        killer = Killer(served, random.Random(given.seed), given.moments.split(","))
        load = Load(served, given.seed, most=60)
        load.on_ack = lambda: killer.happened("acknowledged")
        working = asyncio.create_task(load.run(workers=6))
        await until(lambda: load.acked, "an event is acknowledged")
        served.kill()
        await served.ended(10)
        await killer.count()
        for _ in range(given.kills):
            await killer.life()
        await served.start()
        load.stopping = True
        await working
        ledger = await served.drained(given.patience)
        served.kill(signal.SIGTERM)
        report.must(await served.ended(25) == 0, "it ends with exit code 0")
    judge_kills(report, served, load, killer, ledger)


def judge_kills(
    report: Report, served: Served, load: Load, killer: Killer, ledger: dict[str, object]
) -> None:
    """Hold what arrived against what was acknowledged and what was being sent at each kill."""
    found = arrived(served)
    owed = {(d.name, e) for d in served.destinations for e in load.acked}
    repeats = {key: len(each) - 1 for key, each in found.items() if len(each) > 1}
    unmarked = sum(MARK not in a.text for each in found.values() for a in each[1:])
    marked = {key for key, each in found.items() if any(MARK in a.text for a in each)}
    report.figures |= {
        **{f"kills, {moment}": n for moment, n in sorted(killer.moments.items())},
        "kills": killer.moments.total(), "webhooks cut and sent again": served.cut,
        "deliveries owed": len(owed), "missing": len(owed - set(found)),
        "in sending at a kill": killer.sending.total(), "repeats": sum(repeats.values()),
        "repeats not marked": unmarked, "marked": len(marked), "imbalance": ledger["imbalance"],
    }  # fmt: skip
    report.must(owed <= set(found), "nothing owed is missing")
    report.must(set(found) <= owed, "nothing arrives that is not owed")
    report.must(
        all(n <= killer.sending[key] for key, n in repeats.items()),
        "a delivery repeats at most as often as it was being sent at a kill",
    )
    report.must(unmarked == 0, "every repeat says that it may be one")
    report.must(marked <= set(killer.sending), "only what was being sent is called a repeat")
    report.must(in_order(served), "an execution's messages keep their order")
    report.must(ledger["imbalance"] == 0, "the ledger is balanced")
    report.must(ledger["deliveries"] == {"sent": len(owed)}, "every delivery is sent")
