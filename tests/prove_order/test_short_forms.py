"""The order of events: the receiver held to a model that was written from the rules' text.

The long form is `python -m tests.prove_order`; here are its short one and the same by Hypothesis.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.prove_order.bench import Bench
from tests.prove_order.model import EVERY, SECOND, TABLE, Said
from tests.prove_order.plans import DESTINATIONS, START, Rules
from tests.prove_order.proof import prove
from tests.support.stores import shared_memory

SEED = 11


@pytest.mark.parametrize("kind", ["legal", "random"])
def test_the_receiver_keeps_the_rules_about_order(kind: str) -> None:
    figures = prove(kind, SEED, 2_000, pool=400)
    # What never happened has not been proven.
    wanted = {
        "held (gap)", "then applied (healed)", "stale (older)", "superseded", "ended",
        "applied end that seems older", "applied twice at one time",
    }  # fmt: skip
    if kind == "random":
        wanted |= {
            "rejected (gap)", "rejected (illegal)", "rejected (terminal)", "stale (tie)",
            "stale (too_old)", "quarantined (future)", "quarantined (unknown_status)",
            "duplicate (event_id)", "duplicate (same_change)", "duplicate (same_status)",
            "ignored (not_a_status)", "ignored (unknown_event)", "then applied (gap)",
            "then rejected (gap)", "then rejected (terminal)", "then stale (older)",
            "then stale (tie)", "op restart", "flag order_uncertain", "flag late", "flag gap",
            "flag assumed", "rejected end that seems older",
        }  # fmt: skip
    assert wanted - set(figures) == set()


@pytest.mark.parametrize("gaps", ["reject", "apply"])
def test_a_story_of_hundreds_of_gaps_is_still_told_to_its_end(tmp_path: Path, gaps: str) -> None:
    """As from a sender that never says `running`: each wait for a confirmation is a gap."""
    bench = Bench(tmp_path / "receiver.db", {"s": Rules(gaps=gaps)})
    now = START
    bench.receive([("s", Said("first", "x", "paused", now))], now)
    for number in range(5):
        waits = [
            Said(f"{number}.{n}", "x", "awaiting_confirmation", now + n + 1) for n in range(90)
        ]
        bench.receive([("s", said) for said in waits], now)
        now += 30 * SECOND
        bench.tick(now)
    for status in ("running", "completed"):
        bench.receive([("s", Said(status, "x", status, now))], now)
        now += 1
    for destination in DESTINATIONS:
        bench.drain(destination, now)
    bench.compare()
    bench.store.close()
    assert not bench.wrong, bench.wrong["x"][:300]


class Order(RuleBasedStateMachine):
    """Webhooks, repeats, time, restarts and sending, in whatever order breaks it soonest."""

    @initialize(
        observes=st.one_of(
            st.just(EVERY), st.frozensets(st.sampled_from(sorted(TABLE)), min_size=1)
        ),
        gaps=st.sampled_from(["reject", "apply"]),
    )
    def begin(self, observes: frozenset[str], gaps: str) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=shared_memory())
        path = Path(self.folder.name) / "receiver.db"
        self.bench = Bench(path, {"s": Rules(observes, gaps)})
        self.now = START
        self.said: list[Said] = []

    @rule(
        events=st.lists(
            st.tuples(st.sampled_from(sorted(TABLE)), st.integers(-4, 4), st.booleans()),
            min_size=1, max_size=4,
        )
    )  # fmt: skip
    def receive(self, events: list[tuple[str, int, bool]]) -> None:
        for status, second, assumed in events:
            at = START + second * SECOND
            assumed = assumed and status == "paused"
            self.said.append(Said(f"{len(self.said)}", "x", status, at, assumed))
        self.bench.receive([("s", said) for said in self.said[-len(events) :]], self.now)

    @rule(number=st.integers(0, 100), status=st.sampled_from([None, *sorted(TABLE)]))
    def repeat(self, number: int, status: str | None) -> None:
        if self.said:
            said = self.said[number % len(self.said)]
            again = said._replace(status=status, assumed=False) if status else said
            self.bench.receive([("s", again)], self.now)

    @rule(seconds=st.sampled_from([1, 29, 30]))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND
        self.bench.tick(self.now)

    @rule(destination=st.sampled_from(DESTINATIONS), most=st.integers(1, 3), slow=st.booleans())
    def send(self, destination: str, most: int, slow: bool) -> None:
        self.bench.drain(destination, self.now, most, slow)

    @rule()
    def restart(self) -> None:
        self.bench.restart(self.now)

    @invariant()
    def agree(self) -> None:
        bench = getattr(self, "bench", None)
        assert bench is None or not bench.wrong, bench.wrong

    def teardown(self) -> None:
        if bench := getattr(self, "bench", None):
            try:
                for destination in DESTINATIONS:
                    bench.drain(destination, self.now)
                bench.compare()
                assert not bench.wrong, bench.wrong
            finally:
                bench.store.close()
                self.folder.cleanup()


TestOrder = Order.TestCase
TestOrder.settings = settings(
    max_examples=250, stateful_step_count=30, deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
