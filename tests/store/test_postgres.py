"""The store's contract on PostgreSQL, and what only several processes can get wrong.

A node is a store with a committer of its own, as each process has one.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import psycopg
import pytest

from receiver.deliveries import State
from receiver.errors import StorageRefused, StorageUnavailable
from receiver.events import Event, Status, Verdict
from receiver.intake.receive import Intake, Receipt, VerifiedWebhook
from receiver.routing.conditions import Condition
from receiver.routing.policy import RouteOptions, SendPolicy
from receiver.routing.routes import Route
from receiver.store.contract import Transaction
from receiver.store.opening import exists, open_existing, open_to_serve
from receiver.store.postgres.link import Away
from receiver.store.postgres.store import PostgresStore
from receiver.store.records import AttemptResult
from receiver.times import SECOND
from tests.store.conformance import (
    DELIVERED,
    NOW,
    PACE,
    SENT,
    Engine,
    StoreContract,
    applied,
    claim,
    do,
    five,
    owed,
    save,
)
from tests.support.live import until
from tests.support.postgres import Server
from tests.support.proxy import proxy

# The clock that counts in stories: the time that is passed in.
PASSED = ":now"
LEASE = 60 * SECOND


class TestPostgres(StoreContract):
    """Every test of the contract, on a schema without rows."""

    @pytest.fixture
    def engine(self, postgres: Server) -> Engine:
        url = postgres.emptied()
        return lambda *, backlog=2_000: PostgresStore(url, backlog=backlog, now=PASSED)


Nodes = Callable[[int], list[PostgresStore]]


# Other tests use the same server at the same time: only connections of these nodes are cut.
NAMED = f"nodes-{os.getpid()}"


@pytest.fixture
def nodes(postgres: Server) -> Iterator[Nodes]:
    """Opens several nodes on one database without rows."""
    url = f"{postgres.emptied()}&application_name={NAMED}"
    with ExitStack() as opened:
        yield lambda n: [opened.enter_context(closing(PostgresStore(url))) for _ in range(n)]


def told(event_id: str, status: Status, execution: str = "x", at: int = 0) -> VerifiedWebhook:
    """A webhook that came in."""
    return VerifiedWebhook(
        "s", Event("s", event_id, "E", status, execution, NOW + at), b"{}", NOW + at
    )


def brought(store: PostgresStore, *webhooks: VerifiedWebhook) -> Sequence[Receipt]:
    """Webhooks come in at a node, in one batch."""
    return store.write_now(
        lambda transaction, items: [
            Intake([Route("r", (), ("ops",))]).receive(transaction, items[0])
        ],
        webhooks,
    )


def at_once(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do all of it at the same time; the results in order."""
    ready = threading.Barrier(len(acts))

    def one(act: Callable[[], Any]) -> Any:
        ready.wait(20)
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(one, acts))


def in_a_transaction(
    store: PostgresStore, act: Callable[[Transaction], Any]
) -> tuple[Callable[[], Any], threading.Event]:
    """Do the act on a node, and commit only when the result is asked for; whether it is done."""
    done, go_on = threading.Event(), threading.Event()

    def held(transaction: Transaction, items: Sequence[object]) -> list[Any]:
        result = act(transaction)
        done.set()
        assert go_on.wait(20)
        return [result for _ in items]

    result: Future[Any] = ThreadPoolExecutor(1).submit(store.write_now, held, None)

    def end() -> Any:
        go_on.set()
        return result.result(20)

    assert done.wait(20)
    return end, go_on


def waits_for_a_lock(postgres: Server) -> bool:
    """Whether a transaction waits for another one."""
    return bool(postgres.do("SELECT 1 FROM pg_locks WHERE NOT granted"))


def test_one_event_brought_by_eight_threads_is_applied_once(nodes: Nodes) -> None:
    stores = nodes(4)
    for number in range(5):
        webhook = told(f"e-{number}", Status.RUNNING, f"x-{number}")
        receipts = at_once([partial(brought, store, webhook) for store in stores * 2])
        found = Counter((r.judgement.verdict, r.judgement.reason) for (r,) in receipts)
        assert found == {(Verdict.APPLIED, "first_seen"): 1, (Verdict.DUPLICATE, "event_id"): 7}
    ledger = stores[0].ledger()
    assert (ledger["imbalance"], ledger["accepted"], ledger["owed"]) == (0, 40, 5)


