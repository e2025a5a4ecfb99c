"""A trial: a plan is carried out on a bench, and what was promised is asked for."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.prove_order.bench import Bench
from tests.prove_order.model import TERMINAL, Said
from tests.prove_order.plans import Plan
from tests.support.stores import shared_memory


def run(
    plan: Plan, figures: Counter[str] | None = None, *, first_only: bool = False
) -> dict[str, str]:
    """The first disagreement of each history, empty if there is none.

    With `first_only` it ends where receiver and model disagree for the first time.
    """
    with tempfile.TemporaryDirectory(dir=shared_memory()) as folder:
        bench = Bench(Path(folder) / "receiver.db", plan.rules)
        try:
            for op in plan.ops:
                try:
                    bench.do(op)
                except Exception as error:
                    return dict.fromkeys(plan.names, f"{op.kind} failed: {error!r}")
                if first_only and bench.wrong:
                    return bench.wrong
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
    doubts = {"held", "ignored"}
    if walk[-1].moment >= max(said.moment for said in walk):
        doubts.add("rejected")  # what seems to come after an end is rejected
    if doubted := {r["verdict"] for r in found["events"]} & doubts:
        yield f"a legal event is {doubted}"
    ends = [claim for claim in bench.told[key] if claim.facts.status in TERMINAL]
    if len(ends) != (last in TERMINAL):
        yield f"{len(ends)} messages were sent about the end"
