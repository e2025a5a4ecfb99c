"""What must hold of episodes whatever happens in whatever order: random walks."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import closing
from operator import methodcaller
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.deliveries import Attempt, Kind, Outcome
from receiver.events import Status
from receiver.lifecycle import TRANSITIONS
from receiver.routing.silences import Silence
from receiver.store.sqlite.connection import connect
from tests.support.people import DELIVERED, FAILED, GONE, HOUR, MINUTE, Walk
from tests.support.stores import only_a_file, shared_memory

ROUTES = """\
destinations:
  approvers: {url: console://, rate: 1000/s, retry_for: 3h, fallback: mail}
  ops:
    url: console://
    rate: 1000/s
    quiet: {from: "14:00", to: "15:00", tz: UTC}
  mail: {url: console://, rate: 1000/s}
routes:
  - name: waits
    match: {status: [awaiting_confirmation, paused_by_agent]}
    notify: [approvers, ops]
    remind: {every: 15m}
    escalate: [{after: 1h, notify: mail}]
    acknowledged: true
    resolved: true
    GROUP
  - name: works
    match: {status: [running, failed]}
    notify: [ops]
    remind: {every: 30m, at_most: 2}
    resolved: true
  - name: stuck
    stuck: {status: running, after: 1h}
    notify: mail
    remind: {every: 1h}
    resolved: true
"""
EXECUTIONS = ("a", "b", "c")
LOST = Attempt(Outcome.UNCERTAIN, "no answer within 30 s")
NAGS = (Kind.REMINDER, Kind.ESCALATION)
TELLING = ("notice", "reminder", "escalation", "fallback")
steps = st.one_of(
    st.tuples(st.just("moves"), st.sampled_from(EXECUTIONS), st.integers(0, 5)),
    st.tuples(st.just("passes"), st.sampled_from([1, 5, 16, 61]), st.just(0)),
    st.tuples(st.just("sends"), st.sampled_from(["approvers", "ops", "mail"]), st.integers(0, 5)),
    st.tuples(st.just("finishes"), st.integers(0, 3), st.integers(0, 5)),
    st.tuples(st.just("acknowledges"), st.sampled_from(EXECUTIONS), st.just(0)),
    st.tuples(
        st.just("silences"), st.sampled_from(["awaiting_confirmation", "running"]), st.just(0)
    ),
    st.tuples(st.just("restarts"), st.just(0), st.just(0)),
)


def moves(walk: Walk, execution: str, choice: int) -> None:
    found = walk.store.execution("s", execution)
    before = Status(found["execution"]["status"]) if found else Status.STARTING
    if to := sorted(TRANSITIONS[before]):
        walk.comes(to[choice % len(to)], execution)


def holds(walk: Walk, taken: list) -> None:  # type: ignore[type-arg]
    """What was claimed just now is true, and never two reminders wait."""
    for claim in taken:
        kind = claim.origin.kind if claim.origin else claim.kind
        if claim.digest is None and kind in NAGS:
            shown = walk.shown(claim.facts.execution_id)["execution"]
            assert claim.facts.status == shown["status"]
            assert shown["acknowledged"] is None
    items, _ = walk.store.deliveries({}, 200, None)
    pending = Counter(
        (d["event_id"], d["route"], d["destination"])
        for d in items
        if d["kind"] == "reminder" and d["state"] in ("waiting", "sending")
    )
    assert all(n == 1 for n in pending.values())
    assert walk.store.ledger()["imbalance"] == 0


def walks(walk: Walk, script: list) -> None:  # type: ignore[type-arg]
    sending = []
    for act, one, two in script:
        if act == "moves":
            moves(walk, one, two)
        elif act == "passes":
            walk.passes(one * MINUTE)
        elif act == "sends" and (claim := walk.claim(one)) is not None:
            holds(walk, [claim])
            sending.append((claim, walk.now))
        elif act == "finishes" and sending:
            claim, since = sending.pop(one % len(sending))
            if walk.now - since < MINUTE:
                walk.record(claim, (DELIVERED, DELIVERED, DELIVERED, FAILED, LOST, GONE)[two])
        elif act == "acknowledges":
            walk.acknowledge("Ann", one)
        elif act == "silences":
            of = Silence({"status": (one,)}, "r", "Ann", walk.now, walk.now + HOUR)
            walk.do(methodcaller("add_silence", of, walk.now))
        elif act == "restarts":
            walk.restart()
            sending.clear()
        holds(walk, [])


def may_have_arrived(walk: Walk) -> set[int]:
    """The deliveries of which an answer was lost, or which a dead process was sending."""
    with closing(connect(walk.folder / "receiver.db", read_only=True)) as connection:
        return {n for (n,) in connection.execute("SELECT id FROM delivery WHERE repeat = 1")}


def ends(walk: Walk) -> None:
    """Everything ends, and then nothing is owed any more, and who was told learnt the end once."""
    for execution in EXECUTIONS:
        if walk.store.execution("s", execution) is not None:
            walk.comes(Status.CANCELLED, execution)
    for _ in range(40):
        walk.passes(30 * MINUTE)
        walk.gets()
    assert walk.pending() == 0
    items, _ = walk.store.deliveries({}, 200, None)
    assert len(items) < 200
    lost = may_have_arrived(walk)
    for execution in EXECUTIONS:
        found = walk.store.execution("s", execution)
        if found is None:
            continue
        applied = [e for e in found["events"] if e["verdict"] == "applied"]
        began = {e["event_id"]: e["occurred_at"] for e in applied}
        times = sorted(began.values())
        told, over = set(), Counter[tuple[str, str]]()
        for d in found["deliveries"]:
            at = began[d["event_id"]]
            # A notice with an origin tells of a destination's failure, not of the episode.
            is_about_it = d["kind"] in TELLING and (d["origin"] is None or d["kind"] == "fallback")
            if (d["state"] == "sent" or d["id"] in lost) and is_about_it:
                told.add((at, d["destination"]))
            if d["kind"] == "resolved":
                over[times[times.index(at) - 1], d["destination"]] += 1
        assert set(over) == {(at, to) for at, to in told if at != times[-1]}
        assert all(n == 1 for n in over.values())


@settings(max_examples=100, deadline=None)
@given(st.lists(steps, max_size=30), st.booleans())
def test_whatever_happens_no_reminder_outlives_its_episode_and_who_was_told_learns_the_end(
    script: list[tuple[str, object, int]], grouped: bool
) -> None:
    only_a_file("it looks into it")
    group = "group: {by: [agent], wait: 5m, every: 20m}"
    with tempfile.TemporaryDirectory(dir=shared_memory()) as folder:
        walk = Walk(Path(folder), ROUTES.replace("GROUP", group if grouped else ""))
        try:
            walks(walk, script)
            ends(walk)
        finally:
            walk.store.close()
