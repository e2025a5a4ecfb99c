"""What waited in a spool is judged by its receipt; what it causes begins when it is judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from receiver.dispatch.alarms import DAY
from receiver.events import Event, Status
from receiver.intake.receive import Receipt, VerifiedWebhook
from receiver.times import SECOND
from tests.support.people import HOUR, MINUTE, START, Walk

RULES = """\
destinations: {ops: {url: "console://", retry_for: 1h}, lead: "console://"}
routes:
  - {name: asks, match: {status: awaiting_confirmation}, notify: ops, remind: {every: 15m},
     escalate: [{after: 1h, notify: lead}]}
  - {name: ends, match: {status: [failed, completed]}, notify: [ops]}
  - {name: odd, match: {verdict: [rejected, quarantined]}, notify: ops}
"""


@pytest.fixture
def walk(tmp_path: Path) -> Walk:
    return Walk(tmp_path, RULES)


def drained(walk: Walk, event: Event, received_at: int) -> Receipt:
    """Judge now what was received then."""
    webhook = VerifiedWebhook(event.source, event, b"{}", received_at, judged_at=walk.now)
    return walk.store.write_now(walk.intake.receive, webhook)


def test_a_gap_has_its_whole_time_from_the_judgement_on(walk: Walk) -> None:
    """The missing event may wait in another machine's spool, which is emptied a little later."""
    walk.comes(Status.PAUSED)
    running, completed = walk.event(Status.RUNNING), walk.event(Status.COMPLETED)
    received_at = walk.now
    walk.passes(2 * HOUR)
    assert drained(walk, completed, received_at).judgement.verdict == "held"
    assert walk.store.next_given_up() == walk.now + 30 * SECOND
    walk.passes(20 * SECOND)
    assert not walk.do(lambda transaction: transaction.expired_held(walk.now))
    receipt = drained(walk, running, received_at)
    assert [each.judgement.reason for each in receipt.settled] == ["healed"]
    assert walk.titles() == ["ops: Invoice agent completed"]


def test_its_message_is_owed_from_the_judgement_on_and_not_given_up_at_once(walk: Walk) -> None:
    failed = walk.event(Status.FAILED)
    received_at = walk.now
    walk.passes(2 * HOUR)  # longer than `retry_for`, and than the time until others are told
    drained(walk, failed, received_at)
    assert walk.looks() == []
    assert [told.destination for told in walk.gets()] == ["ops"]
    (event,) = walk.store.events({}, 5, None)[0]
    assert event["received_at"] == received_at
    assert walk.shown()["execution"]["first_seen"] == walk.shown()["events"][0]["received_at"]


def test_reminders_and_escalations_count_from_the_judgement_on(walk: Walk) -> None:
    asks = walk.event(Status.AWAITING_CONFIRMATION)
    received_at = walk.now
    walk.passes(2 * HOUR)
    drained(walk, asks, received_at)
    begun = walk.now
    heard = [(minute, told.destination) for minute, told in walk.until_quiet(70 * MINUTE)]
    assert [minute for minute, who in heard if who == "lead"] == [60]
    assert [minute for minute, who in heard if who == "ops"][:3] == [1, 16, 31]
    assert walk.now == begun + 70 * MINUTE


@pytest.mark.parametrize(("ahead", "verdict"), [(6 * MINUTE, "quarantined"), (0, "applied")])
def test_the_future_is_that_of_its_receipt(walk: Walk, ahead: int, verdict: str) -> None:
    event = replace(walk.event(Status.RUNNING), occurred_at=walk.now + ahead)
    received_at = walk.now
    walk.passes(HOUR)  # by now it would lie in the past
    assert drained(walk, event, received_at).judgement.verdict == verdict


def test_too_old_and_late_are_those_of_its_receipt(walk: Walk) -> None:
    event = walk.event(Status.RUNNING)
    received_at = walk.now
    walk.passes(15 * DAY)
    judgement = drained(walk, event, received_at).judgement
    assert (judgement.verdict, "late" in judgement.flags) == ("applied", False)


def test_a_source_was_heard_when_its_webhook_came(walk: Walk) -> None:
    event = walk.event(Status.RUNNING)
    received_at = walk.now
    walk.passes(HOUR)
    drained(walk, event, received_at)
    assert walk.store.watched(walk.now, START).sources["s"].heard_at == received_at


def test_several_that_could_not_be_read_are_told_of_once(walk: Walk) -> None:
    webhooks = [
        VerifiedWebhook("s", None, b"{", walk.now, "malformed", False, "no JSON", walk.now + n)
        for n in range(3)
    ]
    walk.store.write_now(lambda t, _: [walk.intake.receive(t, webhooks)], None)
    assert len(walk.gets()) == 1