def test_two_first_events_at_once_make_one_execution(nodes: Nodes) -> None:
    one, other = nodes(2)
    for number in range(10):
        x = f"x-{number}"
        first = told(f"{x}/1", Status.RUNNING, x, at=1)
        second = told(f"{x}/2", Status.COMPLETED, x, at=2)
        at_once([partial(brought, one, first), partial(brought, other, second)])
        found = one.execution("s", x)
        assert found is not None
        assert found["execution"]["status"] == "completed"
        assert len(found["events"]) == 2
    assert one.ledger()["imbalance"] == 0


def test_an_event_id_counts_once_whatever_execution_it_names(nodes: Nodes) -> None:
    stores = nodes(4)
    for number in range(5):
        webhooks = [told(f"e-{number}", Status.RUNNING, f"x-{number}-{n}") for n in range(4)]
        pairs = zip(stores, webhooks, strict=True)
        receipts = at_once([partial(brought, *pair) for pair in pairs])
        assert sum(r.judgement.verdict is Verdict.APPLIED for (r,) in receipts) == 1
    assert stores[0].ledger()["imbalance"] == 0


def test_batches_in_opposite_orders_do_not_wait_for_each_other(nodes: Nodes) -> None:
    one, other = nodes(2)
    for number in range(5):
        webhooks = [told(f"e-{number}-{n}", Status.RUNNING, f"x-{number}-{n}") for n in range(60)]
        at_once([partial(brought, one, *webhooks), partial(brought, other, *webhooks[::-1])])
    ledger = one.ledger()
    assert (ledger["imbalance"], ledger["verdicts"]) == (0, {"applied": 300, "duplicate": 300})


def test_two_claims_never_hold_one_delivery(nodes: Nodes) -> None:
    stores = nodes(4)
    five(stores[0], *[f"o-{n}" for n in range(40)])

    def all_of(store: PostgresStore) -> list[int]:
        found = []
        while (mine := claim(store)) is not None or store.next_due("ops", PACE, NOW) is not None:
            if mine is not None:
                found.append(mine.delivery)
                assert do(store, "record", mine, DELIVERED, SENT) is True
        return found

    claimed = at_once([partial(all_of, store) for store in stores])
    assert Counter(number for each in claimed for number in each) == Counter(range(1, 41))
    assert {len(each["attempts"]) for each in stores[0].deliveries({}, 99, None)[0]} == {1}


def test_an_expired_lease_is_claimed_again_and_the_late_result_is_refused(nodes: Nodes) -> None:
    stopped, other = nodes(2)
    five(stopped, "a")
    mine = do(stopped, "claim", "ops", PACE, NOW, NOW + 1)  # for a nanosecond by the database
    theirs = do(other, "claim", "ops", PACE, NOW, NOW + LEASE)
    assert theirs is not None
    assert theirs.repeat  # type: ignore[attr-defined]
    assert do(stopped, "record", mine, DELIVERED, SENT) is False
    assert do(other, "record", theirs, DELIVERED, SENT) is True
    assert other.ledger()["imbalance"] == 0


def test_the_clock_of_the_database_counts_and_not_that_of_a_process(nodes: Nodes) -> None:
    one, other = nodes(2)
    five(one, "a")
    assert do(one, "claim", "ops", PACE, NOW, NOW + LEASE) is not None
    years_ahead = NOW + 10 * 365 * 24 * 3600 * SECOND
    assert do(other, "claim", "ops", PACE, years_ahead, years_ahead + LEASE) is None


def test_a_start_takes_back_only_what_is_over(nodes: Nodes) -> None:
    one, other = nodes(2)
    five(one, "a", "b")
    running = claim(one)
    assert do(one, "claim", "ops", PACE, NOW, NOW + 1) is not None
    assert do(other, "release", NOW, own=True) == 1
    assert do(one, "record", running, DELIVERED, SENT) is True


