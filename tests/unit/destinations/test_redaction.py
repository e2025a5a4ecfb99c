"""Lines without secrets: every part of a URL, however it is spelled."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.destinations.redaction import MAX_DETAIL, redact

URL = "json://user:p%40ss%2Fword@10.0.0.1:81/path-one/path%20two?+X-Key=head%2Ber&-q=val%20ue"


@pytest.mark.parametrize(
    "secret",
    [
        "p@ss/word", "p%40ss%2Fword", "path-one", "path%20two", "path two", "head+er", "head%2Ber",
        "val ue", "val+ue", "P@SS/WORD", base64.b64encode(b"user:p@ss/word").decode(),
        base64.b64encode(b"\0user\0p@ss/word").decode(), base64.b64encode(b"p@ss/word").decode(),
        base64.b64encode(b"user:p@ss/word").decode().rstrip("="), URL,
    ],
)  # fmt: skip
def test_no_spelling_of_a_secret_is_left(secret: str) -> None:
    line = redact(URL, f"It failed at {secret}: connection to 10.0.0.1:81 refused")
    assert secret.lower() not in line.lower()
    assert line.endswith("connection to 10.0.0.1:81 refused")


def test_where_the_host_may_be_a_token_it_is_left_out() -> None:
    assert redact("discord://token-id/token-word", "no token-id token-word") == "no *** ***"


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("tgram://123456789:AAFcanary-word_x/-100", "AAFcanary-word_x"),
        ("gotify://host/AbCcanary%3CT0ken", "AbCcanary&lt;T0ken"),
        ("gotify://host/AbCcanaryT0ken9", base64.b64encode(b"AbCcanaryT0ken9").decode()),
        ("json://host/a?+X-Key=canary%26word-1", base64.b64encode(b"canary&word-1").decode()),
        ("json://host/a?+X-Key=canary%26word-1", "canary&amp;word-1"),
        ("json://host/Y2FuYXJ5LWtleQ==", "Y2FuYXJ5LWtleQ"),
        ("discord://4174216298/canary8qBe7bk", base64.b64encode(b"canary8qBe7bk").decode()),
    ],
)  # fmt: skip
def test_a_part_of_a_secret_is_left_out_in_each_form_too(url: str, secret: str) -> None:
    assert redact(url, f"no key {secret} (E7)") == "no key *** (E7)"


def test_a_short_password_is_taken_as_a_word() -> None:
    assert redact("json://me:re@host", "retry: re refused (re)") == "retry: *** refused (***)"


def test_words_of_options_stay() -> None:
    url = "mailtos://u:p@h?mode=starttls&format=text"
    assert redact(url, "STARTTLS is required, text only") == "STARTTLS is required, text only"


def test_a_list_of_recipients_is_left_out_one_by_one() -> None:
    url = "mailto://host?from=ops@x.example&to=a@x.example,b@x.example%20c@x.example"
    assert redact(url, "no user b@x.example or c@x.example") == "no user *** or ***"


def test_a_line_is_one_line_printable_and_bounded() -> None:
    line = redact("json://host", "a\r\nb\0\x1b[31m\u202ec" + "x" * 1000)
    assert line.startswith("a b [31m c")
    assert line.isprintable()
    assert len(line) == MAX_DETAIL


def test_a_line_is_never_empty() -> None:
    assert redact("json://host", "\0\n ") == "no reason was given"


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_the_url_a_line_comes_out(url: str, line: str) -> None:
    found = redact(url, line)
    assert found
    assert found.isprintable()
    assert len(found) <= MAX_DETAIL
