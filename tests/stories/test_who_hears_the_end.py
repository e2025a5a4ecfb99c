"""Who was told of a wait, or may have been, learns who took it and its end, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.deliveries import Attempt, Outcome
from receiver.events import Status
from receiver.routing.silences import Silence
from tests.support.people import FAILED, GONE, HOUR, MINUTE, Walk

AWAITS, RUNNING, DONE = Status.AWAITING_CONFIRMATION, Status.RUNNING, Status.COMPLETED
LOST = Attempt(Outcome.UNCERTAIN, "no answer within 1 s")
ROUTES = """\
destinations:
  team: {url: console://, rate: 1000/s, fallback: mail}
  mail: {url: console://, rate: 1000/s, fallback: pager}
  pager: {url: console://, rate: 1000/s}
routes:
  - name: conf
    match: {status: awaiting_confirmation}
    notify: team
    resolved: true
    acknowledged: true
"""
GROUP = "    group: {by: agent, wait: 1m, every: 5m}\n"
END, TAKEN = "resolved", "acknowledged"


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    opened = Walk(tmp_path, ROUTES)
    yield opened
    opened.store.close()


def silence(walk: Walk, time: int = HOUR) -> None:
    of = Silence({"status": (AWAITS.value,)}, "deploy", "Ann", walk.now, walk.now + time)
    walk.do(lambda t: t.add_silence(of, walk.now))


def tries(walk: Walk, destination: str, *attempts: Attempt) -> None:
    """Let the next attempts for a destination end so."""
    for attempt in attempts:
        claim = walk.claim(destination)
        assert claim is not None
        walk.record(claim, attempt)
        walk.passes(MINUTE)


def heard(walk: Walk) -> list[tuple[str, str]]:
    """Return who is told what now and within two hours, without digests' contents."""
    told = walk.gets() + [told for _, told in walk.until_quiet(2 * HOUR)]
    return sorted(
        (each.destination, str(each.claim.origin.kind if each.claim.origin else each.claim.kind))
        for each in told
    )


# What may have arrived counts as told.


def test_an_answer_that_was_lost_counts_as_told_when_it_ends(walk: Walk) -> None:
    walk.comes(AWAITS)
    tries(walk, "team", LOST)
    walk.comes(DONE)
    assert heard(walk) == [("team", END)]


def test_an_answer_that_was_lost_counts_as_told_when_somebody_takes_it(walk: Walk) -> None:
    walk.comes(AWAITS)
    tries(walk, "team", LOST)
    walk.acknowledge("Ann")
    assert heard(walk) == [("team", TAKEN), ("team", "notice")]


@pytest.mark.parametrize("group", ["", GROUP], ids=["alone", "grouped"])
def test_an_answer_that_is_lost_after_it_ended_counts_as_told(walk: Walk, group: str) -> None:
    walk.reload(ROUTES + group)
    for name in "xy":
        walk.comes(AWAITS, name)
    walk.passes(MINUTE)
    claims = [claim for _ in "xy" if (claim := walk.claim("team")) is not None]
    walk.comes(DONE, "x")
    walk.comes(DONE, "y")
    for claim in claims:
        walk.record(claim, LOST)
    assert {destination for destination, kind in heard(walk) if kind == END} == {"team"}
    ended = [state for state in walk.states(kind=END) if state[2] == "sent"]
    assert len(ended) == 2


def test_what_was_being_sent_when_the_process_died_counts_as_told(walk: Walk) -> None:
    walk.comes(AWAITS)
    assert walk.claim("team") is not None
    walk.restart()
    walk.comes(DONE)
    assert heard(walk) == [("team", END)]
    # It ended while it was being sent, and then the process died.
    walk.comes(AWAITS, "y")
    assert walk.claim("team") is not None
    walk.comes(DONE, "y")
    walk.restart()
    assert heard(walk) == [("team", END)]


def test_a_digest_of_a_silence_whose_answer_was_lost_counts_as_told(walk: Walk) -> None:
    silence(walk)
    walk.comes(AWAITS)
    walk.comes(AWAITS, "y")
    assert walk.gets() == []
    walk.passes(HOUR)
    tries(walk, "team", LOST)
    walk.comes(DONE)
    claim = walk.claim("team")
    assert claim is not None
    walk.comes(DONE, "y")
    walk.record(claim, LOST)
    ends = [told for told in walk.gets() if told.claim.kind == END]
    assert [told.claim.facts.execution_id for told in ends] == ["x", "y"]


def test_what_may_have_arrived_and_died_then_counts_as_told(walk: Walk) -> None:
    walk.comes(AWAITS)
    tries(walk, "team", LOST, GONE)
    walk.comes(DONE)
    assert heard(walk) == [("team", END)]


def test_what_failed_for_certain_does_not_count_as_told(walk: Walk) -> None:
    walk.comes(AWAITS)
    tries(walk, "team", FAILED)
    walk.comes(DONE)
    assert heard(walk) == []


# Whoever was told in place of another hears the end, too.


def test_who_got_the_digest_of_a_silence_as_a_fallback_hears_who_took_it_and_its_end(
    walk: Walk,
) -> None:
    silence(walk)
    walk.comes(AWAITS)
    assert walk.gets() == []
    walk.passes(HOUR)
    walk.gets("team", GONE)
    assert [told.destination for told in walk.gets()] == ["mail"]
    walk.acknowledge("Ann")
    assert heard(walk) == [("mail", TAKEN)]
    walk.comes(DONE)
    assert heard(walk) == [("mail", END)]


def test_a_fallback_of_a_fallback_hears_the_end_of_what_a_silence_kept_back(walk: Walk) -> None:
    silence(walk)
    walk.comes(AWAITS)
    walk.comes(AWAITS, "y")
    assert walk.gets() == []
    walk.passes(HOUR)
    walk.gets("team", GONE)
    walk.gets("mail", GONE)
    claim = walk.claim("pager")
    assert claim is not None
    walk.comes(DONE)  # while it is being sent
    walk.record(claim)
    walk.comes(DONE, "y")
    assert heard(walk) == [("pager", END), ("pager", END)]


def test_a_fallback_whose_answer_was_lost_hears_the_end_of_what_a_silence_kept_back(
    walk: Walk,
) -> None:
    silence(walk)
    walk.comes(AWAITS)
    assert walk.gets() == []
    walk.passes(HOUR)
    walk.gets("team", GONE)
    tries(walk, "mail", LOST)
    walk.comes(DONE)
    assert ("mail", END) in heard(walk)


@pytest.mark.parametrize("kind", ["reminder", "escalation"])
def test_who_was_reminded_or_asked_in_place_of_another_hears_the_end_once(
    walk: Walk, kind: str
) -> None:
    later = "    remind: {every: 10m}\n" if kind == "reminder" else ""
    later = later or "    escalate: [{after: 10m, notify: team}]\n"
    walk.reload(ROUTES.replace("notify: team", "notify: [team, pager]") + later)
    walk.comes(AWAITS)
    assert len(walk.gets()) == 2
    walk.passes(10 * MINUTE)
    walk.gets("team", GONE)
    assert [(t.destination, t.claim.kind) for t in walk.gets("mail")] == [("mail", "fallback")]
    walk.comes(DONE)
    assert heard(walk) == [("mail", END), ("pager", END), ("team", END)]


def test_who_was_told_of_an_end_in_place_of_another_hears_no_end_of_what_came_next(
    walk: Walk,
) -> None:
    walk.comes(AWAITS)
    assert len(walk.gets()) == 1
    walk.comes(RUNNING)
    walk.gets("team", GONE)
    walk.gets("mail", GONE)  # of the end, in place of the team
    assert len(walk.gets("pager")) == 1
    walk.reload(ROUTES.replace("awaiting_confirmation", "running"))
    walk.comes(DONE)
    assert heard(walk) == []
