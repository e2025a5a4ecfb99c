"""Limits: how services count, and what plugins without HTTP have room for."""

from __future__ import annotations

import pytest

from receiver.deliveries import Message
from receiver.destinations.apprise import clients
from receiver.destinations.apprise.limits import LIMITS, Fitter, sms, utf_8, utf_16, weighted
from receiver.destinations.apprise.markup import MARKUPS
from receiver.destinations.apprise.vendors import name_of
from receiver.destinations.destination import Destination
from receiver.destinations.fitting import Part, fit
from tests.support.plugins import ADDRESSES, every_plugin

ID = "a2c7f3b3-cbc8-4b6a-a5f2-c5f6cb548e95"
LINK = f"https://platform.example.com/executions/{ID}"
TITLE = "Invoice agent asks: About to pay 4,200 EUR to Miller & Sons"
BODY = f"It waits until somebody confirms or declines.\n{LINK}\n{'word ' * 300}\nExecution: {ID}"
MESSAGE = Message(TITLE, BODY, link=LINK, execution_id=ID)


def fitter(url: str) -> Fitter:
    client = clients.client(Destination("ops", url))
    assert not isinstance(client, str), client
    return Fitter(client[0], clients.library())


def part(url: str, message: Message = MESSAGE) -> Part:
    (only,) = fit(message, fitter(url).room)
    return only


def test_services_count_in_different_units() -> None:
    text = "é€😀a"
    assert (utf_8(text), utf_16(text), weighted(text)) == (10, 5, 6)
    assert sms("a" * 306) == 306
    assert sms("[" * 153) == 306
    assert sms("я" * 134) == 306
    assert sms("я" * 135) > 306
    assert sms("😀" * 67) == 306


def test_signs_of_ours_do_not_halve_an_sms_and_a_mention_stays_harmless() -> None:
    written = fitter(ADDRESSES["Twilio"]).written(
        "“A” – ＠all ＜!here> …", "· x × 2 ［CQ:at] ＆#64;"
    )
    assert written.text == '"A" - (at)all (!here> ...\n- x x 2 (CQ:at] &#64;'
    assert sms(written.text) == len(written.text) + written.text.count("]")


@pytest.mark.parametrize(
    "name", ["Twilio", "Vonage", "MessageBird", "Clickatell", "CM", "Telesign"]
)
def test_an_sms_says_what_and_where_in_two_parts(name: str) -> None:
    short = part(ADDRESSES[name])
    assert (short.title, short.text) == (TITLE, LINK)
    cyrillic = Message("Агент спрашивает: " + "заплатить " * 20, BODY, link=LINK, execution_id=ID)
    short = part(ADDRESSES[name], cyrillic)
    assert short.text == LINK
    assert short.title.startswith("Агент спрашивает: заплатить")
    assert sms(f"{short.title}\n{short.text}".replace("…", "...")) <= 306


def test_amazon_sns_has_an_sms_for_numbers_and_room_for_topics() -> None:
    keys = "AKIAIOSFODNN7EXAMPLE/secretaccesskeyvalueab/us-east-1"
    assert part(f"sns://{keys}/+15551234567").text == LINK
    assert part(f"sns://{keys}/#topic").text == BODY


def test_bytes_count_where_the_service_counts_them() -> None:
    words = "界" * 1_500
    message = Message("题", f"{words}\n{LINK}\nExecution: {ID}", link=LINK, execution_id=ID)
    for name, most in (("WeComBot", 2_048), ("WeChat", 2_048), ("Ntfy", 4_096), ("Threema", 3_500)):
        text = part(ADDRESSES[name], message).text
        assert most - 200 < utf_8(text) <= most
        assert text.endswith(f"… shortened\n{LINK}\nExecution: {ID}")


@pytest.mark.parametrize(
    ("url", "most"),
    [
        ("irc://user:password@irc.example.org/%23ops", 380),
        ("aprs://DF1ABC:12345@DF1ABC", 67),
        ("mailtos://user:password@example.org", 32_768),
    ],
    ids=["irc", "aprs", "mailtos"],
)  # fmt: skip
def test_what_speaks_no_http_has_its_room(url: str, most: int) -> None:
    found = part(url)
    assert len(f"{found.title}\r\n{found.text}") <= most + 2
    assert ID in found.text


def test_every_entry_is_about_a_plugin_and_says_where_from() -> None:
    names = {name_of(plugin) for plugin in every_plugin()}
    assert set(LIMITS) <= names
    assert set(MARKUPS) <= names
    assert all(limit.source for limit in LIMITS.values())
    assert all(markup.source for markup in MARKUPS.values())
