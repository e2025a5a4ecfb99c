"""Of confirmations owed to a destination that is down, none is sent after it is over."""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.support.destinations import Behaviour, Destination
from tests.support.proving import FAST, MARK, MS, Report, rules, store_of, told
from tests.support.served import Served, event

# A message may be on its way (claimed, and true then) when the move is acknowledged: for as long
# as its process needs from the claim's commit to the request, a few milliseconds of work that
# share two cores with the load. What a lane holds back or sends from memory takes far longer.
ON_ITS_WAY = 250 * MS


async def late(given: argparse.Namespace, report: Report, folder: Path) -> None:
    to = Destination("late", Behaviour.REFUSE)
    chance = random.Random(given.seed)
    text = rules([to], told([to], "{status: awaiting_confirmation}"), more=f"{FAST}, timeout: 2s")
    moved: dict[str, int] = {}
    works = asyncio.Event()
    to.watch = lambda moment: works.set() if moment == "answered" else None

    async def live(execution: str) -> None:
        """One execution: it waits for good, moves on at some time, or while the others are told."""
        await asyncio.sleep(chance.uniform(0, given.seconds / 4))
        await served.post(event("AWAITING_CONFIRMATION", execution, execution))
        when = chance.choice(("never", "at some time", "while the others are told"))
        if when == "never":
            return
        if when == "at some time":
            await asyncio.sleep(chance.uniform(0, given.seconds * 1.5))
        else:
            await asyncio.wait_for(works.wait(), given.seconds * 5 + 60)
            await asyncio.sleep(chance.uniform(0, max(given.count / 300, 1)))
        name = chance.choice(("RESUMED", "COMPLETED", "FAILED", "CANCELLED"))
        answer = await served.post(event(name, execution, f"{execution}.moved"))
        moved[execution] = answer.acked_at

    store = store_of(given)
    async with Served(folder, [to], text, given.tree, http=given.http, store=store) as served:
        lives = [f"x{given.seed}-{n}" for n in range(given.count)]
        living = asyncio.gather(*(live(execution) for execution in lives))
        await asyncio.sleep(given.seconds * given.refuse)
        await to.behave(Behaviour.HANG)
        await asyncio.sleep(given.seconds * (1 - given.refuse))
        await to.behave(Behaviour.ANSWER)
        back = time.monotonic()
        await asyncio.wait_for(works.wait(), given.seconds * 5 + 60)
        report.figures["first told after it was back (s)"] = time.monotonic() - back
        await living
        ledger = await served.drained(given.seconds * 4 + 60)
        took = time.monotonic() - back
    report.figures["all told after it was back (s)"] = took
    judge_late(report, served, to, lives, moved, ledger)


def judge_late(
    report: Report, served: Served, to: Destination, lives: Sequence[str],
    moved: dict[str, int], ledger: dict[str, object],
) -> None:  # fmt: skip
    """Hold arrivals and attempts against the moves."""
    texts, states = to.texts(), dict[str, tuple[str, str]]()
    for execution, state, reason in served.rows("SELECT execution_id, state, reason FROM delivery"):
        states[execution] = (state, reason)
    leads = [a.at - moved[x] for x, each in texts.items() if x in moved for a in each]
    # An attempt's time is its start.
    begun = served.rows(
        "SELECT a.at - h.applied_at FROM attempt AS a JOIN delivery AS d ON d.id = a.delivery"
        " JOIN execution AS x ON x.source = d.source AND x.execution_id = d.execution_id"
        " JOIN history AS h ON h.execution = x.id AND h.version = d.guard_version + 1"
    )
    answered = Counter(x for x, each in texts.items() for a in each if a.answered)
    still = [x for x in lives if x not in moved]
    superseded = [x for x in lives if states[x][0] == "superseded"]
    report.figures |= {
        "confirmations": len(lives), "moved on": len(moved), "superseded": len(superseded),
        "told, and moved on later": sum(x in moved for x in answered),
        "told, and still waiting": sum(x not in moved for x in answered),
        "requests read and not answered": sum(not a.answered for e in texts.values() for a in e),
        "attempts": served.rows("SELECT count(*) FROM attempt")[0][0],
        "latest arrival after the move (ms)": max(leads, default=0) / MS,
        "latest attempt after the move (ms)": max((n for (n,) in begun), default=0) / MS,
        "imbalance": ledger["imbalance"],
    }  # fmt: skip
    report.must(max(leads, default=0) <= ON_ITS_WAY, "nothing arrives after the execution moved on")
    report.must(
        all(n <= ON_ITS_WAY for (n,) in begun), "no attempt begins after the execution moved on"
    )
    report.must(all(answered[x] == 1 for x in still), "who still waits is told of once")
    report.must(all(states[x][0] == "sent" for x in still), "and that is recorded")
    report.must(all(states[x][1] for x in superseded), "a superseded message says why")
    report.must(
        all((answered[x], states[x][0]) in ((1, "sent"), (0, "superseded")) for x in lives),
        "every other one is sent once, or superseded and not sent",
    )
    repeats = [a for each in texts.values() for a in each[1:]]
    report.must(all(MARK in a.text for a in repeats), "every repeat says that it may be one")
    report.must(bool(superseded and still) and len(answered) > len(still), "it was put to the test")
    report.must(ledger["imbalance"] == 0, "the ledger is balanced")
