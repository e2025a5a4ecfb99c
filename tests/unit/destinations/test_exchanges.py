"""Which request carries the message, and what in a request is a secret."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, urlencode

import pytest

from receiver.destinations.apprise.exchanges import MessageWords, may_be_own, secrets_of

TITLE, BODY = "Rechnungs-Agent wartet: 4.200 EUR zahlen?", "Seit 10:30 Uhr, größer als üblich."
WORDS = MessageWords(TITLE, BODY)
TEXT = f"{TITLE}\r\n{BODY}"


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("https://x/", json.dumps({"text": TEXT}).encode()),
        ("https://x/", json.dumps({"text": TEXT}, ensure_ascii=False).encode()),
        ("https://x/", urlencode({"text": TEXT})), (f"https://x/send?text={quote(TEXT)}", None),
        ("https://x/", f"<m>{TEXT.replace('ö', '&ouml;')}</m>"),
        ("https://x/", json.dumps({"raw": base64.b64encode(TEXT.encode()).decode()})),
        ("https://x/", json.dumps({"text": TITLE})), ("https://x/", json.dumps({"text": BODY})),
        ("https://x/", json.dumps({"text": TEXT[:40]})),
    ],
)  # fmt: skip
def test_the_request_of_the_message_is_known_by_its_words(url: str, body: object) -> None:
    assert WORDS.are_in(url, body)


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("https://x/login", b"user=agent&password=word"), ("https://x/logout", None),
        ("https://x/lookup?name=Agent", b""), ("https://x/token", b'{"scope": "EUR zahlen"}'),
        ("https://x/", b"\xff\xfe" * 100),
    ],
)  # fmt: skip
def test_a_login_or_a_look_up_does_not_have_its_words(url: str, body: object) -> None:
    assert not WORDS.are_in(url, body)


def test_of_a_message_with_hardly_a_word_every_request_is_taken_for_its_own() -> None:
    assert MessageWords("t", "b").are_in("https://x/login", b"")


@pytest.mark.parametrize(
    ("method", "path", "may"),
    [
        ("POST", "send", True), ("POST", "v1/messages", True), ("PUT", "rooms/1/send/1", True),
        ("GET", "send", False), ("POST", "api/v1/login", False), ("POST", "oauth/token", False),
        ("POST", "api/v1/logout", False), ("POST", "_matrix/client/v3/join/1", False),
        ("POST", "files.getUploadURLExternal", False), ("POST", "xrpc/createSession", False),
    ],
)  # fmt: skip
def test_without_words_only_what_is_plainly_around_a_message_is_not_it(
    method: str, path: str, may: bool
) -> None:
    assert may_be_own(method, f"https://host.example/{path}") is may


def test_the_secrets_of_a_request_are_found_wherever_they_stand() -> None:
    login = base64.b64encode(b"a-user:a-password").decode()
    headers = {
        "Authorization": f"Basic {login}", "X-Api-Key": "key-of-a-header", "User-Agent": "Apprise",
        "Content-Type": "application/json", "Cookie": b"session=of-a-cookie",
    }  # fmt: skip
    url = "https://host.example/send?access_token=token-of-a-query&to=somebody"
    body = json.dumps({"login": {"password": "word-of-a-body"}, "text": "a text for people"})
    found = secrets_of(url, headers, body.encode())
    assert found >= {
        f"Basic {login}", login, "a-user:a-password", "a-user", "a-password", "key-of-a-header",
        "session=of-a-cookie", "of-a-cookie", "token-of-a-query", "word-of-a-body",
    }  # fmt: skip
    assert not found & {"Apprise", "somebody", "a text for people", "application/json", "Basic"}


def test_the_secrets_of_a_form_and_of_a_signature_are_found() -> None:
    signature = "AWS4-HMAC-SHA256 Credential=AKIA1234/eu/sns, Signature=0123456789abcdef"
    found = secrets_of("https://x/", {"Authorization": signature}, "api_key=key-of-a-form&to=you")
    assert found >= {signature, "AKIA1234/eu/sns", "0123456789abcdef", "key-of-a-form"}
    assert "you" not in found


def test_a_body_that_is_no_text_holds_no_secret() -> None:
    for body in (None, b"\xff\x00", object(), "[" * 5_000, b"{broken"):
        assert secrets_of("https://x/", {}, body) == set()
