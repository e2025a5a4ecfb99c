"""The store's contract as tests. Each engine has to pass all of them; SQLite is the first."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
import sqlite_utils

from receiver.deliveries import Attempt, Claim, Kind, Outcome, PlannedDelivery, State
from receiver.errors import Overloaded, StorageRefused, StorageUnavailable
from receiver.events import Event, Execution, Judgement, Status, Verdict
from receiver.routing.policy import SendPolicy
from receiver.store.contract import AttemptResult, JudgedWebhook, Loaded, Store, Transaction
from receiver.store.sql import claims, episodes, loading, silences
from receiver.store.sql import outbox as deliveries
from receiver.store.sql.transaction import EXECUTION_MOVES, NUMBERS
from receiver.store.sqlite.connection import APPLICATION_ID, connect, statements
from receiver.store.sqlite.many_rows import MOST, ManyRows
from receiver.store.sqlite.store import SqliteStore, open_existing
from receiver.times import SECOND, parse_time

NOW = 1_800_000_000 * SECOND


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = SqliteStore(tmp_path / "receiver.db", serve=True)
    yield opened
    opened.close()


def event(number: int, status: Status = Status.RUNNING, execution: str = "x-1") -> Event:
    return Event("s", f"e-{number}", "EVENT", status, execution, NOW + number * SECOND)


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


PACE = SendPolicy(1_000.0)
SENT = AttemptResult(State.SENT, "", NOW, "title", "body")
DELIVERED = Attempt(Outcome.DELIVERED, "", 5)


def test_what_was_saved_is_loaded_and_shown(store: Store) -> None:
    save(store, applied(1, Status.RUNNING, None, owed("ops", "k-1")))
    loaded = store.known(event(1))
    assert loaded.event_ids == {("s", "e-1")}
    assert loaded.changes == {("s", "x-1", Status.RUNNING, NOW + SECOND)}
    assert loaded.executions["s", "x-1"].status is Status.RUNNING
    found = store.execution("s", "x-1")
    assert found is not None
    assert found["execution"]["status"] == "running"
    assert [(e["verdict"], e["reason"]) for e in found["events"]] == [("applied", "first_seen")]
    assert [d["state"] for d in found["deliveries"]] == ["waiting"]


def test_an_execution_moves_within_a_batch_and_across_batches(store: Store) -> None:
    first = applied(1, Status.RUNNING, None)
    second = applied(2, Status.PAUSED, first.after)
    save(store, first, second)
    save(store, applied(3, Status.RUNNING, second.after))
    stored = store.known(event(9)).executions["s", "x-1"]
    assert (stored.status, stored.version) == (Status.RUNNING, 3)
    assert store.ledger()["imbalance"] == 0


def test_a_version_that_was_overtaken_cannot_be_written(store: Store) -> None:
    first = applied(1, Status.RUNNING, None)
    save(store, first)
    save(store, applied(2, Status.PAUSED, first.after))
    with pytest.raises(StorageUnavailable):
        save(store, applied(3, Status.COMPLETED, first.after))
    assert store.known(event(9)).executions["s", "x-1"].status is Status.PAUSED
    assert store.known(event(3)).event_ids == set()


def test_a_terminal_execution_never_changes_whoever_writes(store: Store) -> None:
    end = applied(1, Status.FAILED, None)
    save(store, end)
    with pytest.raises(StorageUnavailable):
        save(store, applied(2, Status.RUNNING, end.after))


def test_a_repeated_event_id_is_counted_in_one_row(store: Store) -> None:
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


def test_a_quarantined_event_stands_apart_and_does_not_keep_its_id(store: Store) -> None:
    save(store, applied(1, Status.RUNNING, None))
    save(store, unapplied(2, Verdict.QUARANTINED, "future"))
    executions, held = store.known(event(1)).executions, {("s", "x-1"): []}
    assert store.known(event(2)) == Loaded(set(), set(), executions, held)
    found = store.execution("s", "x-1")
    assert found is not None
    assert len(found["events"]) == 1
    assert store.ledger()["verdicts"]["quarantined"] == 1


def test_quarantine_is_bounded_and_still_accounted_for(store: Store) -> None:
    for start in range(0, 1_250, 250):
        save(
            store,
            *[unapplied(n, Verdict.QUARANTINED, "future") for n in range(start, start + 250)],
        )
    ledger = store.ledger()
    assert ledger["verdicts"]["quarantined"] == 1_250
    assert (ledger["accepted"], ledger["imbalance"]) == (1_250, 0)


def test_quarantine_owes_one_message_for_a_key(store: Store) -> None:
    message = owed("ops", "quarantine/s/future/1/ops")
    entry = replace(unapplied(1, Verdict.QUARANTINED, "future"), owed=(message,))
    save(store, entry, entry)
    save(store, entry)
    ledger = store.ledger()
    assert (ledger["owed"], ledger["imbalance"]) == (1, 0)


def test_a_delivery_is_claimed_by_one_and_recorded_with_its_token_only(store: Store) -> None:
    save(store, applied(1, Status.RUNNING, None, owed("ops", "k-1")))
    mine = claim(store)
    assert mine is not None
    assert (mine.facts.status, mine.attempts, mine.repeat) == (Status.RUNNING, 0, False)
    assert claim(store) is None
    assert do(store, "record", replace(mine, token="other"), DELIVERED, SENT) is False
    assert do(store, "record", mine, DELIVERED, SENT) is True
    assert do(store, "record", mine, DELIVERED, SENT) is False
    shown = store.deliveries({}, 10, None)[0][0]
    assert (shown["state"], shown["title"], len(shown["attempts"])) == ("sent", "title", 1)


def test_a_lease_that_is_over_comes_back_as_a_repeat(store: Store) -> None:
    save(store, applied(1, Status.RUNNING, None, owed("ops", "k-1")))
    lost = claim(store)
    again = claim(store, now=NOW + 61 * SECOND)
    assert lost is not None
    assert again is not None
    assert (again.delivery, again.repeat, again.attempts) == (lost.delivery, True, 1)
    assert do(store, "record", lost, DELIVERED, SENT) is False
    assert store.deliveries({}, 10, None)[0][0]["attempts"][0]["outcome"] == "uncertain"


def test_all_leases_can_be_taken_back_at_once(store: Store) -> None:
    save(store, applied(1, Status.RUNNING, None, owed("ops", "k-1")))
    assert claim(store) is not None
    assert do(store, "release", NOW, all_leases=False) == 0
    assert do(store, "release", NOW, all_leases=True) == 1


def test_one_execution_keeps_its_order_while_others_pass(store: Store) -> None:
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
    do(store, "record", one, Attempt(Outcome.FAILED, "refused"), later)
    assert claim(store) is None  # e-2 waits behind e-1
    assert store.next_due("ops", PACE, NOW) == NOW + 5 * SECOND


def test_a_message_about_a_wait_that_is_over_is_superseded(store: Store) -> None:
    first = applied(1, Status.AWAITING_CONFIRMATION, None, owed("ops", "k-1", guard=1))
    save(store, first)
    save(store, applied(2, Status.RUNNING, first.after))
    assert claim(store) is None
    shown = store.deliveries({"state": "superseded"}, 10, None)[0][0]
    assert shown["reason"] == "no longer awaiting_confirmation: now running"


def test_only_a_dead_delivery_is_redelivered_and_starts_afresh(store: Store) -> None:
    save(store, applied(1, Status.FAILED, None, owed("ops", "k-1")))
    mine = claim(store)
    assert mine is not None
    assert do(store, "redeliver", mine.delivery, NOW) is False
    dead = AttemptResult(State.DEAD, "gone", NOW, "t", "b")
    do(store, "record", mine, Attempt(Outcome.FAILED, "gone"), dead)
    assert do(store, "redeliver", 99, NOW) is None
    assert do(store, "redeliver", mine.delivery, NOW + SECOND) is True
    again = claim(store, now=NOW + SECOND)
    assert again is not None
    assert (again.attempts, again.owed_at) == (0, NOW + SECOND)


def test_deliveries_to_a_destination_that_is_gone_are_dead_with_that_reason(store: Store) -> None:
    save(store, applied(1, Status.FAILED, None, owed("old", "k-1"), owed("ops", "k-2")))
    (dead,) = do(store, "end_orphans", ["ops"])  # type: ignore[misc]
    assert (dead.destination, dead.facts.event_id) == ("old", "e-1")
    assert "routes.yaml" in store.deliveries({"state": "dead"}, 10, None)[0][0]["reason"]


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
    assert do(store, "record", mine, Attempt(Outcome.FAILED, "refused"), again) is True


def test_a_destination_gets_no_more_than_its_pace_allows(store: Store) -> None:
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


def test_the_pace_is_kept_over_a_restart(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db", serve=True)
    five(store, *"abc")
    assert do(store, "claim", "ops", SendPolicy(1.0), NOW, NOW + SECOND) is not None
    store.close()
    store = SqliteStore(tmp_path / "r.db", serve=True)
    assert do(store, "claim", "ops", SendPolicy(1.0), NOW, NOW + SECOND) is None
    store.close()


def test_five_failures_over_several_executions_pause_the_destination(store: Store) -> None:
    five(store, *"abcdef")
    for _ in range(5):
        fails(store, NOW)
    assert claim(store, now=NOW) is None
    assert store.next_due("ops", PACE, NOW) == NOW + 5 * SECOND
    assert do(store, "claim", "other", PACE, NOW, NOW + SECOND) is None  # it owes nothing
    probe = claim(store, now=NOW + 5 * SECOND)
    assert probe is not None
    do(store, "record", probe, DELIVERED, SENT)
    assert claim(store, now=NOW + 5 * SECOND) is not None


def test_five_failures_of_one_execution_hold_up_no_other(store: Store) -> None:
    five(store, "a")
    for number in range(5):
        fails(store, NOW + number * 5 * SECOND)
    save(store, replace(unapplied(9, Verdict.REJECTED, "x"), owed=(owed("ops", "k-9", order="b"),)))
    other = claim(store, now=NOW + 21 * SECOND)
    assert other is not None
    assert other.order_key == "b"


def test_what_waits_longer_than_retry_for_for_a_failing_destination_dies(store: Store) -> None:
    five(store, *"abcdefg")
    for _ in range(5):
        fails(store, NOW)
    assert do(store, "expire_overdue", "ops", SendPolicy(1.0, overdue=NOW), NOW) == []
    dead = do(store, "expire_overdue", "ops", SendPolicy(1.0, overdue=NOW + 1), NOW)
    assert isinstance(dead, list)
    assert len(dead) == 7
    assert {d["state"] for d in store.deliveries({}, 10, None)[0]} == {"dead"}
    assert "failed 5 times in a row" in store.deliveries({}, 10, None)[0][0]["reason"]


def test_what_waited_while_nobody_served_is_not_overdue(store: Store) -> None:
    five(store, *"ab")
    assert do(store, "expire_overdue", "ops", SendPolicy(1.0, overdue=NOW + 1), NOW) == []


def test_all_dead_deliveries_of_a_destination_get_a_new_chance_at_once(store: Store) -> None:
    five(store, *"abcdef")
    for _ in range(5):
        fails(store, NOW)
    do(store, "expire_overdue", "ops", SendPolicy(1.0, overdue=NOW + 1), NOW)
    assert do(store, "redeliver_all", "ops", NOW) == 6
    assert claim(store, now=NOW) is not None  # nor does it wait as a whole any more


def test_an_end_owes_what_it_owes_once_and_in_the_ledger(store: Store) -> None:
    five(store, "a")
    mine = claim(store)
    assert mine is not None
    told = PlannedDelivery(
        "ops2", "r", Kind.FALLBACK, "fallback/1/ops2", "a", None, origin=mine.delivery
    )
    dead = AttemptResult(State.DEAD, "HTTP 404", NOW, "t", "b", owed=(told, told))
    attempt = Attempt(Outcome.FAILED, "HTTP 404", permanent=True)
    assert do(store, "record", mine, attempt, dead) is True
    ledger = store.ledger()
    assert (ledger["owed"], ledger["imbalance"]) == (2, 0)
    got = claim(store, "ops2")
    assert got is not None
    assert got.origin is not None
    assert (got.kind, got.origin.destination) == (Kind.FALLBACK, "ops")
    assert (got.origin.reason, got.origin.dead) == ("HTTP 404", 1)


def test_a_lost_claim_owes_nothing(store: Store) -> None:
    five(store, "a")
    mine = claim(store)
    assert mine is not None
    told = PlannedDelivery("ops2", "r", Kind.FALLBACK, "k", "a", None, origin=mine.delivery)
    dead = AttemptResult(State.DEAD, "gone", NOW, "t", "b", owed=(told,))
    assert do(store, "record", replace(mine, token="x"), Attempt(Outcome.FAILED, ""), dead) is False
    assert store.ledger()["owed"] == 1


def test_what_was_written_under_a_clock_ahead_waits_as_long_as_was_meant(store: Store) -> None:
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


def test_a_clock_that_is_right_sets_nothing_back(store: Store) -> None:
    five(store, *"abc")
    fails(store, NOW)
    save(store, replace(unapplied(9, Verdict.HELD, "gap"), until=NOW + 30 * SECOND))
    before = store.deliveries({}, 10, None)
    assert do(store, "set_back", NOW) == 0
    assert do(store, "set_back", NOW + SECOND) == 0
    assert store.deliveries({}, 10, None) == before


def fallen(store: Store, kind: Kind) -> int:
    """A dead delivery to ops and what it owes to ops2; the dead one's number."""
    five(store, "a")
    mine = claim(store)
    assert mine is not None
    told = PlannedDelivery("ops2", "r", kind, "k-2", "a", None, origin=mine.delivery)
    dead = AttemptResult(State.DEAD, "HTTP 404", NOW, "t", "b", owed=(told,))
    do(store, "record", mine, Attempt(Outcome.FAILED, "HTTP 404", permanent=True), dead)
    return mine.delivery