def test_an_exception_leaves_nothing(nodes: Nodes) -> None:
    (store,) = nodes(1)

    def fails(transaction: Transaction, items: Sequence[object]) -> list[object]:
        transaction.save([applied(1, Status.RUNNING, None, owed("ops", "k-1"))])
        raise ValueError("of its own")

    with pytest.raises(StorageUnavailable):
        store.write_now(fails, None)
    assert store.execution("s", "x-1") is None
    assert store.ledger() == {
        "accepted": 0, "verdicts": {}, "owed": 0, "deliveries": {}, "imbalance": 0,
    }  # fmt: skip


def test_a_turn_is_one_at_a_time_and_nobody_queues_behind_it(nodes: Nodes) -> None:
    one, other = nodes(2)
    five(one, "a", "b")
    end, _ = in_a_transaction(one, lambda t: t.claim("ops", PACE, NOW, NOW + LEASE))
    assert claim(other) is None
    assert claim(other, "ops2") is None  # the turn of another destination is free
    first = end()
    second = claim(other)
    assert second is not None
    assert {first.delivery, second.delivery} == {1, 2}


def test_stores_in_two_schemas_of_a_database_do_not_wait_for_each_other(
    nodes: Nodes, postgres: Server
) -> None:
    (one,) = nodes(1)
    five(one, "a", "b")
    with closing(PostgresStore(postgres.schema())) as other:
        five(other, "a", "b")
        end, _ = in_a_transaction(one, lambda t: t.claim("ops", PACE, NOW, NOW + LEASE))
        assert claim(other) is not None
        assert end() is not None
        held = told("e-9", Status.FAILED)
        end, _ = in_a_transaction(
            one, lambda t: Intake([Route("r", (), ("ops",))]).receive(t, [held])
        )
        assert len(brought(other, held)) == 1
        assert len(end()) == 1


def test_a_rate_holds_over_all_machines(nodes: Nodes) -> None:
    stores = nodes(3)
    five(stores[0], *[f"o-{n}" for n in range(30)])
    policy, sent = SendPolicy(5.0), list[int]()
    for step in range(40):  # two seconds, in steps of a twentieth
        now = NOW + step * SECOND // 20
        turn = partial(
            do, name="claim", destination="ops", policy=policy, now=now, until=now + LEASE
        )
        sent += [now for mine in at_once([partial(turn, store) for store in stores]) if mine]
    assert len(sent) == policy.burst + 9
    assert max(sum(now <= at < now + SECOND for at in sent) for now in sent) <= policy.burst + 5


ENDS = RouteOptions(resolved=True)
TOLD = AttemptResult(State.SENT, "", NOW, "t", "b", options={"r": ENDS})


def waiting(store: PostgresStore) -> Any:
    """An execution that waits for a confirmation, and the claim of the message about that."""
    brought(store, told("e-1", Status.AWAITING_CONFIRMATION))
    mine = claim(store)
    assert mine is not None
    return mine


def goes_on(transaction: Transaction) -> object:
    """The execution goes on, and who was told that it waits is told of it."""
    route = Route(
        "r", (Condition("status", ("awaiting_confirmation",)),), ("ops",), resolved=True
    )  # fmt: skip
    return Intake([route]).receive(transaction, [told("e-2", Status.RUNNING, at=1)])


@pytest.mark.parametrize("first", ["record", "move"])
def test_the_end_of_an_episode_is_told_though_it_came_while_its_message_was_recorded(
    nodes: Nodes, postgres: Server, first: str
) -> None:
    """Neither transaction sees the other one, and one of them has to tell the end."""
    one, other = nodes(2)
    mine = waiting(one)

    def records(transaction: Transaction) -> object:
        return transaction.record(mine, DELIVERED, TOLD)

    acts = [records, goes_on] if first == "record" else [goes_on, records]
    with ThreadPoolExecutor(1) as pool:
        end, _ = in_a_transaction(one, acts[0])
        behind = pool.submit(other.write_now, lambda t, items: [acts[1](t) for _ in items], None)
        until(lambda: waits_for_a_lock(postgres))
        end()
        behind.result(20)
    kinds = Counter(each["kind"] for each in one.deliveries({}, 9, None)[0])
    assert kinds["resolved"] == 1
    assert one.ledger()["imbalance"] == 0


