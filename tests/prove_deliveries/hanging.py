"""A destination that hangs delays neither the others nor the answers to webhooks."""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.destinations import Behaviour, Destination
from tests.support.proving import FAST, Report, percentile, rules, store_of, told
from tests.support.served import Served, event, until


@dataclass
class Window:
    """Latencies of a window in nanoseconds: POST → arrival, and POST → answer."""

    arrival: list[int] = field(default_factory=list)
    answer: list[int] = field(default_factory=list)


async def window(
    served: Served, steady: Sequence[Destination], name: str, count: int, rate: float, bad: bool
) -> Window:
    """So many events at a steady rate, to the steady destinations, with `bad` to the other, too."""
    found, sent = Window(), dict[str, int]()
    begin = asyncio.get_running_loop().time()

    async def one(number: int) -> None:
        event_id = f"{name}.{number}"
        await asyncio.sleep(begin + number / rate - asyncio.get_running_loop().time())
        sent[event_id] = time.time_ns()
        more = {"metadata": {"bad": "yes"}} if bad else {}
        answer = await served.post(event("FAILED", event_id, event_id, **more))
        found.answer.append(answer.acked_at - sent[event_id])

    await asyncio.gather(*(one(number) for number in range(count)))

    def complete() -> bool:
        return all(len(d.arrivals) >= count and sent.keys() <= d.texts().keys() for d in steady)

    await until(complete, "the others have got everything")
    for destination in steady:
        # What else arrives tells of messages to the other one that died.
        found.arrival += [a.at - sent[a.title] for a in destination.arrivals if a.title in sent]
        destination.arrivals.clear()
    return found


async def hanging(given: argparse.Namespace, report: Report, folder: Path) -> None:
    steady, bad = [Destination(name) for name in ("one", "two", "three")], Destination("bad")
    behaviour = Behaviour(given.how)
    both = [*steady, bad]
    routes = (told([bad], "{metadata: {bad: yes}}", "bad"), told(steady))
    more = f"{FAST}, timeout: {given.timeout}s"
    text = rules(both, *routes, more=more)
    windows: dict[bool, list[Window]] = {False: [], True: []}
    chance = random.Random(given.seed)
    store = store_of(given)
    async with Served(folder, both, text, given.tree, http=given.http, store=store) as served:
        await window(served, steady, "warm-up", given.rate, given.rate, False)
        for pair in range(given.pairs):
            for hangs in chance.choice(([False, True], [True, False])):
                await bad.behave(behaviour if hangs else Behaviour.ANSWER)
                name, count = f"w{pair}{'b' if hangs else 'a'}", int(given.seconds * given.rate)
                windows[hangs].append(await window(served, steady, name, count, given.rate, hangs))
                if hangs:
                    report.must(bool(bad.arrivals) or behaviour is Behaviour.REFUSE, "it is bad")
                    await bad.behave(Behaviour.ANSWER)
                    bad.release()
                    with suppress(AssertionError):  # what waits for its next try is little
                        await served.drained(given.settle)
    judge_hanging(report, windows, given.goal)


def judge_hanging(report: Report, windows: dict[bool, list[Window]], goal: float) -> None:
    """The ratio of p99s, of all windows together and of the median pair.

    Windows are short, so that whatever else disturbs the machine falls on both kinds alike.
    """
    for what in ("arrival", "answer"):
        values = {b: [v for w in windows[b] for v in getattr(w, what)] for b in (False, True)}
        for hangs, name in ((False, "without"), (True, "with")):
            report.figures[f"POST to {what}, {name}: n"] = len(values[hangs])
            for part in (0.5, 0.99):
                label = f"POST to {what}, {name}: p{part * 100:g} (ms)"
                report.figures[label] = percentile(values[hangs], part)
        ratio = percentile(values[True], 0.99) / percentile(values[False], 0.99)
        pairs = sorted(
            percentile(getattr(w, what), 0.99) / percentile(getattr(o, what), 0.99)
            for w, o in zip(windows[True], windows[False], strict=True)
        )
        # What chance alone makes of it here and now: windows without it against each other.
        halves = [[v for w in windows[False][n::2] for v in getattr(w, what)] for n in (0, 1)]
        if all(halves):
            chance = percentile(halves[0], 0.99) / percentile(halves[1], 0.99)
            report.figures[f"POST to {what}: by chance (odd to even windows without)"] = chance
        report.figures[f"POST to {what}: ratio of p99"] = ratio
        report.figures[f"POST to {what}: ratio in the median pair"] = pairs[len(pairs) // 2]
        report.must(ratio <= goal, f"p99 of {what} stays within {goal:g} of that without it")
