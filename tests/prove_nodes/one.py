"""Several nodes keep one rate, gather one digest, and remind once."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

from tests.prove_nodes.cluster import Cluster
from tests.support.destinations import Destination
from tests.support.proving import Report
from tests.support.served import asked, event, until

RATE, WAIT, EVERY = 5, 8, 4
# Seconds by which a message may come later than it was claimed, on a machine that is busy.
LATE = 1.0
RULES = f"""\
destinations:
  paced: {{{{url: "{{paced}}", rate: {RATE}/s}}}}
  gathered: {{{{url: "{{gathered}}"}}}}
  asked: {{{{url: "{{asked}}"}}}}
routes:
  - {{{{name: paced, match: {{{{status: completed}}}}, notify: [paced]}}}}
  - {{{{name: gathered, match: {{{{status: failed}}}}, notify: [gathered],
     group: {{{{by: [agent], wait: {WAIT}s, every: 5m}}}}}}}}
  - {{{{name: asks, match: {{{{status: awaiting_confirmation}}}}, notify: [asked],
     remind: {{{{every: {EVERY}s}}}}}}}}
"""


async def one(given: argparse.Namespace, report: Report, folder: Path) -> None:
    paced, gathered, asks = (Destination(name) for name in ("paced", "gathered", "asked"))
    async with Cluster(folder, [paced, gathered, asks], RULES, given) as cluster:
        await cluster.post(event("AWAITING_CONFIRMATION", "asks", "asks"))
        posts = [
            cluster.post(event(name, f"{name}-{n}", f"{name}-{n}"))
            for n in range(given.count)
            for name in ("FAILED", "COMPLETED")
        ]
        begun = time.monotonic()
        await asyncio.gather(*posts)
        report.figures["all acknowledged after (s)"] = time.monotonic() - begun
        patience = given.count / RATE * 2 + given.patience
        await until(lambda: len(paced.arrivals) >= given.count, "the rate lets all pass", patience)
        await until(lambda: len(asks.arrivals) > 3, "reminders come", given.patience)
        await cluster.post(event("RESUMED", "asks", "goes-on"))
        ledger = await cluster.end(report, given.patience)
    report.must(len(paced.arrivals) == given.count, "each message comes once")
    report.figures |= {"messages at the rate": len(paced.arrivals), **judge_rate(report, paced)}
    digests = [arrival.title for arrival in gathered.arrivals]
    report.figures |= {"digests": len(digests), "its title": digests[0] if digests else ""}
    report.must(len(digests) == 1, "one digest comes")
    report.must(str(given.count) in "".join(digests), "it tells of all that was gathered")
    gaps = [
        (b.at - a.at) / 10**9 for a, b in zip(asks.arrivals, asks.arrivals[1:], strict=False)
    ]  # fmt: skip
    reminders = asked(cluster.url, "SELECT count(*) FROM delivery WHERE kind = 'reminder'")[0][0]
    report.figures |= {"reminders": len(gaps), "shortest time between two (s)": min(gaps)}
    report.must(min(gaps) > EVERY - LATE, "a reminder comes once")
    report.must(reminders <= len(gaps) + 1, "and is owed once")
    report.must(ledger["imbalance"] == 0, "the ledger is balanced")


def judge_rate(report: Report, paced: Destination) -> dict[str, object]:
    """Hold each stretch of time against the rate; a second of it may have been saved up."""
    times = [arrival.at / 10**9 for arrival in paced.arrivals]
    most = max(
        (later - earlier + 1) - RATE * (times[later] - times[earlier] + 1 + LATE)
        for earlier in range(len(times))
        for later in range(earlier, len(times))
    )
    report.must(most <= 1, f"{RATE} messages a second come from all nodes together")
    took = times[-1] - times[0]
    return {"seconds for them": took, "a second": (len(times) - 1) / took}