def test_what_several_recorded_attempts_are_about_is_locked_in_one_order(
    nodes: Nodes, postgres: Server
) -> None:
    """Else two transactions wait for each other, for a second, until the server ends one."""
    one, other = nodes(2)
    brought(one, told("e-1", Status.AWAITING_CONFIRMATION))
    brought(one, told("e-2", Status.AWAITING_CONFIRMATION, "y"))
    of_x, of_y = claim(one), claim(one)
    assert of_x is not None
    assert of_y is not None
    acts: list[str] = []

    def moves(transaction: Transaction, items: Sequence[object]) -> Sequence[object]:
        acts.append("moves")
        both = [told("e-3", Status.RUNNING, at=1), told("e-4", Status.RUNNING, "y", at=1)]
        return [Intake([]).receive(transaction, both)]

    def records(transaction: Transaction, items: Sequence[object]) -> Sequence[object]:
        acts.append("records")
        assert transaction.record(of_y, DELIVERED, TOLD, [of_x])
        if acts == ["records"]:
            behind.append(pool.submit(other.write_now, moves, None))
            until(lambda: waits_for_a_lock(postgres))
        return [transaction.record(of_x, DELIVERED, TOLD)]

    with ThreadPoolExecutor(1) as pool:
        behind: list[Future[object]] = []
        assert one.write_now(records, None) is True
        behind[0].result(20)
    assert acts == ["records", "moves"]


def test_transactions_that_wait_for_each_other_are_both_done(
    nodes: Nodes, postgres: Server
) -> None:
    one, other = nodes(2)
    for store in (one, other):
        save(store)
    ready = threading.Barrier(2)

    def in_order(*names: str) -> Callable[[Transaction, Sequence[object]], list[int]]:
        tries: list[int] = []

        def act(transaction: Transaction, items: Sequence[object]) -> list[int]:
            tries.append(1)
            for name in names:
                transaction.served(name, NOW, NOW)
                if len(tries) == 1 and name == names[0]:
                    ready.wait(20)
            return [len(tries) for _ in items]

        return act

    forward, backward = in_order("a", "b"), in_order("b", "a")
    tries = at_once([
        lambda: one.write_now(forward, None), lambda: other.write_now(backward, None)
    ])  # fmt: skip
    assert max(tries) > 1  # both may have been told to begin anew


def test_a_timer_runs_in_one_process_and_in_another_one_when_that_has_ended(nodes: Nodes) -> None:
    one, other, third = nodes(3)
    assert [one.leads("pruning"), other.leads("pruning"), one.leads("pruning")] == [
        True, False, True,
    ]  # fmt: skip
    assert other.leads("expiry")  # each timer by itself
    one.close()
    other._peers._leads.clear()  # what it knew is a second old
    assert other.leads("pruning")
    assert not third.leads("pruning")


def test_a_timer_whose_process_is_gone_is_taken_over_when_its_lease_is_over(
    nodes: Nodes, postgres: Server
) -> None:
    gone, other = nodes(2)
    assert gone.leads("pruning")
    assert not other.leads("pruning")
    with psycopg.connect(postgres.kept or "", autocommit=True) as connection:
        connection.execute("UPDATE timer SET until_at = 0")
    other._peers._leads.clear()
    assert other.leads("pruning")
    gone._peers._leads.clear()
    assert not gone.leads("pruning")


def test_processes_that_start_together_make_the_schema_once(postgres: Server) -> None:
    url = postgres.schema()
    assert not exists(url)
    with pytest.raises(StorageRefused, match="receiver serve"):
        open_existing(url)
    stores = at_once([lambda: open_to_serve(url)] * 4)
    for store in stores:
        store.check_writable()
        store.close()
    assert exists(url)
    open_existing(url).close()


