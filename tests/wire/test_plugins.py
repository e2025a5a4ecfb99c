"""Every plugin of Apprise that sends by HTTP, against a stand-in: what shows as delivered arrived.

No service was asked: the stand-ins answer as the services document.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from receiver.deliveries import Attempt, Message, Outcome, Severity
from receiver.destinations.apprise.clients import LOCAL_KINDS, client
from receiver.destinations.apprise.vendors import WITHOUT_REQUESTS, name_of
from receiver.destinations.destination import Destination
from receiver.destinations.sending import problems, send
from tests.support.plugins import ADDRESSES, every_plugin, yes_of
from tests.support.standin import CUT, Answer, Asked, StandIn, saying, standing_in

MESSAGE = Message(
    "Invoice agent failed: the ledger refused",
    "It has ended after 4 minutes.\nReason: the account is closed.",
    severity=Severity.FAILURE,
)
DELIVERED, FAILED, UNCERTAIN = Outcome.DELIVERED, Outcome.FAILED, Outcome.UNCERTAIN
# Their message is encrypted, or only a signal: it is known by its address.
WITHOUT_WORDS = {"SimplePush": "/send", "LFGAlarm": "/"}
_numbers = count()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with standing_in(tmp_path_factory.mktemp("services")) as stand_in:
        yield stand_in


def attempt(name: str, message: Message = MESSAGE) -> Attempt:
    return send(Destination(f"plugin-{name}", ADDRESSES[name], timeout=10), message)


def is_own(name: str, asked: Asked) -> bool:
    return asked.has_words("Invoice", "ledger") or (
        name in WITHOUT_WORDS and WITHOUT_WORDS[name] in asked.path
    )


def answer_the_message(service: StandIn, name: str, answer: Answer) -> None:
    """Accept what is asked around the message, and answer so to the message itself."""
    service.answer(lambda asked: answer if is_own(name, asked) else yes_of(name, asked))


def test_every_plugin_has_an_address_here_or_sends_in_another_way() -> None:
    kinds: dict[str, set[str]] = {
        "by HTTP": set(),
        "in another way": set(),
        "on this machine": set(),
    }
    for plugin in every_plugin():
        name = plugin.__name__.removeprefix("Notify")
        if _schemes(plugin) & LOCAL_KINDS:
            kinds["on this machine"].add(name)
        elif name_of(plugin) in {*WITHOUT_REQUESTS, "email"}:
            kinds["in another way"].add(name)
        else:
            kinds["by HTTP"].add(name)
    assert kinds["by HTTP"] == ADDRESSES.keys()
    assert len(kinds["in another way"]) == len(WITHOUT_REQUESTS) + 1
    assert sum(map(len, kinds.values())) == len(every_plugin())


def _schemes(plugin: object) -> set[str]:
    found: set[str] = set()
    for names in (getattr(plugin, "protocol", None), getattr(plugin, "secure_protocol", None)):
        found |= {names} if isinstance(names, str) else {*(names or ())}
    return found


@pytest.mark.parametrize("name", ADDRESSES)
def test_what_a_service_accepts_is_delivered_and_nothing_else_is(
    name: str, service: StandIn
) -> None:
    assert problems(Destination("ops", ADDRESSES[name])) == []
    service.answer(lambda asked: yes_of(name, asked))
    accepted = attempt(name)
    assert (accepted.outcome, accepted.detail) == (DELIVERED, "")
    assert any(is_own(name, asked) for asked in service.asked)

    answer_the_message(service, name, saying({"error": "no such room"}, 403))
    refused = attempt(name)
    assert (refused.outcome, refused.permanent) == (FAILED, True)
    assert "HTTP 403 Forbidden" in refused.detail

    no = {"ok": False, "success": False, "status": "error", "error": "no such room"}
    answer_the_message(service, name, saying(no))
    said_no = attempt(name)
    assert said_no.outcome is FAILED
    assert "HTTP 200 OK: " in said_no.detail

    service.answer(Answer(500))
    assert attempt(name).outcome is FAILED


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_cut_is_uncertain_if_it_cut_the_message_and_failed_if_it_cut_a_login(
    name: str, service: StandIn
) -> None:
    answer_the_message(service, name, CUT)
    assert attempt(name).outcome is UNCERTAIN
    fresh = Destination(f"plugin-{next(_numbers)}", ADDRESSES[name], timeout=10)
    service.answer(CUT)
    outcome = send(fresh, MESSAGE).outcome
    assert outcome is (UNCERTAIN if any(is_own(name, each) for each in service.asked) else FAILED)


@pytest.mark.parametrize("name", ADDRESSES)
def test_no_type_of_message_is_delivered_without_a_request(name: str, service: StandIn) -> None:
    for severity in (Severity.INFO, Severity.SUCCESS):
        service.answer(lambda asked: yes_of(name, asked))
        outcome = attempt(name, Message(MESSAGE.title, MESSAGE.body, severity=severity)).outcome
        assert (outcome is DELIVERED) is any(is_own(name, asked) for asked in service.asked)


def claiming(name: str, patch: pytest.MonkeyPatch, *, sends: bool) -> None:
    """Let a plugin report a success, whatever it did; if it does not send, it does nothing."""
    made = client(Destination("claims", ADDRESSES[name]))
    kind = type(made[0])
    original = kind.send

    def send_and_claim(plugin: Any, *arguments: Any, **named: Any) -> bool:
        if sends:
            original(plugin, *arguments, **named)
        return True

    patch.setattr(kind, "send", send_and_claim)


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_plugin_that_reports_a_success_is_not_believed(
    name: str, service: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = Destination(f"plugin-{next(_numbers)}", ADDRESSES[name], timeout=10)
    with monkeypatch.context() as patch:
        claiming(name, patch, sends=False)
        service.answer(lambda asked: yes_of(name, asked))
        silent = send(fresh, MESSAGE)
    assert (silent.outcome, silent.permanent, service.asked) == (FAILED, True, [])
    assert "made no request" in silent.detail
    with monkeypatch.context() as patch:
        claiming(name, patch, sends=True)
        answer_the_message(service, name, saying({"error": "no such room"}, 403))
        assert send(fresh, MESSAGE).outcome is FAILED
        answer_the_message(service, name, CUT)
        assert send(fresh, MESSAGE).outcome is UNCERTAIN


PAGE = b"<!DOCTYPE html>\n<html><body>Please log in to the network</body></html>"
# Their answer may be a page.
MAY_ANSWER_PAGES = {"JSON", "XML", "Form", "FreeMobile"}


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_web_page_is_no_yes_and_another_2xx_is_no_failure(name: str, service: StandIn) -> None:
    answer_the_message(service, name, Answer(200, PAGE, {"Content-Type": "text/html"}))
    page = attempt(name)
    assert page.outcome is (DELIVERED if name in MAY_ANSWER_PAGES else FAILED)
    assert page.outcome is DELIVERED or "does a login or a proxy stand before it?" in page.detail
    answer_the_message(service, name, Answer(202))
    assert attempt(name).outcome in (DELIVERED, UNCERTAIN)
