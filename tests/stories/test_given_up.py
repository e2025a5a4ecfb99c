"""A message that was given up: what follows it, who hears of it, and what they read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.deliveries import Attempt
from receiver.events import Status
from tests.support.people import DELIVERED, FAILED, GONE, MINUTE, Told, Walk

AWAITS, COMPLETED = Status.AWAITING_CONFIRMATION, Status.COMPLETED
TO = "url: console://, rate: 1000/s"


def rules(team: str = "", notify: str = "team", conf: str = ", remind: {every: 10m}") -> str:
    return (
        f"destinations:\n  team: {{{TO}{team}}}\n  lead: {{{TO}}}\n  mail: {{{TO}}}\n"
        f"routes:\n  - {{name: conf, match: {{status: awaiting_confirmation}}, notify: {notify},"
        f" resolved: true, acknowledged: true{conf}}}\n"
    )


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, rules())
    yield opened
    assert opened.replan() == 0  # what ordinary work leaves is what is planned
    opened.store.close()


def goes(walk: Walk, **answers: Attempt) -> list[Told]:
    """Return what goes out now, each destination with its answer."""
    return [
        told
        for name in walk.rules.destinations
        for told in walk.gets(name, answers.get(name, DELIVERED))
    ]


def titles(found: list[Told]) -> list[str]:
    return [f"{each.destination}: {each.title}" for each in found]


def later(walk: Walk, minutes: int) -> list[tuple[int, str]]:
    return [(at, f"{t.destination}: {t.title}") for at, t in walk.until_quiet(minutes * MINUTE)]


def test_reminders_and_the_end_follow_a_first_message_that_nobody_got(walk: Walk) -> None:
    walk.comes(AWAITS)
    goes(walk, team=GONE)
    waits = "Invoice agent waits for confirmation"
    assert later(walk, 20) == [
        (10, f"team: Reminder 1: {waits}"), (20, f"team: Reminder 2: {waits}")
    ]  # fmt: skip
    walk.take("Ann")
    assert walk.titles() == ["team: Invoice agent: Ann takes care of it"]
    walk.comes(COMPLETED)
    assert [each.split(" after ")[0] for each in walk.titles()] == [
        "team: Invoice agent: completed"
    ]


def test_reminders_follow_a_first_message_that_was_given_up_after_its_time(walk: Walk) -> None:
    walk.reload(rules(", retry_for: 2m"))
    walk.comes(AWAITS)
    for _ in range(4):
        goes(walk, team=FAILED)
        walk.passes(MINUTE)
    assert ("team", "notice", "dead") in [each[:3] for each in walk.states()]
    assert [at for at, title in later(walk, 12) if "Reminder 1" in title] == [8]


def test_reminders_follow_a_digest_that_nobody_got(walk: Walk) -> None:
    walk.reload(rules(conf=", remind: {every: 10m}, group: {by: agent, wait: 1m}"))
    walk.comes(AWAITS, "a")
    walk.comes(AWAITS, "b")
    walk.passes(2 * MINUTE)
    goes(walk, team=GONE)
    assert [each[:3] for each in walk.states()].count(("team", "reminder", "waiting")) == 2


def test_whoever_got_it_instead_is_reminded_alone(walk: Walk) -> None:
    walk.reload(rules(", fallback: mail"))
    walk.comes(AWAITS)
    goes(walk, team=GONE)
    assert [title.split(":")[0] for _, title in later(walk, 20)] == ["mail", "mail"]


def test_a_first_message_that_nobody_got_is_not_followed_after_its_end(walk: Walk) -> None:
    walk.comes(AWAITS)
    goes(walk, team=GONE)
    walk.comes(COMPLETED)
    assert later(walk, 30) == []


def test_a_report_says_which_message_was_given_up(walk: Walk) -> None:
    about = "Invoice agent waits for confirmation"
    walk.comes(AWAITS)
    goes(walk)
    walk.passes(10 * MINUTE)
    assert titles(goes(walk, team=GONE))[1:] == [
        f"lead: team did not get a reminder: {about}", f"mail: team did not get a reminder: {about}"
    ]  # fmt: skip
    walk.passes(61 * MINUTE)
    goes(walk)
    walk.take("Ann")
    told = goes(walk, team=GONE)
    assert titles(told)[1:] == [
        f"lead: team did not get word that Ann takes care of it: {about}",
        f"mail: team did not get word that Ann takes care of it: {about}",
    ]
    assert "No word of its end follows this report" in told[-1].message.body


def test_a_report_about_word_of_an_end_says_so_and_speaks_of_no_other(walk: Walk) -> None:
    walk.comes(AWAITS)
    goes(walk)
    walk.comes(COMPLETED)
    report = goes(walk, team=GONE)[-1]
    assert report.title == "team did not get word of the end: Invoice agent completed"
    assert "No word of its end" not in report.message.body


def test_of_two_that_fail_neither_hears_of_the_other(walk: Walk) -> None:
    walk.reload(rules(notify="[team, lead]", conf=""))
    walk.comes(AWAITS)
    found = titles(goes(walk, team=GONE, lead=GONE))
    assert [each for each in found if "did not get" in each] == [
        "mail: team did not get: Invoice agent waits for confirmation",
        "mail: lead did not get: Invoice agent waits for confirmation",
    ]
    assert later(walk, 5) == []


def test_of_two_that_fail_one_hears_of_the_other_if_there_is_nobody_else(walk: Walk) -> None:
    walk.reload(rules(notify="[team, lead, mail]", conf=""))
    walk.comes(AWAITS)
    goes(walk, team=GONE, lead=GONE, mail=GONE)
    assert sum(kind == "notice" and state == "waiting" for _, kind, state, _ in walk.states()) > 0


def test_one_that_works_again_hears_of_another_that_fails(walk: Walk) -> None:
    walk.reload(rules(notify="[team, lead]", conf=""))
    walk.comes(AWAITS)
    goes(walk, lead=GONE)
    walk.comes(AWAITS, "y")
    walk.passes(MINUTE)
    goes(walk)
    walk.comes(COMPLETED)
    assert "lead: team did not get word of the end: Invoice agent completed" in titles(
        [*goes(walk, team=GONE), *goes(walk)]
    )