@pytest.mark.parametrize("kind", [Kind.FALLBACK, Kind.NOTICE])
def test_what_tells_of_an_end_is_superseded_when_that_is_over(store: Store, kind: Kind) -> None:
    number = fallen(store, kind)
    assert do(store, "redeliver", number, NOW) is True
    assert claim(store, "ops2") is None
    (told,) = store.deliveries({"destination": "ops2"}, 1, None)[0]
    assert (told["state"], told["reason"]) == ("superseded", "ops got another chance")


def test_a_destination_that_asks_for_time_gets_it_for_all_its_messages(store: Store) -> None:
    five(store, *"abc")
    mine = claim(store)
    assert mine is not None
    busy = Attempt(Outcome.FAILED, "HTTP 429", retry_after=60.0)
    do(
        store,
        "record",
        mine,
        busy,
        AttemptResult(State.WAITING, "HTTP 429", NOW + SECOND, "t", "b"),
    )
    assert claim(store, now=NOW + 59 * SECOND) is None
    waiting = store.deliveries({"state": "waiting"}, 9, None)[0]
    assert {parse_time(item["due_at"]) for item in waiting} == {NOW + 60 * SECOND}
    assert claim(store, now=NOW + 60 * SECOND) is not None


def test_a_destination_that_waits_as_a_whole_can_be_tried_at_once(store: Store) -> None:
    five(store, *"abcdefg")
    for _ in range(5):
        fails(store, NOW)
    assert claim(store, now=NOW) is None
    mine = do(store, "claim", "ops", PACE, NOW, NOW + SECOND, anyway=True)
    assert isinstance(mine, Claim)
    assert claim(store, now=NOW) is None  # it is tried once
    do(store, "record", mine, DELIVERED, SENT)
    assert claim(store, now=NOW) is not None


