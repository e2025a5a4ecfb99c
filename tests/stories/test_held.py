"""What becomes of held events: walks over the real store, with the time passed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver.deliveries import Attempt, Outcome, State
from receiver.events import Event, Status
from receiver.intake.receive import Intake, Receipt, VerifiedWebhook
from receiver.lifecycle import MAX_HELD, Ordering
from receiver.routing.conditions import Condition
from receiver.routing.policy import SendPolicy
from receiver.routing.routes import Route
from receiver.store.records import AttemptResult
from receiver.store.sqlite.store import SqliteStore
from receiver.times import SECOND

NOW = 1_800_000_000 * SECOND
TIMEOUT = 30 * SECOND
ROUTES = [
    Route("applied", (Condition("status", ("*",)),), ("ops",)),
    Route("not accepted", (Condition("verdict", ("rejected",)),), ("ops",)),
]
PACE = SendPolicy(1_000.0)
REJECT = Intake(ROUTES)
APPLY = Intake(ROUTES, {"s": Ordering(gaps="apply")})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "receiver.db", serve=True)
    yield opened
    opened.close()


def tell(
    store: SqliteStore, event_id: str, status: Status, second: int, *, at: int = 100,
    by: Intake = REJECT, flags: frozenset[str] = frozenset(),
) -> Receipt:  # fmt: skip
    """An event that happened at `second` comes in at second `at`."""
    event = Event("s", event_id, "E", status, "x", NOW + second * SECOND, flags=flags)
    arrival = VerifiedWebhook("s", event, b"{}", NOW + at * SECOND)
    return store.write_now(by.receive, arrival)


def expire(store: SqliteStore, at: int, by: Intake = REJECT) -> None:
    store.write_now(by.expire, NOW + at * SECOND)


def steps(store: SqliteStore) -> dict[str, list[str]]:
    """Every event's verdicts, as they changed."""
    return {
        event["event_id"]: [f"{step['verdict']} ({step['reason']})" for step in event["steps"]]
        for event in shown(store)["events"]
    }


def shown(store: SqliteStore) -> dict[str, Any]:
    found = store.execution("s", "x")
    assert found is not None
    assert store.ledger()["imbalance"] == 0
    return found


def sent(store: SqliteStore, at: int = 1_000) -> list[tuple[str | None, str]]:
    """Send what is due and still true; the messages in their order."""
    told: list[tuple[str | None, str]] = []
    now = NOW + at * SECOND
    while True:
        claim = store.write_now(
            lambda t, items: [t.claim(*items[0])], ("ops", PACE, now, now + SECOND)
        )
        if claim is None:
            return told
        told.append((claim.facts.event_id, str(claim.facts.verdict)))
        after = AttemptResult(State.SENT, "", now, "title", "body")
        item = (claim, Attempt(Outcome.DELIVERED, ""), after)
        store.write_now(lambda t, items: [t.record(*items[0])], item)


def test_a_held_event_is_applied_after_the_one_it_waited_for_and_told_once(
    store: SqliteStore,
) -> None:
    tell(store, "pause", Status.PAUSED, 1)
    held = tell(store, "end", Status.COMPLETED, 3)
    assert (held.judgement.verdict, held.judgement.reason) == ("held", "gap")
    assert held.execution_status is Status.PAUSED
    resumed = tell(store, "resume", Status.RUNNING, 2)
    assert resumed.execution_status is Status.COMPLETED
    assert steps(store) == {
        "pause": ["applied (first_seen)"],
        "end": ["held (gap)", "applied (healed)"],
        "resume": ["applied (transition)"],
    }
    assert {e["event_id"]: e["flags"] for e in shown(store)["events"]}["end"] == ["healed"]
    assert sent(store) == [("resume", "applied"), ("end", "applied")]


