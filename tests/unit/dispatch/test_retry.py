"""Retries: waiting grows to an hour and never beyond, and what cannot be mended is given up."""

from __future__ import annotations

from dataclasses import replace

from receiver.config.rules import Rules
from receiver.deliveries import Attempt, Claim, Message, MessageContext, Outcome, State
from receiver.destinations.destination import Destination
from receiver.dispatch.retry import (
    delay,
    fails_as_a_whole,
    follow,
    pause,
    pause_after,
    with_others,
)
from receiver.events import Verdict
from receiver.routing.routes import Route
from receiver.store.records import Failures
from receiver.times import SECOND

NOW = 1_800_000_000 * SECOND
OPS = Destination("ops", "console://", retry_for=3600)
CLAIM = Claim(1, "token", "ops", "r", 2, False, NOW, MessageContext("s", Verdict.APPLIED, "", NOW))
MESSAGE = Message("title", "body")


def test_full_jitter_reaches_up_to_5_10_20_seconds_and_an_hour() -> None:
    almost = 1 - 2**-53
    assert [round(delay(n, almost)) for n in (1, 2, 3, 4, 10, 11, 10**9)] == [
        5, 10, 20, 40, 2560, 3600, 3600,
    ]  # fmt: skip
    assert delay(5, 0.0) == 0
    assert delay(0, 0.5) == 2.5


def test_a_destination_waits_as_a_whole_after_five_failures_for_a_minute_at_most() -> None:
    assert [pause(n, 1.0) for n in (0, 4, 5, 6, 9, 500)] == [0, 0, 5, 10, 60, 60]
    assert pause(500, 0.5) == 30


def after(attempt: Attempt, now: int = NOW, chance: float = 0.5) -> tuple[State, str, float]:
    result = follow(CLAIM, attempt, OPS, MESSAGE, now, chance)
    return result.state, result.reason, (result.due_at - now) / SECOND


def test_what_was_delivered_is_sent() -> None:
    assert after(Attempt(Outcome.DELIVERED, "")) == (State.SENT, "", 0)


def test_a_failure_waits_with_jitter_as_its_number_says() -> None:
    assert after(Attempt(Outcome.FAILED, "HTTP 500")) == (State.WAITING, "HTTP 500", 10)
    assert after(Attempt(Outcome.UNCERTAIN, "no answer"), chance=0.1)[2] == 2


def test_a_destination_that_says_when_is_obeyed() -> None:
    assert after(Attempt(Outcome.FAILED, "429", retry_after=90.0))[2] == 90


def test_what_no_retry_can_mend_is_dead_at_once() -> None:
    state, reason, _ = after(Attempt(Outcome.FAILED, "HTTP 404", permanent=True))
    assert (state, reason) == (State.DEAD, "no retry can mend it: HTTP 404")


def test_after_retry_for_it_is_dead_with_the_last_reason() -> None:
    last = NOW + 3600 * SECOND
    state, reason, _ = after(Attempt(Outcome.FAILED, "HTTP 500"), now=last)
    assert (state, reason) == (State.DEAD, "given up after retry_for: HTTP 500")


def test_a_wait_that_would_outlast_retry_for_ends_with_a_last_try_at_its_end() -> None:
    late = NOW + 3595 * SECOND
    assert after(Attempt(Outcome.FAILED, "HTTP 500"), now=late) == (State.WAITING, "HTTP 500", 5)
    asked = Attempt(Outcome.FAILED, "HTTP 429", retry_after=90.0)
    assert after(asked, now=late) == (State.WAITING, "HTTP 429", 5)
    assert after(Attempt(Outcome.UNCERTAIN, "no answer"), now=late, chance=0.99)[2] == 5


def test_others_are_told_of_a_death_only_and_each_result_has_its_routes_options() -> None:
    mail = Destination("mail", "mailto://")
    routes = (Route("r", (), ("ops",), acknowledged=True),)
    rules = Rules("routes.yaml", {}, {"ops": OPS, "mail": mail}, routes)
    sent = follow(CLAIM, Attempt(Outcome.DELIVERED, ""), OPS, MESSAGE, NOW, 0.5)
    waiting = replace(sent, state=State.WAITING)
    dead = with_others(replace(sent, state=State.DEAD), CLAIM, rules, NOW)
    assert [delivery.destination for delivery in dead.owed] == ["mail"]
    # The answer to one that waits may have been lost: those who may know of it hear its end.
    assert with_others(waiting, CLAIM, rules, NOW).owed == ()
    for result in (sent, waiting, dead):
        options = with_others(result, CLAIM, rules, NOW).options
        assert [(name, option.acknowledged) for name, option in options.items()] == [("r", True)]


def test_a_pause_is_asked_for_or_follows_from_failures_of_several_executions() -> None:
    failed = Attempt(Outcome.FAILED, "HTTP 500")
    many, of_one = Failures(5, several=True), Failures(5, several=False)
    assert pause_after(failed, many, 1.0) == 5
    assert pause_after(failed, of_one, 1.0) == 0
    assert pause_after(Attempt(Outcome.FAILED, "", permanent=True), many, 1.0) == 0
    assert pause_after(Attempt(Outcome.DELIVERED, ""), many, 1.0) == 0
    assert pause_after(Attempt(Outcome.FAILED, "", retry_after=90.0), of_one, 1.0) == 90
    assert pause_after(Attempt(Outcome.FAILED, "", retry_after=1e6), of_one, 1.0) == 3600
    assert (fails_as_a_whole(many), fails_as_a_whole(of_one)) == (True, False)
    assert fails_as_a_whole(Failures(4, several=True)) is False
