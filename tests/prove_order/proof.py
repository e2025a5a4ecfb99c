"""Proves that the receiver judges, heals and tells as section "order" of the design says.

    python -m tests.prove_order --seed 1 --legal 100000 --random 100000

Random histories go through the real intake into a real SQLite file, many executions to a batch
and to a database, and into `tests.order_model`, which was written from the text of the rules.
After each batch verdicts are compared, at the end of a database every event with all its verdicts
and flags, every execution and every message.

* **legal**: walks in the published table, some filtered by a subscription, delivered in any order
  with repeats and within `gap_timeout`. Whatever the order, the last status stands, every event
  is in the history, a terminal message is sent exactly once, no confirmation is asked for after
  its end, nothing is rejected, a terminal execution never changes, the ledger is balanced.
* **random**: anything at all: gaps, floods of held events, ties, repeats with another body, clock
  skew, filtered subscriptions, time-outs, restarts.

Exit code 1 on a disagreement; the smallest history that still shows it is printed.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from receiver.deliveries import Attempt, Claim, Outcome, State
from receiver.events import Event, Status
from receiver.intake.receive import Intake, VerifiedWebhook
from receiver.lifecycle import Ordering
from receiver.routing.conditions import Condition
from receiver.routing.policy import SendPolicy
from receiver.routing.routes import Route
from receiver.sources.formats import asteroid
from receiver.store.records import AttemptResult
from receiver.store.sqlite.store import SqliteStore
from tests.prove_order.model import EVERY, PASSING, SECOND, TABLE, TERMINAL, Model, Said

START = 1_800_000_000 * SECOND
HOUR = 3600 * SECOND
POOL = 1_000
ROUTES = [
    Route("applied", (Condition("status", ("*",)),), ("ops",)),
    Route("not accepted", (Condition("verdict", ("rejected",)),), ("ops", "audit")),
]
DESTINATIONS = ("ops", "audit")


class Rules(NamedTuple):
    """How a source is judged."""

    observes: frozenset[str] = EVERY
    gaps: str = "reject"
    gap_timeout: int = 30 * SECOND

    def ordering(self) -> Ordering:
        """The same in the receiver's words."""
        observes = None if self.observes == EVERY else frozenset(map(Status, self.observes))
        return Ordering(observes, self.gaps, self.gap_timeout)


Sent = tuple[str, Said]  # a source and what it says


@dataclass(frozen=True)
class Op:
    """Something that happens at `now`: receive a batch, tick, drain or restart.

    A drain takes `most` messages for a destination; with `slow` their results are written down
    only before the next drain.
    """

    kind: str
    now: int
    batch: tuple[Sent, ...] = ()
    destination: str = ""
    most: int = 1_000_000
    slow: bool = False


@dataclass(frozen=True)
class Plan:
    """What happens to one database. `walks` are the legal histories in it, by their names."""

    rules: dict[str, Rules]
    ops: tuple[Op, ...]
    walks: dict[str, list[Said]] = field(default_factory=dict)

    def only(self, names: set[str]) -> Plan:
        """The same with these histories alone."""
        ops = []
        for op in self.ops:
            batch = tuple(sent for sent in op.batch if history(sent[1].execution) in names)
            if batch or op.kind != "receive":
                ops.append(replace(op, batch=batch))
        return Plan(self.rules, tuple(ops), {n: w for n, w in self.walks.items() if n in names})

    @property
    def names(self) -> list[str]:
        """Its histories."""
        return sorted({history(said.execution) for op in self.ops for _, said in op.batch})


class Disagreement(AssertionError):
    """The receiver and the model, or the receiver and its promise, say different things."""


def history(execution: str) -> str:
    """The name of the history that an execution belongs to; some have two executions."""
    return execution.partition(".")[0]


