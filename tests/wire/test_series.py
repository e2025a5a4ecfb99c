"""A list that becomes several messages, against a stand-in that fails half-way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import pytest

from receiver.deliveries import Attempt, ListedLine, Message, Outcome
from receiver.destinations.destination import Destination
from receiver.destinations.sending import send
from tests.support.plugins import ADDRESSES, yes_of
from tests.support.standin import CUT, HANGS, Answer, Asked, StandIn, saying, standing_in

ID = "a2c7f3b3-cbc8-4b6a-a5f2-c5f6cb548e95"
_numbers = count(1)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with standing_in(tmp_path_factory.mktemp("services")) as stand_in:
        yield stand_in


def key(number: int) -> str:
    return f"{number:03}{ID[3:]}"


def list_of(*numbers: int, delivery: int | None = None) -> Message:
    lines = tuple(
        ListedLine(f"· Pay {n} EUR · for 28 min · https://x.example/{key(n)}", f"Pay {n} EUR",
                   f"https://x.example/{key(n)}", key(n), f"notice/{n}")
        for n in numbers
    )  # fmt: skip
    body = "\n".join(line.text for line in lines)
    return Message("Invoice agent: 10 to confirm", body, listed=lines, delivery=delivery)


def keys_in(asked: list[Asked]) -> list[int]:
    return [n for each in asked for n in range(20) if each.has_words(key(n))]


def failing_at(number: int, answer: Answer) -> Callable[[Asked], Answer]:
    """Answer so to the message with this number, and accept the others."""
    messages = count(1)

    def answering(asked: Asked) -> Answer:
        return answer if next(messages) == number else yes_of("Twilio", asked)

    return answering


def sms(timeout: float = 20) -> Destination:
    return Destination(f"series-{next(_numbers)}", ADDRESSES["Twilio"], rate=1000, timeout=timeout)


def test_all_messages_of_a_list_have_to_be_accepted(service: StandIn) -> None:
    service.answer(failing_at(0, CUT))
    attempt = send(sms(), list_of(*range(10)))
    assert (attempt.outcome, attempt.detail) == (Outcome.DELIVERED, "")
    assert keys_in(service.asked) == list(range(10))
    titles = [f"({n} of {len(service.asked)})" for n in range(1, len(service.asked) + 1)]
    assert [each.has_words(title) for each, title in zip(service.asked, titles, strict=True)] == (
        [True] * len(titles)
    )


@pytest.mark.parametrize(
    ("answer", "words", "permanent", "wait"),
    [
        (Answer(500), "HTTP 500", False, None),
        (saying({"message": "no such number"}, 403), "no such number", True, None),
        (saying({}, 429, Retry_After="9"), "HTTP 429", False, 9),
        (CUT, "", False, None),
    ],
    ids=["500", "403", "429", "cut"],
)
def test_a_failure_half_way_says_how_many_have_arrived(
    answer: Answer, words: str, permanent: bool, wait: float | None, service: StandIn
) -> None:
    service.answer(failing_at(3, answer))
    attempt = send(sms(), list_of(*range(10)))
    total = attempt.detail.split(" messages")[0].removeprefix("2 of ")
    assert attempt.detail.startswith(f"2 of {total} messages have arrived, but the next one: ")
    assert words in attempt.detail
    assert (attempt.outcome, attempt.permanent, attempt.retry_after) == (
        Outcome.UNCERTAIN, permanent, wait,
    )  # fmt: skip
    assert len(service.asked) == 3


def test_a_failure_of_the_first_is_that_of_the_whole(service: StandIn) -> None:
    service.answer(failing_at(1, Answer(500)))
    attempt = send(sms(), list_of(*range(10)))
    assert (attempt.outcome, len(service.asked)) == (Outcome.FAILED, 1)
    assert "arrived" not in attempt.detail


def retried(service: StandIn, destination: Destination, message: Message) -> tuple[Attempt, int]:
    """Send again where everything is accepted; return also the number of the first message."""
    service.answer(failing_at(0, CUT))
    attempt = send(destination, message)
    text = service.asked[0].text
    return attempt, int(text.split("%28")[1].split("+of")[0]) if "+of+" in text else 0


def test_the_next_attempt_sends_only_what_has_not_arrived(service: StandIn) -> None:
    destination, delivery = sms(), next(_numbers)
    service.answer(failing_at(3, Answer(500)))
    send(destination, list_of(*range(10), delivery=delivery))
    arrived = keys_in(service.asked[:2])
    # Meanwhile one of them is over, and another one has come.
    rest = [n for n in range(1, 12) if n not in arrived]
    message = list_of(*range(1, 12), delivery=delivery)
    attempt, first = retried(service, destination, replace(message, repeat=True))
    assert (attempt.outcome, attempt.detail) == (Outcome.DELIVERED, "")
    assert keys_in(service.asked) == rest
    assert first == 3
    # All of it has arrived: if it is sent once more, somebody wants that.
    attempt, first = retried(service, destination, message)
    assert keys_in(service.asked) == list(range(1, 12))
    assert first == 1


def test_other_destinations_and_deliveries_get_all_of_it(service: StandIn) -> None:
    destination, delivery = sms(), next(_numbers)
    service.answer(failing_at(2, Answer(500)))
    send(destination, list_of(*range(6), delivery=delivery))
    for other, number in ((sms(), delivery), (destination, next(_numbers)), (destination, None)):
        attempt, _ = retried(service, other, list_of(*range(6), delivery=number))
        assert attempt.outcome is Outcome.DELIVERED
        assert keys_in(service.asked) == list(range(6))


def test_all_of_a_list_keeps_to_the_deadline_of_one_attempt(service: StandIn) -> None:
    service.answer(failing_at(2, HANGS))
    attempt = send(sms(timeout=1), list_of(*range(10)))
    assert attempt.outcome is Outcome.UNCERTAIN
    assert attempt.detail.startswith("1 of ")
    assert attempt.duration_ms < 3_000
