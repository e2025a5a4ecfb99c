"""SIGTERM ends it in time, whatever clients and destinations do, and loses nothing."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

from tests.support.destinations import Behaviour, Destination
from tests.support.proving import MARK, Report, arrived, rules, store_of, told
from tests.support.served import CUT, Served, event, exchange, raw, signed, until


async def shutdown(given: argparse.Namespace, report: Report, folder: Path) -> None:
    chance, longest, probed = random.Random(given.seed), 0.0, Counter[str]()
    owed = missing = 0
    for run in range(given.runs):
        at = folder / str(run)
        at.mkdir()
        to = [Destination("one"), Destination("two"), Destination("bad", Behaviour.HANG)]
        to[2].behaviour = chance.choice((Behaviour.HANG, Behaviour.TRICKLE))
        drain = str(given.drain or chance.choice((1, 5, 15, 20)))
        text = rules(to, told(to))
        async with Served(
            at, to, text, given.tree, http=given.http, drain=drain, store=store_of(given)
        ) as served:
            took, acked = await terminate(served, chance, report, probed)
            longest = max(longest, took)
            await to[2].behave(Behaviour.ANSWER)
            await served.start()
            ledger = await served.drained(60)
            report.must(ledger["imbalance"] == 0, "the ledger is balanced")
            served.kill(signal.SIGTERM)
            report.must(await served.ended(25) == 0, "it ends with exit code 0 when idle")
        found = arrived(served)
        keys = {(d.name, e) for d in to for e in acked}
        owed, missing = owed + len(keys), missing + len(keys - set(found))
        again = [a for each in found.values() for a in each[1:]]
        report.must(all(MARK in a.text for a in again), "every repeat says that it may be one")
        report.must(
            all(len(each) == 1 for (name, _), each in found.items() if name != "bad"),
            "what a destination that answers was sent is not sent again",
        )
    report.figures |= {
        "runs": given.runs, "longest end (s)": longest, "deliveries owed": owed,
        "missing after a restart": missing,
        **{f"after the signal, {what}": n for what, n in sorted(probed.items())},
    }  # fmt: skip
    report.must(missing == 0, "nothing acknowledged is missing after a restart")
    report.must(longest <= 25, "it ends within 25 s")


async def terminate(
    served: Served, chance: random.Random, report: Report, probed: Counter[str]
) -> tuple[float, list[str]]:
    """SIGTERM under load with clients that dawdle; seconds to the end, what was acknowledged."""
    acked: list[str] = []
    number = 0

    async def load() -> None:
        nonlocal number
        while signalled is None or time.monotonic() < signalled + 1:
            number += 1
            name = f"e{number}"
            if await served.post_once(event("FAILED", name, name)) == 202:
                acked.append(name)
            await asyncio.sleep(0.02)

    signalled: float | None = None
    async with AsyncExitStack() as stack:
        for _ in range(3):
            _, writer = await stack.enter_async_context(served.connection())
            body = event("FAILED", "half", "half")
            half = raw("POST", "/webhooks/asteroid", body, signed(body))
            writer.write(half[: -chance.randint(1, len(half) - 1)])
            idle = await stack.enter_async_context(served.connection())
            await exchange(idle, raw("GET", "/healthz", b""))
        loading = [asyncio.create_task(load()) for _ in range(4)]
        await until(lambda: served.destinations[2].arrivals and len(acked) > 20, "it is loaded")
        await asyncio.sleep(chance.uniform(0, 0.2))
        signalled = time.monotonic()
        served.kill(signal.SIGTERM)
        process = served.process
        assert process is not None
        while process.poll() is None and time.monotonic() < signalled + 40:
            await probe(served, signalled, report, probed)
        took = time.monotonic() - signalled
        report.must(await served.ended(1) == 0, f"exit code 0, not {process.returncode}")
        await asyncio.gather(*loading)
    return took, acked


async def probe(served: Served, signalled: float, report: Report, probed: Counter[str]) -> None:
    """Ask whether it is ready, and post a webhook; neither may be accepted after the signal."""
    begin = time.monotonic() - signalled
    body = event("FAILED", "after", "after")
    for method, path, content in (("GET", "/readyz", b""), ("POST", "/webhooks/asteroid", body)):
        try:
            status, _ = await served.request(
                method, path, content, signed(content) if content else ()
            )
            said = f"{path} {status}"
        except CUT:
            said = f"{path} refused"
        # The signal is taken between two steps of the process's event loop.
        if begin > 0.5 or not said.endswith((" 200", " 202")):
            probed[said] += 1
            report.must(said.endswith((" 503", " refused")), f"{said} after the signal")
    await asyncio.sleep(0.05)
