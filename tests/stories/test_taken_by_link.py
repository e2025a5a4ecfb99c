"""Taking by a link: who presses the button, what no longer comes, and what its end says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from receiver.audit import Actor, Door
from receiver.deliveries import OnlyIf
from receiver.dispatch.operators import acknowledge, take
from receiver.events import Status
from receiver.links import LASTS, Fault, Links, Ticket, mark_of, read
from receiver.store.records import TakeOutcome
from tests.support.people import HOUR, MINUTE, SECOND, Told, Walk

KEYS = (b"a-key-of-the-links-0123456789",)
ROUTES = """\
destinations:
  approvers: {url: console://, rate: 1000/s}
  ops: {url: console://, rate: 1000/s}
routes:
  - name: waits
    match: {status: [awaiting_confirmation, paused_by_agent, paused]}
    notify: [approvers]
    remind: {every: 15m}
    escalate: [{after: 1h, notify: [ops]}]
    resolved: true
    acknowledged: true
  - {name: news, match: {status: [running, failed]}, notify: [ops]}
  - name: hangs
    match: {agent: "Slow *"}
    stuck: {status: [running], after: 2h}
    notify: [ops]
"""
_URL = re.compile(r"^Take it(?: over)?: https://hooks.example.org/take/(\S+)$", re.MULTILINE)
PAY = {"reason": "About to pay 4,200 EUR"}
AWAITS, RUNNING = Status.AWAITING_CONFIRMATION, Status.RUNNING


@pytest.fixture
def walk(tmp_path: Path) -> Walk:
    return Walk(tmp_path, ROUTES, links=Links("https://hooks.example.org", KEYS))


def ticket(walk: Walk, told: Told) -> Ticket | Fault | None:
    """Return what the link in a message holds; None without one."""
    found = re.search(
        r"^Take it(?: over)?: https://hooks.example.org/take/(\S+)$", told.message.body, re.M
    )
    return None if found is None else read(found[1], KEYS, walk.now)


def press(walk: Walk, told: Told, by: str, over: str | None = None) -> TakeOutcome:
    """Do what the page of a link does when somebody presses the button."""
    link = ticket(walk, told)
    assert isinstance(link, Ticket)
    about = walk.store.taking(link.delivery)
    assert about is not None
    of = about["source"], about["execution_id"]
    assert mark_of(*of, about["version"], about["destination"]) == link.mark
    actor, only = Actor(by, Door.LINK, about["destination"]), OnlyIf(about["version"], over)
    item = take(*of, actor, walk.rules, walk.now, only)
    assert item is not None
    return walk.store.write_now(acknowledge, item).outcome


def test_taken_by_link_the_next_reminder_does_not_come_and_the_end_says_who(walk: Walk) -> None:
    walk.comes(AWAITS, detail=PAY)
    (notice,) = walk.gets()
    walk.passes(16 * MINUTE)
    (reminder,) = walk.gets()
    assert reminder.title.startswith("Reminder 1")
    assert press(walk, reminder, "Ann") is TakeOutcome.TAKEN
    (told,) = walk.gets()
    assert told.title == "Invoice agent: Ann takes care of it: About to pay 4,200 EUR"
    assert walk.until_quiet(3 * HOUR) == []
    assert press(walk, notice, "Ann") is TakeOutcome.ALREADY_TAKEN
    assert press(walk, notice, "Bob") is TakeOutcome.TAKEN_BY_ANOTHER
    walk.comes(RUNNING)
    ended = walk.gets("approvers")[0]
    assert "Ann had taken it" in ended.message.body
    (row,), _ = walk.store.audit({}, 9, None)
    assert (row["who"], row["door"], row["place"]) == ("Ann", "link", "approvers")


def test_each_kind_that_can_be_taken_has_a_link_of_its_own_and_no_other_message_has(
    walk: Walk,
) -> None:
    walk.comes(RUNNING)
    assert [ticket(walk, told) for told in walk.gets()] == [None]
    for status in (AWAITS, Status.PAUSED_BY_AGENT, Status.PAUSED):
        walk.comes(status)
        found = [told for _, told in walk.until_quiet(62 * MINUTE)]
        kinds = {told.claim.kind for told in found}
        assert kinds == {"notice", "reminder", "escalation"}
        links = [ticket(walk, told) for told in found]
        assert all(isinstance(link, Ticket) for link in links)
        assert len({link.delivery for link in links if isinstance(link, Ticket)}) == len(found)
        walk.comes(RUNNING)
        assert {ticket(walk, told) for told in walk.gets()} == {None}  # the end, and the news
    walk.comes(Status.FAILED)
    assert [ticket(walk, told) for told in walk.gets()] == [None]


def test_a_link_of_an_earlier_wait_takes_no_later_one(walk: Walk) -> None:
    walk.comes(AWAITS, detail=PAY)
    (notice,) = walk.gets()
    walk.comes(RUNNING)
    walk.comes(AWAITS, detail={"reason": "Another question"})
    (second,) = [told for told in walk.gets("approvers") if told.claim.kind == "notice"]
    assert press(walk, notice, "Ann") is TakeOutcome.ENDED
    assert walk.shown()["execution"]["acknowledged"] is None
    assert press(walk, second, "Ann") is TakeOutcome.TAKEN
    walk.comes(Status.FAILED)
    assert press(walk, second, "Bob", over="Ann") is TakeOutcome.ENDED


def test_a_wait_of_more_than_a_week_gets_new_links_by_its_reminders(walk: Walk) -> None:
    walk.reload(ROUTES.replace("every: 15m", "every: 5d"))
    walk.comes(AWAITS)
    (notice,) = walk.gets()
    found = [told for _, told in walk.until_quiet(11 * 24 * HOUR, step=6 * HOUR)]
    assert ticket(walk, notice) is Fault.EXPIRED
    assert isinstance(ticket(walk, found[-1]), Ticket)
    assert LASTS == 7 * 24 * HOUR


def test_what_may_be_stuck_can_be_taken(walk: Walk) -> None:
    walk.comes(RUNNING, agent_name="Slow agent")
    walk.gets()
    walk.passes(2 * HOUR + SECOND)
    (told,) = walk.gets()
    assert told.title.startswith("Stuck? ")
    assert press(walk, told, "Ann") is TakeOutcome.TAKEN


def test_a_message_of_what_is_taken_says_take_it_over_and_templates_have_the_link(
    walk: Walk,
) -> None:
    walk.comes(AWAITS)
    walk.acknowledge("Ann")
    told = walk.gets("approvers")[0]
    assert "Ann takes care of it." in told.message.body
    assert "Take it over: https://" in told.message.body
    assert press(walk, told, "Bob", over="Ann") is TakeOutcome.TAKEN_OVER
    body = "    body: 'Go to {{ take_url }} now'\n    resolved: true"
    walk.reload(ROUTES.replace("    resolved: true", body))
    walk.comes(AWAITS, "y")
    told = next(t for t in walk.gets("approvers") if t.claim.facts.execution_id == "y")
    assert re.fullmatch(r"Go to https://hooks.example.org/take/\w{42} now", told.message.body)


def test_a_restart_leaves_links_as_they_are(walk: Walk) -> None:
    walk.comes(AWAITS)
    (notice,) = walk.gets()
    walk.restart()
    walk.passes(MINUTE)
    assert press(walk, notice, "Ann") is TakeOutcome.TAKEN