class Bench:
    """The receiver over a real database and the model beside it; `wrong` says where they differ.

    Only the first difference of a history is kept: what follows from it says nothing.
    """

    def __init__(self, path: Path, rules: dict[str, Rules]) -> None:
        self.path = path
        self.models = {source: Model(*each) for source, each in rules.items()}
        # A source without an ordering of its own is judged as published.
        self.intake = Intake(
            ROUTES, {s: each.ordering() for s, each in rules.items() if each != Rules()}
        )
        self.store = SqliteStore(path, serve=True)
        self.wrong: dict[str, str] = {}
        self.figures: Counter[str] = Counter()
        self.executions: dict[tuple[str, str], None] = {}
        self.told: defaultdict[tuple[str, str], list[Claim]] = defaultdict(list)
        self._ended: dict[tuple[str, str], str] = {}
        self._sending: list[Claim] = []

    def do(self, op: Op) -> None:
        """One operation on both."""
        self.figures[f"op {op.kind}"] += 1
        if op.kind == "receive":
            self.receive(op.batch, op.now)
        elif op.kind == "tick":
            self.tick(op.now)
        elif op.kind == "drain":
            self.drain(op.destination, op.now, op.most, op.slow)
        else:
            self.restart(op.now)

    def receive(self, batch: Sequence[Sent], now: int) -> None:
        """A batch of webhooks, in one transaction."""
        arrivals = [
            VerifiedWebhook(source, event(source, said), b"{}", now) for source, said in batch
        ]
        receipts = self.store.write_now(
            lambda transaction, items: [self.intake.receive(transaction, items[0])], arrivals
        )
        for (source, said), receipt in zip(batch, receipts, strict=True):
            key = (source, said.execution)
            self.executions[key] = None
            model = self.models[source]
            verdict, reason = model.receive(said, now)
            flags = {"assumed"} if said.assumed else set()
            if reason != "event_id":
                flags = model.events[said.execution][-1].flags
            stands = model.executions.get(said.execution)
            told = receipt.judgement
            self.agree(
                key,
                f"receipt of {said.event_id}",
                (told.verdict.value, told.reason, set(told.flags)),
                (verdict, reason, flags),
            )
            status = stands and stands.status
            self.agree(key, f"status after {said.event_id}", receipt.execution_status, status)
            self.figures[f"{verdict} ({reason})"] += 1
            if receipt.execution_status in TERMINAL:
                ended = self._ended.setdefault(key, receipt.execution_status)
                self.agree(key, "terminal status", receipt.execution_status, ended)

    def tick(self, now: int) -> None:
        """Time out what has been held for too long."""
        while self.store.write_now(
            lambda transaction, _: [self.intake.expire(transaction, [now])[0]], None
        ):
            pass
        for model in self.models.values():
            model.tick(now)

    def drain(self, destination: str, now: int, most: int = 1_000_000, slow: bool = False) -> None:
        """Send what a destination is owed."""
        self.finish(now)

        def claim(transaction: Any, _: object) -> list[list[Claim]]:
            claims: list[Claim] = []
            while len(claims) < most and (
                c := transaction.claim(destination, PACE, now, now + HOUR)
            ):
                claims.append(c)
                if not slow:
                    transaction.record(c, DELIVERED, AttemptResult(State.SENT, "", now, "t", "b"))
            return [claims]

        claims = self.store.write_now(claim, None)
        self._sending = claims if slow else []
        for each in claims:
            facts = each.facts
            key = (facts.source, str(facts.execution_id))
            found = self.models[key[0]].claim(destination, key[1])
            self.told[key].append(each)
            self.figures[f"sent to {destination}"] += 1
            self.agree(
                key,
                f"message to {destination}",
                (facts.event_id, facts.verdict.value),
                found and (found.stored.said.event_id, found.verdict),
            )
            if facts.status in PASSING and facts.verdict == "applied":
                # Committed reads see the execution as it stood when the message was taken.
                stood = self.store.execution(*key)["execution"]
                known = stood["status"], stood["since"]
                self.agree(key, "wait", known, (facts.status, facts.occurred_at))
        if not slow and len(claims) < most:
            self.nothing_else(destination)

    def nothing_else(self, destination: str) -> None:
        """The model has nothing left to send either, once the receiver has not."""
        for source, model in self.models.items():
            for to, execution in list(model.messages):
                if to == destination and (left := model.claim(destination, execution)):
                    owed = (left.stored.said.event_id, left.verdict)
                    self.agree((source, execution), f"message to {destination}", None, owed)

    def finish(self, now: int) -> None:
        """Write down what became of the messages that are being sent."""

        def record(transaction: Any, _: object) -> list[None]:
            for claim in self._sending:
                after = AttemptResult(State.SENT, "", now, "t", "b")
                assert transaction.record(claim, DELIVERED, after)
            return [None]

        if self._sending:
            self.store.write_now(record, None)
            self._sending = []

    def restart(self, now: int) -> None:
        """Close the database and open it again."""
        self.finish(now)
        self.store.close()
        self.store = SqliteStore(self.path, serve=True)

    def compare(self) -> None:
        """Everything that is stored with everything that the model knows."""
        for key in self.executions:
            self.compare_one(key, self.store.execution(*key))
        imbalance = self.store.ledger()["imbalance"]
        for name in {history(execution) for _, execution in self.executions} if imbalance else ():
            self.wrong.setdefault(name, f"the ledger's imbalance is {imbalance}")

    def compare_one(self, key: tuple[str, str], found: Any) -> None:
        """One execution, as the API tells of it."""
        model = self.models[key[0]]
        stands = model.executions.get(key[1])
        if found is None or stands is None:
            self.agree(key, "is there", found is not None, stands is not None)
            return
        told = found["execution"]
        self.agree(key, "execution", (told["status"], told["gap"]), (stands.status, stands.gap))
        self.agree(key, "end", told["status"], self._ended.get(key, told["status"]))
        if stands.status in TERMINAL:
            self.figures["ended"] += 1
        real = [
            (row["event_id"], [(s["verdict"], s["reason"]) for s in row["steps"]],
             sorted(row["flags"]), row["times"])
            for row in found["events"] if row["verdict"] != "quarantined"
        ]  # fmt: skip
        stored = [each for each in model.events[key[1]] if each.verdict != "quarantined"]
        wanted = [(s.said.event_id, s.steps, sorted(s.flags), s.times) for s in stored]
        self.agree(key, "events", real, wanted)
        last = [(row["verdict"], row["reason"]) for row in found["events"]]
        self.agree(key, "last", last, [(s["verdict"], s["reason"]) for row in found["events"]
                                       for s in row["steps"][-1:]])  # fmt: skip
        for each in stored:
            self.figures.update(f"flag {flag}" for flag in each.flags)
            for verdict, reason in each.steps[1:]:
                self.figures[f"then {verdict} ({reason})"] += 1
        for destination in DESTINATIONS:
            real_messages = [
                (row["event_id"], row["verdict"], row["state"])
                for row in found["deliveries"]
                if row["destination"] == destination
            ]
            wanted_messages = [
                (m.stored.said.event_id, m.verdict, m.state)
                for m in model.messages[destination, key[1]]
            ]
            self.agree(key, f"messages to {destination}", real_messages, wanted_messages)
            self.figures["superseded"] += sum(m[2] == "superseded" for m in wanted_messages)

    def agree(self, key: tuple[str, str], what: str, real: object, wanted: object) -> None:
        """Note the first difference of a history."""
        if real != wanted:
            text = f"{what} of {key[0]}/{key[1]}\n  receiver: {real}\n  expected: {wanted}"
            self.wrong.setdefault(history(key[1]), text)