def test_it_is_known_what_waits_for_a_destination_that_nobody_serves(store: Store) -> None:
    assert store.waits_for_others([]) is False
    save(store, applied(1, Status.FAILED, None, owed("old", "k-1"), owed("ops", "k-2")))
    assert store.waits_for_others(["ops"]) is True
    assert store.waits_for_others(["old", "ops", "new"]) is False


def test_an_attempt_is_dated_by_its_start(store: Store) -> None:
    five(store, "a")
    mine = claim(store, now=NOW + SECOND)
    assert mine is not None
    do(store, "record", mine, Attempt(Outcome.DELIVERED, "", 40_000), SENT)
    (attempt,) = store.deliveries({}, 1, None)[0][0]["attempts"]
    assert parse_time(attempt["at"]) == NOW + SECOND


def test_pages_are_newest_first_and_complete(store: Store) -> None:
    for number in range(7):
        of = replace(event(number), execution_id=f"x-{number}")
        after = Execution("s", f"x-{number}", Status.RUNNING, NOW, NOW, 1, NOW)
        save(
            store,
            JudgedWebhook("s", of, Judgement(Verdict.APPLIED, "first_seen"), NOW, b"", after=after),
        )
    seen, after_page = [], None
    while True:
        items, after_page = store.executions({"status": "running"}, 3, after_page)
        seen += [item["execution_id"] for item in items]
        if after_page is None:
            break
    assert seen == [f"x-{number}" for number in reversed(range(7))]
    assert store.executions({"q": "x-3"}, 3, None)[0][0]["execution_id"] == "x-3"


