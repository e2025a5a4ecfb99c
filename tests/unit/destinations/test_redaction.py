"""Lines without secrets: every part of a URL, however it is spelled."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

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


HARD = "p'a&s<s\"w+o/r=d%é 😀"


def _as_pairs(secret: str) -> str:
    return "".join(
        f"\\u{int.from_bytes(pair, 'big'):04x}"
        for pair in (
            secret.encode("utf-16-be")[n : n + 2] for n in range(0, 2 * len(secret) + 2, 2)
        )
    )


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as Go writes a page": lambda s: (
        html.escape(s).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    ),
    "as Django writes a page": lambda s: html.escape(s).replace("&#x27;", "&#39;"),
    "as PHP writes a page": lambda s: html.escape(s).replace("&#x27;", "&#039;"),
    "by numbers": lambda s: "".join(f"&#{ord(letter)};" for letter in s),
    "by numbers in hex": lambda s: "".join(f"&#X{ord(letter):X};" for letter in s),
    "a page in a page": lambda s: html.escape(html.escape(s)),
    "in JSON": lambda s: json.dumps(s)[1:-1],
    "in JSON of PHP": lambda s: json.dumps(s)[1:-1].replace("/", "\\/"),
    "in JSON of Go": lambda s: json.dumps(s)[1:-1].replace("&", "\\u0026").replace("<", "\\u003c"),
    "in JSON, by numbers": _as_pairs,
    "JSON in JSON": lambda s: json.dumps(json.dumps(s.replace("&", "\\u0026")))[3:-3],
    "JSON in JSON of PHP": lambda s: json.dumps(json.dumps(s)[1:-1].replace("/", "\\/"))[1:-1],
    "JSON in a page": lambda s: html.escape(json.dumps(s)[1:-1]),
    "in a URL": lambda s: quote(s, ""),
    "in a form": quote_plus,
    "a URL in a URL": lambda s: quote(quote(s, ""), ""),
    "a form in a URL": lambda s: quote(quote_plus(s), ""),
    "a URL in JSON in a page": lambda s: html.escape(json.dumps(quote(quote(s, ""), ""))[1:-1]),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_secret_is_found_however_it_was_written(spelling: str) -> None:
    url = f"jsons://user:{quote(HARD, '')}@host/x"
    echo = SPELLINGS[spelling](HARD)
    assert redact(url, f"no login {echo} (E7)") == "no login *** (E7)"
    # One that is found as it stands hides none that is not.
    assert redact(url, f"{HARD} or {echo}?") == "*** or ***?"


def test_what_a_request_held_is_found_in_each_form_too() -> None:
    sign = "kQ+3/xY8=sign&ature%"
    echo = quote(quote(sign, ""), "")
    assert redact("dingtalk://token", f"no sign={echo}.", [sign]) == "no sign=***."


def test_a_line_without_secrets_stays_as_it_is_written() -> None:
    for line in ("100%25 &amp; &#39;x&#39;", 'C:\\u0041\\/ {"a": "\\u00e9"}', "a+b%20c &lt;b&gt;"):
        assert redact("json://user:canary-word@host", line) == line


def test_a_huge_line_of_escapes_takes_no_time() -> None:
    line = "&amp;%2525\\\\u0026" * 10_000
    assert len(redact("json://user:canary-word@host", line)) == MAX_DETAIL


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
