"""Proves, from the outside, that nothing owed is lost, nothing untrue is sent, none slows another.

    python -m tests.prove_deliveries NAME [options] --seed 1

Each proof runs `receiver serve` as a real process with real signed webhooks and destinations on
loopback that note what arrives, and afterwards reads its file. It keeps its own list of what was
acknowledged. Figures are printed; the exit code is 1 if the promise is broken.

* **faultless**: without faults every owed message arrives exactly once and in order.
* **kills**: killed at random and at chosen moments, nothing owed is missing; the repeats are
  at most the deliveries in `sending` at a kill, each of them marked.
* **hanging**: a destination that hangs (or misbehaves otherwise) delays neither the others nor the
  answers to webhooks. Windows with and without it alternate.
* **late**: of confirmations owed to a destination that is down, none is sent after its execution
  moved on; those that still wait are told once.
* **shutdown**: SIGTERM under load, with half-sent bodies, idle connections and a hanging
  destination ends with exit code 0 within 25 s, and nothing acknowledged is missing afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.destinations import Arrival, Behaviour, Destination
from tests.served import CUT, HERE, Served, event, exchange, raw, signed, until

MS, SECOND = 10**6, 10**9
MARK = "Possible repeat"
# No limit but the processor: what is measured is not the rate.
FAST = "rate: 10000/s"
TITLE = 'title: "{{ event_id }}"'
Key = tuple[str, str]  # a destination and an event id


@dataclass
class Report:
    """The figures of a proof, and which promises are broken."""

    name: str
    figures: dict[str, object] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def must(self, holds: bool, promise: str) -> None:
        """Note a promise that does not hold."""
        if not holds:
            self.broken.append(promise)

    def __str__(self) -> str:
        rows = [f"  {name:<46} {_shown(value):>12}" for name, value in self.figures.items()]
        said = [f"  BROKEN: {promise}" for promise in self.broken] or ["  every promise holds"]
        return "\n".join([f"{self.name}:", *rows, *said])


def _shown(value: object) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def rules(destinations: Sequence[Destination], *routes: str, more: str = FAST) -> str:
    """The end of a routes.yaml; a destination's URL is filled in once it listens."""
    lines = [f'  {d.name}: {{url: "{{{d.name}}}", {more}}}' for d in destinations]
    text = "\n".join(["destinations:", *lines, "routes:", *(f"  - {r}" for r in routes), ""])
    # Braces stay braces when the URLs are filled in.
    text = text.replace("{", "{{").replace("}", "}}")
    for d in destinations:
        text = text.replace(f'"{{{{{d.name}}}}}"', f'"{{{d.name}}}"')
    return text


def told(to: Sequence[Destination], match: str = '{status: "*"}', name: str = "all") -> str:
    """A route whose messages have the event's id for a title."""
    return f"{{name: {name}, match: {match}, notify: [{', '.join(d.name for d in to)}], {TITLE}}}"


