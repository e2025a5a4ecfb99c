"""Retention: what has been kept for long enough goes, what is owed or not over stays, and the
ledger still holds what was promised against what became of it. Time is passed in.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver.events import Status
from receiver.intake.receive import VerifiedWebhook
from receiver.retention import Limits, Retention
from receiver.routing.silences import Silence
from receiver.store.pruning import PruneTimer, prune, prune_all, removed, together, walk
from receiver.store.records import PruneCursor, Pruned
from receiver.store.sql import pruning
from receiver.store.sql.database import Statement
from tests.store.test_plans import plan_of
from tests.support.live import until
from tests.support.people import DELIVERED, FAILED, GONE, HOUR, MINUTE, Walk

DAY = 24 * HOUR
DEFAULT = Retention()
ROUTES = """\
destinations:
  ops: {url: console://, retry_for: 400d, rate: 1000/s}
  lead: {url: console://, retry_for: 400d}
routes:
  - {name: failures, match: {status: failed}, notify: ops}
  - name: confirmations
    match: {status: awaiting_confirmation}
    notify: lead
    remind: {every: 10d}
    resolved: true
  - {name: not accepted, match: {verdict: [rejected, quarantined]}, notify: ops}
"""
GROUPED = """\
destinations:
  ops: {url: console://, retry_for: 400d}
routes:
  - name: failures
    match: {status: [failed, awaiting_confirmation]}
    notify: ops
    group: {by: [agent], wait: 30s, every: 5m}
    resolved: true
"""


@pytest.fixture
def walked(tmp_path: Path) -> Iterator[Walk]:
    made = Walk(tmp_path, ROUTES)
    yield made
    made.store.close()


def pruned(walk: Walk, kept: Retention = DEFAULT) -> dict[str, int]:
    """Remove what may go now; the ledger is in balance and says what it said."""
    before = walk.store.ledger()
    gone = removed(prune_all(walk.store, kept.limits(walk.now), lambda seconds: None))
    assert walk.store.ledger() == before
    assert before["imbalance"] == 0
    assert counted(walk) == 0
    assert removed(prune_all(walk.store, kept.limits(walk.now), lambda _: None)) == dict.fromkeys(
        gone, 0
    )
    return gone


def counted(walk: Walk) -> int:
    """How many events say that they owe other than what is there, and what refers to nothing."""
    with closing(sqlite3.connect(walk.folder / "receiver.db")) as db:
        (wrong,) = db.execute(
            "SELECT count(*) FROM event AS e WHERE owed <>"
            " (SELECT count(*) FROM delivery AS d WHERE d.event = e.seq)"
        ).fetchone()
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return int(wrong) + len(db.execute("PRAGMA foreign_key_check").fetchall())


def rows(walk: Walk, table: str, where: str = "1") -> int:
    with closing(sqlite3.connect(walk.folder / "receiver.db")) as db:
        return int(db.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0])


def test_an_execution_goes_with_all_about_it_ninety_days_after_its_end(walked: Walk) -> None:
    walked.comes(Status.AWAITING_CONFIRMATION)
    walked.acknowledge("Ann")
    walked.gets()
    walked.comes(Status.RUNNING)
    walked.comes(None)  # ignored, and in its history
    walked.comes(Status.FAILED)
    walked.gets()
    walked.comes(Status.RUNNING, "later")
    walked.passes(90 * DAY - MINUTE)
    assert pruned(walked) == {
        "executions": 0, "events": 0, "deliveries": 0, "silences": 0, "alarms": 0,
        "acts": 0, "bodies": 5,
    }  # fmt: skip
    walked.passes(2 * MINUTE)
    gone = pruned(walked)
    assert (gone["executions"], gone["events"], gone["deliveries"]) == (1, 4, 3)
    assert walked.store.execution("s", "x") is None
    assert walked.store.execution("s", "later") is not None
    for table in ("delivery", "attempt", "acknowledgement", "judgement"):
        assert rows(walked, table) == 0


def kept(walked: Walk) -> dict[str, Any]:
    """Return what is shown of the execution, without why its messages wait at present."""
    shown = walked.shown()
    for delivery in shown["deliveries"]:
        del delivery["waits_for"], delivery["until"]
    return shown


def test_what_has_not_ended_stays_for_ever_but_its_bodies_go_after_thirty_days(
    walked: Walk,
) -> None:
    walked.comes(Status.AWAITING_CONFIRMATION)
    walked.gets()
    before = kept(walked)
    walked.passes(29 * DAY)
    assert pruned(walked)["bodies"] == 0
    walked.passes(DAY + MINUTE)
    assert pruned(walked)["bodies"] == 1
    assert kept(walked) == before
    walked.passes(1_000 * DAY)
    assert pruned(walked) == dict.fromkeys(pruned(walked), 0)
    # It moves on as if nothing had been: who was told is told of its end.
    assert walked.comes(Status.RUNNING).judgement.reason == "transition"
    assert [t for t in walked.titles() if "now running" in t or "confirmed" in t]
    assert walked.store.ledger()["imbalance"] == 0


@pytest.mark.parametrize("attempt", [None, FAILED])
def test_what_is_owed_stays_with_its_execution(walked: Walk, attempt: object) -> None:
    walked.comes(Status.FAILED)
    walked.passes(200 * DAY)
    if attempt is not None:
        walked.gets("ops", FAILED)
    assert pruned(walked)["executions"] == 0
    assert walked.pending() == 1
    walked.passes(2 * HOUR)
    assert len(walked.gets("ops")) == 1
    walked.passes(89 * DAY)
    assert pruned(walked)["executions"] == 0  # the delivery ended only now
    walked.passes(2 * DAY)
    assert pruned(walked)["executions"] == 1


def test_what_is_being_sent_stays(walked: Walk) -> None:
    walked.comes(Status.FAILED)
    walked.passes(200 * DAY)
    claim = walked.claim("ops")
    assert claim is not None
    assert pruned(walked)["executions"] == 0
    walked.record(claim)
    assert walked.states()[0][2] == "sent"


def test_a_dead_letter_can_be_redelivered_for_ninety_days(walked: Walk) -> None:
    walked.comes(Status.FAILED)
    walked.passes(50 * DAY)
    walked.gets("ops", GONE)
    walked.gets("lead")  # is told of the dead letter
    walked.passes(50 * DAY)
    assert pruned(walked)["executions"] == 0
    walked.passes(41 * DAY)
    gone = pruned(walked)
    assert (gone["executions"], gone["deliveries"]) == (1, 2)


def test_an_event_that_comes_again_is_a_duplicate_for_as_long_as_promised(walked: Walk) -> None:
    event = walked.event(Status.FAILED)
    walked.come([event])
    walked.gets()
    walked.passes(60 * DAY)
    assert pruned(walked)["bodies"] == 1
    assert walked.come([event])[0].judgement.reason == "event_id"
    walked.passes(89 * DAY)  # its end is long ago, but it was heard of since
    assert pruned(walked)["events"] == 0
    assert walked.come([event])[0].judgement.reason == "event_id"
    walked.passes(91 * DAY)
    assert pruned(walked)["events"] == 2
    # Nobody knows it any more, and nobody needs to: it is too old to be believed.
    receipt = walked.come([event])[0]
    assert (receipt.judgement.verdict, receipt.judgement.reason) == ("stale", "too_old")
    assert walked.gets() == []


def test_events_about_no_execution_go_when_their_ids_may_be_forgotten(walked: Walk) -> None:
    kept = Retention(event_ids="20d", executions="60d")
    future = walked.event(Status.RUNNING, "future")
    walked.come([
        walked.event(None, "ignored"),
        replace(walked.event(None), execution_id=None),
        replace(walked.event(Status.RUNNING, "old"), occurred_at=walked.now - 15 * DAY),
        replace(future, occurred_at=walked.now + DAY),
    ])  # fmt: skip
    unreadable = VerifiedWebhook("s", None, b"[", walked.now, "malformed", accepted=False)
    walked.store.write_now(lambda t, _: [walked.intake.receive(t, [unreadable])], None)
    told = walked.gets()
    assert len(told) == 2  # of the first of each sort in quarantine
    walked.passes(19 * DAY)
    assert pruned(walked, kept)["events"] == 0
    walked.passes(2 * DAY)
    assert pruned(walked, kept)["events"] == 3
    walked.passes(40 * DAY)
    gone = pruned(walked, kept)
    assert (gone["events"], gone["deliveries"]) == (2, 2)
    assert rows(walked, "event") == 0
    assert walked.store.ledger()["verdicts"] == {"ignored": 2, "stale": 1, "quarantined": 1}


def test_a_held_event_and_its_steps_stay_and_go_with_their_execution(walked: Walk) -> None:
    walked.comes(Status.PAUSED)
    walked.comes(Status.COMPLETED)  # held: the resume is missing
    walked.passes(200 * DAY)
    assert pruned(walked)["events"] == 0
    walked.store.write_now(walked.intake.expire, walked.now)
    walked.gets()
    walked.passes(200 * DAY)
    assert pruned(walked)["events"] == 0  # rejected, but the execution is paused still
    assert rows(walked, "judgement") == 2
    walked.comes(Status.CANCELLED)
    walked.gets()
    walked.passes(91 * DAY)
    assert pruned(walked)["executions"] == 1
    assert rows(walked, "judgement") == rows(walked, "event") == 0


def test_the_head_of_a_digest_stays_until_its_members_have_gone(tmp_path: Path) -> None:
    walked = Walk(tmp_path, GROUPED)
    walked.comes(Status.FAILED, "ended")
    walked.comes(Status.AWAITING_CONFIRMATION, "waits")
    walked.comes(Status.FAILED, "ended too")
    walked.passes(MINUTE)
    (told,) = walked.gets()
    assert told.claim.digest is not None
    walked.passes(100 * DAY)
    gone = pruned(walked)
    # What still waits was told by the message of what has ended.
    assert (gone["executions"], gone["deliveries"]) == (1, 1)
    (shown,) = walked.shown("waits")["deliveries"]
    assert shown["body"] == told.message.body
    assert len(shown["attempts"]) == 1
    assert walked.comes(Status.FAILED, "waits").judgement.reason == "transition"
    walked.passes(MINUTE)
    assert walked.gets()
    walked.passes(91 * DAY)
    assert pruned(walked)["executions"] == 2
    assert rows(walked, "delivery") == 0
    walked.store.close()


def test_digests_that_tell_of_each_other_s_executions_go_too(tmp_path: Path) -> None:
    walked = Walk(tmp_path, GROUPED)
    for _ in range(2):
        for name in ("a", "b") if _ else ("b", "a"):
            walked.comes(Status.RUNNING, name)
            walked.comes(Status.AWAITING_CONFIRMATION, name)
        walked.passes(MINUTE)
        assert walked.gets()
        walked.passes(HOUR)
    for name in ("a", "b"):
        walked.comes(Status.FAILED, name)
    walked.passes(MINUTE)
    walked.gets()
    walked.passes(91 * DAY)
    assert pruned(walked)["executions"] == 2
    assert rows(walked, "delivery") == rows(walked, "history") == 0
    walked.store.close()


def test_what_a_digest_told_late_is_kept_from_then_on(tmp_path: Path) -> None:
    walked = Walk(tmp_path, GROUPED)
    for name in ("a", "b"):
        walked.comes(Status.FAILED, name)
    walked.passes(100 * DAY)
    assert walked.gets()[0].claim.digest is not None
    walked.passes(89 * DAY)
    assert pruned(walked)["executions"] == 0  # also that whose message was only counted
    walked.passes(2 * DAY)
    assert pruned(walked)["executions"] == 2
    walked.store.close()


def silence(walked: Walk, days: int) -> int:
    asked = Silence({"status": ("failed",)}, "known", "Ann", walked.now, walked.now + days * DAY)
    number: int = walked.do(lambda t: t.add_silence(asked, walked.now))
    return number


def test_what_a_silence_kept_back_stays_until_it_was_listed_long_ago(walked: Walk) -> None:
    silence(walked, 200)
    walked.comes(Status.FAILED)
    assert walked.gets() == []
    walked.passes(150 * DAY)
    assert pruned(walked)["executions"] == 0
    walked.passes(51 * DAY)  # it ends, and is listed
    (told,) = walked.gets("ops", FAILED)
    walked.passes(95 * DAY)
    assert pruned(walked)["executions"] == 0  # its digest has not got through
    (told,) = walked.gets("ops")
    assert "known" in told.message.body
    assert walked.store.silences({}, 9, None)[0][0]["silenced"] == 1
    walked.passes(91 * DAY)
    gone = pruned(walked)
    assert (gone["executions"], gone["deliveries"], gone["silences"]) == (1, 2, 1)
    assert rows(walked, "silence") == 0


def test_a_portion_is_bounded_and_an_execution_with_hundreds_of_messages_goes(
    walked: Walk,
) -> None:
    walked.reload(ROUTES.replace("every: 10d", "every: 1m"))
    walked.comes(Status.AWAITING_CONFIRMATION)
    for _ in range(300):
        walked.passes(MINUTE)
        walked.gets()
    walked.come([walked.event(None) for _ in range(300)])
    walked.comes(Status.FAILED)
    walked.come([walked.event(Status.RUNNING) for _ in range(300)])
    while walked.pending():
        walked.passes(MINUTE)
        walked.gets()
    walked.passes(91 * DAY)
    whole, before = Pruned(None), walked.store.ledger()
    messages = rows(walked, "delivery")
    for portion in walk(walked.store, Retention().limits(walked.now)):
        # Its own two events go at once.
        assert portion.events + portion.deliveries <= pruning.ROWS + 2
        whole = together(whole, portion)
        assert walked.store.ledger() == before
    assert (whole.executions, whole.events, whole.deliveries) == (1, 602, messages)
    assert messages > 300


def test_it_can_be_ended_after_any_portion_and_goes_on(walked: Walk) -> None:
    for number in range(120):
        walked.comes(Status.FAILED, f"x-{number}")
    walked.gets()
    walked.passes(91 * DAY)
    limits, before = Retention().limits(walked.now), walked.store.ledger()
    place, portions = PruneCursor(), 0
    while rows(walked, "execution"):
        portion = walked.store.write_now(prune, (limits, place))
        assert portion.after is not None
        place, portions = portion.after, portions + 1
        if portions % 2:
            walked.restart()
            place = PruneCursor()
        assert walked.store.ledger() == before
    assert portions == 120 / pruning.EXECUTIONS
    assert pruned(walked) == dict.fromkeys(removed(portion), 0)


def test_what_would_go_is_said_beforehand(walked: Walk) -> None:
    walked.comes(Status.FAILED, "a")
    walked.comes(Status.RUNNING, "b")
    walked.comes(Status.FAILED, "c")
    walked.come([walked.event(None, "nobody")])
    walked.gets()
    walked.passes(91 * DAY)
    limits = Retention().limits(walked.now)
    foretold = dict(walked.store.prunable(limits))
    assert foretold == {
        "bodies": 4, "executions": 2, "events": 3, "deliveries": 2, "silences": 0, "alarms": 0,
        "acts": 0,
    }  # fmt: skip
    gone = pruned(walked)
    assert foretold == {**gone, "bodies": 4}


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (pruning.REMOVE_BODIES, "INDEX event_body (received_at<?)"),
        (pruning.ENDED, "INDEX execution_ended (since"),
        (pruning.UNAPPLIED, "INDEX event_unapplied (received_at"),
        (pruning.EXECUTION_STAYS, "r USING INTEGER PRIMARY KEY (rowid=?)"),
        (pruning.EXECUTION_STAYS, "h USING PRIMARY KEY (execution=?)"),
        (pruning.EXECUTION_STAYS, "u USING INDEX event_execution (source=? AND execution_id=?)"),
        (pruning.BESIDES, "event USING INDEX event_execution (source=? AND execution_id=?)"),
        (pruning.EVENT_STAYS, "d USING INDEX delivery_event (event=?)"),
        (pruning.LEAVES["execution"],
         "m USING COVERING INDEX delivery_digest (digest=?)"),
        ("DELETE FROM event WHERE seq = 1", "history USING COVERING INDEX history_event"),
        ("DELETE FROM delivery WHERE id = 1", "delivery USING COVERING INDEX delivery_origin"),
        ("DELETE FROM execution WHERE id = 1", "history USING PRIMARY KEY (execution=?)"),
        ("DELETE FROM history WHERE execution = 1", "acknowledgement USING PRIMARY KEY (execution"),
        ("DELETE FROM silence WHERE id = 1", "delivery USING COVERING INDEX delivery_silence"),
    ],
)  # fmt: skip
def test_what_goes_is_found_by_an_index(tmp_path: Path, query: str | Statement, index: str) -> None:
    plan = plan_of(tmp_path, query)
    assert index in plan
    assert "SCAN" not in plan.replace("SCAN CONSTANT ROW", "")
    assert "TEMP B-TREE" not in plan


def test_the_rule_between_the_times_holds() -> None:
    with pytest.raises(ValueError, match="longer than events are believed"):
        Retention(event_ids="14d")
    with pytest.raises(ValueError, match="at least as long as event ids"):
        Retention(event_ids="91d")
    assert Retention("1d", "15d", "15d").limits(100 * DAY) == Limits(99 * DAY, 85 * DAY, 85 * DAY)


def test_a_serving_process_does_it_by_itself(
    walked: Walk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "receiver.pruning")
    walked.now = time.time_ns() - 100 * DAY
    for number in range(12):
        walked.comes(Status.COMPLETED, f"x-{number}")
    walked.now = time.time_ns() - 40 * DAY
    walked.comes(Status.COMPLETED, "younger")
    clock = PruneTimer(walked.store, DEFAULT, first=0.0)
    clock.start()
    until(lambda: "pruning.done" in caplog.text)
    clock.stop()
    assert not clock.is_alive()
    assert rows(walked, "execution") == 1
    assert (
        "pruning.done executions=12 events=12 deliveries=0 silences=0 alarms=0 acts=0 bodies=1"
        in caplog.messages
    )
    assert walked.store.ledger()["imbalance"] == 0


def test_a_clock_that_jumped_removes_nothing(
    walked: Walk, caplog: pytest.LogCaptureFixture
) -> None:
    walked.now = time.time_ns() - 100 * DAY
    walked.comes(Status.COMPLETED)
    clock = PruneTimer(walked.store, DEFAULT, first=0.0)
    clock._apart -= 3600  # as if it had been an hour earlier when it was looked at last
    clock.start()
    until(lambda: "pruning.clock_jumped" in caplog.text)
    clock.stop()
    assert rows(walked, "execution") == 1


STATUSES = (
    None, Status.RUNNING, Status.PAUSED, Status.AWAITING_CONFIRMATION, Status.FAILED,
    Status.COMPLETED, Status.CANCELLED,
)  # fmt: skip
ALL = ROUTES + GROUPED.split("routes:\n")[1].replace("name: failures", "name: grouped")


@pytest.mark.parametrize("seed", range(12))
def test_whenever_it_is_done_the_ledger_balances_and_what_is_owed_or_open_is_as_it_was(
    tmp_path: Path, seed: int
) -> None:
    chance, walked = random.Random(seed), Walk(tmp_path, ALL)

    def act() -> None:
        sort = chance.randrange(9)
        if sort < 4:
            name = f"x-{chance.randrange(12)}"
            walked.come([walked.event(chance.choice(STATUSES), name) for _ in range(2)])
        elif sort == 4:
            walked.gets(None, chance.choice([FAILED, GONE, DELIVERED, DELIVERED]))
        elif sort == 5:
            walked.acknowledge("Ann", f"x-{chance.randrange(12)}")
        elif sort == 6:
            silence(walked, chance.choice([1, 120]))
        elif sort == 7:
            walked.store.write_now(walked.intake.expire, walked.now)
        walked.passes(chance.choice([MINUTE, HOUR, 5 * DAY, 40 * DAY]))

    def must_stay() -> tuple[object, ...]:
        with closing(sqlite3.connect(tmp_path / "receiver.db")) as db:
            open_ones = db.execute(
                "SELECT execution_id FROM execution WHERE category <> 'terminal'"
            ).fetchall()
            owed = "SELECT * FROM delivery WHERE state IN ('waiting', 'sending') ORDER BY id"
            return [walked.shown(name) for (name,) in open_ones], db.execute(owed).fetchall()

    gone = Pruned(None)
    for _ in range(40):
        act()
        before = must_stay()
        for portion in walk(walked.store, DEFAULT.limits(walked.now)):
            gone = together(gone, portion)
        assert must_stay() == before
        assert walked.store.ledger()["imbalance"] == 0
        assert counted(walked) == 0
    walked.store.close()
    assert gone.events > 0
