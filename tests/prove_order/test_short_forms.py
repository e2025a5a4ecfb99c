"""The order of events: the receiver held to a model that was written from the rules' text.

The long form is `python -m tests.prove_order`; what is here is its short one, the same over
Hypothesis and HTTP, every order of short histories, and faults planted to see the proof fail.
"""

from __future__ import annotations

import itertools
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from receiver import lifecycle
from receiver.cli import client
from receiver.events import Status, Verdict
from receiver.intake import held as holding
from receiver.intake import plan
from receiver.intake import receive as receiving
from receiver.intake.receive import Intake, VerifiedWebhook
from receiver.store.records import Loaded
from tests.prove_order import proof
from tests.prove_order.model import EVERY, PASSING, SECOND, TABLE, TERMINAL, Model, Said
from tests.prove_order.proof import (
    DESTINATIONS,
    HOUR,
    ROUTES,
    START,
    Bench,
    Disagreement,
    Rules,
    prove,
)
from tests.support.live import live

SEED = 11


@pytest.mark.parametrize("kind", ["legal", "random"])
def test_the_receiver_keeps_the_rules_about_order(kind: str) -> None:
    figures = prove(kind, SEED, 2_000, pool=400)
    # What never happened has not been proven.
    wanted = {"held (gap)", "then applied (healed)", "stale (older)", "superseded", "ended"}
    if kind == "random":
        wanted |= {
            "rejected (gap)", "rejected (illegal)", "rejected (terminal)", "stale (tie)",
            "stale (too_old)", "quarantined (future)", "quarantined (unknown_status)",
            "duplicate (event_id)", "duplicate (same_change)", "duplicate (same_status)",
            "ignored (not_a_status)", "ignored (unknown_event)", "then applied (gap)",
            "then rejected (gap)", "then rejected (terminal)", "then stale (older)",
            "then stale (tie)", "op restart", "flag order_uncertain", "flag late", "flag gap",
            "flag assumed",
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
        self.folder = tempfile.TemporaryDirectory(dir=proof.shared_memory())
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


# Every order of every short history


def walks(length: int, start: str) -> Iterator[list[str]]:
    """Every legal history of so many events."""
    if length == 1:
        yield [start]
        return
    for after in sorted(TABLE[start]):
        for rest in walks(length - 1, after):
            yield [start, *rest]


def orders(length: int) -> Iterator[tuple[int, ...]]:
    """Every order of arrival, alone and with each event once more at every later place."""
    for order in itertools.permutations(range(length)):
        yield order
        for place in range(length):
            for later in range(place + 1, length + 1):
                yield (*order[:later], order[place], *order[later:])


def judged(act: Intake, said: Sequence[Said]) -> Iterator[tuple[Any, Loaded]]:
    """The receiver's entries for what arrives, one after the other, and what it knows then."""
    loaded = Loaded.empty()
    for each in said:
        arrival = VerifiedWebhook("s", proof.event("s", each), b"", START)
        yield act.judge_all([arrival], loaded)[0], loaded


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_every_order_of_a_short_legal_history_ends_the_same(length: int) -> None:
    """All of up to five events that begin in `starting` or `running`, with every single repeat."""
    act = Intake(ROUTES)
    for walk in (walk for start in ("starting", "running") for walk in walks(length, start)):
        said = [Said(f"{n}", "x", status, START + n) for n, status in enumerate(walk)]
        for order in orders(length):
            arriving = [said[number] for number in order]
            assert story(act, arriving) == told(arriving), [walk, order]


def story(act: Intake, arriving: Sequence[Said]) -> list[Any]:
    """What the receiver makes of it, after what must hold of any legal history."""
    steps, ends, versions = [], 0, []
    for entries, loaded in judged(act, arriving):
        stands = loaded.executions["s", "x"]
        for entry in entries:
            steps.append((entry.event.event_id, entry.judgement.verdict, entry.judgement.reason))
            if entry.after is not None:
                versions.append(entry.after.version)
                ends += entry.after.status in TERMINAL
                guards = {owed.guard_version for owed in entry.owed}
                asks = entry.after.status in PASSING
                assert guards == {entry.after.version if asks else None}, steps
        steps.append(stands.status)
    last = max(arriving, key=lambda said: said.at or 0).status
    verdicts = {s[0]: s[1] for s in steps if isinstance(s, tuple) and s[2] != "event_id"}
    assert stands.status == last, steps
    assert not {"held", "rejected"} & set(verdicts.values()), steps
    # Told of once: each end was applied once, and each version was reached once.
    assert ends == (last in TERMINAL), steps
    assert versions == list(range(1, len(versions) + 1)), steps
    return steps


def told(arriving: Sequence[Said]) -> list[Any]:
    """What the model makes of it, in the same words."""
    model = Model()
    steps: list[Any] = []
    for said in arriving:
        heard = {id(stored): len(stored.steps) for stored in model.events["x"]}
        steps.append((said.event_id, *model.receive(said, START)))
        again = [s for s in model.events["x"] if 0 < heard.get(id(s), 0) < len(s.steps)]
        for stored in sorted(again, key=lambda s: s.said.at or 0):
            steps.append((stored.said.event_id, *stored.steps[-1]))
        steps.append(model.executions["x"].status)
    return steps


# The same over HTTP

HTTP_ROUTES = """\
sources:
  plain:
    format: plain
    verify: {scheme: rsa-sha256, keys: ["${PUBLIC}"], header: X-Signature}
    gap_timeout: 1h
  asteroid:
    verify: {scheme: rsa-sha256, keys: ["${PUBLIC}"], header: X-Signature}
    gap_timeout: 1h
    gaps: apply
    observes: [running, paused, completed, failed]
destinations:
  ops: console://
routes:
  - {name: not accepted, match: {verdict: rejected}, notify: [ops]}
"""
NAMES = {
    "running": ("EXECUTION_STARTED", {}),
    "paused": ("EXECUTION_PAUSED", {"paused_by": "user"}),
    "paused_by_agent": ("EXECUTION_PAUSED", {"paused_by": "agent"}),
    "awaiting_confirmation": ("EXECUTION_AWAITING_CONFIRMATION", {}),
    "completed": ("EXECUTION_COMPLETED", {"outcome": "success"}),
    "failed": ("EXECUTION_FAILED", {}),
    "cancelled": ("EXECUTION_CANCELLED", {}),
}


def body(source: str, said: Said) -> bytes:
    """The webhook that says it."""
    if source == "plain":
        return client.plain_event(
            str(said.status), said.execution, event_id=said.event_id, occurred_at=said.at
        )
    name, payload = NAMES.get(str(said.status), (said.name, {}))
    return client.asteroid_event(
        name, said.execution, event_id=said.event_id, occurred_at=said.at,
        payload={} if said.assumed else payload,
    )  # fmt: skip


def test_over_http_the_rules_are_the_same(tmp_path: Path) -> None:
    chance = random.Random(5)
    start = time.time_ns() // SECOND * SECOND - 100 * SECOND
    models = {
        "plain": Model(gap_timeout=HOUR),
        "asteroid": Model(
            frozenset({"running", "paused", "completed", "failed"}), "apply", HOUR
        ),
    }  # fmt: skip
    with live(tmp_path, HTTP_ROUTES) as receiver:
        for number in range(24):
            source = chance.choice(list(models))
            events = proof.wild_events(chance, f"{number}", start)
            for said in events if len(events) < 50 else events[:5]:
                if source == "plain" and said.status is None:
                    continue
                if source == "asteroid" and said.status == "starting":
                    continue
                said = said._replace(
                    unknown=False, at=said.at or start, assumed=said.assumed and source != "plain"
                )
                verdict, reason = models[source].receive(said, time.time_ns())
                status, answer = receiver.post(body(source, said), source=source)
                stands = models[source].executions.get(said.execution)
                wanted = (verdict, reason, said.event_id)
                assert (answer["verdict"], answer["reason"], answer["event_id"]) == wanted, said
                assert status == (202 if verdict in ("applied", "held") else 200)
                if said.status is not None:
                    assert answer["execution_status"] == (stands and stands.status), said
        for source, model in models.items():
            for execution, stands in model.executions.items():
                found = receiver.ask(f"/api/executions/{source}/{execution}")[1]
                assert found["execution"]["status"] == stands.status
                assert [steps(row) for row in found["events"]] == [
                    (s.said.event_id, s.steps, sorted(s.flags)) for s in model.events[execution]
                ]
        assert receiver.ask("/api/ledger")[1]["imbalance"] == 0


def steps(row: dict[str, Any]) -> tuple[str, list[tuple[str, str]], list[str]]:
    """An event of the API with all its verdicts."""
    taken = [(step["verdict"], step["reason"]) for step in row["steps"]]
    return row["event_id"], taken, sorted(row["flags"])


# Planted faults: what is not noticed is not proven

Plant = Callable[[pytest.MonkeyPatch], None]


def constant(module: Any, name: str, value: object) -> Plant:
    """A limit that is another one."""
    return lambda patch: patch.setattr(module, name, value)


def move(start: str, end: str, *, dropped: bool = False) -> Plant:
    """The table with one move more, or one less."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        known = lifecycle.TRANSITIONS[Status(start)]
        changed = known - {Status(end)} if dropped else known | {Status(end)}
        patch.setitem(lifecycle.TRANSITIONS, Status(start), changed)

    return plant


def around(module: Any, name: str, changed: Callable[..., Any]) -> Plant:
    """A function that is called through another one, which gets it first."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = getattr(module, name)
        patch.setattr(module, name, lambda *given, **named: changed(real, *given, **named))

    return plant


def unheeded(rule: str, **instead: object) -> Callable[..., Any]:
    """A judgement with this reason becomes another one."""

    def changed(real: Callable[..., Any], *given: Any) -> Any:
        judgement = real(*given)
        return replace(judgement, **instead) if judgement.reason == rule else judgement

    return changed


def tie_is_later(real: Callable[..., Any], execution: Any, event: Any, *rest: Any) -> Any:
    """The rule about ties dropped: what has the mark's time comes after it."""
    return real(replace(execution, mark=execution.mark - 1), event, *rest)


def without_flag(flag: str) -> Callable[..., Any]:
    """A judgement that does not say what it should."""

    def changed(real: Callable[..., Any], *given: Any) -> Any:
        judgement = real(*given)
        return replace(judgement, flags=judgement.flags - {flag})

    return changed


def without_gap(real: Callable[..., Any], *given: Any) -> Any:
    """An execution that does not say that it went over a gap."""
    entry = real(*given)
    return replace(entry, after=entry.after and replace(entry.after, gap=False))


FAULTS: dict[str, Plant] = {
    "the future begins a nanosecond later": constant(lifecycle, "FUTURE", 300 * SECOND + 1),
    "late begins a nanosecond later": constant(lifecycle, "LATE", 300 * SECOND + 1),
    "too old begins a nanosecond later": constant(
        lifecycle, "MAX_EVENT_AGE", 14 * 24 * HOUR + 1
    ),
    "one more is held": constant(holding, "MAX_HELD", 101),
    "a pause may complete": move("paused", "completed"),
    "an agent's pause cannot fail": move("paused_by_agent", "failed", dropped=True),
    "nothing heals": around(receiving, "rejudge_held", lambda real, *given: iter(())),
    "what was rejected is not healed": around(
        holding,
        "_decides",
        lambda real, judgement, held: held.verdict == "held" and real(judgement, held),
    ),
    "what was overtaken stays held": around(
        holding, "_decides", lambda real, judgement, held: judgement.verdict == "applied"
    ),
    "held events are judged in the order of receipt": constant(
        holding, "_occurred_at", lambda held: 0
    ),
    "a repetition does not move the mark": constant(receiving, "moves_mark", lambda *given: False),
    "gaps are always applied": around(
        receiving, "expire",
        lambda real, held, loaded, now, ordering: real(
            held, loaded, now, replace(ordering, gaps="apply")
        ),
    ),
    "all statuses are observed": around(lifecycle, "moves", lambda real, observes: real(None)),
    "an assumed pause is a user's": around(
        lifecycle.Moves, "is_legal",
        lambda real, self, before, after, assumed=False: real(self, before, after),
    ),
    "a tie is later": around(lifecycle, "_against", tie_is_later),
    "an uncertain order is not flagged": around(
        lifecycle, "_against", without_flag("order_uncertain")
    ),
    "a gap is not shown": around(holding, "judged_again", without_gap),
    "a terminal status changes": around(
        lifecycle, "_against", unheeded("terminal", verdict=Verdict.APPLIED, reason="transition")
    ),
    "the same change counts twice": around(
        receiving, "known",
        lambda real, *given: known if (known := real(*given)) != "same_change" else None,
    ),
    "a pause is told of when it is over": constant(plan, "_guard", lambda entry: None),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lifecycle.moves.cache_clear()
    FAULTS[fault](monkeypatch)
    try:
        # Without the fault the same histories agree, see the first test.
        with pytest.raises(Disagreement) as noticed:
            prove("random", SEED, 2_000, pool=400, shrink=False)
        # By what is said differently, or by the store, which refuses what must never be.
        text = str(noticed.value)
        assert "receiver: " in text or "a terminal execution never changes" in text
    finally:
        monkeypatch.undo()
        lifecycle.moves.cache_clear()


def test_a_disagreement_is_told_by_its_smallest_history(monkeypatch: pytest.MonkeyPatch) -> None:
    around(lifecycle, "_against", unheeded("older", verdict=Verdict.REJECTED))(monkeypatch)
    with pytest.raises(Disagreement) as told_of:
        prove("random", SEED, 100)
    text = str(told_of.value)
    assert text.startswith(f"random, seed {SEED}, pool 0")
    # Two webhooks are enough: one and an older one.
    assert text.count(" id ") == 2
    assert "expected: ('stale', 'older'" in text
