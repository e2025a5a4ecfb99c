"""The store's contract as tests. Each engine has to pass all of them.

An engine's file derives a class from `StoreContract` and gives it the fixture `engine`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Protocol

import pytest

from receiver.audit import BEGUN, Act, Actor, Door, Entry, Turn
from receiver.deliveries import (
    Acknowledgement,
    Attempt,
    Claim,
    Kind,
    OnlyIf,
    Outcome,
    PlannedDelivery,
    State,
)
from receiver.dispatch import turn
from receiver.errors import ConfigurationError, Overloaded, StorageUnavailable
from receiver.events import Event, Execution, Judgement, Status, Verdict
from receiver.retention import Limits
from receiver.routing.policy import SendPolicy
from receiver.routing.silences import Silence
from receiver.store.contract import Store, Transaction
from receiver.store.records import (
    AttemptResult,
    Failures,
    JudgedWebhook,
    Loaded,
    PruneCursor,
    Pruned,
    PruneStage,
    TakeOutcome,
    TakeResult,
    change_of,
)
from receiver.times import SECOND

NOW = 1_800_000_000 * SECOND
PACE = SendPolicy(1_000.0)
SENT = AttemptResult(State.SENT, "", NOW, "title", "body")
DELIVERED = Attempt(Outcome.DELIVERED, "", 5)


class Engine(Protocol):
    """Opens the store of a test's database to serve it; a second time when the first is closed."""

    def __call__(self, *, backlog: int = 2_000) -> Store: ...


def event(number: int, status: Status = Status.RUNNING, execution: str = "x-1") -> Event:
    return Event("s", f"e-{number}", "EVENT", status, execution, NOW + number * SECOND)


def known(store: Store, of: Event) -> Loaded:
    """What the store has of an event."""
    return store.rehearse(lambda transaction, items: [transaction.load(items)], of)


def owed(
    destination: str, key: str, guard: int | None = None, order: str = "s/x-1"
) -> PlannedDelivery:
    return PlannedDelivery(destination, "route", Kind.NOTICE, key, order, guard)


def applied(
    number: int, status: Status, before: Execution | None, *messages: PlannedDelivery
) -> JudgedWebhook:
    of = event(number, status)
    assert of.occurred_at is not None
    version = before.version + 1 if before else 1
    after = Execution("s", "x-1", status, of.occurred_at, of.occurred_at, version, NOW)
    judgement = Judgement(Verdict.APPLIED, "transition" if before else "first_seen")
    return JudgedWebhook(
        "s", of, judgement, NOW, b"body", before=before, after=after, owed=messages
    )


def unapplied(number: int, verdict: Verdict, reason: str) -> JudgedWebhook:
    return JudgedWebhook("s", event(number), Judgement(verdict, reason), NOW, b"{}")


def save(store: Store, *entries: JudgedWebhook) -> None:
    def act(transaction: Transaction, items: Sequence[Sequence[JudgedWebhook]]) -> list[None]:
        for item in items:
            transaction.save(item)
        return [None] * len(items)

    store.write_now(act, entries)


def do(store: Store, name: str, *values: object, **named: object) -> object:
    """One call on a transaction of its own."""

    def act(transaction: Transaction, items: Sequence[object]) -> list[object]:
        return [getattr(transaction, name)(*values, **named) for _ in items]

    return store.write_now(act, None)


def claim(store: Store, destination: str = "ops", now: int = NOW) -> Claim | None:
    found = do(store, "claim", destination, PACE, now, now + 60 * SECOND)
    assert found is None or isinstance(found, Claim)
    return found


def five(store: Store, *orders: str) -> None:
    """Deliveries to ops in these orders, all of them due."""
    for number, order in enumerate(orders):
        entry = unapplied(number, Verdict.REJECTED, "terminal")
        save(store, replace(entry, owed=(owed("ops", f"k-{number}", order=order),)))


def fails(
    store: Store, now: int, outcome: Outcome = Outcome.FAILED, *, chance: float = 1.0
) -> None:
    mine = claim(store, now=now)
    assert mine is not None
    again = AttemptResult(State.WAITING, "refused", now + 5 * SECOND, "t", "b", chance=chance)
    assert record(store, mine, Attempt(Outcome.FAILED, "refused"), again) is True


def fallen(store: Store, kind: Kind) -> int:
    """A dead delivery to ops and what it owes to ops2; the dead one's number."""
    five(store, "a")
    mine = claim(store)
    assert mine is not None
    told = PlannedDelivery("ops2", "r", kind, "k-2", "a", None, origin=mine.delivery)
    dead = AttemptResult(State.DEAD, "HTTP 404", NOW, "t", "b", owed=(told,))
    record(store, mine, Attempt(Outcome.FAILED, "HTTP 404", permanent=True), dead)
    return mine.delivery


def reminder(key: str, step: int = 1, guard: int | None = 1) -> PlannedDelivery:
    return PlannedDelivery(
        "ops", "r", Kind.REMINDER, key, key, guard, due_in=60 * SECOND, step=step
    )


def record(store: Store, claim: Claim, attempt: Attempt, after: AttemptResult) -> bool:
    """Record an attempt as a turn does it, with what that means for its destination."""

    def act(transaction: Transaction, items: Sequence[object]) -> list[bool]:
        return [
            turn.record(transaction, turn.FinishedAttempt(claim, attempt, after)) for _ in items
        ]

    return store.write_now(act, None)


def overdue(store: Store, policy: SendPolicy) -> Sequence[Claim]:
    """End what waits for too long for the destination ops, as a turn does it."""

    def act(transaction: Transaction, items: Sequence[object]) -> list[Sequence[Claim]]:
        return [turn.expire_overdue(transaction, "ops", policy, policy.overdue) for _ in items]

    return store.write_now(act, None)