def test_many_writers_share_commits_and_each_gets_its_own_answer(store: Store) -> None:
    batches: list[int] = []

    def act(transaction: Transaction, items: Sequence[int]) -> list[int]:
        batches.append(len(items))
        transaction.heartbeat()
        return [item * 2 for item in items]

    async def all_at_once() -> list[int]:
        return list(await asyncio.gather(*[store.write(act, n) for n in range(500)]))

    assert asyncio.run(all_at_once()) == [n * 2 for n in range(500)]
    assert len(batches) < 250


def test_only_the_poisonous_write_of_a_batch_fails(store: Store) -> None:
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


def test_a_backlog_that_is_full_refuses_at_once(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db", backlog=1)
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


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db")
    store.close()
    with pytest.raises(StorageUnavailable):
        store.probe()


def test_what_was_answered_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = SqliteStore(path, serve=True)
    save(store, applied(1, Status.RUNNING, None))
    store.close()
    again = SqliteStore(path, serve=True)
    assert again.known(event(1)).event_ids == {("s", "e-1")}
    again.close()


def test_a_commit_that_storage_refuses_is_not_answered_as_done(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = SqliteStore(path, serve=True)
    other = connect(path)
    other.execute("PRAGMA busy_timeout = 0")
    other.execute("BEGIN IMMEDIATE")  # somebody else holds the file, longer than we wait
    with pytest.raises(StorageUnavailable, match="send it again"):
        store.probe()
    other.execute("ROLLBACK")
    store.probe()
    other.close()
    store.close()


def test_one_process_serves_a_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db", serve=True)
    with pytest.raises(StorageRefused, match="being served"):
        SqliteStore(tmp_path / "r.db", serve=True)
    store.close()
    SqliteStore(tmp_path / "r.db", serve=True).close()


def test_every_commit_is_synced_and_the_log_is_write_ahead(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "r.db").close()
    connection = connect(tmp_path / "r.db")
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    connection.close()


def test_a_database_that_is_not_ours_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    empty, foreign, newer, broken = (tmp_path / f"{n}.db" for n in "efnb")
    empty.touch()
    sqlite3.connect(foreign).execute("CREATE TABLE t (x)").connection.close()
    SqliteStore(newer).close()
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    broken.write_bytes(b"no database at all, but long enough to look" * 100)
    for path, says in [
        (empty, "is empty"), (foreign, "another program"), (newer, "newer"), (broken, "backup"),
    ]:  # fmt: skip
        before = path.read_bytes()
        with pytest.raises(StorageRefused, match=says):
            SqliteStore(path, serve=True)
        assert path.read_bytes() == before


def test_a_database_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    connection = connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    migrations = sqlite_utils.Migrations("receiver")

    @migrations()
    def schema_1(db: sqlite_utils.Database) -> None:
        text = (resources.files("receiver.store.sqlite") / "schema" / "sqlite.sql").read_text(
            "utf-8"
        )
        for statement in statements(text):
            db.conn.execute(statement)

    migrations.apply(sqlite_utils.Database(connection, execute_plugins=False))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    connection.execute(
        "INSERT INTO event (seq, source, event_id, execution_id, event, status, occurred_at,"
        " received_at, verdict, reason, owed) VALUES (1, 's', 'e-1', 'x-1', 'E', 'running', ?, ?,"
        " 'rejected', 'illegal', 1)",
        (NOW, NOW),
    )
    connection.execute(
        "INSERT INTO delivery (dedup_key, event, source, route, destination, kind, order_key,"
        " created_at, owed_at, due_at) VALUES ('k', 1, 's', 'r', 'ops', 'notice', 'o', ?, ?, ?)",
        (NOW, NOW, NOW),
    )
    connection.execute("UPDATE promised SET n = 1")
    connection.close()
    store = SqliteStore(path, serve=True)
    assert store.deliveries({}, 10, None)[0][0]["verdict"] == "rejected"
    assert claim(store) is not None
    save(store, applied(2, Status.RUNNING, None))
    found = store.execution("s", "x-1")
    assert found is not None
    assert [e["steps"][0]["reason"] for e in found["events"]] == ["illegal", "first_seen"]
    store.close()


def test_a_command_that_looks_creates_no_database(tmp_path: Path) -> None:
    with pytest.raises(StorageRefused, match="receiver serve"):
        open_existing(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT 1 FROM event WHERE source = 's' AND event_id = 'e' AND verdict <> 'quarantined'",
         "USING INDEX event_id"),
        ("SELECT 1 FROM event WHERE source = 's' AND execution_id = 'x' AND occurred_at = 1"
         " AND status = 'running' AND verdict <> 'quarantined'", "USING INDEX event_execution"),
        ("SELECT 1 FROM event WHERE source = 's' AND execution_id = 'x' AND reason = 'gap' AND"
         " verdict <> 'applied' AND verdict = 'rejected' AND occurred_at >= 1"
         " ORDER BY occurred_at, seq LIMIT 200", "USING INDEX event_gap"),
        ("SELECT 1 FROM event WHERE source = 's' AND execution_id = 'x' AND reason = 'gap' AND"
         " verdict <> 'applied' AND verdict = 'held'", "USING INDEX event_gap"),
        ("SELECT min(held_until) FROM event WHERE verdict = 'held'", "INDEX event_held"),
        ("SELECT 1 FROM event WHERE verdict = 'held' AND held_until <= 1 ORDER BY held_until, seq",
         "INDEX event_held"),
        ("SELECT due_at FROM delivery AS d WHERE destination = 'd' AND state = 'waiting' AND NOT"
         " EXISTS (SELECT 1 FROM delivery AS e WHERE e.destination = d.destination AND"
         " e.order_key = d.order_key AND e.id < d.id AND e.state IN ('waiting', 'sending'))"
         " ORDER BY due_at, id LIMIT 1", "INDEX delivery_due"),
        ("SELECT count(*) FROM delivery WHERE state = 'dead' AND destination = 'd'",
         "INDEX delivery_dead"),
        ("SELECT id FROM delivery WHERE state = 'sending' AND (0 OR lease_until <= 1)",
         "INDEX delivery_lease"),
        ("SELECT id FROM delivery AS d WHERE destination = 'x' AND state = 'waiting'"
         " AND due_at <= 1 AND NOT EXISTS (SELECT 1 FROM delivery AS e WHERE e.destination ="
         " d.destination AND e.order_key = d.order_key AND e.id < d.id AND e.state IN"
         " ('waiting', 'sending')) ORDER BY due_at, id LIMIT 1", "INDEX delivery_order"),
    ],
)  # fmt: skip
def test_hot_queries_use_their_index(tmp_path: Path, query: str, index: str) -> None:
    plan = plan_of(tmp_path, query)
    assert index in plan
    assert "SCAN" not in plan or "SCAN delivery USING INDEX delivery_lease" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize(
    ("many", "index"),
    [
        (loading.STORED_IDS, "INDEX event_id (source=? AND event_id=?)"),
        (loading.STORED_CHANGES,
         "INDEX event_execution (source=? AND execution_id=? AND occurred_at=?)"),
        (loading.STORED, "INDEX sqlite_autoindex_execution_1 (source=? AND execution_id=?)"),
        (loading.STORED, "INDEX event_gap (source=? AND execution_id=?)"),
        (NUMBERS,
         "INDEX sqlite_autoindex_execution_1 (source=? AND execution_id=?)"),
        (EXECUTION_MOVES, "SEARCH execution USING INTEGER PRIMARY KEY"),
    ],
)  # fmt: skip
def test_statements_about_many_rows_look_for_each_by_its_index(
    tmp_path: Path, many: ManyRows, index: str
) -> None:
    for n in (1, 2, MOST):
        plan = plan_of(tmp_path, many.text(n))
        assert index in plan
        for table in ("e", "x", "event", "execution"):
            assert f"SCAN {table} " not in f"{plan} "
        assert "TEMP B-TREE" not in plan