PACE = SendPolicy(1e6)
DELIVERED = Attempt(Outcome.DELIVERED, "")


def event(source: str, said: Said) -> Event:
    """What a source says, in the receiver's words."""
    status = None if said.status is None or said.unknown else Status(said.status)
    return Event(
        source, said.event_id, said.name or "E", status, said.execution, said.at,
        unknown_status="dancing" if said.unknown else None,
        is_known_without_status=asteroid.is_without_status(said.name),
        flags=frozenset({"assumed"} if said.assumed else ()),
    )  # fmt: skip


# What must hold for a legal history, whatever the model says


def broken_promises(bench: Bench, name: str, source: str, walk: Sequence[Said]) -> Iterator[str]:
    """What is not as promised after all of a legal history has arrived and was told of."""
    key = (source, walk[0].execution)
    found = bench.store.execution(*key)
    last = walk[-1].status
    if found is None:
        yield "is not there"
        return
    if found["execution"]["status"] != last:
        yield f"ends in {found['execution']['status']}, not in {last}"
    if missing := {said.event_id for said in walk} - {row["event_id"] for row in found["events"]}:
        yield f"{missing} are not in the history"
    if doubted := {r["verdict"] for r in found["events"]} & {"held", "rejected", "ignored"}:
        yield f"a legal event is {doubted}"
    ends = [claim for claim in bench.told[key] if claim.facts.status in TERMINAL]
    if len(ends) != (last in TERMINAL):
        yield f"{len(ends)} messages were sent about the end"


