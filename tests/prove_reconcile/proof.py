"""`python -m tests.prove_reconcile --histories 1000 --seed 1 --lost 0.3`

Random legal histories at a stand-in of the provider. A part of their webhooks is lost, some come
twice, some only after the first round of questions, all in random order. After two rounds, every
execution that any webhook told of, or that is active, has to stand where the provider says, nothing
was applied that did not happen, and each end is owed to people exactly once.

Then the same with the poller itself, while hours pass: it also has to keep its rate, and says how
long after a change it learnt of it.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from receiver.config import routes_file
from receiver.config.rules import Rules
from receiver.events import Category, Status, Verdict
from receiver.intake.receive import Intake, VerifiedWebhook, read_webhook
from receiver.intake.reconcile.by_hand import ask_all
from receiver.intake.reconcile.provider import Outcome
from receiver.sources.access import ApiAccess
from receiver.store.contract import Store
from receiver.times import SECOND
from tests.prove_reconcile.histories import History, history
from tests.prove_reconcile.timed import EVERY, QUIET_FOR, RATE, pass_time, summary
from tests.support.provider import ACTIVE, KEY, StandIn, standing_in
from tests.support.stores import open_store, shared_memory

ROUTES = """\
sources:
  asteroid:
    verify: {scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}
    api: {key: "${KEY}", base_url: "${URL}"}
    reconcile: {}
