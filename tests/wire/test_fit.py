"""Every plugin of Apprise that sends by HTTP: long and hostile messages arrive with what counts.

A long message arrives with its link and its id, a list with all of its lines, within the limits of
the plugin and without Apprise's cutting. No service was asked: these are stand-ins.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any
from urllib.parse import unquote_plus

import pytest
from apprise.plugins.base import NotifyBase

from receiver.deliveries import Claim, Digest, DigestItem, Kind, Message, MessageContext, Outcome
from receiver.destinations.apprise import clients
from receiver.destinations.apprise.limits import LIMITS, Fitter, sms
from receiver.destinations.apprise.vendors import name_of
from receiver.destinations.destination import Destination
from receiver.destinations.fitting import SHORTENED, fit
from receiver.destinations.sending import send
from receiver.events import Status, Verdict
from receiver.messages.compose import compose
from receiver.routing.routes import Route
from receiver.times import SECOND
from tests.support.plugins import ADDRESSES, yes_of
from tests.support.standin import Asked, StandIn, standing_in

NOW = 1_800_000_000 * SECOND
ID = "a2c7f3b3-cbc8-4b6a-a5f2-c5f6cb548e95"
LINK = f"https://platform.example.com/run_it/{ID}?x=1&y_=2"
AWAITS = Status.AWAITING_CONFIRMATION
# Every service's way to mention, in one name.
MENTIONS = (
    '@**all** <at user_id="all">a</at> <!channel> <@U1> @everyone @room <users/all> <@all>'
    " (met)all(met) [CQ:at,qq=all] @[AAAAAAAA] -@bob [x](https://evil.example)"
)
# What none of them may read in what arrives.
LIVE = re.compile(
    r"<[!@#%]|</?at\b|<users/|<https?:(?!//(?:platform|r)\.example)|@(?:everyone|here|channel|all|room)\b"
    r"|(?<!evil\.example)\]\(https://evil|(?<![\w./])@(?:\*|_|\[|bob)|\(met\)|\[CQ:",
    re.IGNORECASE,
)
FACTS = MessageContext(
    "asteroid", Verdict.APPLIED, "transition", NOW, "e-1", "E", AWAITS, NOW, ID, AWAITS,
    agent_name=f"Invoice {MENTIONS}", execution_url=LINK, metadata={MENTIONS[:20]: MENTIONS},
    detail={
        "reason": f"Pay 4,200 EUR {MENTIONS} {'to Miller & Sons <b>_x_</b> *y* ' * 40}",
        "question": {"questions": [{"question": MENTIONS, "options": [{"label": MENTIONS}]}]},
    },
)  # fmt: skip
CLAIM = Claim(1, "token", "ops", "r", 0, False, NOW, FACTS, version=3)
# A template that writes it all several times.
ROUTE = Route(
    "r", (), ("ops",),
    body="{{ why }}\n{{ metadata_line }}\n{{ agent_name }}\n" * 4
    + "{{ execution_url }}\nExecution: {{ execution_id }}",
)  # fmt: skip
# These send no words of the message at all, or encrypted ones.
WITHOUT_WORDS = {"LFGAlarm": "it rings", "SimplePush": "it may be encrypted"}
# A link of 80 characters has no room; the id has.
WITHOUT_LINKS = {"Dapnet": "80 characters"}
_numbers = count()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with standing_in(tmp_path_factory.mktemp("services")) as stand_in:
        yield stand_in


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str, str]]:
    """What Apprise hands its plugins: plugin, title, body."""
    calls: list[tuple[Any, str, str]] = []
    original: Any = vars(NotifyBase)["_timed_send"]

    def noted(self: Any, **named: Any) -> Any:
        calls.append((self, named["title"], named["body"]))
        return original(self, **named)

    monkeypatch.setattr(NotifyBase, "_timed_send", noted)
    return calls


def destination(name: str, url: str = "") -> Destination:
    return Destination(f"fit-{next(_numbers)}", url or ADDRESSES[name], rate=1000, timeout=20)


def long_message() -> Message:
    message = compose(CLAIM, ROUTE, NOW)
    assert len(message.body) > 1_700
    return message


def list_of_forty() -> Message:
    """Make one list of the confirmations in four digests."""
    digests = [digest(range(first, first + 10)) for first in range(0, 40, 10)]
    body = "\n".join(each.body for each in digests)
    return replace(digests[0], body=body, listed=sum((each.listed for each in digests), ()))


def digest(numbers: range) -> Message:
    items = []
    for number in numbers:
        link = LINK.replace(ID, key(number))
        facts = replace(FACTS, execution_id=key(number), execution_url=link, event_id=f"e-{number}")
        items.append(DigestItem(Kind.NOTICE, 0, facts))
    counts = ((AWAITS, "Invoice", len(items)),)
    claim = replace(CLAIM, digest=Digest(len(items), counts, tuple(items)))
    return compose(claim, None, NOW)


def key(number: int) -> str:
    return f"{number:03}{ID[3:]}"


def readable(asked: Asked) -> str:
    """Everything that a request holds, as its reader sees it."""
    text = unquote_plus(asked.path) + "\n" + asked.text
    for piece in re.findall(r"[A-Za-z0-9+/]{60,}={0,2}", f"{text} {unquote_plus(text)}"):
        decoded = base64.b64decode(piece[: len(piece) // 4 * 4])
        text += "\n" + re.sub(rb"=\r?\n", b"", decoded).decode("utf-8", "replace")
    text += "\n" + unquote_plus(text)
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
    return text.replace("\\n", "\n").replace('\\"', '"').replace("&amp;", "&").replace("=3D", "=")


def arrived(service: StandIn) -> str:
    return "\n".join(readable(asked) for asked in service.asked)


def assert_within_limits(sent: list[tuple[Any, str, str]]) -> None:
    """See that each call of a plugin keeps to the limits that the plugin states."""
    assert sent
    for plugin, title, body in sent:
        length = len(body.encode("utf-16-le")) // 2
        assert length <= plugin.body_maxlen
        assert len(title) <= max(plugin.title_maxlen, 0)
        if plugin.overflow_amalgamate_title:
            assert length + len(title) <= plugin.body_maxlen
        if plugin.body_max_line_count:
            assert body.count("\n") < plugin.body_max_line_count
        limit = LIMITS.get(name_of(type(plugin)))
        if limit and limit.text:
            assert limit.count(body) <= limit.text
        if limit and limit.is_sms:
            assert sms(body) <= 306


@pytest.mark.parametrize("name", [name for name in ADDRESSES if name not in WITHOUT_WORDS])
def test_a_long_hostile_message_arrives_with_link_and_id_and_pings_nobody(
    name: str, service: StandIn, sent: list[tuple[Any, str, str]]
) -> None:
    service.answer(lambda asked: yes_of(name, asked))
    attempt = send(destination(name), long_message())
    assert (attempt.outcome, attempt.detail) == (Outcome.DELIVERED, "")
    assert_within_limits(sent)
    assert len(sent) == 1
    text = arrived(service)
    assert ID in text
    assert LINK in text or name in WITHOUT_LINKS
    assert [found[0] for found in LIVE.finditer(text)] == []
    (part,) = fit(long_message(), Fitter(sent[0][0], clients.library()).room)
    is_whole = all(line in part.text for line in long_message().body.split("\n"))
    assert is_whole or SHORTENED in part.text or is_short(sent[0][0])


def is_short(plugin: Any) -> bool:
    return Fitter(plugin, clients.library()).room.is_short


@pytest.mark.parametrize("name", [name for name in ADDRESSES if name not in WITHOUT_WORDS])
def test_every_line_of_a_list_arrives_whole(
    name: str, service: StandIn, sent: list[tuple[Any, str, str]]
) -> None:
    service.answer(lambda asked: yes_of(name, asked))
    place = destination(name)
    # An SMS has no room for links, and twenty more of the same show nothing new.
    has_few_words = is_short(clients.client(place)[0])
    numbers = range(15) if has_few_words else range(40)
    attempt = send(place, digest(numbers) if has_few_words else list_of_forty())
    assert (attempt.outcome, attempt.detail) == (Outcome.DELIVERED, "")
    assert_within_limits(sent)
    text = arrived(service)
    for number in numbers:
        assert key(number) in text
        assert LINK.replace(ID, key(number)) in text or has_few_words
    assert [found[0] for found in LIVE.finditer(text)] == []
    if len(sent) > 1:
        assert f"(1 of {len(sent)})" in text
        assert f"({len(sent)} of {len(sent)})" in text