class StoreContract:
    """All that every engine's store has to keep."""

    @pytest.fixture
    def store(self, engine: Engine) -> Iterator[Store]:
        opened = engine()
        yield opened
        opened.close()

    def test_what_is_rehearsed_is_seen_in_its_transaction_alone(self, store: Store) -> None:
        save(store, applied(1, Status.RUNNING, None, owed("ops", "k-1")))
        before = known(store, event(1)).executions["s", "x-1"]

        def act(transaction: Transaction, items: Sequence[int]) -> Sequence[tuple[object, ...]]:
            newest = transaction.newest_delivery()
            transaction.save([applied(2, Status.PAUSED, before, owed("ops", "k-2"))])
            claim = transaction.claim("ops", PACE, NOW, NOW + SECOND)
            stands = transaction.load([event(2)]).executions["s", "x-1"].status
            (new,) = transaction.owed_since(newest)
            assert claim is not None
            return [(stands, claim.delivery == newest, new.number > newest, new.state)]

        rehearsed = store.rehearse(act, 0)
        assert rehearsed == (Status.PAUSED, True, True, State.WAITING)
        assert known(store, event(1)).executions["s", "x-1"] == before
        assert known(store, event(2)).event_ids == set()
        items, _ = store.deliveries({}, 10, None)
        assert [each["state"] for each in items] == ["waiting"]
        assert store.ledger()["imbalance"] == 0

    def test_an_error_in_a_rehearsal_is_that_of_its_act(self, store: Store) -> None:
        def act(transaction: Transaction, items: Sequence[int]) -> Sequence[int]:
            raise ConfigurationError(["of its own"])

        with pytest.raises(ConfigurationError):
            store.rehearse(act, 0)

    def test_what_was_saved_is_loaded_and_shown(self, store: Store) -> None:
        save(store, applied(1, Status.RUNNING, None, owed("ops", "k-1")))
        loaded = known(store, event(1))
        assert loaded.event_ids == {("s", "e-1")}
        assert loaded.changes == {("s", "x-1", "EVENT", Status.RUNNING, NOW + SECOND)}
        assert loaded.executions["s", "x-1"].status is Status.RUNNING
        found = store.execution("s", "x-1")
        assert found is not None
        assert found["execution"]["status"] == "running"
        assert [(e["verdict"], e["reason"]) for e in found["events"]] == [("applied", "first_seen")]
        assert [d["state"] for d in found["deliveries"]] == ["waiting"]

    def test_an_execution_moves_within_a_batch_and_across_batches(self, store: Store) -> None:
        first = applied(1, Status.RUNNING, None)
        second = applied(2, Status.PAUSED, first.after)
        save(store, first, second)
        save(store, applied(3, Status.RUNNING, second.after))
        stored = known(store, event(9)).executions["s", "x-1"]
        assert (stored.status, stored.version) == (Status.RUNNING, 3)
        assert store.ledger()["imbalance"] == 0

    def test_a_version_that_was_overtaken_cannot_be_written(self, store: Store) -> None:
        first = applied(1, Status.RUNNING, None)
        save(store, first)
        save(store, applied(2, Status.PAUSED, first.after))
        with pytest.raises(StorageUnavailable):
            save(store, applied(3, Status.COMPLETED, first.after))
        assert known(store, event(9)).executions["s", "x-1"].status is Status.PAUSED
        assert known(store, event(3)).event_ids == set()

    def test_a_terminal_execution_never_changes_whoever_writes(self, store: Store) -> None:
        end = applied(1, Status.FAILED, None)
        save(store, end)
        with pytest.raises(StorageUnavailable):
            save(store, applied(2, Status.RUNNING, end.after))

    def test_a_repeated_event_id_is_counted_in_one_row(self, store: Store) -> None:
        save(store, applied(1, Status.RUNNING, None))
        for _ in range(3):
            save(store, unapplied(1, Verdict.DUPLICATE, "event_id"))
        found = store.execution("s", "x-1")
        assert found is not None
        assert [(e["reason"], e["times"]) for e in found["events"]] == [
            ("first_seen", 1),
            ("event_id", 3),
        ]
        ledger = store.ledger()
        assert ledger["verdicts"] == {"applied": 1, "duplicate": 3}
        assert (ledger["accepted"], ledger["imbalance"]) == (4, 0)

    def test_a_quarantined_event_stands_apart_and_does_not_keep_its_id(self, store: Store) -> None:
        save(store, applied(1, Status.RUNNING, None))
        save(store, unapplied(2, Verdict.QUARANTINED, "future"))
        executions = known(store, event(1)).executions
        assert known(store, event(2)) == Loaded(set(), set(), executions, {("s", "x-1"): []})
        found = store.execution("s", "x-1")
        assert found is not None
        assert len(found["events"]) == 1
        assert store.ledger()["verdicts"]["quarantined"] == 1

    def test_quarantine_is_bounded_and_still_accounted_for(self, store: Store) -> None:
        for start in range(0, 1_250, 250):
            save(
                store,
                *[unapplied(n, Verdict.QUARANTINED, "future") for n in range(start, start + 250)],
            )
        ledger = store.ledger()
        assert ledger["verdicts"]["quarantined"] == 1_250
        assert (ledger["accepted"], ledger["imbalance"]) == (1_250, 0)

    def test_quarantine_owes_one_message_for_a_key(self, store: Store) -> None:
        message = owed("ops", "quarantine/s/future/1/ops")
        entry = replace(unapplied(1, Verdict.QUARANTINED, "future"), owed=(message,))
        save(store, entry, entry)
        save(store, entry)
        ledger = store.ledger()
        assert (ledger["owed"], ledger["imbalance"]) == (1, 0)

    def test_a_delivery_is_claimed_by_one_and_recorded_with_its_token_only(
        self, store: Store
    ) -> None:
        save(store, applied(1, Status.RUNNING, None, owed("ops", "k-1")))
        mine = claim(store)
        assert mine is not None
        assert (mine.facts.status, mine.attempts, mine.repeat) == (Status.RUNNING, 0, False)
        assert claim(store) is None
        assert record(store, replace(mine, token="other"), DELIVERED, SENT) is False
        assert record(store, mine, DELIVERED, SENT) is True
        assert record(store, mine, DELIVERED, SENT) is False
        shown = store.deliveries({}, 10, None)[0][0]
        assert (shown["state"], shown["title"], len(shown["attempts"])) == ("sent", "title", 1)

    def test_a_lease_that_is_over_comes_back_as_a_repeat(self, store: Store) -> None:
        save(store, applied(1, Status.RUNNING, None, owed("ops", "k-1")))
        lost = claim(store)
        again = claim(store, now=NOW + 61 * SECOND)
        assert lost is not None
        assert again is not None
        assert (again.delivery, again.repeat, again.attempts) == (lost.delivery, True, 1)
        assert record(store, lost, DELIVERED, SENT) is False
        assert store.deliveries({}, 10, None)[0][0]["attempts"][0]["outcome"] == "uncertain"

    def test_a_claim_of_which_no_attempt_began_goes_back_and_is_no_repeat(
        self, store: Store
    ) -> None:
        five(store, "a", "b")
        mine = claim(store)
        other = claim(store)
        assert mine is not None
        assert other is not None
        assert do(store, "release", NOW, unsent=replace(mine, token="other")) == 0
        assert do(store, "release", NOW, unsent=mine) == 1
        again = claim(store)
        assert again is not None
        assert (again.delivery, again.repeat, again.attempts) == (mine.delivery, False, 0)
        # Whoever gave it back has nothing to record, and the other claim is as it was.
        assert record(store, mine, DELIVERED, SENT) is False
        assert record(store, other, DELIVERED, SENT) is True

    def test_all_leases_can_be_taken_back_at_once(self, store: Store) -> None:
        save(store, applied(1, Status.RUNNING, None, owed("ops", "k-1")))
        assert claim(store) is not None
        assert do(store, "release", NOW, own=False) == 0
        assert do(store, "release", NOW, own=True) == 1

    def test_one_execution_keeps_its_order_while_others_pass(self, store: Store) -> None:
        first = applied(1, Status.RUNNING, None, owed("ops", "k-1"))
        save(store, first, applied(2, Status.FAILED, first.after, owed("ops", "k-2")))
        other_message = owed("ops", "k-3", order="s/x-2")
        save(store, replace(unapplied(3, Verdict.REJECTED, "illegal"), owed=(other_message,)))
        one = claim(store)
        assert one is not None
        other = claim(store)
        assert other is not None
        assert (one.facts.event_id, other.facts.event_id) == ("e-1", "e-3")
        later = AttemptResult(State.WAITING, "refused", NOW + 5 * SECOND, "t", "b")
        record(store, one, Attempt(Outcome.FAILED, "refused"), later)
        assert claim(store) is None  # e-2 waits behind e-1
        assert store.next_due("ops", PACE, NOW) == NOW + 5 * SECOND

    def test_a_message_about_a_wait_that_is_over_is_superseded(self, store: Store) -> None:
        first = applied(1, Status.AWAITING_CONFIRMATION, None, owed("ops", "k-1", guard=1))
        save(store, first)
        save(store, applied(2, Status.RUNNING, first.after))
        assert claim(store) is None
        shown = store.deliveries({"state": "superseded"}, 10, None)[0][0]
        assert shown["reason"] == "no longer awaiting_confirmation: now running"

    def test_only_a_dead_delivery_is_redelivered_and_starts_afresh(self, store: Store) -> None:
        save(store, applied(1, Status.FAILED, None, owed("ops", "k-1")))
        mine = claim(store)
        assert mine is not None
        assert do(store, "redeliver", mine.delivery, NOW) is False
        dead = AttemptResult(State.DEAD, "gone", NOW, "t", "b")
        record(store, mine, Attempt(Outcome.FAILED, "gone"), dead)
        assert do(store, "redeliver", 99, NOW) is None
        assert do(store, "redeliver", mine.delivery, NOW + SECOND) is True
        again = claim(store, now=NOW + SECOND)
        assert again is not None
        assert (again.attempts, again.owed_at) == (0, NOW + SECOND)

    def test_deliveries_to_a_destination_that_is_gone_are_dead_with_that_reason(
        self, store: Store
    ) -> None:
        save(store, applied(1, Status.FAILED, None, owed("old", "k-1"), owed("ops", "k-2")))
        found = do(store, "end_orphans", ["ops"], NOW)
        assert isinstance(found, list)
        (dead,) = found
        assert (dead.destination, dead.facts.event_id) == ("old", "e-1")
        assert "routes.yaml" in store.deliveries({"state": "dead"}, 10, None)[0][0]["reason"]

    def test_a_destination_gets_no_more_than_its_pace_allows(self, store: Store) -> None:
        five(store, *"abcde")
        policy = SendPolicy(2.0)

        def taken(now: int) -> bool:
            return do(store, "claim", "ops", policy, now, now + 60 * SECOND) is not None

        assert [taken(NOW), taken(NOW), taken(NOW)] == [True, True, False]
        half = NOW + SECOND // 2
        assert store.next_due("ops", policy, NOW) == half
        assert [taken(half - 1), taken(half), taken(half)] == [False, True, False]
        # A clock that is set back gives nothing.
        assert taken(NOW - 3600 * SECOND) is False
        assert [taken(NOW + 60 * SECOND), taken(NOW + 60 * SECOND)] == [True, True]

    def test_the_pace_is_kept_over_a_restart(self, engine: Engine) -> None:
        store = engine()
        five(store, *"abc")
        assert do(store, "claim", "ops", SendPolicy(1.0), NOW, NOW + SECOND) is not None
        store.close()
        store = engine()
        assert do(store, "claim", "ops", SendPolicy(1.0), NOW, NOW + SECOND) is None
        store.close()

    def test_several_claims_in_one_transaction_keep_rate_order_and_silences(
        self, store: Store
    ) -> None:
        policy, now = SendPolicy(3.0), NOW
        five(store, "a", "a", "b", "c", "d")

        def keys(transaction: Transaction, most: int) -> list[str | None]:
            until = now + SECOND
            claims = [
                transaction.claim("ops", policy, now, until, again=number > 0)
                for number in range(most)
            ]
            return [None if mine is None else mine.order_key for mine in claims]

        def several(transaction: Transaction, items: Sequence[int]) -> list[list[str | None]]:
            return [keys(transaction, most) for most in items]

        assert store.write_now(several, 4) == ["a", "b", "c", None]
        now += SECOND  # the leases are over, and three more may go
        silence = Silence({"verdict": ("rejected",)}, "known", "Ann", now, now + SECOND)
        do(store, "add_silence", silence, now)
        assert store.write_now(several, 2) == [None, None]
        states = [each["state"] for each in store.deliveries({}, 10, None)[0]]
        assert states == ["superseded"] * 5

    def test_five_failures_over_several_executions_pause_the_destination(
        self, store: Store
    ) -> None:
        five(store, *"abcdef")
        for _ in range(5):
            fails(store, NOW)
        assert claim(store, now=NOW) is None
        assert store.next_due("ops", PACE, NOW) == NOW + 5 * SECOND
        assert do(store, "claim", "other", PACE, NOW, NOW + SECOND) is None  # it owes nothing
        probe = claim(store, now=NOW + 5 * SECOND)
        assert probe is not None
        record(store, probe, DELIVERED, SENT)
        assert claim(store, now=NOW + 5 * SECOND) is not None

    def test_five_failures_of_one_execution_hold_up_no_other(self, store: Store) -> None:
        five(store, "a")
        for number in range(5):
            fails(store, NOW + number * 5 * SECOND)
        save(
            store,
            replace(unapplied(9, Verdict.REJECTED, "x"), owed=(owed("ops", "k-9", order="b"),)),
        )
        other = claim(store, now=NOW + 21 * SECOND)
        assert other is not None
        assert other.order_key == "b"

    def test_what_waits_longer_than_retry_for_for_a_failing_destination_dies(
        self, store: Store
    ) -> None:
        five(store, *"abcdefg")
        for _ in range(5):
            fails(store, NOW)
        assert overdue(store, SendPolicy(1.0, overdue=NOW)) == []
        dead = overdue(store, SendPolicy(1.0, overdue=NOW + 1))
        assert isinstance(dead, list)
        assert len(dead) == 7
        assert {d["state"] for d in store.deliveries({}, 10, None)[0]} == {"dead"}
        assert "failed 5 times in a row" in store.deliveries({}, 10, None)[0][0]["reason"]

    def test_what_waited_while_nobody_served_is_not_overdue(self, store: Store) -> None:
        five(store, *"ab")
        assert overdue(store, SendPolicy(1.0, overdue=NOW + 1)) == []

    def test_all_dead_deliveries_of_a_destination_get_a_new_chance_at_once(
        self, store: Store
    ) -> None:
        five(store, *"abcdef")
        for _ in range(5):
            fails(store, NOW)
        overdue(store, SendPolicy(1.0, overdue=NOW + 1))
        assert do(store, "redeliver_all", "ops", NOW) == 6
        assert claim(store, now=NOW) is not None  # nor does it wait as a whole any more

    def test_an_end_owes_what_it_owes_once_and_in_the_ledger(self, store: Store) -> None:
        five(store, "a")
        mine = claim(store)
        assert mine is not None
        told = PlannedDelivery(
            "ops2", "r", Kind.FALLBACK, "fallback/1/ops2", "a", None, origin=mine.delivery
        )
        dead = AttemptResult(State.DEAD, "HTTP 404", NOW, "t", "b", owed=(told, told))
        attempt = Attempt(Outcome.FAILED, "HTTP 404", permanent=True)
        assert record(store, mine, attempt, dead) is True
        ledger = store.ledger()
        assert (ledger["owed"], ledger["imbalance"]) == (2, 0)
        got = claim(store, "ops2")
        assert got is not None
        assert got.origin is not None
        assert (got.kind, got.origin.destination) == (Kind.FALLBACK, "ops")
        assert (got.origin.reason, got.origin.dead) == ("HTTP 404", 1)

    def test_a_lost_claim_owes_nothing(self, store: Store) -> None:
        five(store, "a")
        mine = claim(store)
        assert mine is not None
        told = PlannedDelivery("ops2", "r", Kind.FALLBACK, "k", "a", None, origin=mine.delivery)
        dead = AttemptResult(State.DEAD, "gone", NOW, "t", "b", owed=(told,))
        assert record(store, replace(mine, token="x"), Attempt(Outcome.FAILED, ""), dead) is False
        assert store.ledger()["owed"] == 1

    def test_what_was_written_under_a_clock_ahead_waits_as_long_as_was_meant(
        self, store: Store
    ) -> None:
        five(store, *"abcdef")
        for _ in range(5):
            fails(store, NOW)
        held = unapplied(9, Verdict.HELD, "gap")
        save(store, replace(held, until=NOW + 30 * SECOND))
        past = NOW - 3600 * SECOND
        assert (claim(store, now=past), store.next_given_up()) == (None, NOW + 30 * SECOND)
        assert do(store, "set_back", past) == 8
        assert store.next_given_up() == past + 30 * SECOND
        assert store.next_due("ops", PACE, past) == past + 5 * SECOND
        assert claim(store, now=past + 5 * SECOND) is not None
        assert do(store, "set_back", past + 6 * SECOND) == 0
        assert store.next_given_up() == past + 30 * SECOND

    @pytest.mark.parametrize("ends", ["recorded", "recorded first", "lost", "lost first", "unsent"])
    def test_what_is_being_sent_while_the_clock_is_set_back_goes_out_again(
        self, store: Store, ends: str
    ) -> None:
        five(store, "a")
        mine = claim(store)
        assert mine is not None
        past = NOW - 86_400 * SECOND

        def sees_the_clock() -> None:
            do(store, "set_back", past)

        if "first" not in ends:
            sees_the_clock()
        if "recorded" in ends:
            again = AttemptResult(State.WAITING, "refused", past + 5 * SECOND, "t", "b", at=past)
            assert record(store, mine, Attempt(Outcome.FAILED, "refused"), again) is True
        else:
            unsent = mine if ends == "unsent" else None
            assert do(store, "release", past, own=True, unsent=unsent) == 1
        if ends != "recorded":
            sees_the_clock()
        assert claim(store, now=past + 6 * SECOND) is not None

    def test_what_is_redelivered_after_the_clock_was_set_back_goes_out(self, store: Store) -> None:
        five(store, "a")
        mine = claim(store)
        assert mine is not None
        assert record(
            store, mine, Attempt(Outcome.FAILED, "x"), AttemptResult(State.DEAD, "x", NOW, "t", "b")
        )
        past = NOW - 86_400 * SECOND
        assert do(store, "redeliver", mine.delivery, past) is True
        assert claim(store, now=past + SECOND) is not None

    def test_a_clock_that_is_right_sets_nothing_back(self, store: Store) -> None:
        five(store, *"abc")
        fails(store, NOW)
        save(store, replace(unapplied(9, Verdict.HELD, "gap"), until=NOW + 30 * SECOND))
        before = store.deliveries({}, 10, None)
        assert do(store, "set_back", NOW) == 0
        assert do(store, "set_back", NOW + SECOND) == 0
        assert store.deliveries({}, 10, None) == before

    @pytest.mark.parametrize("kind", [Kind.FALLBACK, Kind.NOTICE])
    def test_what_tells_of_an_end_is_superseded_when_that_is_over(
        self, store: Store, kind: Kind
    ) -> None:
        number = fallen(store, kind)
        assert do(store, "redeliver", number, NOW) is True
        assert claim(store, "ops2") is None
        (told,) = store.deliveries({"destination": "ops2"}, 1, None)[0]
        assert (told["state"], told["reason"]) == ("superseded", "ops got another chance")

    def test_a_destination_that_asks_for_time_gets_it_for_all_its_messages(
        self, store: Store
    ) -> None:
        five(store, *"abc")
        mine = claim(store)
        assert mine is not None
        busy = Attempt(Outcome.FAILED, "HTTP 429", retry_after=60.0)
        record(store, mine, busy, AttemptResult(State.WAITING, "HTTP 429", NOW + SECOND, "t", "b"))
        assert claim(store, now=NOW + 59 * SECOND) is None
        waiting = store.deliveries({"state": "waiting"}, 9, None)[0]
        assert {item["due_at"] for item in waiting} == {NOW + 60 * SECOND}
        assert claim(store, now=NOW + 60 * SECOND) is not None

    def test_a_destination_that_waits_as_a_whole_can_be_tried_at_once(self, store: Store) -> None:
        five(store, *"abcdefg")
        for _ in range(5):
            fails(store, NOW)
        assert claim(store, now=NOW) is None
        mine = do(store, "claim", "ops", PACE, NOW, NOW + SECOND, anyway=True)
        assert isinstance(mine, Claim)
        assert claim(store, now=NOW) is None  # it is tried once
        record(store, mine, DELIVERED, SENT)
        assert claim(store, now=NOW) is not None

    def test_it_is_known_what_waits_for_a_destination_that_nobody_serves(
        self, store: Store
    ) -> None:
        assert store.waits_for_others([]) is False
        save(store, applied(1, Status.FAILED, None, owed("old", "k-1"), owed("ops", "k-2")))
        assert store.waits_for_others(["ops"]) is True
        assert store.waits_for_others(["old", "ops", "new"]) is False

    def test_an_attempt_is_dated_by_its_start(self, store: Store) -> None:
        five(store, "a")
        mine = claim(store, now=NOW + SECOND)
        assert mine is not None
        record(store, mine, Attempt(Outcome.DELIVERED, "", 40_000), SENT)
        (attempt,) = store.deliveries({}, 1, None)[0][0]["attempts"]
        assert attempt["at"] == NOW + SECOND

    def test_pages_are_newest_first_and_complete(self, store: Store) -> None:
        for number in range(7):
            of = replace(event(number), execution_id=f"x-{number}")
            after = Execution("s", f"x-{number}", Status.RUNNING, NOW, NOW, 1, NOW)
            save(
                store,
                JudgedWebhook(
                    "s", of, Judgement(Verdict.APPLIED, "first_seen"), NOW, b"", after=after
                ),
            )
        seen, after_page = [], None
        while True:
            items, after_page = store.executions({"status": "running"}, 3, after_page)
            seen += [item["execution_id"] for item in items]
            if after_page is None:
                break
        assert seen == [f"x-{number}" for number in reversed(range(7))]
        assert len(store.executions({"category": "processing"}, 9, None)[0]) == 7
        for none in ({"category": "awaiting"}, {"status": "paused"}, {"category": "terminal"}):
            assert store.executions(none, 9, None) == ([], None)
        assert store.executions({"q": "x-3"}, 3, None)[0][0]["execution_id"] == "x-3"

    def test_a_search_that_is_bounded_gives_up_early_and_says_where_it_goes_on(
        self, store: Store
    ) -> None:
        five(store, "a", "b", "c")
        for number in range(9, 16):
            of = replace(event(number), execution_id=f"x-{number}")
            after = Execution("s", f"x-{number}", Status.RUNNING, NOW, NOW, 1, NOW)
            judgement = Judgement(Verdict.APPLIED, "first_seen")
            save(store, JudgedWebhook("s", of, judgement, NOW, b"", after=after))
        for look, conditions in (
            (store.executions, {"q": "x-9"}),
            (store.executions, {"agent": "nobody"}),
            (store.events, {"event": "none"}),
            (store.events, {"source": "s"}),
            (store.deliveries, {"kind": "reminder"}),
            (store.deliveries, {"kind": "notice"}),
        ):
            found: list[dict[str, Any]] = []
            pages, cursor = 0, None
            while True:
                some, cursor = look(conditions, 2, cursor, 2)
                found += some
                pages += 1
                if cursor is None:
                    break
            assert found == look(conditions, 99, None)[0]
            assert pages >= len(look({}, 99, None)[0]) // 2
        # What an index finds is not searched for, nor is a list of all.
        assert store.executions({"status": "running", "q": "x-9"}, 2, None, 1)[1] is None
        (only,), rest = store.executions({"execution_id": "x-9"}, 2, None, 1)
        assert (only["execution_id"], rest) == ("x-9", None)
        assert len(store.executions({}, 2, None, 1)[0]) == 2

    @pytest.mark.parametrize(
        ("pattern", "fitting"),
        [
            ("Invoice agent", ["0"]), ("Invoice *", ["0", "2"]), ("invoice *", []), ("a-?", ["1"]),
            ("*", ["0", "1", "2", "3", "4"]), ("!Invoice *", ["1", "3", "4"]), ("100%", ["3"]),
            ("1_0%", []), ("caf\u00e9", ["4"]), ("cafe\u0301?", []), ("a!b", []),
        ],
    )  # fmt: skip
    def test_agents_are_found_by_patterns_as_in_a_route(
        self, store: Store, pattern: str, fitting: list[str]
    ) -> None:
        agents = [(None, "Invoice agent"), ("a-1", "Payroll"), ("b-1", "Invoice two"),
                  (None, "100%"), (None, "caf\u00e9")]  # fmt: skip
        for number, (agent_id, name) in enumerate(agents):
            of = replace(event(number), execution_id=str(number))
            after = Execution("s", str(number), Status.RUNNING, NOW, NOW, 1, NOW, agent_id, name)
            save(store, JudgedWebhook("s", of, Judgement(Verdict.APPLIED, "first_seen"), NOW, b"",
                                      after=after))  # fmt: skip
        found: list[str] = []
        after_page: int | None = None
        while True:
            items, after_page = store.executions({"agent": pattern}, 1, after_page)
            found += [item["execution_id"] for item in items]
            if after_page is None:
                break
        assert found == fitting[::-1]

    def test_a_change_is_known_whatever_the_verdict_about_it(self, store: Store) -> None:
        first = applied(5, Status.RUNNING, None)
        second = applied(7, Status.PAUSED, first.after)
        other = applied(1, Status.RUNNING, None)
        assert other.event is not None
        assert other.after is not None
        other_one = (
            replace(other.event, execution_id="x-2"),
            replace(other.after, execution_id="x-2"),
        )
        save(store, first, unapplied(6, Verdict.REJECTED, "illegal"), second)
        save(store, replace(other, event=other_one[0], after=other_one[1]))
        again = {
            number: replace(event(number, status), event_id="again")
            for number, status in ((5, Status.RUNNING), (6, Status.RUNNING), (7, Status.PAUSED))
        }
        assert [known(store, of).changes for of in again.values()] == [
            {change_of(of)} for of in again.values()
        ]
        # Another time, status, name or execution is another change.
        for of in (
            replace(again[5], occurred_at=NOW + 6 * SECOND + 1),
            replace(again[5], status=Status.PAUSED),
            replace(again[7], event="ANOTHER"),
            replace(again[6], execution_id="x-2"),
            replace(again[7], execution_id="x-2"),
        ):
            assert known(store, of).changes == set()
        told = [each["seq"] for each in store.events({"execution_id": "x-1"}, 2, None)[0]]
        assert told == [3, 2]
        story = store.execution("s", "x-1")
        assert story is not None
        assert [each["seq"] for each in story["events"]] == [1, 2, 3]
        assert store.heard_after("s", "x-1", 1, 9) == [NOW, NOW]

    def test_every_event_is_listed_and_found_by_what_is_said_of_it(self, store: Store) -> None:
        save(store, *(applied(n, Status.RUNNING, None) for n in range(1)))
        save(
            store,
            unapplied(1, Verdict.STALE, "older"),
            unapplied(2, Verdict.IGNORED, "unknown_event"),
        )
        save(
            store, JudgedWebhook("s", None, Judgement(Verdict.QUARANTINED, "malformed"), NOW, b"{")
        )

        def seqs(**conditions: str) -> list[int]:
            return [each["seq"] for each in store.events(conditions, 9, None)[0]]

        assert seqs() == [4, 3, 2, 1]
        assert seqs(verdict="quarantined") == [4]
        assert seqs(verdict="stale") == seqs(event_id="e-1", source="s") == [2]
        assert (seqs(verdict="ignored"), seqs(verdict="rejected"), seqs(verdict="applied")) == (
            [3], [], [1]
        )  # fmt: skip
        assert seqs(source="other") == seqs(execution_id="other") == []
        assert seqs(source="s", execution_id="x-1") == seqs(execution_id="x-1") == [3, 2, 1]
        items, following = store.events({}, 3, None)
        assert ([each["seq"] for each in items], following) == ([4, 3, 2], 2)
        assert [each["seq"] for each in store.events({}, 3, following)[0]] == [1]
        quarantined = store.event(4)
        assert quarantined is not None
        assert quarantined["body"] == b"{"
        assert store.event(5) is None
        assert store.names()["source"] == ["s"]

    def test_a_story_may_be_of_the_last_events_alone_and_still_has_the_whole_path(
        self, store: Store
    ) -> None:
        first = applied(1, Status.RUNNING, None)
        save(store, first)
        save(store, applied(2, Status.AWAITING_CONFIRMATION, first.after))
        save(store, unapplied(3, Verdict.STALE, "older"))
        story, whole = store.execution("s", "x-1", 2), store.execution("s", "x-1")
        assert story is not None
        assert whole is not None
        assert [each["seq"] for each in story["events"]] == [2, 3]
        assert story["events"] == whole["events"][1:]
        assert (story["n"], story["path"]) == (3, whole["path"])
        assert [(n, status) for n, status, _ in story["path"]] == [
            (1, "running"), (2, "awaiting_confirmation")
        ]  # fmt: skip

    def test_what_waits_for_people_comes_the_longest_first_with_what_it_is_about(
        self, store: Store
    ) -> None:
        asked = replace(event(2, Status.AWAITING_CONFIRMATION), detail={"reason": "pay?"})
        entry = applied(2, Status.AWAITING_CONFIRMATION, None, owed("ops", "a", 1))
        save(store, replace(entry, event=asked))
        for number, status in ((1, Status.PAUSED_BY_AGENT), (3, Status.FAILED)):
            of = event(number, status, f"x-{number}0")
            moved = applied(number, status, None)
            assert moved.after is not None
            after = replace(moved.after, execution_id=of.execution_id or "")
            save(store, replace(moved, event=of, after=after))
        first, second = store.needing_people(9)
        assert [first["execution_id"], second["execution_id"]] == ["x-10", "x-1"]
        assert second["detail"] == {"reason": "pay?"}
        told = {"destination": "ops", "kind": "notice", "state": "waiting", "printed": False}
        assert second["told"] == [told]
        assert [each["execution_id"] for each in store.needing_people(1)] == ["x-10"]
        (ended,) = store.failed(NOW, 9)
        assert (ended["execution_id"], ended["told"]) == ("x-30", [])
        assert store.failed(NOW + 4 * SECOND, 9) == []
        three = [("s", "x-1"), ("s", "x-10"), ("s", "x-30")]
        assert store.told_of(three) == store.told_of([]) == {}
        mine = claim(store)
        assert mine is not None
        record(store, mine, Attempt(Outcome.DELIVERED, ""), SENT)
        assert store.told_of(three) == {("s", "x-1"): False}
        assert store.told_of([("other", "x-1"), ("s", "x-10")]) == {}

    def test_what_happened_is_counted_in_parts_of_a_time(self, store: Store) -> None:
        assert (store.happened(NOW, SECOND), store.waited(NOW, SECOND)) == ([], [])
        starts = applied(1, Status.RUNNING, None)
        asks = applied(2, Status.AWAITING_CONFIRMATION, starts.after)
        goes_on = applied(9, Status.RUNNING, asks.after)
        entries = [starts, asks, goes_on, unapplied(5, Verdict.REJECTED, "illegal")]
        for n, entry in enumerate(entries):
            save(store, replace(entry, judged_at=NOW + n * SECOND))
        counted = {(h.part, h.verdict, h.status): h.n for h in store.happened(NOW, 2 * SECOND)}
        assert counted == {
            (0, "applied", "running"): 1, (0, "applied", "awaiting_confirmation"): 1,
            (1, "applied", "running"): 1, (1, "rejected", "running"): 1,
        }  # fmt: skip
        assert sum(h.n for h in store.happened(NOW + 3 * SECOND, SECOND)) == 1
        assert store.happened(NOW + 4 * SECOND, SECOND) == []
        (waited,) = store.waited(NOW, SECOND)
        assert (waited.part, waited.n, waited.median, waited.longest) == (
            2, 1, 7 * SECOND, 7 * SECOND
        )  # fmt: skip

    def test_it_is_known_how_each_destination_stands(self, store: Store) -> None:
        assert store.standings(NOW) == {}
        five(store, "a", "b", "c")
        first, second = claim(store), claim(store)
        assert first is not None
        assert second is not None
        do(store, "record", first, DELIVERED, SENT)
        dead = AttemptResult(State.DEAD, "no", NOW, "t", "b")
        do(store, "record", second, Attempt(Outcome.FAILED, "refused", 1), dead)
        stands = store.standings(NOW)["ops"]
        assert (stands.succeeded_at is None, stands.failing_since is None) == (False, False)
        assert (stands.last_failure, stands.waiting, stands.dead) == ("refused", 1, 1)
        assert [d["state"] for d in store.deliveries({"state": "dead"}, 9, None)[0]] == ["dead"]

    def test_many_writers_share_commits_and_each_gets_its_own_answer(self, store: Store) -> None:
        batches: list[int] = []

        def act(transaction: Transaction, items: Sequence[int]) -> list[int]:
            batches.append(len(items))
            transaction.heartbeat()
            return [item * 2 for item in items]

        async def all_at_once() -> list[int]:
            return list(await asyncio.gather(*[store.write(act, n) for n in range(500)]))

        assert asyncio.run(all_at_once()) == [n * 2 for n in range(500)]
        assert len(batches) < 250

    def test_only_the_poisonous_write_of_a_batch_fails(self, store: Store) -> None:
        def act(transaction: Transaction, items: Sequence[int]) -> list[int]:
            transaction.save([applied(n, Status.RUNNING, None) for n in items if n == 7])
            if 3 in items:
                raise ValueError("poison")
            return list(items)

        async def all_at_once() -> list[object]:
            writes = [store.write(act, n) for n in range(10)]
            return list(await asyncio.gather(*writes, return_exceptions=True))

        results = asyncio.run(all_at_once())
        assert isinstance(results.pop(3), StorageUnavailable)
        assert results == [0, 1, 2, 4, 5, 6, 7, 8, 9]
        assert store.ledger()["accepted"] == 1

    def test_a_backlog_that_is_full_refuses_at_once(self, engine: Engine) -> None:
        store = engine(backlog=1)
        entered, leave = threading.Event(), threading.Event()

        def block(transaction: Transaction, items: Sequence[int]) -> list[int]:
            entered.set()
            leave.wait(10)
            return list(items)

        async def three() -> list[int]:
            first = asyncio.create_task(store.write(block, 1))
            await asyncio.to_thread(entered.wait, 10)
            second = asyncio.create_task(store.write(block, 2))
            await asyncio.sleep(0)  # lets the second go and stand in the queue
            with pytest.raises(Overloaded):
                await store.write(block, 3)
            leave.set()
            return [await first, await second]

        assert asyncio.run(three()) == [1, 2]
        store.close()

    def test_a_closed_store_says_so(self, engine: Engine) -> None:
        store = engine()
        store.close()
        with pytest.raises(StorageUnavailable):
            store.check_writable()

    def test_what_was_answered_is_there_after_reopening(self, engine: Engine) -> None:
        store = engine()
        save(store, applied(1, Status.RUNNING, None))
        store.close()
        again = engine()
        assert known(again, event(1)).event_ids == {("s", "e-1")}
        again.close()

    def test_what_waits_is_superseded_by_a_move_in_its_own_transaction(self, store: Store) -> None:
        first = applied(1, Status.AWAITING_CONFIRMATION, None, owed("ops", "k-1", guard=1))
        save(store, first)
        second = applied(2, Status.RUNNING, first.after, owed("ops", "k-2", guard=2))
        third = applied(3, Status.AWAITING_CONFIRMATION, second.after, owed("ops", "k-3", guard=3))
        save(store, second, third)
        shown = [(d["state"], d["reason"]) for d in store.deliveries({}, 9, None)[0]]
        assert shown == [
            ("waiting", ""), ("superseded", "no longer running: now awaiting_confirmation"),
            ("superseded", "no longer awaiting_confirmation: now awaiting_confirmation again"),
        ]  # fmt: skip

    def test_an_episode_is_taken_and_taken_over_and_the_next_anew(self, store: Store) -> None:
        def takes(by: str, at: int) -> object:
            return do(store, "acknowledge", "s", "x-1", Acknowledgement(by, at), ["r"])

        ann, bob = Acknowledgement("Ann", NOW), Acknowledgement("Bob", NOW + 2, "Ann")
        assert takes("Ann", NOW) == TakeResult(TakeOutcome.UNKNOWN)
        first = applied(1, Status.AWAITING_CONFIRMATION, None)
        save(store, first)
        assert takes("Ann", NOW) == TakeResult(TakeOutcome.TAKEN, ann)
        assert takes("Ann", NOW + 1) == TakeResult(TakeOutcome.ALREADY_TAKEN, ann)
        assert takes("Bob", NOW + 2) == TakeResult(TakeOutcome.TAKEN_OVER, bob)
        assert takes("BOB", NOW + 3) == TakeResult(TakeOutcome.ALREADY_TAKEN, bob)
        shown = store.executions({}, 1, None)[0][0]["acknowledged"]
        assert shown == {"by": "Bob", "at": NOW + 2, "taken_from": "Ann"}
        second = applied(2, Status.RUNNING, first.after)
        save(store, second)
        eve = Acknowledgement("Eve", NOW + 4)
        assert takes("Eve", NOW + 4) == TakeResult(TakeOutcome.TAKEN, eve)
        save(store, applied(3, Status.COMPLETED, second.after))
        assert takes("Ann", NOW + 5) == TakeResult(TakeOutcome.ENDED)

    def test_a_condition_of_taking_holds_against_another_episode_and_another_taker(
        self, store: Store
    ) -> None:
        def takes(by: str, version: int, taken_by: str | None = None) -> TakeOutcome:
            only, taken = OnlyIf(version, taken_by), Acknowledgement(by, NOW)
            result = do(store, "acknowledge", "s", "x-1", taken, ["r"], only)
            assert isinstance(result, TakeResult)
            return result.outcome

        first = applied(1, Status.AWAITING_CONFIRMATION, None)
        save(store, first)
        assert takes("Ann", 2) is TakeOutcome.ENDED
        assert takes("Ann", 1) is TakeOutcome.TAKEN
        assert takes("Ann", 1) is TakeOutcome.ALREADY_TAKEN
        assert takes("Bob", 1) is TakeOutcome.TAKEN_BY_ANOTHER
        assert takes("Bob", 1, "Eve") is TakeOutcome.TAKEN_BY_ANOTHER
        assert store.executions({}, 1, None)[0][0]["acknowledged"]["by"] == "Ann"
        assert takes("Bob", 1, "Ann") is TakeOutcome.TAKEN_OVER
        save(store, applied(2, Status.RUNNING, first.after))
        assert takes("Eve", 1, "Bob") is TakeOutcome.ENDED
        assert store.executions({}, 1, None)[0][0]["acknowledged"] is None

    def test_the_key_of_links_is_made_once_for_all(self, engine: Engine) -> None:
        with closing(engine()) as store:
            assert do(store, "link_key", b"k" * 32, NOW) == b"k" * 32
            assert do(store, "link_key", b"o" * 32, NOW) == b"k" * 32
        with closing(engine()) as store:
            assert do(store, "link_key", b"o" * 32, NOW) == b"k" * 32

    def test_a_message_leads_to_its_episode_and_to_those_who_were_told(self, store: Store) -> None:
        first = applied(1, Status.AWAITING_CONFIRMATION, None, owed("d", "k-1", 1))
        save(store, first)
        found = claim(store, "d")
        assert found is not None
        assert store.taking(found.delivery + 99) is None
        about = store.taking(found.delivery)
        assert about is not None
        assert (about["destination"], about["version"], about["is_over"]) == ("d", 1, False)
        assert (about["told"], about["acknowledged"]) == ([], None)
        do(store, "record", found, DELIVERED, SENT)
        do(store, "acknowledge", "s", "x-1", Acknowledgement("Ann", NOW), ["r"])
        save(store, applied(2, Status.RUNNING, first.after))
        about = store.taking(found.delivery)
        assert about is not None
        assert about["is_over"] is True
        assert about["acknowledged"] == {"by": "Ann", "at": NOW, "taken_from": None}
        assert [(each["destination"], each["n"]) for each in about["told"]] == [("d", 1)]
        assert about["execution"]["status"] == "running"
        assert about["status"] == "awaiting_confirmation"

    def test_the_audit_is_listed_newest_first_filtered_and_pruned(self, store: Store) -> None:
        ann, bob = Actor("Ann", Door.API, "203.0.113.7"), Actor("", Door.SIGNAL)
        taken = Entry(NOW, Act.TAKE, ann, "s", "x-1", result="taken")
        do(store, "note", [taken, Entry(NOW + 1, Act.RELOAD, bob, result="loaded")])
        do(store, "note", [Entry(NOW + 2, Act.TEST, ann, about="ops")])
        rows, following = store.audit({}, 2, None)
        assert [row["act"] for row in rows] == ["test", "reload"]
        rest, none = store.audit({}, 2, following)
        assert rest == [{
            "id": rest[0]["id"], "at": NOW, "act": "take", "who": "Ann", "door": "api",
            "place": "203.0.113.7", "source": "s", "execution_id": "x-1", "about": "",
            "result": "taken",
        }]  # fmt: skip
        assert none is None
        for conditions, acts in (
            ({"who": "Ann"}, ["test", "take"]), ({"door": "signal"}, ["reload"]),
            ({"act": "take", "who": "Ann"}, ["take"]), ({"execution_id": "x-1"}, ["take"]),
            ({"source": "s", "who": "Bob"}, []),
        ):  # fmt: skip
            assert [row["act"] for row in store.audit(conditions, 9, None)[0]] == acts
        limits = Limits(NOW, NOW, NOW + 1)
        assert store.prunable(limits)["acts"] == 1
        gone = do(store, "prune", limits, PruneCursor(PruneStage.AUDIT))
        assert isinstance(gone, Pruned)
        assert (gone.acts, gone.after) == (1, PruneCursor(PruneStage.BODIES))
        assert [row["act"] for row in store.audit({}, 9, None)[0]] == ["test", "reload"]

    def test_requests_to_a_provider_have_their_times_whoever_asks(self, engine: Engine) -> None:
        """A second's worth goes at once, the rest one after the other; another key has its own."""

        def reserve(store: Store, of: str, now: int, interval: int = SECOND // 2) -> float:
            wait = do(store, "reserve", of, interval, SECOND, now)
            assert isinstance(wait, int)
            return wait / SECOND

        with closing(engine()) as store:
            assert [reserve(store, "k", NOW) for _ in range(4)] == [0, 0, 0.5, 1]
            assert reserve(store, "other", NOW) == 0
        with closing(engine()) as store:  # another process
            assert reserve(store, "k", NOW + SECOND) == 0.5
            do(store, "reserve", "k", 61 * SECOND, 0, NOW + SECOND)  # hold everybody back
            assert reserve(store, "k", NOW + 30 * SECOND) > 30
            assert reserve(store, "k", NOW + 9_000 * SECOND) == 0
            assert reserve(store, "k", NOW - 9_000 * SECOND) == 0  # the clock was set back

    def test_one_at_a_time_has_the_turn_at_an_execution(self, engine: Engine) -> None:
        def turn_of(token: str, execution: str = "x-1") -> Turn:
            return Turn("s", execution, token, version=3)

        def take(store: Store, turn: Turn, now: int) -> object:
            return do(store, "take_turn", turn, now + 60 * SECOND, now)

        ann, bob = turn_of("a"), turn_of("b")
        entry = Entry(NOW, Act.RESUME, Actor("Ann", Door.PAGE), "s", "x-1", "", BEGUN)
        with closing(engine()) as store:
            assert take(store, ann, NOW) == ann
            assert take(store, bob, NOW + SECOND) is None
            assert take(store, turn_of("b", "x-2"), NOW) is not None
            assert do(store, "begin_act", bob, entry, NOW + SECOND, NOW) is None
            number = do(store, "begin_act", ann, entry, NOW + 60 * SECOND, NOW)
            assert [each["result"] for each in store.audit({}, 9, None)[0]] == ["begun"]
            do(store, "give_turn", ann, number, "done", NOW + 2 * SECOND)
        with closing(engine()) as store:  # another process
            taken = take(store, bob, NOW + 3 * SECOND)
            assert taken == replace(bob, pending=Act.RESUME, who="Ann")
            do(store, "give_turn", bob, None, "", NOW + 4 * SECOND)
            assert take(store, ann, NOW + 5 * SECOND) == replace(ann, pending=Act.RESUME, who="Ann")
            do(store, "give_turn", ann, None, "", NOW + 6 * SECOND)
            assert take(store, bob, NOW + 65 * SECOND) == bob  # nothing is pending any more
            assert [each["result"] for each in store.audit({}, 9, None)[0]] == ["done"]

    def test_an_act_whose_process_died_is_uncertain_and_found(self, engine: Engine) -> None:
        ann, bob, late = Turn("s", "x-1", "a"), Turn("s", "x-1", "b"), NOW + 61 * SECOND
        entry = Entry(NOW, Act.CANCEL, Actor("Ann", Door.API), "s", "x-1", "", BEGUN)
        with closing(engine()) as store:
            assert do(store, "take_turn", ann, NOW + 60 * SECOND, NOW) == ann
            number = do(store, "begin_act", ann, entry, NOW + 60 * SECOND, NOW)
        with closing(engine()) as store:  # the process of Ann is gone
            assert do(store, "take_turn", bob, NOW + 99 * SECOND, NOW + SECOND) is None
            assert list(store.abandoned(NOW + SECOND)) == []
            assert list(store.abandoned(late)) == [("s", "x-1")]
            assert do(store, "begin_act", ann, entry, late, late) is None
            assert do(store, "take_turn", bob, late + SECOND, late) == bob
            assert [each["result"] for each in store.audit({}, 9, None)[0]] == ["uncertain"]
            do(store, "give_turn", bob, None, "", late)
            assert list(store.abandoned(late + SECOND)) == []
            do(store, "give_turn", ann, number, "done", late)  # it only was slow
            assert [each["result"] for each in store.audit({}, 9, None)[0]] == ["done"]

    def test_a_turn_ends_though_the_clock_is_set_back(self, store: Store) -> None:
        ahead = NOW + 7_200 * SECOND
        assert do(store, "take_turn", Turn("s", "x-1", "a"), ahead + SECOND, ahead)
        assert do(store, "take_turn", Turn("s", "x-1", "b"), NOW + SECOND, NOW)

    def test_what_must_never_be_of_reminders_and_silences_cannot_be_written(
        self, store: Store
    ) -> None:
        one = applied(1, Status.AWAITING_CONFIRMATION, None, reminder("k-1"))
        with pytest.raises(StorageUnavailable):  # two that wait, of one episode
            save(store, replace(one, owed=(reminder("k-1"), reminder("k-2", 2))))
        with pytest.raises(StorageUnavailable):  # one of no episode
            save(store, replace(one, owed=(reminder("k-1", guard=None),)))
        with pytest.raises(StorageUnavailable):  # which one is it?
            save(store, replace(one, owed=(reminder("k-1", 0),)))
        with pytest.raises(StorageUnavailable):  # a digest of nothing
            save(store, replace(one, owed=(replace(reminder("k-1"), kind=Kind.DIGEST),)))
        save(store, one)
        assert claim(store) is None
        assert claim(store, now=NOW + 60 * SECOND) is not None

    def test_what_is_owed_for_later_is_due_then_and_holds_up_nothing(self, store: Store) -> None:
        save(
            store,
            applied(1, Status.AWAITING_CONFIRMATION, None, reminder("k-1"), owed("ops", "k-2")),
        )
        assert store.next_due("ops", PACE, NOW) == NOW
        mine = claim(store)
        assert mine is not None
        assert mine.kind is Kind.NOTICE
        later = claim(store, now=NOW + 60 * SECOND)
        assert later is not None
        assert (later.kind, later.step, later.owed_at) == (Kind.REMINDER, 1, NOW + 60 * SECOND)

    def test_failures_are_counted_until_it_works_again(self, store: Store) -> None:
        assert do(store, "failures", "ops") == Failures()
        five(store, *"aab")
        for n in (1, 2):
            mine = claim(store, now=NOW)
            assert mine is not None
            again = AttemptResult(State.WAITING, "refused", NOW, "t", "b")
            assert do(store, "record", mine, Attempt(Outcome.FAILED, "refused"), again) is True
            assert do(store, "failures", "ops") == Failures(n, several=False)
        mine = claim(store, now=NOW + SECOND)
        assert mine is not None
        do(store, "record", mine, DELIVERED, SENT)
        assert do(store, "failures", "ops") == Failures()

    def test_a_destination_that_pauses_waits_to_the_end_of_it(self, store: Store) -> None:
        five(store, "a", "b")
        mine = claim(store)
        assert mine is not None
        do(store, "record", mine, DELIVERED, SENT)
        do(store, "pause", "ops", NOW, NOW + 30 * SECOND)
        assert claim(store, now=NOW + 30 * SECOND - 1) is None
        assert store.next_due("ops", PACE, NOW) == NOW + 30 * SECOND
        assert claim(store, now=NOW + 30 * SECOND) is not None

    def test_news_are_the_destinations_of_what_is_due_after_a_commit(self, store: Store) -> None:
        """No timer looks meanwhile; PostgreSQL's word from outside (None) counts as nothing."""
        heard: list[str] = []
        store.on_news(lambda destinations: heard.extend(sorted(destinations or ())))

        def news() -> list[str]:
            store.check_writable()  # after the commit before, and its news
            found, heard[:] = heard[:], []
            return found

        first = applied(1, Status.AWAITING_CONFIRMATION, None, owed("ops", "k-1"), reminder("k-2"))
        save(store, first)
        assert news() == ["ops"]
        store.rehearse(lambda t, items: [t.redeliver_all("never", NOW)], None)
        later = replace(reminder("k-3"), destination="later")
        save(store, replace(unapplied(5, Verdict.REJECTED, "terminal"), owed=(later,)))
        assert news() == []  # undone, or for later
        mine = claim(store)
        assert mine is not None
        assert news() == []
        told = PlannedDelivery("others", "r", Kind.FALLBACK, "k-4", "a", None, origin=mine.delivery)
        dead = AttemptResult(State.DEAD, "HTTP 404", NOW, "t", "b", owed=(told,))
        record(store, mine, Attempt(Outcome.FAILED, "HTTP 404", permanent=True), dead)
        assert news() == ["others"]
        assert do(store, "redeliver", mine.delivery, NOW) is True
        assert news() == ["ops"]
        mine = claim(store)
        assert mine is not None
        record(store, mine, DELIVERED, SENT)
        do(store, "acknowledge", "s", "x-1", Acknowledgement("Ann", NOW), ["route"])
        assert news() == ["ops"]
        ended = applied(3, Status.RUNNING, first.after)
        save(store, replace(ended, resolved=("route",)))
        assert news() == ["ops"]

    def test_one_reminder_of_an_episode_gets_a_new_chance(self, store: Store) -> None:
        save(store, applied(1, Status.AWAITING_CONFIRMATION, None, reminder("k-1")))
        dead, numbers = AttemptResult(State.DEAD, "gone", NOW, "t", "b"), []
        for step in (2, 3):
            mine = claim(store, now=NOW + 60 * SECOND)
            assert mine is not None
            do(store, "record", mine, Attempt(Outcome.FAILED, "gone", permanent=True), dead)
            numbers.append(mine.delivery)
            do(store, "owe", mine.delivery, [reminder(f"k-{step}", step)], NOW)
        assert do(store, "redeliver", numbers[0], NOW) is False  # a later one waits
        mine = claim(store, now=NOW + 60 * SECOND)
        assert mine is not None
        do(store, "record", mine, Attempt(Outcome.FAILED, "gone", permanent=True), dead)
        assert do(store, "redeliver_all", "ops", NOW) == 1
        waiting = store.deliveries({"state": "waiting"}, 9, None)[0]
        assert [item["id"] for item in waiting] == numbers[:1]
        assert do(store, "redeliver", numbers[1], NOW) is False
        assert store.ledger()["imbalance"] == 0

    def test_times_are_instants(self, store: Store) -> None:
        save(store, applied(1, Status.RUNNING, None, owed("ops", "k-1")))
        found = store.execution("s", "x-1")
        assert found is not None
        assert found["execution"]["since"] == NOW + SECOND
        assert found["events"][0]["received_at"] == NOW
        assert found["deliveries"][0]["due_at"] == NOW