# Histories


def legal_walk(
    chance: random.Random, name: str, start: int, observes: frozenset[str]
) -> list[Said]:
    """A walk in the published table with distinct times; what is not observed is not sent."""
    status = chance.choice(STARTS)
    at = start
    walk: list[Said] = []
    for number in range(chance.choice((1, 2, 3, 4, 5, 5, 6, 7, 8))):
        assumed = status in ("paused", "paused_by_agent") and chance.random() < 0.3
        told = "paused" if assumed else status
        if told in observes:
            walk.append(Said(f"{name}.{number}", name, told, at, assumed))
        onward = sorted(TABLE[status])
        if not onward:
            break
        lasting = [each for each in onward if each not in TERMINAL]
        status = chance.choice(lasting if lasting and chance.random() < 0.8 else onward)
        at += chance.choice((1, SECOND, SECOND, 7 * SECOND))
    return walk


STARTS = ["starting"] * 6 + ["running"] * 18 + sorted(TABLE)


def arrivals_of(chance: random.Random, walk: Sequence[Said]) -> list[Said]:
    """A history in any order with repeats, some under another event id."""
    sent = []
    for said in walk:
        sent.append(said)
        while chance.random() < 0.25:
            other = chance.random() < 0.5
            sent.append(said._replace(event_id=f"{said.event_id}r") if other else said)
    return shuffled(chance, sent)


def shuffled(chance: random.Random, sent: list[Said]) -> list[Said]:
    """In any order at all, or nearly in order."""
    spread = chance.choice((1, 2, 4, 100))
    places = {number: number + chance.random() * spread for number in range(len(sent))}
    return [sent[number] for number in sorted(places, key=places.__getitem__)]