def test_a_database_that_is_not_ours_or_too_new_is_refused(postgres: Server) -> None:
    foreign, newer = postgres.schema(), postgres.schema()
    with psycopg.connect(foreign, autocommit=True) as connection:
        connection.execute("CREATE TABLE event (x integer)")
    with pytest.raises(StorageRefused, match="another program"):
        PostgresStore(foreign)
    PostgresStore(newer).close()
    with psycopg.connect(newer, autocommit=True) as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    with pytest.raises(StorageRefused, match="newer"):
        PostgresStore(newer)


def test_a_text_with_a_character_that_no_column_holds_is_stored_without_it(nodes: Nodes) -> None:
    (store,) = nodes(1)
    event = Event("s", "e-1", "E\0", Status.RUNNING, "x", NOW, "a\0", "A \\u0000 \0 \U0001f600")
    for _ in range(2):
        brought(store, VerifiedWebhook("s", event, b"\0\xff{", NOW))
    found = store.execution("s", "x")
    assert found is not None
    assert found["execution"]["agent_name"] == "A \\u0000 \ufffd \U0001f600"
    assert [row["verdict"] for row in found["events"]] == ["applied", "duplicate"]
    shown = store.event(found["events"][0]["seq"])
    assert shown is not None
    assert shown["body"] == b"\0\xff{"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunt/er2secret@db/r", "postgresql://u:hunter2@secret@db/r",
        "postgresql://u:hunter2%secret@db/r", "postgresql://u:hunter2secret@db:port/r",
        "postgresql://u:hunter2secret@db/r?nonsense=1", "postgresql://u:hunter2 secret@db:5x/r",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_read_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(StorageRefused, match="RECEIVER_DATABASE_URL must be") as refused:
        open_to_serve(url)
    shown = "".join(traceback.format_exception(refused.value))
    assert not any(part in shown for part in ("hunt", "er2", "secret@"))


def test_an_error_names_host_and_database_and_never_the_password() -> None:
    password = "hunter2secret"
    with pytest.raises(StorageRefused, match=r"127\.0\.0\.1:1, database ledger") as refused:
        open_to_serve(f"postgresql://u:{password}@127.0.0.1:1/ledger")
    assert password not in "".join(traceback.format_exception(refused.value))


def test_a_connection_that_died_unused_costs_no_write(nodes: Nodes, postgres: Server) -> None:
    (store,) = nodes(1)
    store.check_writable()
    assert store.ledger()["accepted"] == 0
    postgres.do(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{NAMED}'"
    )
    store.check_writable()
    assert store.ledger()["accepted"] == 0


def test_a_connection_that_dies_in_a_transaction_leaves_nothing_and_the_next_one_goes_on(
    nodes: Nodes, postgres: Server
) -> None:
    (store,) = nodes(1)

    def dies(transaction: Transaction, items: Sequence[object]) -> list[object]:
        transaction.save([applied(1, Status.RUNNING, None)])
        postgres.do(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE application_name = '{NAMED}'"
        )
        transaction.heartbeat()
        return list(items)

    with pytest.raises(StorageUnavailable, match="send it again") as unavailable:
        store.write_now(dies, None)
    assert not isinstance(unavailable.value.__cause__, Away)
    assert store.execution("s", "x-1") is None
    save(store, applied(1, Status.RUNNING, None))
    assert store.ledger()["imbalance"] == 0


def test_a_batch_goes_a_few_times_to_the_server_however_many_statements_it_has(
    postgres: Server,
) -> None:
    """Hold that writes go together with the commit: over a network each way is a wait."""
    with proxy(postgres.emptied()) as way, closing(PostgresStore(way.url)) as store:
        turns = []
        for n in range(12):
            before = way.turns
            brought(store, *(told(f"e-{n}-{k}", Status.FAILED, f"x-{n}-{k}") for k in range(20)))
            turns.append(way.turns - before)
        # Begin, three looks, numbers twice, and the rest with the commit; then word to the others,
        # at its own time. At first some statements are prepared, too. An answer that begins before
        # its question is whole, and what else a process asks, can only add to it.
        assert min(turns[-6:]) <= 8, turns
        assert store.ledger()["imbalance"] == 0
