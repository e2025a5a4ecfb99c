"""Intake as an act on the store: a batch is judged as if each had come alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from receiver.deliveries import Claim
from receiver.events import Event, Status
from receiver.intake.receive import Intake, VerifiedWebhook
from receiver.routing.conditions import Condition
from receiver.routing.policy import SendPolicy
from receiver.routing.routes import Route
from receiver.store.contract import Transaction
from receiver.store.sqlite.store import SqliteStore
from receiver.times import SECOND
from tests.support.stores import prepared

NOW = 1_800_000_000 * SECOND
ROUTES = [
    Route("all", (Condition("status", ("*",)),), ("ops",)),
    Route("holes", (Condition("verdict", ("rejected", "quarantined")),), ("ops", "x")),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(prepared(tmp_path / "receiver.db"), serve=True)
    yield opened
    opened.close()


def arrival(
    event_id: str, status: Status | None, second: int, execution: str = "x"
) -> VerifiedWebhook:
    event = Event("s", event_id, "E", status, execution, NOW + second * SECOND)
    return VerifiedWebhook("s", event, b"{}", NOW + 60 * SECOND)


def receive(store: SqliteStore, *arrivals: VerifiedWebhook) -> list[tuple[str, str]]:
    """All in one batch."""
    receipts = store.write_now(lambda t, items: [Intake(ROUTES).receive(t, items[0])], arrivals)
    return [(r.judgement.verdict.value, r.judgement.reason) for r in receipts]


BATCH = [
    arrival("1", Status.RUNNING, 1),
    arrival("1", Status.RUNNING, 1),
    arrival("2", Status.RUNNING, 1),
    arrival("3", Status.PAUSED, 3),
    arrival("4", Status.RUNNING, 2),
    arrival("5", Status.AWAITING_CONFIRMATION, 5),
    arrival("5a", Status.RUNNING, 4),
    arrival("5b", Status.COMPLETED, 6),
    arrival("6", Status.CANCELLED, 7),
    arrival("7", Status.RUNNING, 8),
    arrival("8", None, 7),
    arrival("9", Status.PAUSED, 9_999),
    VerifiedWebhook("s", None, b"[]", NOW, "no_envelope"),
]
VERDICTS = [
    ("applied", "first_seen"), ("duplicate", "event_id"), ("duplicate", "same_change"),
    ("applied", "transition"), ("stale", "older"), ("held", "gap"),
    ("applied", "transition"), ("applied", "transition"), ("rejected", "terminal"),
    ("rejected", "terminal"), ("ignored", "unknown_event"),
    ("quarantined", "future"), ("quarantined", "no_envelope"),
]  # fmt: skip


def test_a_batch_is_judged_as_one_by_one(store: SqliteStore, tmp_path: Path) -> None:
    assert receive(store, *BATCH) == VERDICTS
    single = SqliteStore(prepared(tmp_path / "single.db"))
    assert [receive(single, each)[0] for each in BATCH] == VERDICTS
    for stored in (store, single):
        ledger = stored.ledger()
        assert (ledger["accepted"], ledger["imbalance"]) == (len(BATCH), 0)
        # Five applied (one of them healed), two rejected and two kinds of quarantine to two
        # destinations each.
        assert ledger["owed"] == 5 + 4 + 4
    single.close()


def test_a_repeated_processing_status_moves_the_mark_only(store: SqliteStore) -> None:
    assert receive(store, arrival("1", Status.RUNNING, 1), arrival("2", Status.RUNNING, 5)) == [
        ("applied", "first_seen"), ("duplicate", "same_status"),
    ]  # fmt: skip
    assert receive(store, arrival("3", Status.PAUSED, 3)) == [("stale", "older")]
    found = store.execution("s", "x")
    assert found is not None
    assert found["execution"]["status"] == "running"


def test_what_an_event_does_not_say_stays_as_it_was(store: SqliteStore) -> None:
    first = arrival("1", Status.RUNNING, 1)
    assert first.event is not None
    named = replace(first.event, agent_id="a", agent_name="A", metadata={"team": "t"})
    receive(store, replace(first, event=named), arrival("2", Status.FAILED, 2))
    found = store.execution("s", "x")
    assert found is not None
    told = found["execution"]
    assert (told["agent_id"], told["agent_name"], told["metadata"]) == ("a", "A", {"team": "t"})


def test_what_a_repeated_id_says_otherwise_is_nobody_s_change(store: SqliteStore) -> None:
    altered = arrival("1", Status.FAILED, 5)
    genuine = arrival("2", Status.FAILED, 5)
    assert receive(store, arrival("1", Status.RUNNING, 1), altered, genuine) == [
        ("applied", "first_seen"), ("duplicate", "event_id"), ("applied", "transition"),
    ]  # fmt: skip
    other = arrival("3", Status.RUNNING, 1, "y")
    receive(store, other, replace(altered, event=replace(altered.event, event_id="3")))  # type: ignore[type-var]
    assert receive(store, arrival("4", Status.FAILED, 5, "y")) == [("applied", "transition")]


def test_a_message_that_asks_for_an_answer_is_bound_to_its_moment(store: SqliteStore) -> None:
    receive(store, arrival("1", Status.AWAITING_CONFIRMATION, 1), arrival("2", Status.RUNNING, 2))

    def claim(transaction: Transaction, _: object) -> list[Claim | None]:
        return [transaction.claim("ops", SendPolicy(1.0), NOW + 3600 * SECOND, NOW)]

    claimed = store.write_now(claim, None)
    assert claimed is not None
    assert claimed.facts.status is Status.RUNNING
    states = {d["event_id"]: d["state"] for d in store.deliveries({}, 10, None)[0]}
    assert states == {"1": "superseded", "2": "sending"}


EVENTS = st.lists(
    st.builds(
        arrival,
        st.sampled_from("abcdefgh"),
        st.sampled_from([*Status, None]),
        st.integers(0, 6),
        st.sampled_from(["x", "y"]),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(EVENTS, st.integers(1, 12))
def test_any_batches_keep_the_promises(
    tmp_path: Path, events: list[VerifiedWebhook], size: int
) -> None:
    path = tmp_path / "any.db"
    path.unlink(missing_ok=True)
    store = SqliteStore(prepared(path), serve=True)
    try:
        got = [
            verdict
            for start in range(0, len(events), size)
            for verdict in receive(store, *events[start : start + size])
        ]
        ledger = store.ledger()
        assert (ledger["accepted"], ledger["imbalance"]) == (len(events), 0)
        # What was held may have been applied since.
        applied = sum(verdict == "applied" for verdict, _ in got)
        held = sum(verdict == "held" for verdict, _ in got)
        assert applied <= ledger["verdicts"].get("applied", 0) <= applied + held
    finally:
        store.close()