destinations: {ops: console://}
routes:
  - {name: ends, match: {category: terminal}, notify: ops}
  - {name: waits, match: {category: [awaiting, paused]}, notify: ops, resolved: true}
  - {name: refused, match: {verdict: rejected}, notify: ops}
"""


@dataclass
class Result:
    """The figures of a run, what is wrong, and the delays of what was learnt by asking (s)."""

    figures: Counter[str]
    wrong: list[str]
    delays: Sequence[float] = ()
    delays_of_ends: Sequence[float] = ()


def run(folder: Path, histories: int, seed: int, lost: float) -> Result:
    """Run the proof; see the module."""
    chance = random.Random(seed)
    now = time.time_ns()
    made = [history(chance, number, now) for number in range(histories)]
    path = folder / "routes.yaml"
    path.write_text(ROUTES, "utf-8")
    with standing_in() as provider:
        rules = _rules(path, provider)
        for each in made:
            for at, status in each.changes:
                provider.moves(each.execution_id, str(status), at)
        store = open_store(folder / "receiver.db")
        try:
            return _walk(store, rules, provider, made, chance, lost)
        finally:
            store.close()


def run_in_time(folder: Path, histories: int, seed: int, lost: float) -> Result:
    """Run the proof of the poller itself; see `timed`."""
    path = folder / "routes.yaml"
    path.write_text(ROUTES, "utf-8")
    store = open_store(folder / "receiver.db")
    try:
        with standing_in() as provider:
            rules = _rules(path, provider)
            passed = pass_time(store, rules, provider, histories, random.Random(seed), lost)
        figures = passed.figures
        wrong = _compare_all(store, passed.histories, passed.told, figures)
    finally:
        store.close()
    if passed.over_rate:
        wrong.append(f"{passed.over_rate} requests beyond the rate")
    return Result(figures, wrong, passed.delays, passed.delays_of_ends)


def _rules(path: Path, provider: StandIn) -> Rules:
    rules = routes_file.load(str(path), {"KEY": KEY, "URL": provider.url})
    source = rules.sources["asteroid"]
    # No limit but the processor: what is proven here is not the rate.
    api = ApiAccess(provider.url, KEY, provider.header, rate=1e9)
    return replace(rules, sources={"asteroid": replace(source, api=api)})


def _walk(
    store: Store, rules: Rules, provider: StandIn, made: list[History], chance: random.Random,
    lost: float,
) -> Result:  # fmt: skip
    figures: Counter[str] = Counter()
    soon: list[bytes] = []
    late: list[bytes] = []
    told = set()
    for each in made:
        for _, body in each.webhooks():
            figures["webhooks"] += 1
            if chance.random() < lost:
                figures["lost"] += 1
                continue
            told.add(each.execution_id)
            where = late if chance.random() < 0.1 else soon
            where += [body] * (2 if chance.random() < 0.1 else 1)
    chance.shuffle(soon)
    chance.shuffle(late)
    intake = Intake.by(rules)
    _receive(store, rules, intake, soon)
    source = rules.sources["asteroid"]
    wrong = []
    for bodies in (late, []):
        for question in ask_all(store, rules, source):
            figures["questions"] += 1
            if question.asked.outcome is not Outcome.ANSWERED:
                wrong.append(f"{question.execution_id}: {question.asked.detail}")
        _receive(store, rules, intake, bodies)
        store.write_now(intake.expire, time.time_ns() + 3_600 * SECOND)
    figures["requests"] = len(provider.requests)
    wrong += _compare_all(store, made, told, figures)
    return Result(figures, wrong)


def _compare_all(
    store: Store, made: Sequence[History], told: Collection[str], figures: Counter[str]
) -> list[str]:
    """Return what is wrong about any execution, and about the ledger."""
    wrong = list[str]()
    for each in made:
        truth = each.changes[-1][1]
        if each.execution_id not in told and str(truth) not in ACTIVE:
            figures["nobody told of them, and they have ended"] += 1
            continue
        wrong += _compare(store, each, truth, figures)
    if store.ledger()["imbalance"]:
        wrong.append("the ledger is out of balance")
    return wrong


def _receive(store: Store, rules: Rules, intake: Intake, bodies: list[bytes]) -> None:
    source, now = rules.sources["asteroid"], time.time_ns()
    webhooks: list[VerifiedWebhook] = [read_webhook(source, body, None, now) for body in bodies]
    for webhook in webhooks:
        store.write_now(intake.receive, webhook)


def _compare(store: Store, each: History, truth: Status, figures: Counter[str]) -> list[str]:
    """Return what is wrong about one execution."""
    name = each.execution_id
    story = store.execution("asteroid", name)
    if story is None:
        return [f"{name}: nothing is known, the provider says {truth}"]
    wrong = []
    if story["execution"]["status"] != truth:
        wrong.append(f"{name}: {story['execution']['status']}, the provider says {truth}")
    happened = {str(status) for _, status in each.changes}
    for event in story["events"]:
        applied = event["verdict"] == Verdict.APPLIED
        figures["applied"] += applied
        figures["learnt by asking"] += applied and "polled" in event["flags"]
        if applied and event["status"] not in happened:
            wrong.append(f"{name}: {event['status']} was applied and never happened")
        if event["verdict"] == Verdict.REJECTED:
            figures["rejected"] += 1
    ends = [d for d in story["deliveries"] if d["route"] == "ends" and d["state"] != "superseded"]
    has_ended = truth.category is Category.TERMINAL
    if len(ends) != has_ended:
        wrong.append(f"{name}: {len(ends)} messages about its end, {truth}")
    figures["ends told"] += len(ends)
    return wrong


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=1_000, help="how many executions")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is random")
    parser.add_argument("--lost", type=float, default=0.3, help="the share of lost webhooks")
    options = parser.parse_args()
    wrong = 0
    for what, prove in (("two rounds", run), ("hours of passed time", run_in_time)):
        with tempfile.TemporaryDirectory(dir=shared_memory()) as folder:
            result = prove(Path(folder), options.histories, options.seed, options.lost)
        print(f"{what}:", flush=True)
        wrong += len(result.wrong)
        _print(result)
    print(f"{wrong} wrong" if wrong else "every status is the provider's")
    return 1 if wrong else 0


def _print(result: Result) -> None:
    for name, n in result.figures.items():
        print(f"  {name:<50} {n:>9,}")
    share = result.figures["learnt by asking"] / max(result.figures["applied"], 1)
    print(f"  {'share learnt by asking':<50} {share:>9.3f}")
    if result.delays:
        print(f"  learnt after: {summary(result.delays)}; ends: {summary(result.delays_of_ends)}")
        print(f"  (quiet_for {QUIET_FOR} s, every {EVERY} s, rate {RATE:g}/s)")
    for line in result.wrong[:20]:
        print(f"  WRONG: {line}")