class Load:
    """Stories of two events, told until told to stop; at most `most` messages are on their way.

    `acked` is the list of events whose messages are owed, in the order of acknowledgement.
    """

    def __init__(self, served: Served, seed: int, most: int, events: int = 10**9) -> None:
        self._served, self._most, self._left = served, most, events
        self._name, self._number = f"x{seed}", 0
        self.acked: list[str] = []
        self.stopping = False
        self.on_ack: Callable[[], None] = lambda: None

    async def run(self, workers: int) -> None:
        """Tell stories with so many workers."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while not self.stopping and self._left > 0:
            self._number += 1
            self._left -= 2
            execution = f"{self._name}-{self._number}"
            for step, name in enumerate(("STARTED", "COMPLETED")):
                while self.on_their_way() >= self._most and not self.stopping:
                    await asyncio.sleep(0.002)
                event_id = f"{execution}.{step}"
                await self._served.post(event(name, execution, event_id))
                self.acked.append(event_id)
                self.on_ack()

    def on_their_way(self) -> int:
        """Messages owed that have not arrived, roughly: repeats count as arrivals."""
        to = self._served.destinations
        return len(self.acked) * len(to) - sum(len(d.arrivals) for d in to)


def arrived(served: Served) -> dict[Key, list[Arrival]]:
    """What arrived where, in the order of arrival."""
    return {(d.name, title): a for d in served.destinations for title, a in d.texts().items()}


def in_order(served: Served) -> bool:
    """Whether the two events of each story arrived in their order, at each destination."""
    for destination in served.destinations:
        seen: set[str] = set()
        for arrival in destination.arrivals:
            story, _, step = arrival.title.rpartition(".")
            if step == "1" and f"{story}.0" not in seen:
                return False
            seen.add(arrival.title)
    return True


async def faultless(given: argparse.Namespace, report: Report, folder: Path) -> None:
    to = [Destination(name) for name in ("one", "two", "three", "four")]
    async with Served(folder, to, rules(to, told(to)), given.tree, http=given.http) as served:
        load = Load(served, given.seed, most=500, events=given.count // len(to))
        started = time.monotonic()
        await load.run(workers=8)
        await until(lambda: load.on_their_way() <= 0, "all has arrived", 120)
        took = time.monotonic() - started
        ledger = await served.drained(60)
        served.kill(signal.SIGTERM)
        report.must(await served.ended(25) == 0, "it ends with exit code 0")
    found, owed = arrived(served), {(d.name, e) for d in to for e in load.acked}
    repeated = sum(len(each) > 1 for each in found.values())
    marked = sum(MARK in a.text for each in found.values() for a in each)
    tries = served.rows("SELECT count(*) FROM attempt")[0][0]
    report.figures |= {
        "deliveries": len(owed), "deliveries per second": len(owed) / took,
        "missing": len(owed - set(found)), "not owed": len(set(found) - owed),
        "repeated": repeated, "marked as a possible repeat": marked,
        "attempts": tries, "imbalance": ledger["imbalance"],
    }  # fmt: skip
    report.must(owed == set(found), "what is owed arrives, and nothing else")
    report.must(repeated == 0 and tries == len(owed), "nothing repeats")
    report.must(marked == 0, "nothing is marked as a possible repeat")
    report.must(in_order(served), "an execution's messages keep their order")
    report.must(ledger["imbalance"] == 0, "the ledger is balanced")
    report.must(ledger["deliveries"] == {"sent": len(owed)}, "every delivery is sent")


class Killer:
    """Kills the process at a moment that chance chooses; destinations and acks tell of moments."""

    MOMENTS = (
        "starting", "random", "claimed", "acknowledged", "connected", "received", "answered",
    )  # fmt: skip

    def __init__(self, served: Served, chance: random.Random) -> None:
        self._served, self._chance = served, chance
        self.moments: Counter[str] = Counter()
        self.sending: Counter[Key] = Counter()
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
        moment = chance.choice(self.MOMENTS)
        self.moments[moment] += 1
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
        self.count()

    def count(self) -> None:
        """Note what a process that was killed has left in sending."""
        rows = self._served.rows("SELECT destination, event_id FROM delivery WHERE state='sending'")
        self.sending.update(rows)

    def _claimed(self) -> bool:
        return bool(self._served.rows("SELECT 1 FROM delivery WHERE state = 'sending' LIMIT 1"))


async def kills(given: argparse.Namespace, report: Report, folder: Path) -> None:
    to = [Destination(name) for name in ("one", "two", "three")]
    async with Served(folder, to, rules(to, told(to)), given.tree, http=given.http) as served:
        killer = Killer(served, random.Random(given.seed))
        load = Load(served, given.seed, most=60)
        load.on_ack = lambda: killer.happened("acknowledged")
        working = asyncio.create_task(load.run(workers=6))
        await until(lambda: load.acked, "an event is acknowledged")
        served.kill()
        await served.ended(10)
        killer.count()
        for _ in range(given.kills):
            await killer.life()
        await served.start()
        load.stopping = True
        await working
        ledger = await served.drained(120)
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


def percentile(values: Sequence[int], part: float) -> float:
    """In milliseconds."""
    return sorted(values)[min(int(len(values) * part), len(values) - 1)] / MS


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
        return all(len(d.arrivals) == count for d in steady)

    await until(complete, "the others have got everything")
    for destination in steady:
        found.arrival += [a.at - sent[a.title] for a in destination.arrivals]
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
    async with Served(folder, both, text, given.tree, http=given.http) as served:
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
    """The ratio of p99s, of all windows together and of the median pair."""
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
        report.figures[f"POST to {what}: ratio of p99"] = ratio
        report.figures[f"POST to {what}: ratio in the median pair"] = pairs[len(pairs) // 2]
        report.must(ratio <= goal, f"p99 of {what} stays within {goal:g} of that without it")


# A message may be on its way (claimed, and true then) when the move is acknowledged: for as long
# as its process needs from the claim's commit to the request, a few milliseconds of work that
# share two cores with the load. What a lane holds back or sends from memory takes far longer.
ON_ITS_WAY = 250 * MS


async def late(given: argparse.Namespace, report: Report, folder: Path) -> None:
    to = Destination("late", Behaviour.REFUSE)
    chance = random.Random(given.seed)
    text = rules([to], told([to], "{status: awaiting_confirmation}"), more=f"{FAST}, timeout: 2s")
    moved: dict[str, int] = {}

    async def live(execution: str) -> None:
        """One execution: it waits, and two of three move on at some time."""
        await asyncio.sleep(chance.uniform(0, given.seconds / 4))
        await served.post(event("AWAITING_CONFIRMATION", execution, execution))
        if chance.random() < 2 / 3:
            # Half of them while the destination is down, half when it has come back.
            await asyncio.sleep(chance.uniform(0, given.seconds * 1.5))
            name = chance.choice(("RESUMED", "COMPLETED", "FAILED", "CANCELLED"))
            answer = await served.post(event(name, execution, f"{execution}.moved"))
            moved[execution] = answer.acked_at

    async with Served(folder, [to], text, given.tree, http=given.http) as served:
        lives = [f"x{given.seed}-{n}" for n in range(given.count)]
        living = asyncio.gather(*(live(execution) for execution in lives))
        await asyncio.sleep(given.seconds * given.refuse)
        await to.behave(Behaviour.HANG)
        await asyncio.sleep(given.seconds * (1 - given.refuse))
        await to.behave(Behaviour.ANSWER)
        back = time.monotonic()
        await living
        ledger = await served.drained(given.seconds * 4 + 60)
        took = time.monotonic() - back
    report.figures["drained after (s)"] = took
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
        async with Served(at, to, text, given.tree, http=given.http, drain=drain) as served:
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


Proof = Callable[[argparse.Namespace, Report, Path], Awaitable[None]]
PROOFS: dict[str, tuple[Proof, dict[str, object]]] = {
    "faultless": (faultless, {"count": 100_000}),
    "kills": (kills, {"kills": 200}),
    "hanging": (
        hanging,
        {"pairs": 10, "seconds": 10.0, "rate": 20, "timeout": 5, "settle": 15.0, "goal": 1.10,
         "how": "hang"},
    ),
    "late": (late, {"count": 1_000, "seconds": 60.0, "refuse": 0.5}),
    "shutdown": (shutdown, {"runs": 20, "drain": 0}),
}  # fmt: skip


def prove(*arguments: str) -> Report:
    """Run a proof as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove_deliveries")
    names = parser.add_subparsers(dest="name", required=True)
    for name, (_, options) in PROOFS.items():
        one = names.add_parser(name)
        for option, default in options.items():
            one.add_argument(f"--{option}", type=type(default), default=default)
        one.add_argument("--seed", type=int, default=1)
        one.add_argument("--http", default="h11", choices=["h11", "httptools"])
        one.add_argument("--tree", type=Path, default=HERE, help="the checkout that is proven")
    given = parser.parse_args(arguments)
    report = Report(f"{given.name}, seed {given.seed}")

    async def run() -> None:
        with tempfile.TemporaryDirectory(prefix="receiver-proof-") as folder:
            await PROOFS[given.name][0](given, report, Path(folder))

    try:
        asyncio.run(run())
    except (AssertionError, ExceptionGroup) as error:
        report.broken.append(str(error))
    return report


def main() -> None:
    report = prove(*sys.argv[1:])
    print(report)
    sys.exit(1 if report.broken else 0)


if __name__ == "__main__":
    main()