def wild_events(chance: random.Random, name: str, start: int) -> list[Said]:
    """Anything at all about one execution or two, in the order of arrival."""
    form, extra = chance.random(), 0
    if form < 0.005:
        sent = flood(chance, name, start)
    elif form < 0.1:
        sent, extra = chain(chance, name, start), chance.choice((0, 0, 1))
    elif form < 0.6:
        walk = legal_walk(chance, f"{name}.x", start, EVERY)
        sent = shuffled(chance, walk) if chance.random() < 0.5 else list(walk)
        # Some are missing, for a while or for ever; what others wait for more often.
        missing = [e for e in sent if chance.random() < (0.5 if e.status == "running" else 0.15)]
        sent = [said for said in sent if said not in missing]
        sent += [said for said in missing if chance.random() < 0.6]
        extra = chance.choice((0, 0, 1, 2))
    else:
        sent, extra = [], chance.randint(1, 8)
    for number in range(extra):
        at = start + chance.randrange(6) * SECOND
        any_one = Said(f"{name}.e{number}", f"{name}.x", chance.choice(STATUSES), at)
        sent.insert(chance.randint(0, len(sent)), any_one)
    if chance.random() < 0.3:
        # Whole seconds, as the provider writes them: ties.
        sent = [
            said._replace(at=start + (said.at - start) // (2 * SECOND) * SECOND) for said in sent
        ]
    two = chance.random() < 0.1
    return [twisted(chance, said, f"{name}.y" if two and chance.random() < 0.5 else said.execution)
            for said in with_repeats(chance, sent)]  # fmt: skip


STATUSES = sorted(TABLE)


def chain(chance: random.Random, name: str, start: int) -> list[Said]:
    """Several that wait for the same one, and then also for each other; it may never come."""
    pauses = sorted(PASSING)
    statuses = [chance.choice(pauses), "running", "awaiting_confirmation"]
    statuses += chance.choices(pauses, k=chance.choice((0, 0, 1, 2)))
    statuses.append(chance.choice(("completed", "failed", "cancelled")))
    first, missing, *waiting = (
        Said(f"{name}.c{n}", f"{name}.x", status, start + n * SECOND)
        for n, status in enumerate(statuses)
    )
    chance.shuffle(waiting)
    if chance.random() < 0.7:
        waiting.insert(chance.choice((len(waiting), chance.randint(0, len(waiting)))), missing)
    return [first, *waiting]


def flood(chance: random.Random, name: str, start: int) -> list[Said]:
    """More events than may be held, and what they wait for somewhere after them."""
    first, middle = Said(f"{name}.a", f"{name}.x", "paused", start), chance.randint(0, 125)
    # More than is held, and sometimes far more: what was rejected can still be healed.
    size = chance.choice((chance.randint(105, 120), chance.randint(105, 120), 350))
    held = [
        Said(f"{name}.h{n}", f"{name}.x", chance.choice(("paused", "awaiting_confirmation")),
             start + (10 + n % 200) * SECOND + n) for n in range(size)
    ]  # fmt: skip
    chance.shuffle(held)
    missing = Said(f"{name}.m", f"{name}.x", "running", start + (5 + middle) * SECOND)
    return [first, *held, missing]


def with_repeats(chance: random.Random, sent: list[Said]) -> list[Said]:
    """Some come again, later: as they were, with another body, or under another event id."""
    for said in list(sent) if len(sent) < 50 else sent[:3]:
        form = chance.random()
        again = said
        if form < 0.08:
            status = chance.choice(STATUSES)
            again = said._replace(status=status, at=said.at + SECOND, assumed=False)
        elif form < 0.16:
            again = said._replace(event_id=f"{said.event_id}r")
        elif form > 0.25:
            continue
        sent.insert(chance.randint(sent.index(said) + 1, len(sent)), again)
    return sent


def twisted(chance: random.Random, said: Said, execution: str) -> Said:
    """Sometimes it announces no status, an unknown one, or a pause of an assumed kind."""
    form = chance.random()
    said = said._replace(execution=execution)
    if said.status == "paused" and form < 0.4:
        return said._replace(assumed=True)
    if form > 0.98:
        return said._replace(unknown=True)
    if form > 0.94:
        name = chance.choice(("EXECUTION_ACTION_STARTED", "EXECUTION_DANCED"))
        return said._replace(status=None, name=name, at=chance.choice((None, said.at)))
    return said


def skewed(chance: random.Random, said: Said, now: int) -> Said:
    """Sometimes its clock is far off, or at one of the limits to the nanosecond."""
    if said.at is None or chance.random() > 0.05:
        return said
    limit = chance.choice((5 * 60 * SECOND, -5 * 60 * SECOND, -14 * 24 * HOUR))
    return said._replace(at=now + limit + chance.choice((-1, 0, 1, HOUR, -HOUR)))


# Plans


def legal_plan(chance: random.Random, count: int) -> Plan:
    """Legal histories that arrive within 25 seconds."""
    rules = {"s": Rules(), "a": Rules(gaps="apply"), "f": Rules(any_of(chance))}
    walks: dict[str, list[Said]] = {}
    sent: list[tuple[float, Sent]] = []
    moments = [START + second * SECOND for second in range(1, 26, 3)]
    for number in range(count):
        source = chance.choice("ssssaf")
        start = START - chance.choice((0, 60, 600, 86_400)) * SECOND
        if walk := legal_walk(chance, f"{number}", start, rules[source].observes):
            walks[f"{number}"] = walk
            arrivals = arrivals_of(chance, walk)
            sent += spread(chance, [(source, said) for said in arrivals], len(moments))
    return Plan(rules, tuple(scheduled(chance, sent, moments, restarts=0.1)), walks)


def wild_plan(chance: random.Random, count: int) -> Plan:
    """Histories of all kinds over some minutes, with time-outs and restarts between."""
    rules = {
        "s": Rules(),
        "a": Rules(gaps="apply"),
        "f": Rules(any_of(chance)),
        "g": Rules(any_of(chance), "apply", 5 * SECOND),
        "h": Rules(any_of(chance), gap_timeout=5 * SECOND),
    }
    moments, now = [], START + 10 * SECOND
    for _ in range(10):
        moments.append(now)
        # Multiples of five meet the ends of both time-outs to the nanosecond.
        now += chance.choice((0, 1, 5, 5, 25, 30)) * SECOND
    sent: list[tuple[float, Sent]] = []
    for number in range(count):
        source = chance.choice("ssaafgh")
        start = START - chance.choice((0, 0, 0, 600)) * SECOND
        events = wild_events(chance, f"{number}", start)
        placed = spread(chance, [(source, said) for said in events], len(moments))
        sent += [
            (when, (s, skewed(chance, said, moments[int(when)]))) for when, (s, said) in placed
        ]
    return Plan(rules, tuple(scheduled(chance, sent, moments, restarts=0.15)))


def any_of(chance: random.Random) -> frozenset[str]:
    """Some statuses, at least one."""
    return frozenset(chance.sample(STATUSES, chance.randint(1, len(STATUSES) - 1)))


def spread(chance: random.Random, sent: list[Sent], moments: int) -> list[tuple[float, Sent]]:
    """When each comes, in units of moments: within a few of them, or over all."""
    widths = (1, moments) if len(sent) > 50 else (1, 1, 2, 3, moments, moments, moments)
    width = chance.choice(widths)
    shift = chance.randrange(moments - width + 1)
    whens = sorted(shift + chance.random() * width for _ in sent)
    return list(zip(whens, sent, strict=True))


def scheduled(
    chance: random.Random, sent: list[tuple[float, Sent]], moments: list[int], restarts: float
) -> Iterator[Op]:
    """Batches of any size at their moments; ticks, drains and restarts between them."""
    sent = sorted(sent, key=lambda each: each[0])
    for number, now in enumerate(moments):
        if chance.random() < 0.7:
            yield Op("tick", now - chance.choice((0, 1)))
        waits = [each for when, each in sent if int(when) == number]
        while waits:
            size = chance.choice((1, 8, 256, 256, len(waits)))
            yield Op("receive", now, tuple(waits[:size]))
            waits = waits[size:]
            if chance.random() < 0.3:
                most = chance.choice((1, 20, 1_000_000))
                yield Op("drain", now, (), chance.choice(DESTINATIONS), most, chance.random() < 0.3)
        if chance.random() < restarts:
            yield Op("restart", now)
    if chance.random() < 0.8:
        yield Op("tick", moments[-1] + HOUR)
    for destination in DESTINATIONS:
        yield Op("drain", moments[-1] + HOUR, (), destination)


# Proving


def run(plan: Plan, figures: Counter[str] | None = None) -> dict[str, str]:
    """The first disagreement of each history, empty if there is none."""
    with tempfile.TemporaryDirectory(dir=shared_memory()) as folder:
        bench = Bench(Path(folder) / "receiver.db", plan.rules)
        try:
            for op in plan.ops:
                try:
                    bench.do(op)
                except Exception as error:
                    return dict.fromkeys(plan.names, f"{op.kind} failed: {error!r}")
            bench.finish(plan.ops[-1].now)
            bench.compare()
            sources = {said.execution: s for op in plan.ops for s, said in op.batch}
            for name, walk in plan.walks.items():
                for broken in broken_promises(bench, name, sources[walk[0].execution], walk):
                    bench.wrong.setdefault(name, broken)
        finally:
            bench.store.close()
        if figures is not None:
            figures.update(bench.figures)
        return bench.wrong


def shared_memory() -> Path | None:
    """A folder that is no disk, where there is one: the proof is about order, not about disks."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() else None


def smallest(plan: Plan, wrong: dict[str, str], tries: int = 300) -> tuple[Plan, str]:
    """A smaller plan that still disagrees, and how."""

    def fails(smaller: Plan) -> str:
        return next(iter(run(smaller).values()), "") if smaller.ops and smaller.names else ""

    why = next(iter(wrong.values()))
    sizes = Counter(history(said.execution) for op in plan.ops for _, said in op.batch)
    for name in sorted(wrong, key=lambda name: sizes[name])[:10]:
        if alone := fails(plan.only({name})):
            plan, why = plan.only({name}), alone
            break
    else:
        # It takes several: halve them as long as one half still shows it.
        names = plan.names
        while len(names) > 1:
            half = len(names) // 2
            for part in (names[:half], names[half:]):
                if found := fails(plan.only(set(part))):
                    plan, why, names = plan.only(set(part)), found, part
                    break
            else:
                break
    shrinking = True
    while shrinking and tries > 0:
        shrinking = False
        for smaller in filter(is_whole, pieces(plan)):
            tries -= 1
            if found := fails(smaller):
                plan, why, shrinking = smaller, found, True
                break
            if tries <= 0:
                break
    return plan, why


def is_whole(plan: Plan) -> bool:
    """Whether all of its legal histories arrive: only then is anything promised about them."""
    arrive = {said.event_id for op in plan.ops for _, said in op.batch}
    drained = {op.destination for op in plan.ops[-len(DESTINATIONS) :]} == set(DESTINATIONS)
    return not plan.walks or (
        drained and all(said.event_id in arrive for walk in plan.walks.values() for said in walk)
    )


def pieces(plan: Plan) -> Iterator[Plan]:
    """The same without one operation, or without some events of one, the most first."""
    for place, op in enumerate(plan.ops):
        before, after = plan.ops[:place], plan.ops[place + 1 :]
        yield replace(plan, ops=before + after)
        width = len(op.batch) // 2
        while width:
            for index in range(0, len(op.batch), width):
                less = replace(op, batch=op.batch[:index] + op.batch[index + width :])
                yield replace(plan, ops=(*before, less, *after))
            width //= 2


def told(plan: Plan, why: str) -> str:
    """A plan for people: what was done, in seconds since its start, and what differs."""
    sources = {source for op in plan.ops for source, _ in op.batch}
    lines = [
        f"source {s}: gaps {r.gaps}, gap_timeout {r.gap_timeout // SECOND}s, observes "
        + ("all" if r.observes == EVERY else ", ".join(sorted(r.observes)))
        for s, r in plan.rules.items()
        if s in sources
    ]
    for op in plan.ops:
        lines.append(f"{seconds(op.now)}  {op.kind} {op.destination} {'slow' if op.slow else ''}")
        for source, said in op.batch:
            marks = [mark for mark in ("assumed", "unknown") if getattr(said, mark)]
            lines.append(
                f"    {source}/{said.execution} id {said.event_id}: {said.status or said.name}"
                f" at {seconds(said.at)} {' '.join(marks)}"
            )
    return "\n".join([*lines, why])


def seconds(at: int | None) -> str:
    """Seconds since the start, to the nanosecond."""
    return "no time" if at is None else f"{(at - START) // SECOND:+d}.{(at - START) % SECOND:09d}s"


PLANS: dict[str, Callable[[random.Random, int], Plan]] = {"legal": legal_plan, "random": wild_plan}


def prove(
    kind: str, seed: int, count: int, *, pool: int = POOL, shrink: bool = True, show: bool = False
) -> Counter[str]:
    """Hold `count` histories to the rules; figures of what happened, or Disagreement."""
    figures: Counter[str] = Counter()
    begun = time.perf_counter()
    for number, done in enumerate(range(0, count, pool)):
        plan = PLANS[kind](random.Random(f"{kind} {seed} {number}"), min(pool, count - done))
        if wrong := run(plan, figures):
            plan, why = smallest(plan, wrong) if shrink else (plan, next(iter(wrong.values())))
            detail = told(plan, why) if shrink else why
            raise Disagreement(
                f"{kind}, seed {seed}, pool {number}: {len(wrong)} histories\n{detail}"
            )
        figures["histories"] = min(done + pool, count)
        if show:
            took = time.perf_counter() - begun
            print(
                f"\r{kind}: {figures['histories']:,} of {count:,}, {took:.0f} s", end="", flush=True
            )
    return figures


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.prove_order", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--legal", type=int, default=10_000, metavar="N", help="legal histories")
    parser.add_argument("--random", type=int, default=10_000, metavar="N", help="any histories")
    chosen = parser.parse_args()
    for kind in PLANS:
        begun = time.perf_counter()
        try:
            figures = prove(kind, chosen.seed, getattr(chosen, kind), show=True)
        except Disagreement as disagreement:
            print(f"\n{disagreement}")
            return 1
        print(f"\n{kind}: no disagreement in {time.perf_counter() - begun:.1f} s")
        for name, n in sorted(figures.items()):
            print(f"    {name:32} {n:>12,}")
    return 0
