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
from tests.support.stores import prepared

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
    opened = SqliteStore(prepared(tmp_path / "receiver.db"), serve=True)
    yield opened
    opened.close()


def tell(
    store: SqliteStore, event_id: str, status: Status, second: int, *, at: int = 100,
    by: Intake = REJECT, flags: frozenset[str] = frozenset(), name: str = "E",
) -> Receipt:  # fmt: skip
    """An event that happened at `second` comes in at second `at`."""
    event = Event("s", event_id, name, status, "x", NOW + second * SECOND, flags=flags)
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


def flags_of(store: SqliteStore, event_id: str) -> list[str]:
    return next(e["flags"] for e in shown(store)["events"] if e["event_id"] == event_id)


def test_started_paused_and_resumed_within_a_second_are_three_changes(store: SqliteStore) -> None:
    tell(store, "start", Status.RUNNING, 1, name="STARTED")
    tell(store, "pause", Status.PAUSED, 1, name="PAUSED")
    resumed = tell(store, "resume", Status.RUNNING, 1, name="RESUMED")
    assert (resumed.judgement.verdict, resumed.judgement.reason) == ("applied", "transition")
    tell(store, "end", Status.COMPLETED, 6, name="COMPLETED")
    assert shown(store)["execution"]["status"] == "completed"
    assert set(steps(store)) == {"start", "pause", "resume", "end"}
    assert sent(store)[-1] == ("end", "applied")


def test_the_same_change_under_another_id_is_still_a_duplicate(store: SqliteStore) -> None:
    tell(store, "start", Status.RUNNING, 1, name="STARTED")
    tell(store, "pause", Status.PAUSED, 1, name="PAUSED")
    for event_id, name, reason in [
        ("again", "STARTED", "same_change"),
        ("resume", "RESUMED", "transition"),
        ("resume again", "RESUMED", "same_change"),
        ("pause again", "PAUSED", "same_change"),
    ]:
        status = Status.PAUSED if name == "PAUSED" else Status.RUNNING
        assert tell(store, event_id, status, 1, name=name).judgement.reason == reason


def test_an_end_by_a_clock_that_is_behind_ends_the_execution(store: SqliteStore) -> None:
    tell(store, "start", Status.RUNNING, 0)
    tell(store, "wait", Status.AWAITING_CONFIRMATION, 6)
    ended = tell(store, "end", Status.COMPLETED, 5)
    assert (ended.judgement.verdict, ended.judgement.reason) == ("applied", "transition")
    assert ended.execution_status is Status.COMPLETED
    assert flags_of(store, "end") == ["order_uncertain"]
    # It is over: nobody is asked any more, and what comes later changes nothing.
    assert sent(store) == [("start", "applied"), ("end", "applied")]
    assert tell(store, "late", Status.RUNNING, 5).judgement.reason == "older"
    assert tell(store, "later", Status.RUNNING, 7).judgement.reason == "terminal"
    assert tell(store, "other end", Status.FAILED, 4).judgement.reason == "older"


def test_an_end_that_seems_older_waits_for_what_is_missing_before_it(store: SqliteStore) -> None:
    tell(store, "start", Status.RUNNING, 0)
    tell(store, "pause", Status.PAUSED, 6)
    tell(store, "end", Status.COMPLETED, 5)
    assert steps(store)["end"] == ["held (gap)"]
    tell(store, "resume", Status.RUNNING, 7)
    assert steps(store)["end"] == ["held (gap)", "applied (healed)"]
    assert flags_of(store, "end") == ["healed", "order_uncertain"]
    assert shown(store)["execution"]["status"] == "completed"


@pytest.mark.parametrize(("paused_at", "resumed_at"), [(3, 4), (3, 7), (6, 7)])
def test_an_end_that_was_rejected_for_a_gap_is_healed_although_it_seems_older(
    store: SqliteStore, paused_at: int, resumed_at: int
) -> None:
    tell(store, "pause", Status.PAUSED, paused_at)
    tell(store, "end", Status.COMPLETED, 5)
    expire(store, 130)
    assert steps(store)["end"] == ["held (gap)", "rejected (gap)"]
    tell(store, "resume", Status.RUNNING, resumed_at, at=200)
    assert steps(store)["end"][-1] == "applied (healed)"
    assert shown(store)["execution"]["status"] == "completed"


def test_a_gap_before_an_end_that_seems_older_is_applied_over(store: SqliteStore) -> None:
    tell(store, "start", Status.RUNNING, 0, by=APPLY)
    tell(store, "pause", Status.PAUSED, 6, by=APPLY)
    tell(store, "end", Status.COMPLETED, 5, by=APPLY)
    expire(store, 130, by=APPLY)
    assert flags_of(store, "end") == ["gap", "order_uncertain"]
    assert shown(store)["execution"]["status"] == "completed"


def test_a_message_about_an_end_that_seems_older_tells_of_no_time_before_it(
    store: SqliteStore,
) -> None:
    tell(store, "wait", Status.AWAITING_CONFIRMATION, 6)
    now = NOW + 100 * SECOND
    tell(store, "end", Status.COMPLETED, 5)
    claim = store.write_now(lambda t, items: [t.claim(*items[0])], ("ops", PACE, now, now + SECOND))
    assert claim is not None
    assert claim.facts.previous_status is Status.AWAITING_CONFIRMATION
    assert claim.facts.previous_since is None
