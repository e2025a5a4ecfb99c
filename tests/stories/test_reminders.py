"""Reminders, escalations, the end of an episode, who took it: walks over the real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.deliveries import Acknowledgement
from receiver.events import Status
from receiver.routing.silences import Silence
from receiver.store.records import TakeOutcome
from tests.support.people import FAILED, GONE, HOUR, MINUTE, SECOND, START, Walk

AWAITS, RUNNING, DONE = Status.AWAITING_CONFIRMATION, Status.RUNNING, Status.COMPLETED
ROUTES = """\
destinations:
  approvers: {url: console://, rate: 1000/s}
  ops: {url: console://, rate: 1000/s}
routes:
  - name: confirmations
    match: {status: awaiting_confirmation}
    notify: approvers
    remind: {every: 15m}
    escalate: [{after: 1h, notify: ops}]
    resolved: true
    acknowledged: true
"""


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, ROUTES)
    yield opened
    opened.store.close()


def asks(walk: Walk, execution: str = "x") -> None:
    walk.comes(RUNNING, execution)
    walk.comes(AWAITS, execution, detail={"reason": "About to pay 4,200 EUR"})


def test_reminders_run_for_as_long_as_it_waits_and_say_how_long_and_which(walk: Walk) -> None:
    asks(walk)
    (notice,) = walk.gets()
    assert notice.title == "Invoice agent asks: About to pay 4,200 EUR"
    found = walk.until_quiet(50 * MINUTE)
    assert [(at, told.destination, told.title) for at, told in found] == [
        (15, "approvers", "Reminder 1: Invoice agent asks: About to pay 4,200 EUR"),
        (30, "approvers", "Reminder 2: Invoice agent asks: About to pay 4,200 EUR"),
        (45, "approvers", "Reminder 3: Invoice agent asks: About to pay 4,200 EUR"),
    ]
    body = found[1][1].message.body
    assert body.startswith("Still waiting after 30 min: nobody has confirmed or declined.")
    assert "4,200" not in body  # the title says it
    assert "comes late" not in body


def test_reminders_survive_a_restart_and_do_not_come_in_a_burst_after_a_long_stop(
    walk: Walk,
) -> None:
    asks(walk)
    walk.gets()
    walk.restart()
    walk.passes(5 * HOUR)
    walk.restart()
    assert walk.titles() == [
        "approvers: Reminder 1: Invoice agent asks: About to pay 4,200 EUR",
        "ops: Escalated: Invoice agent asks: About to pay 4,200 EUR",
    ]
    assert walk.until_quiet(14 * MINUTE) == []
    walk.passes(MINUTE)
    assert walk.titles("approvers")[0].startswith("approvers: Reminder 2")


def test_at_most_says_how_many(walk: Walk) -> None:
    walk.reload(ROUTES.replace("{every: 15m}", "{every: 15m, at_most: 2}"))
    asks(walk)
    walk.gets("approvers")
    found = [told for _, told in walk.until_quiet(55 * MINUTE)]
    assert [told.title[:11] for told in found] == ["Reminder 1:", "Reminder 2:"]
    assert "This is the last reminder, and the agent goes on waiting." in found[1].message.body
    assert "last reminder" not in found[0].message.body


def test_an_escalation_comes_once_after_its_time(walk: Walk) -> None:
    asks(walk)
    walk.gets()
    walk.restart()
    found = [(at, told) for at, told in walk.until_quiet(3 * HOUR) if told.destination == "ops"]
    ((at, told),) = found
    assert (at, told.title) == (60, "Escalated: Invoice agent asks: About to pay 4,200 EUR")
    assert (
        "We told approvers 1 h ago, and nobody has confirmed or declined; it still waits."
        in told.message.body
    )


def test_when_it_moves_everything_that_waits_is_superseded_at_once(walk: Walk) -> None:
    asks(walk)
    walk.gets()
    walk.passes(20 * MINUTE)
    walk.gets()
    walk.comes(RUNNING)
    reason = "no longer awaiting_confirmation: now running"
    assert walk.states(state="superseded") == [
        ("ops", "escalation", "superseded", reason),
        ("approvers", "reminder", "superseded", reason),
    ]
    assert walk.titles() == ["approvers: Invoice agent: confirmed after 20 min, it continues"]
    assert walk.until_quiet(3 * HOUR) == []


def test_a_move_in_the_same_batch_supersedes_what_that_batch_owes(walk: Walk) -> None:
    walk.comes(RUNNING)
    walk.now += SECOND
    first = walk.event(AWAITS)
    walk.now += SECOND
    walk.come([first, walk.event(RUNNING)])
    assert {state for _, _, state, _ in walk.states()} == {"superseded"}
    assert walk.until_quiet(2 * HOUR) == []


def test_a_second_wait_is_a_new_episode(walk: Walk) -> None:
    asks(walk)
    walk.gets()
    walk.passes(10 * MINUTE)
    walk.comes(RUNNING)
    walk.passes(MINUTE)
    walk.comes(AWAITS)
    assert len(walk.gets()) == 2  # it was resolved; it waits again
    found = walk.until_quiet(16 * MINUTE)
    assert [(at, told.title[:11]) for at, told in found] == [(15, "Reminder 1:")]


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (RUNNING, "confirmed after 12 min, it continues"),
        (Status.CANCELLED, "cancelled after waiting for confirmation for 12 min"),
        (Status.FAILED, "failed after waiting for confirmation for 12 min"),
        (DONE, "completed after waiting for confirmation for 12 min"),
    ],
)
def test_everybody_who_was_told_learns_once_how_it_ended(
    walk: Walk, status: Status, says: str
) -> None:
    asks(walk)
    walk.gets()
    walk.passes(12 * MINUTE)
    walk.restart()
    walk.comes(status)
    walk.restart()
    (told,) = walk.gets()
    assert (told.destination, told.title) == ("approvers", f"Invoice agent: {says}")
    assert told.claim.kind == "resolved"
    assert "It had asked: About to pay 4,200 EUR" in told.message.body
    assert "Execution: x" in told.message.body
    assert walk.until_quiet(2 * HOUR) == []


def test_who_was_escalated_to_learns_the_end_too(walk: Walk) -> None:
    asks(walk)
    walk.gets()
    walk.passes(61 * MINUTE)
    walk.gets()
    walk.comes(Status.CANCELLED)
    assert {told.destination for told in walk.gets()} == {"approvers", "ops"}


def test_nobody_is_told_the_end_of_what_nobody_was_told(walk: Walk) -> None:
    asks(walk)
    walk.comes(RUNNING)
    assert walk.gets() == []
    asks(walk, "y")
    claim = walk.claim("approvers")
    assert claim is not None
    walk.record(claim, GONE)
    walk.comes(RUNNING, "y")
    assert [told.claim.kind for told in walk.gets("approvers")] == []


def test_what_was_being_sent_during_the_move_is_resolved_once_it_was_sent(walk: Walk) -> None:
    asks(walk)
    claim = walk.claim("approvers")
    assert claim is not None
    walk.passes(30 * SECOND)
    walk.comes(RUNNING)
    assert walk.titles() == []
    walk.record(claim)
    assert walk.titles() == ["approvers: Invoice agent: confirmed after 30 s, it continues"]
    assert walk.until_quiet(2 * HOUR) == []


def test_what_was_being_sent_during_the_move_and_failed_is_not_sent_again(walk: Walk) -> None:
    asks(walk)
    claim = walk.claim("approvers")
    assert claim is not None
    walk.comes(RUNNING)
    walk.record(claim, FAILED)
    walk.passes(HOUR)
    assert walk.titles() == []
    assert (
        "approvers",
        "notice",
        "superseded",
        "no longer awaiting_confirmation: now running",
    ) in (walk.states())


def test_an_episode_is_one_conversation(walk: Walk) -> None:
    asks(walk)
    told = walk.gets()
    told += [each for _, each in walk.until_quiet(16 * MINUTE)]
    walk.comes(RUNNING)
    told += walk.gets()
    assert [each.claim.kind for each in told] == ["notice", "reminder", "resolved"]
    (thread,) = {each.message.thread for each in told}
    assert thread is not None
    assert thread.endswith("@receiver>")
    walk.now += SECOND
    walk.comes(AWAITS)
    assert walk.gets()[0].message.thread != thread


def test_who_acknowledges_ends_reminders_and_escalations_and_the_others_learn_who(
    walk: Walk,
) -> None:
    asks(walk)
    walk.gets()
    walk.passes(16 * MINUTE)
    walk.gets()
    assert walk.acknowledge("Ann") is True
    ended = [each for each in walk.states() if each[2] == "superseded"]
    assert ended == [
        ("ops", "escalation", "superseded", "acknowledged by Ann"),
        ("approvers", "reminder", "superseded", "acknowledged by Ann"),
    ]
    shown = walk.shown()["execution"]["acknowledged"]
    assert shown["by"] == "Ann"
    walk.restart()
    (told,) = walk.gets()
    assert told.title == "Invoice agent: Ann takes care of it: About to pay 4,200 EUR"
    assert (
        "It has been waiting for confirmation for 16 min; there will be no more"
        in told.message.body
    )
    assert walk.acknowledge("Ann") is True  # a second click tells nobody
    assert walk.until_quiet(3 * HOUR) == []
    walk.comes(RUNNING)
    assert walk.titles() == ["approvers: Invoice agent: confirmed after 3 h 16 min, it continues"]
    assert walk.shown()["execution"]["acknowledged"] is None


def test_who_took_it_is_told_at_its_end_and_only_of_that_episode(walk: Walk) -> None:
    asks(walk)
    walk.gets()
    walk.acknowledge("Ann")
    walk.acknowledge("Bob")
    walk.gets()
    walk.passes(12 * MINUTE)
    walk.comes(Status.CANCELLED, detail={"reason": "timeout"})
    (told,) = walk.gets("approvers")
    how = "cancelled after waiting for confirmation for 12 min"
    assert told.title == f"Invoice agent: {how}"
    assert told.message.body.splitlines()[:2] == [
        "Reason: timeout", "It had asked: About to pay 4,200 EUR",
    ]  # fmt: skip
    asks(walk, "y")
    walk.gets()
    walk.comes(RUNNING, "y")
    (told,) = walk.gets("approvers")
    assert told.title == "Invoice agent: confirmed after 0 s, it continues"


def test_the_same_person_twice_changes_nothing_and_another_takes_it_over(walk: Walk) -> None:
    assert walk.take("Ann").outcome is TakeOutcome.UNKNOWN
    asks(walk)
    walk.gets()
    first = walk.take("Ann")
    assert (first.outcome, first.acknowledged) == (
        TakeOutcome.TAKEN, Acknowledgement("Ann", walk.now),
    )  # fmt: skip
    assert len(walk.gets("approvers")) == 1
    walk.passes(MINUTE)
    for name in ("Ann", "ann"):
        again = walk.take(name)
        assert again.outcome is TakeOutcome.ALREADY_TAKEN
        assert again.acknowledged == first.acknowledged
    assert walk.gets("approvers") == []
    walk.restart()
    over = walk.take("Bob")
    assert over.outcome is TakeOutcome.TAKEN_OVER
    assert over.acknowledged == Acknowledgement("Bob", walk.now, "Ann")
    assert walk.titles("approvers") == [
        "approvers: Invoice agent: Bob takes it over from Ann: About to pay 4,200 EUR"
    ]
    walk.comes(DONE)
    assert walk.take("Eve").outcome is TakeOutcome.ENDED


def test_an_e_mail_about_an_episode_has_the_subject_of_the_first_one(walk: Walk) -> None:
    asks(walk)
    told = walk.gets()
    told += [each for _, each in walk.until_quiet(61 * MINUTE)]
    walk.acknowledge("Ann")
    told += walk.gets()
    walk.comes(RUNNING)
    told += walk.gets()
    asked = "Invoice agent asks: About to pay 4,200 EUR"
    subjects = [(t.destination, str(t.claim.kind), t.message.as_mail()[0]) for t in told]
    assert subjects == [
        ("approvers", "notice", asked),
        *[("approvers", "reminder", f"Re: {asked}")] * 4,
        # The first that ops got of it is the escalation.
        ("ops", "escalation", f"Escalated: {asked}"),
        ("approvers", "acknowledged", f"Re: {asked}"),
        ("ops", "acknowledged", f"Re: Escalated: {asked}"),
        ("approvers", "resolved", f"Re: {asked}"),
        ("ops", "resolved", f"Re: Escalated: {asked}"),
    ]
    begins = [t.message.as_mail()[1].splitlines()[0] for t in told]
    assert begins[1] == "Still waiting after 15 min: nobody has confirmed or declined."
    assert begins[6] == "Ann takes care of it: About to pay 4,200 EUR."
    assert begins[8] == "Confirmed after 1 h 1 min, it continues."


def test_a_subject_stays_after_a_reload_with_another_title(walk: Walk) -> None:
    walk.reload(ROUTES + '    title: "{{ agent_name }} needs you"\n')
    asks(walk)
    walk.gets()
    walk.reload(ROUTES)
    found = [told for _, told in walk.until_quiet(16 * MINUTE)]
    assert [told.message.subject for told in found] == ["Re: Invoice agent needs you"]
    asks(walk, "y")
    assert [told.message.subject for told in walk.gets()] == [""]


def test_a_reminder_that_is_being_sent_when_somebody_takes_it_is_the_last(walk: Walk) -> None:
    asks(walk)
    walk.gets()
    walk.passes(15 * MINUTE)
    claim = walk.claim("approvers")
    assert claim is not None
    walk.acknowledge("Ann")
    walk.record(claim, FAILED)
    walk.passes(HOUR)
    assert [told.claim.kind for told in walk.gets()] == ["acknowledged"]
    assert walk.until_quiet(2 * HOUR) == []


def test_what_has_ended_cannot_be_acknowledged(walk: Walk) -> None:
    assert walk.acknowledge("Ann") is None
    walk.comes(DONE)
    assert walk.acknowledge("Ann") is False


def test_a_fallback_is_reminded_in_place_of_the_destination_that_died(walk: Walk) -> None:
    walk.reload(
        ROUTES.replace("approvers: {url: console://", "approvers: {fallback: ops, url: console://")
    )
    asks(walk)
    claim = walk.claim("approvers")
    assert claim is not None
    walk.record(claim, GONE)
    assert walk.titles() == ["ops: Invoice agent asks: About to pay 4,200 EUR"]
    found = walk.until_quiet(31 * MINUTE)
    assert [(at, told.destination, told.title[:10]) for at, told in found] == [
        (15, "ops", "Reminder 1"), (30, "ops", "Reminder 2"),
    ]  # fmt: skip
    walk.comes(RUNNING)
    assert [told.destination for told in walk.gets()] == ["ops"]


def test_a_running_execution_can_be_reminded_of_and_its_notice_stays_true(walk: Walk) -> None:
    text = ROUTES.replace("awaiting_confirmation", "running")
    walk.reload(text)
    walk.comes(RUNNING)
    walk.now += SECOND
    walk.comes(Status.PAUSED)
    # The notice that it runs is news, whatever came after it; a reminder would be none.
    assert walk.titles() == [
        "approvers: Invoice agent started",
        "approvers: Invoice agent: paused after running for 1 s",
    ]
    assert walk.until_quiet(2 * HOUR) == []


def test_without_these_options_nothing_of_it_is_owed(walk: Walk) -> None:
    walk.reload(ROUTES.split("    remind", maxsplit=1)[0])
    asks(walk)
    walk.gets()
    walk.comes(RUNNING)
    assert walk.until_quiet(2 * HOUR) == []
    assert len(walk.states()) == 1
    assert walk.now > START


APPLIED_OVER_GAPS = """\
sources:
  s: {gaps: apply, verify: {scheme: token, header: X-T, keys: [a-token-of-sixteen-bytes]}}
"""


def test_who_is_told_of_an_end_is_told_that_it_waits_again(walk: Walk) -> None:
    walk.reload(APPLIED_OVER_GAPS + ROUTES)
    asks(walk)
    walk.gets()
    walk.passes(MINUTE)
    walk.comes(Status.AWAITING_CONFIRMATION)
    walk.passes(MINUTE)
    walk.store.write_now(walk.intake.expire, walk.now)
    told = next(told for told in walk.gets("approvers") if told.claim.kind == "resolved")
    assert told.title == "Invoice agent: waiting for confirmation again, after 1 min"
    assert (
        "That wait is over, but a new wait has begun: it is waiting for confirmation again."
        in told.message.body
    )


@pytest.mark.parametrize("group", ["", "    group: {by: [agent], wait: 1s, every: 1s}\n"])
def test_there_is_something_to_do_where_it_waits_by_the_time_it_is_told(
    walk: Walk, group: str
) -> None:
    walk.reload(ROUTES.replace("    remind: {every: 15m}\n", "    remind: {every: 15m}\n" + group))
    for execution in "xy":
        walk.comes(Status.AWAITING_CONFIRMATION, execution)
    walk.passes(2 * SECOND)
    walk.gets()
    walk.passes(2 * SECOND)
    for execution in "xy":
        walk.comes(Status.RUNNING, execution)
        walk.comes(Status.AWAITING_CONFIRMATION, execution)
    bodies = [t.message.body for t in walk.gets("approvers") if t.claim.kind == "resolved"]
    assert len(bodies) == (1 if group else 2)
    assert all("Nothing more to do" not in body for body in bodies)
    assert (
        sum(b.count("a new wait has begun: it is waiting for confirmation again") for b in bodies)
        == 2
    )


def test_reminders_that_a_silence_keeps_back_do_not_use_up_at_most(walk: Walk) -> None:
    walk.reload(ROUTES.replace("{every: 15m}", "{every: 15m, at_most: 3}"))
    asks(walk)
    walk.gets()
    of = Silence(
        {"status": ("awaiting_confirmation",)}, "deploy", "Ann", walk.now, walk.now + 2 * HOUR
    )
    walk.do(lambda t: t.add_silence(of, walk.now))
    found = [told for _, told in walk.until_quiet(5 * HOUR) if told.destination == "approvers"]
    assert [told.title[:11] for told in found if told.claim.kind == "reminder"] == [
        "Reminder 1:", "Reminder 2:", "Reminder 3:",
    ]  # fmt: skip


def test_each_time_that_somebody_takes_it_the_others_learn_who(walk: Walk) -> None:
    asks(walk)
    walk.gets()
    told = []
    for name in ("Ann", "Bob", "Ann"):
        walk.passes(MINUTE)
        walk.acknowledge(name)
        walk.acknowledge(name)
        told += walk.titles("approvers")
    assert told == [
        "approvers: Invoice agent: Ann takes care of it: About to pay 4,200 EUR",
        "approvers: Invoice agent: Bob takes it over from Ann: About to pay 4,200 EUR",
        "approvers: Invoice agent: Ann takes it over from Bob: About to pay 4,200 EUR",
    ]
    # Only the last one takes care: nobody is told of it twice.
    walk.acknowledge("Bob")
    walk.passes(SECOND)
    walk.acknowledge("Eve")
    assert walk.titles("approvers") == [
        "approvers: Invoice agent: Eve takes it over from Bob: About to pay 4,200 EUR"
    ]
    assert ("approvers", "acknowledged", "superseded", "acknowledged by Eve") in walk.states()
