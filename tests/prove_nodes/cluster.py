"""Several receivers on one PostgreSQL, and a sender that spreads over them and insists."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.destinations import Destination
from tests.support.proving import FAST, MARK, Key, Report, arrived, in_order
from tests.support.served import Answer, Served, asked

# A lease is ten seconds longer than the time-out of an attempt.
QUICK = f"{FAST}, timeout: 5s"
SENDING = "SELECT destination, event_id, token FROM delivery WHERE state = 'sending'"


class Cluster:
    """Receivers that share a database and their destinations; a context that ends all of it.

    `post` spreads over them by chance, and repeats at another one what got no 2xx.
    """

    def __init__(
        self, folder: Path, to: Sequence[Destination], rules: str, given: argparse.Namespace,
        **settings: str,
    ) -> None:  # fmt: skip
        self.destinations = to
        self.url = given.server.schema()
        self.repeated = 0  # webhooks that were sent again
        self.slowest = 0.0  # seconds until a webhook was answered, whatever the answer
        self._chance = random.Random(given.seed)
        self._folder = folder
        self.nodes = [
            self._node(f"node-{n}", rules, given, {"lease": "5", "drain": "10", **settings})
            for n in range(given.nodes)
        ]
        self._tokens: set[str] = set()
        self.sending: Counter[Key] = Counter()  # left behind by a node, or by the database

    def _node(
        self, name: str, rules: str, given: argparse.Namespace, settings: dict[str, str]
    ) -> Served:
        (self._folder / name).mkdir()
        url = f"{self.url}&application_name={name}-{os.getpid()}"
        return Served(
            self._folder / name, self.destinations, rules, given.tree, http=given.http,
            shares=True, store={**settings, "database_url": url},
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        for destination in self.destinations:
            await destination.open()
        for node in self.nodes:
            await node.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for node in self.nodes:
            await node.__aexit__(kind, error, trace)
        for destination in self.destinations:
            destination.close()

    async def post(self, body: bytes) -> Answer:
        """Post a webhook until it is acknowledged, each time at a node that chance chooses."""
        sent_at = time.time_ns()
        status: int | None = 0
        while status not in (200, 202):
            if status != 0:
                self.repeated += 1
                await asyncio.sleep(0.02)
            begun = time.monotonic()
            status = await self._chance.choice(self.nodes).post_once(body)
            self.slowest = max(self.slowest, time.monotonic() - begun)
            if status not in (200, 202, 503, None):
                raise AssertionError(f"a webhook was answered {status}")
        return Answer(status, sent_at, time.time_ns())

    def note_sending(self, of: int | None = None) -> None:
        """Note what is in sending: all of it, or what the process with that id has left."""
        for destination, event_id, token in asked(self.url, SENDING):
            # A token begins with HOST/PID/.
            if of is None or token.split("/")[1] == str(of):
                self.sending[destination, event_id] += token not in self._tokens
                self._tokens.add(token)

    async def kill(self, node: Served) -> None:
        """Kill a node, and note what it was sending."""
        process = node.process
        assert process is not None
        node.kill()
        await node.ended(20)
        await node.forgotten()
        self.note_sending(process.pid)

    async def stop(self, node: Served, report: Report) -> float:
        """Let a node end; return how long that takes (seconds)."""
        begun = time.monotonic()
        node.kill(signal.SIGTERM)
        code = await node.ended(40)
        report.must(code == 0, f"a node that is told to end does so with exit code 0, not {code}")
        return time.monotonic() - begun

    async def end(self, report: Report, patience: float) -> dict[str, Any]:
        """Wait until nothing is owed, and end all nodes; return the ledger."""
        ledger = await self.nodes[0].drained(patience)
        for node in self.nodes:
            await self.stop(node, report)
        return ledger


def judge(report: Report, cluster: Cluster, acked: Sequence[str], ledger: dict[str, Any]) -> None:
    """Hold what arrived against what was acknowledged and what was being sent at each fault."""
    found = arrived(cluster)
    owed = {(d.name, event_id) for d in cluster.destinations for event_id in acked}
    repeats = {key: len(each) - 1 for key, each in found.items() if len(each) > 1}
    unmarked = sum(MARK not in a.text for each in found.values() for a in each[1:])
    marked = {key for key, each in found.items() if any(MARK in a.text for a in each)}
    # A destination that was answered too late, on a machine that is busy.
    uncertain: Counter[Key] = Counter()
    uncertain.update(asked(
        cluster.url, "SELECT d.destination, d.event_id FROM attempt AS a"
        " JOIN delivery AS d ON d.id = a.delivery WHERE a.outcome <> 'delivered'"
        " AND a.detail <> 'the process stopped while sending'",
    ))  # fmt: skip
    allowed = cluster.sending + uncertain
    claimed_twice = asked(
        cluster.url, "SELECT count(*) FROM (SELECT delivery FROM attempt"
        " WHERE outcome = 'delivered' GROUP BY delivery HAVING count(*) > 1) AS twice",
    )[0][0]  # fmt: skip
    report.figures |= {
        "webhooks acknowledged": len(acked), "webhooks sent again": cluster.repeated,
        "slowest answer (s)": cluster.slowest,
        "deliveries owed": len(owed), "missing": len(owed - set(found)),
        "in sending at a fault": cluster.sending.total(), "attempts that failed": uncertain.total(),
        "repeats": sum(repeats.values()), "repeats not marked": unmarked,
        "marked": len(marked), "delivered twice by the record": claimed_twice,
        "imbalance": ledger["imbalance"],
    }  # fmt: skip
    report.must(owed <= set(found), "nothing owed is missing")
    report.must(set(found) <= owed, "nothing arrives that is not owed")
    report.must(
        all(n <= allowed[key] for key, n in repeats.items()),
        "a delivery repeats at most as often as it was being sent at a fault",
    )
    report.must(unmarked == 0, "every repeat says that it may be one")
    report.must(marked <= set(allowed), "only what was being sent is called a repeat")
    report.must(claimed_twice == 0, "no delivery is recorded as delivered twice")
    report.must(in_order(cluster), "an execution's messages keep their order")
    report.must(ledger["imbalance"] == 0, "the ledger is balanced")
    report.must(ledger["deliveries"] == {"sent": len(owed)}, "every delivery is sent")
    events = asked(cluster.url, "SELECT count(*) FROM event WHERE verdict = 'applied'")[0][0]
    report.must(events == len(acked), "every acknowledged event is applied once")