def test_an_event_that_is_held_waits_for_exactly_gap_timeout(store: SqliteStore) -> None:
    tell(store, "pause", Status.PAUSED, 1)
    tell(store, "end", Status.COMPLETED, 3, at=100)
    assert store.next_given_up() == NOW + 130 * SECOND
    store.write_now(REJECT.expire, NOW + 130 * SECOND - 1)
    assert steps(store)["end"] == ["held (gap)"]
    expire(store, 130)
    assert steps(store)["end"] == ["held (gap)", "rejected (gap)"]
    assert shown(store)["execution"]["status"] == "paused"
    assert store.next_given_up() is None
    assert ("end", "rejected") in sent(store)


def test_what_was_rejected_for_a_gap_is_healed_when_the_missing_event_comes(
    store: SqliteStore,
) -> None:
    tell(store, "pause", Status.PAUSED, 1)
    tell(store, "end", Status.COMPLETED, 3)
    expire(store, 200)
    assert sent(store)[-1] == ("end", "rejected")
    tell(store, "resume", Status.RUNNING, 2, at=900)
    assert steps(store)["end"] == ["held (gap)", "rejected (gap)", "applied (healed)"]
    assert sent(store, 2_000) == [("resume", "applied"), ("end", "applied")]


def test_a_rejection_that_was_healed_before_anybody_was_told_is_not_told(
    store: SqliteStore,
) -> None:
    tell(store, "run", Status.RUNNING, 0)
    tell(store, "pause", Status.PAUSED, 1)
    tell(store, "end", Status.COMPLETED, 3)
    expire(store, 200)
    tell(store, "resume", Status.RUNNING, 2, at=201)
    assert sent(store) == [("run", "applied"), ("resume", "applied"), ("end", "applied")]
    reasons = {d["reason"] for d in shown(store)["deliveries"] if d["state"] == "superseded"}
    assert reasons == {
        "no longer rejected: now applied (healed)", "no longer paused: now completed",
    }  # fmt: skip


def test_what_was_rejected_for_a_gap_stays_so_once_it_is_overtaken(store: SqliteStore) -> None:
    tell(store, "pause", Status.PAUSED, 1)
    tell(store, "ask", Status.AWAITING_CONFIRMATION, 3)
    expire(store, 200)
    tell(store, "cancel", Status.CANCELLED, 4, at=201)
    assert steps(store)["ask"] == ["held (gap)", "rejected (gap)"]
    assert shown(store)["execution"]["status"] == "cancelled"


@pytest.mark.parametrize(
    ("second", "status", "becomes"),
    [
        (2, Status.CANCELLED, "rejected (terminal)"),
        (3, Status.CANCELLED, "stale (tie)"),
        (4, Status.CANCELLED, "stale (older)"),
    ],
)
def test_a_held_event_that_is_overtaken_says_by_what(
    store: SqliteStore, second: int, status: Status, becomes: str
) -> None:
    tell(store, "pause", Status.PAUSED, 1)
    tell(store, "end", Status.COMPLETED, 3)
    tell(store, "other", status, second)
    assert steps(store)["end"] == ["held (gap)", becomes]


def test_a_repetition_that_moves_the_mark_overtakes_held_events(store: SqliteStore) -> None:
    only = Intake(ROUTES, {"s": Ordering(frozenset(Status) - {Status.PAUSED})})
    tell(store, "start", Status.STARTING, 1, by=only)
    # A status that is not observed is judged by the published table: it is held for `running`.
    tell(store, "pause", Status.PAUSED, 3, by=only)
    tell(store, "again", Status.STARTING, 5, by=only)
    assert steps(store)["pause"] == ["held (gap)", "stale (older)"]
    assert steps(store)["again"] == ["duplicate (same_status)"]


def test_held_events_are_healed_in_the_order_of_their_times(store: SqliteStore) -> None:
    tell(store, "pause", Status.PAUSED, 1)
    tell(store, "end", Status.COMPLETED, 7)
    tell(store, "ask", Status.AWAITING_CONFIRMATION, 3)
    tell(store, "resume", Status.RUNNING, 2)
    assert steps(store)["ask"] == ["held (gap)", "applied (healed)"]
    assert steps(store)["end"] == ["held (gap)", "applied (healed)"]
    # The confirmation was over before anybody could be told.
    assert sent(store) == [("resume", "applied"), ("end", "applied")]


