"""The parts of a URL as written, and texts that mean something else than a destination."""

from __future__ import annotations

import pytest

from receiver.destinations.addresses import WrittenUrl, ascii_domain, mistake, parse, web_hint


def test_a_url_is_taken_apart_at_its_own_signs() -> None:
    assert parse(" JSON://me:p%40s%3As@[::1]:81/a%2Fb/c?+X-Key=v%26w&to=x&To=y ") == WrittenUrl(
        "json", "me", "p@s:s", "::1", "81", ("a/b", "c"),
        (("+x-key", "v&w"), ("to", "x"), ("to", "y")),
    )  # fmt: skip
    assert parse("json://host:x").host == "host:x"
    assert parse("json://h?to=a&to=b").option("to") == "b"
    assert parse("json://h").option("to") == ""


@pytest.mark.parametrize(
    ("text", "says", "write"),
    [
        ("canary@example.org", "an e-mail address alone", "mailtos://USER:PASSWORD@SMTP-SERVER?"),
        ("mailto:canary@example.org", "an e-mail address alone", "mailtos://"),
        ("#canary", "the name of a channel", "slack://TOKEN-A/TOKEN-B/TOKEN-C/#channel"),
        ("@canary", "the name of a channel or a person", "slack://"),
        ("C0123456", "the id of a Slack channel", "slack://"),
        ("U0CANARY01", "the id of a Slack channel or person", "slack://"),
        ("xoxb-1234-canary", "a Slack token alone", "slack://xoxb-…/#channel"),
        ("T1JJ3T3L2/B1BRTD4JD/canary", "a Slack token alone", "slack://"),
        ("hooks.slack.com/services/T1/B1/canary", "a Slack token alone", "slack://"),
        ("+49 151 1234567", "a phone number alone", "twilio://"),
        ("hook.canary.org/path", "the address of a host alone", "jsons://HOST/PATH"),
        ("stdout", "no URL", "console://"),
        ("smtp://canary", "mailto:// here", ""), ("smtps://canary", "mailtos:// here", ""),
        ("webhook://canary", "json:// here", ""), ("telegram://canary", "tgram:// here", ""),
        ("mailto://me:canary@canary@host", "more than one @", "@ as %40"),
        ("json://me:canary@canary@host/x", "more than one @", "@ as %40"),
        ("mailtos://me:canary:canary@host", "more than one :", ": as %3A"),
        ("json://me:canary#canary@host", "a # before its path", "# as %23"),
        ("mailto://me:canary?canary@host", "an @ after a ?", "? as %3F"),
        ("mailto://me:canary canary@host", "a blank", ""),
        ("mailto://canäry:x@host", "its login has a letter that is not ASCII", "take another"),
        ("mailto://me:canäry@host", "its login has a letter that is not ASCII", "take another"),
        ("mailto://host?user=me&pass=can%C3%A4ry", "its login has a letter", "take another"),
        ("mailto://me:canary@bücher.example", "not ASCII", "write xn--bcher-kva.example"),
        ("slack://xoxb-1234-canary/C0CANARY01", "by an id", "write +C0123456789"),
        ("slack://xoxb-1234-canary/%23U0CANARY01", "by an id", "with a + before the id"),
        ("slack://xoxb-1234-canary/?to=G0CANARY01", "by an id", "write +C0123456789"),
        ("mailto://me:x@h?smtp=b%C3%BCcher.example", "not ASCII", "write xn--bcher-kva.example"),
    ],
)  # fmt: skip
def test_what_means_something_else_says_what_to_write_and_shows_nothing(
    text: str, says: str, write: str
) -> None:
    found = mistake(text)
    assert says in found
    assert write in found
    assert "canary" not in found.lower()
    assert "canäry" not in found


@pytest.mark.parametrize(
    "text",
    [
        "", "canary", "console://", "json://me:p%40%3A%23@host:81/a@b/#c?to=a@b.org",
        "mailtos://me%40example.org:word@h?to=a@b.org", "slack://T1/B1/c/#ops", "slack://a@T/B/C/@d",
        "slack://xoxb-1234-canary/+C0CANARY01", "slack://xoxb-1/%23ops/", "slack://xoxb-1/CANARY",
        "slack://T0CANARY0/B0CANARY0/TIiajkdnlazkcOXrIdevi7FQ/%23DEPLOYMENTS",
        "https://hooks.slack.com/services/T1/B1/c", "tgram://123456789:abcdefg_hijklmnop/12315544/",
    ],
)  # fmt: skip
def test_what_may_be_a_url_is_left_to_apprise(text: str) -> None:
    assert mistake(text) == ""


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://hook.example/canary", "write jsons:// in its place"),
        ("http://hook.example/canary", "write json:// in its place"),
        ("https://hooks.slack.com/services/canary", "a part of an address of hooks.slack.com"),
        ("https://api.telegram.org/botcanary/sendMessage", "write tgram://BOT-TOKEN/CHAT-ID"),
        ("json://bücher.example/canary", "write it as xn--…"),
    ],
)
def test_a_web_address_that_apprise_does_not_know_says_what_to_write(url: str, says: str) -> None:
    assert says in web_hint(url)
    assert "canary" not in web_hint(url)
    assert web_hint("json://host") == ""


def test_a_domain_is_written_in_ascii() -> None:
    assert ascii_domain("team@bücher.example") == "team@xn--bcher-kva.example"
    assert ascii_domain("a..b") == ""
