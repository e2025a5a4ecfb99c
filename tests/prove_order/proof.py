"""Proves that the receiver judges, heals and tells as section "order" of the design says.

    python -m tests.prove_order --seed 1 --legal 100000 --random 100000

Random histories go through the real intake into a real SQLite file, many executions to a batch
and to a database, and into `tests.prove_order.model`, which was written from the text of the rules.
After each batch verdicts are compared, at the end of a database every event with all its verdicts
and flags, every execution and every message.

* **legal**: walks in the published table, some filtered by a subscription, delivered in any order
  with repeats and within `gap_timeout`; some with an end by another clock of the sender, some with
  times in whole seconds (these in order: nothing else tells it). Whatever the order, the last
  status stands, every event is in the history, a terminal message is sent exactly once, no
  confirmation is asked for after its end, nothing is rejected but what seems to come after an end,
  a terminal execution never changes, the ledger is balanced.
* **random**: anything at all: gaps, floods of held events, ties, repeats with another body, clock
  skew, filtered subscriptions, time-outs, restarts.

Exit code 1 on a disagreement; the smallest history that still shows it is printed.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.prove_order.plans import Plan, legal_plan, wild_plan
from tests.prove_order.shrink import smallest, told
from tests.prove_order.trial import run
from tests.support.stores import on

POOL = 1_000


class Disagreement(AssertionError):
    """The receiver and the model, or the receiver and its promise, say different things."""


PLANS: dict[str, Callable[[random.Random, int], Plan]] = {"legal": legal_plan, "random": wild_plan}


def prove(
    kind: str,
    seed: int,
    count: int,
    *,
    pool: int = POOL,
    shrink: bool = True,
    show: bool = False,
    nodes: int = 1,
) -> Counter[str]:
    """Hold `count` histories to the rules; figures of what happened, or Disagreement.

    Without `shrink` the first disagreement is told as it stands, as soon as it is seen.
    """
    figures: Counter[str] = Counter()
    begun = time.perf_counter()
    for number, done in enumerate(range(0, count, pool)):
        plan = PLANS[kind](random.Random(f"{kind} {seed} {number}"), min(pool, count - done))
        if wrong := run(plan, figures, nodes, first_only=not shrink):
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
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--nodes", type=int, default=1, help="processes that share a PostgreSQL")
    chosen = parser.parse_args()
    with ExitStack() as opened:
        if chosen.store == "postgres":
            from tests.support.postgres import running

            folder = opened.enter_context(TemporaryDirectory())
            opened.enter_context(on(opened.enter_context(running(Path(folder)))))
        return _prove_all(chosen)


def _prove_all(chosen: argparse.Namespace) -> int:
    for kind in PLANS:
        begun = time.perf_counter()
        try:
            figures = prove(kind, chosen.seed, getattr(chosen, kind), show=True, nodes=chosen.nodes)
        except Disagreement as disagreement:
            print(f"\n{disagreement}")
            return 1
        print(f"\n{kind}: no disagreement in {time.perf_counter() - begun:.1f} s")
        for name, n in sorted(figures.items()):
            print(f"    {name:32} {n:>12,}")
    return 0
