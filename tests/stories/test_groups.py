"""Groups: one digest instead of many messages, and every message accounted for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from receiver.cli import client
from receiver.events import Status
from receiver.store.contract import Transaction
from tests.support.live import ROUTES as LIVE
from tests.support.live import live, until
from tests.support.people import FAILED, GONE, HOUR, MINUTE, SECOND, Told, Walk, counted
from tests.support.stores import only_a_file
from tests.support.storm import ROUTES as STORM
from tests.support.storm import storm

AWAITS, RUNNING = Status.AWAITING_CONFIRMATION, Status.RUNNING
ROUTES = """\
destinations:
  ops: {url: console://, rate: 1000/s}
  mail: {url: console://, rate: 1000/s}
routes:
  - name: failures
    match: {status: failed}
    notify: ops
    group: {by: [agent, status], wait: 30s, every: 5m}
  - name: confirmations
    match: {status: awaiting_confirmation}
    notify: mail
    group: {by: [agent], wait: 30s, every: 5m}
    remind: {every: 15m}
    resolved: true
"""


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, ROUTES)
    yield opened
    opened.store.close()


def fail(walk: Walk, number: int, **more: object) -> None:
    walk.comes(Status.FAILED, f"x-{number}", **{"detail": {"reason": "log-in refused"}, **more})


def test_what_gathers_within_wait_is_one_digest(walk: Walk) -> None:
    for number in range(25):
        fail(walk, number)
        walk.passes(SECOND)
    assert walk.gets() == []
    walk.passes(5 * SECOND)
    (told,) = walk.gets()
    assert told.title == "Invoice agent: 25 failed since 12:00 UTC"
    assert counted(told) == 25
    assert "The first 5 of 25:" in told.message.body
    assert "· log-in refused · 30 s ago · x-0" in told.message.body
    assert len(told.message.body) <= 2_000


def test_there_is_one_each_every_at_most_over_a_restart_too(walk: Walk) -> None:
    found = []
    for minute in range(20):
        for number in range(10):
            fail(walk, minute * 10 + number)
        walk.passes(MINUTE)
        if minute == 7:
            walk.restart()
        found += [(minute + 1, counted(told)) for told in walk.gets()]
    assert found == [(1, 10), (6, 50), (11, 50), (16, 50)]
    rest = walk.until_quiet(HOUR)
    assert [counted(told) for _, told in rest] == [40]


def test_an_only_one_is_an_ordinary_message(walk: Walk) -> None:
    fail(walk, 1)
    walk.passes(30 * SECOND)
    (told,) = walk.gets()
    assert (told.title, told.claim.digest) == ("Invoice agent failed: log-in refused", None)
    assert walk.shown("x-1")["deliveries"][0]["digest"] is None


def test_other_agents_are_other_groups_and_an_agent_is_its_id(walk: Walk) -> None:
    for number in range(4):
        fail(walk, number, agent_id=f"agent-{number % 2}", agent_name=f"name-{number}")
    walk.passes(30 * SECOND)
    assert [told.title for told in walk.gets()] == [
        "name-0 and name-2: 2 failed since 12:00 UTC",
        "name-1 and name-3: 2 failed since 12:00 UTC",
    ]


def test_the_api_shows_of_every_one_which_message_told_of_it(walk: Walk) -> None:
    for number in range(3):
        fail(walk, number)
    walk.passes(30 * SECOND)
    claim = walk.claim("ops")
    assert claim is not None
    walk.record(claim, FAILED)
    walk.passes(HOUR)
    walk.gets()
    for number in range(3):
        (shown,) = walk.shown(f"x-{number}")["deliveries"]
        assert (shown["state"], shown["digest"]) == ("sent", claim.delivery)
        assert shown["title"] == "Invoice agent: 3 failed since 12:00 UTC"
        assert [attempt["outcome"] for attempt in shown["attempts"]] == ["failed", "delivered"]


def test_a_digest_that_was_being_sent_goes_out_again_whole_and_says_so(walk: Walk) -> None:
    for number in range(3):
        fail(walk, number)
    only_a_file("a process that is gone is noticed by its lease there, not at a start")
    walk.passes(30 * SECOND)
    assert walk.claim("ops") is not None
    walk.restart()
    (told,) = walk.gets()
    assert counted(told) == 3
    assert told.message.body.startswith("Possible repeat")


def test_confirmations_are_never_only_counted(walk: Walk) -> None:
    for number in range(37):
        walk.comes(AWAITS, f"inv-{number}", detail={"reason": f"Pay {number} EUR"})
    walk.passes(30 * SECOND)
    told = walk.gets()
    assert [counted(each) for each in told] == [10, 10, 10, 7]
    assert told[0].title == "Invoice agent: 10 to confirm or decline, since 12:00 UTC"
    listed = [
        name for each in told for name in re.findall(r"· (inv-\d+)$", each.message.body, re.M)
    ]
    assert listed == [f"inv-{number}" for number in range(37)]
    assert all(f"Pay {n} EUR" in told[n // 10].message.body for n in range(37))


def test_long_confirmations_are_all_listed_too(walk: Walk) -> None:
    for number in range(10):
        walk.comes(
            AWAITS, f"{number}" + "i" * 199, detail={"reason": "r" * 500},
            execution_url="https://x.example/" + "u" * 280, agent_name="n" * 200,
        )  # fmt: skip
    walk.passes(30 * SECOND)
    (told,) = walk.gets()
    assert len(told.message.body) <= 2_000
    assert len(re.findall(r"· \di+", told.message.body, re.M)) == 10
    assert counted(told) == 10


def test_what_is_no_longer_true_is_left_out_and_superseded(walk: Walk) -> None:
    for number in range(4):
        walk.comes(AWAITS, f"x-{number}")
    walk.passes(10 * SECOND)
    walk.comes(RUNNING, "x-1")
    walk.passes(20 * SECOND)
    (told,) = walk.gets()
    assert told.title == "Invoice agent: 3 to confirm or decline, since 12:00 UTC"
    assert "x-1" not in told.message.body


def test_those_who_were_told_together_are_reminded_and_told_the_end_together(walk: Walk) -> None:
    for number in range(4):
        walk.comes(AWAITS, f"x-{number}")
    walk.passes(30 * SECOND)
    assert len(walk.gets()) == 1
    walk.passes(15 * MINUTE)
    (told,) = walk.gets()
    assert told.title == "Invoice agent: 4 to confirm or decline, since 12:00 UTC"
    assert "reminder 1" in told.message.body
    for number in range(4):
        walk.comes(RUNNING, f"x-{number}")
    (told,) = walk.gets()
    assert told.title == "Invoice agent: 4 are settled"
    assert "confirmed after 15 min · x-0" in told.message.body
    assert walk.until_quiet(2 * HOUR) == []


def test_a_digest_that_dies_goes_to_the_fallback_as_one(walk: Walk) -> None:
    walk.reload(ROUTES.replace("ops: {url", "ops: {fallback: mail, url"))
    for number in range(40):
        fail(walk, number)
    walk.passes(30 * SECOND)
    claim = walk.claim("ops")
    assert claim is not None
    walk.record(claim, GONE)
    (told,) = walk.gets()
    assert (told.destination, counted(told)) == ("mail", 40)
    assert "Sent here because ops did not get it" in told.message.body
    kinds = {(d, kind, state) for d, kind, state, _ in walk.states()}
    assert kinds == {("ops", "notice", "dead"), ("mail", "fallback", "sent")}


def test_of_a_digest_that_is_given_up_what_joined_late_has_time_left(walk: Walk) -> None:
    walk.reload(ROUTES.replace("ops: {url", "ops: {retry_for: 1h, url"))
    for number in range(12):
        fail(walk, number)
        walk.passes(10 * MINUTE)
        walk.gets("ops", FAILED)
    states = [state for _, _, state, _ in walk.states(destination="ops")]
    assert (states[0], states[-1]) == ("dead", "waiting")
    assert sorted(states) == states
    walk.passes(HOUR)
    (told,) = walk.gets("ops")
    assert counted(told) == states.count("waiting")


def test_what_joined_a_failing_digest_late_is_given_up_by_its_own_time(walk: Walk) -> None:
    walk.reload(ROUTES.replace("ops: {url", "ops: {retry_for: 1h, fallback: mail, url"))
    begin, heard = walk.now, list[int]()
    fail(walk, 0)
    for step in range(120):
        if step == 5:
            fail(walk, 1)
        walk.gets("ops", FAILED)
        heard += [(walk.now - begin) // MINUTE for _ in walk.gets("mail")]
        walk.passes(MINUTE)
    assert heard == [61, 66]  # looked at each minute, a moment after the hour


def test_all_that_is_dead_of_a_destination_comes_back_as_digests(walk: Walk) -> None:
    for number in range(40):
        fail(walk, number)
    walk.passes(30 * SECOND)
    walk.gets("ops", GONE)
    walk.passes(HOUR)
    assert walk.do(lambda t: t.redeliver_all("ops", walk.now)) == 40
    assert [counted(told) for told in walk.gets("ops")] == [40]


def test_a_group_may_be_by_what_the_sender_says_and_without_it(walk: Walk) -> None:
    walk.reload(ROUTES.replace("[agent, status]", "[reason, metadata.team]"))
    for number in range(6):
        fail(walk, number, metadata={"team": "ab"[number % 2]} if number < 4 else None)
    walk.passes(30 * SECOND)
    assert sorted(counted(told) for told in walk.gets()) == [2, 2, 2]


def test_a_digest_of_many_sorts_counts_the_rest(walk: Walk) -> None:
    walk.reload(ROUTES.replace("[agent, status]", "[status]"))
    for number in range(30):
        fail(walk, number, agent_name=f"agent {number}", agent_id=None)
    walk.passes(30 * SECOND)
    (told,) = walk.gets()
    assert (told.title, counted(told)) == ("Several agents: 30 updates since 12:00 UTC", 30)
    assert "22 × others" in told.message.body


@pytest.mark.parametrize("fails_until", [0, 600])
def test_a_storm_is_few_messages_that_account_for_all_of_it(
    tmp_path: Path, fails_until: int
) -> None:
    walk = Walk(tmp_path, STORM)
    figures = storm(walk, 10_000, fails_until=fails_until)
    walk.store.close()
    assert figures.messages <= 15
    assert figures.counted == 10_000
    # However many it stands for, a digest is the same few rows to dispatch.
    assert figures.grown < 2**20


def test_who_took_many_at_once_is_told_as_one(walk: Walk) -> None:
    walk.reload(ROUTES.replace("resolved: true", "acknowledged: true"))
    for number in range(3):
        walk.comes(AWAITS, f"x-{number}")
    walk.passes(30 * SECOND)
    walk.gets()
    for number in range(3):
        walk.acknowledge("Ann", f"x-{number}")
    (told,) = walk.gets()
    assert told.title == "Invoice agent: 3 are taken care of"
    assert "x-1" in told.message.body


def test_a_running_server_gathers_too(tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/ops").respond_with_data("")
    routes = LIVE.replace("console://", '"json://127.0.0.1:${PORT}/ops"').replace(
        "{status: failed}, notify: [ops]",
        "{status: failed}, notify: [ops], group: {by: agent, wait: 2s}",
    )
    with live(tmp_path, routes, {"PORT": str(httpserver.port)}) as receiver:
        for number in range(5):
            receiver.post(client.asteroid_event("EXECUTION_FAILED", f"x-{number}"))
        until(lambda: len(receiver.ask("/api/deliveries?state=sent")[1]["items"]) == 5)
        items = receiver.ask("/api/deliveries?state=sent")[1]["items"]
        assert receiver.ask("/api/ledger")[1]["imbalance"] == 0
    assert len({item["title"] for item in items}) == 1
    assert items[0]["title"].startswith("Invoice agent: 5 failed since ")
    assert all(len(item["attempts"]) == 1 for item in items)
    assert len(httpserver.log) == 1


def test_what_was_told_long_ago_is_not_remembered(walk: Walk) -> None:
    for number in range(3):
        fail(walk, number, agent_id=f"agent-{number}")
        walk.passes(10 * MINUTE)
        assert len(walk.gets()) == 1

    def remembered(transaction: Transaction) -> int:
        found = transaction._database.connection.execute("SELECT count(*) FROM digest_group")  # type: ignore[attr-defined]
        return int(found.fetchone()[0])

    assert walk.do(remembered) == 1


@pytest.mark.parametrize("what", ["resolved", "acknowledged"])
def test_what_is_told_of_a_group_that_was_told_has_one_digest_each_every(
    walk: Walk, what: str
) -> None:
    walk.reload(ROUTES.replace("resolved: true", f"{what}: true"))
    for number in range(40):
        walk.comes(AWAITS, f"x-{number}")
    walk.passes(30 * SECOND)
    assert len(walk.gets()) == 4
    found = list[Told]()
    for number in range(40):
        claim = walk.claim("mail")
        # The next one comes while this is being sent.
        if what == "resolved":
            walk.comes(RUNNING, f"x-{number}")
        else:
            walk.acknowledge("Ann", f"x-{number}")
        if claim is not None:
            found.append(Told("mail", walk.record(claim), claim))
        walk.passes(10 * SECOND)
    found += [told for _, told in walk.until_quiet(11 * MINUTE)]
    titles = [told.title for told in found]
    assert len(titles) == 3
    assert sum(counted(told) or 1 for told in found) == 40