def test_gaps_apply_takes_the_earliest_and_judges_the_rest_again(store: SqliteStore) -> None:
    tell(store, "pause", Status.PAUSED, 1, by=APPLY)
    tell(store, "end", Status.COMPLETED, 7, at=100, by=APPLY)
    tell(store, "ask", Status.AWAITING_CONFIRMATION, 3, at=110, by=APPLY)
    expire(store, 130, APPLY)
    assert steps(store)["ask"] == ["held (gap)", "applied (gap)"]
    assert steps(store)["end"] == ["held (gap)", "applied (healed)"]
    found = shown(store)
    assert (found["execution"]["status"], found["execution"]["gap"]) == ("completed", True)
    flags = {event["event_id"]: event["flags"] for event in found["events"]}
    assert (flags["ask"], flags["end"]) == (["gap"], ["healed"])


def test_more_than_a_hundred_held_events_are_rejected_at_once(store: SqliteStore) -> None:
    tell(store, "pause", Status.PAUSED, 0)
    for number in range(MAX_HELD):
        got = tell(store, f"p-{number}", Status.PAUSED, number + 1)
        assert got.judgement.verdict == "held"
    got = tell(store, "one more", Status.COMPLETED, 200)
    assert (got.judgement.verdict, got.judgement.reason) == ("rejected", "gap")
    tell(store, "resume", Status.RUNNING, 199, at=110)
    assert steps(store)["one more"] == ["rejected (gap)", "applied (healed)"]
    assert steps(store)["p-0"] == ["held (gap)", "stale (older)"]
    expire(store, 1_000)
    assert shown(store)["execution"]["status"] == "completed"


def test_a_restart_forgets_no_held_event_and_heals_it_or_gives_it_up(tmp_path: Path) -> None:
    for name, second_half in (("healed", True), ("gap", False)):
        store = SqliteStore(tmp_path / f"{name}.db", serve=True)
        tell(store, "pause", Status.PAUSED, 1, flags=frozenset({"assumed"}))
        tell(store, "end", Status.COMPLETED, 3)
        store.close()
        store = SqliteStore(tmp_path / f"{name}.db", serve=True)
        if second_half:
            tell(store, "resume", Status.RUNNING, 2)
        else:
            expire(store, 130)
        assert steps(store)["end"][-1] == f"{'applied' if second_half else 'rejected'} ({name})"
        store.close()


def test_a_source_that_changed_its_rules_judges_held_events_by_the_new_ones(
    store: SqliteStore,
) -> None:
    tell(store, "pause", Status.PAUSED, 1)
    tell(store, "end", Status.COMPLETED, 3)
    expire(store, 130, Intake(ROUTES, {"s": Ordering(frozenset(Status) - {Status.RUNNING})}))
    assert steps(store)["end"] == ["held (gap)", "applied (healed)"]


def test_a_healed_event_keeps_what_it_said_and_what_was_known(store: SqliteStore) -> None:
    pause = Event("s", "pause", "E", Status.PAUSED, "x", NOW + SECOND, agent_name="Ann")
    end = replace(
        pause, event_id="end", status=Status.COMPLETED, occurred_at=NOW + 3 * SECOND,
        agent_name=None, detail={"outcome": "failure"}, metadata={"team": "a"},
        execution_url="https://x.example/",
    )  # fmt: skip
    for event in (pause, end):
        store.write_now(REJECT.receive, VerifiedWebhook("s", event, b"{}", NOW + 100 * SECOND))
    tell(store, "resume", Status.RUNNING, 2)
    execution = shown(store)["execution"]
    assert (execution["agent_name"], execution["metadata"]) == ("Ann", {"team": "a"})
    assert execution["execution_url"] == "https://x.example/"
    told = {event["event_id"]: event["detail"] for event in shown(store)["events"]}
    assert told["end"] == {"outcome": "failure"}