def plan_of(folder: Path, query: str) -> str:
    """How SQLite would go about it, with nothing bound."""
    SqliteStore(folder / "r.db").close()
    connection = connect(folder / "r.db")
    connection.create_function("silenced", 10, lambda *said: None)
    bound = dict.fromkeys(re.findall(r":([a-z_]+)", query))
    numbered = max(map(int, re.findall(r"\?([0-9]+)", query)), default=query.count("?"))
    values = bound or [None] * numbered
    plan = " / ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values))
    connection.close()
    return plan


SET = "UPDATE delivery SET state = 'superseded' FROM ({}) AS u WHERE delivery.id = u.id"
TOLD = "d.source = :source AND d.execution_id = :execution"
OF_DIGEST = "d.digest = :head AND d.state = 'sent'"
MISSED = "d.silence = :silence AND d.destination = :destination AND d.due_at = :at AND d.state ="
GROUP = "delivery_group (destination=? AND group_key=? AND state=? AND due_at<?)"


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (claims._NEXT, "delivery_due (destination=? AND due_at<?)"),
        (SET.format(f"{episodes._UNTRUE} AND {claims._ONE}"), "d USING INTEGER PRIMARY KEY"),
        (SET.format(f"{episodes._UNTRUE} AND {claims._TOGETHER}"), GROUP),
        (SET.format(f"{silences._SILENCED} AND {claims._TOGETHER}"), GROUP),
        (claims._STUCK.replace("{where}", claims._TOGETHER), GROUP),
        (f"SELECT min(d.id) FROM delivery AS d WHERE {claims._TOGETHER}", GROUP),
        (claims._QUIET, "delivery_due (destination=? AND due_at<?)"),
        (f"SELECT DISTINCT route FROM delivery WHERE {claims._BY_HOURS}",
         "delivery_due (destination=? AND due_at>?)"),
        (claims._HOURS_MOVED, "delivery_due (destination=? AND due_at>?)"),
        (deliveries._RECORD, "delivery_token (token=?)"),
        (episodes._OVER, "delivery_episode (source=? AND execution_id=? AND guard_version<?)"),
        (episodes._RESOLVE.replace("{where}", TOLD), "delivery_execution (source=?"),
        (episodes._RESOLVE.replace("{where}", OF_DIGEST), "delivery_digest (digest=?)"),
        (episodes._REMIND.replace("{where}", OF_DIGEST), "delivery_digest (digest=?)"),
        (episodes._REMIND.replace("{where}", f"{MISSED} 'superseded'"),
         "delivery_silenced (silence=? AND destination=? AND due_at=?)"),
        (silences.ACTIVE, "silence_open (until_at>?)"),
        ("SELECT min(until_at) FROM silence WHERE listed_at IS NULL", "INDEX silence_open"),
        (silences._DESTINATIONS, "delivery_silenced (silence=?)"),
        (silences.MISSED, "delivery_silenced (silence=? AND destination=?)"),
    ],
)  # fmt: skip
def test_what_is_asked_of_episodes_and_digests_uses_its_index(
    tmp_path: Path, query: str, index: str
) -> None:
    plan = plan_of(tmp_path, query)
    assert index in plan
    # What is looked at of each delivery is found by its key; a row that is inserted may be checked
    # against all, which stands at the end and is not done where nothing is replaced.
    # What was found is numbered and read once more.
    found = ("(subquery-1)", "(subquery-3)")
    scans = [step for step in plan.split(" / ") if step.startswith("SCAN")]
    looked_at = [step for step in scans if not step.endswith(found)]
    assert {step.split()[1] for step in looked_at} <= {"json_each", "delivery"}


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (deliveries._WAITS_SET_BACK, "SCAN delivery USING INDEX delivery_due"),
        (deliveries._HELD_SET_BACK, "SCAN event USING INDEX event_held"),
        (deliveries._SILENCES_SET_BACK, "SCAN silence USING INDEX silence_open"),
        (deliveries._GROUPS_SET_BACK, "SEARCH digest_group USING COVERING INDEX"),
    ],
)
def test_a_start_looks_at_what_waits_and_not_at_what_is_kept(
    tmp_path: Path, query: str, index: str
) -> None:
    plan = plan_of(tmp_path, query)
    assert index in plan
    assert plan.count("SCAN") <= 1


def test_what_waits_is_superseded_by_a_move_in_its_own_transaction(store: Store) -> None:
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


def reminder(key: str, step: int = 1, guard: int | None = 1) -> PlannedDelivery:
    return PlannedDelivery(
        "ops", "r", Kind.REMINDER, key, key, guard, due_in=60 * SECOND, step=step
    )


def test_what_must_never_be_of_reminders_and_silences_cannot_be_written(store: Store) -> None:
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


def test_what_is_owed_for_later_is_due_then_and_holds_up_nothing(store: Store) -> None:
    save(store, applied(1, Status.AWAITING_CONFIRMATION, None, reminder("k-1"), owed("ops", "k-2")))
    assert store.next_due("ops", PACE, NOW) == NOW
    mine = claim(store)
    assert mine is not None
    assert mine.kind is Kind.NOTICE
    later = claim(store, now=NOW + 60 * SECOND)
    assert later is not None
    assert (later.kind, later.step, later.owed_at) == (Kind.REMINDER, 1, NOW + 60 * SECOND)
