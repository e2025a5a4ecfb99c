"""The head of an answer is what the library makes of it."""

from __future__ import annotations

import http.client
import io
from typing import Any

import pytest

from receiver.destinations.apprise.heads import with_plain_lines

HEADS = {
    "plain": b"Content-Type: text/plain\r\nX-A:b\r\nX-A: \t c \r\n\r\n",
    "empty": b"\r\n",
    "bare line ends": b"A: b\nC: d\n\n",
    "Latin-1": b"X-Name: \xe4\xf6\x85\x0b\r\n\r\n",
    "empty values": b"A:\r\nB: \r\n\r\n",
    "a line goes on": b"A: b\r\nB: c\r\n  d\r\nE: f\r\n\r\n",
    "the first line goes on": b" a: b\r\n\r\n",
    "no colon": b"A: b\r\nnonsense\r\nC: d\r\n\r\n",
    "a blank before the colon": b"A : b\r\nC: d\r\n\r\n",
    "no name": b": b\r\n\r\n",
    "as in a mailbox": b"From me\r\nA: b\r\n\r\n",
    "a bare carriage return": b"A: b\rC: d\r\n\r\n",
    "several parts": b'Content-Type: multipart/mixed; boundary="x"\r\nA: b\r\n\r\n',
    "a message": b"content-TYPE:message/rfc822\r\n\r\n",
    "cut": b"A: b\r\nC: d",
    "nothing": b"",
    "many": b"".join(b"X-%d: y\r\n" % n for n in range(95)) + b"\r\n",
}


def read(parse: Any, head: bytes) -> tuple[Any, ...]:
    """Return what a parser makes of a head: its lines, its defects, the rest of the file."""
    file = io.BytesIO(head + b"rest")
    made = parse(file)
    defects = [type(each) for each in made.defects]
    text = None if made.is_multipart() else made.get_payload()
    return type(made), made.items(), defects, text, file.read()


@pytest.mark.parametrize("name", HEADS)
def test_a_head_is_what_the_library_makes_of_it(name: str) -> None:
    parse = http.client.parse_headers
    assert read(with_plain_lines(parse), HEADS[name]) == read(parse, HEADS[name])


@pytest.mark.parametrize(
    "head", [b"A: b\r\n" * 101 + b"\r\n", b"A: " + b"b" * 70_000 + b"\r\n\r\n"]
)
def test_what_has_no_end_is_refused_as_before(head: bytes) -> None:
    with pytest.raises(http.client.HTTPException) as error:
        http.client.parse_headers(io.BytesIO(head))
    with pytest.raises(type(error.value), match=str(error.value)[:20]):
        with_plain_lines(http.client.parse_headers)(io.BytesIO(head))


def test_plain_lines_are_left_to_nobody_else() -> None:
    def parse(*_: Any) -> None:
        pytest.fail("it was asked")

    assert with_plain_lines(parse)(io.BytesIO(HEADS["plain"]))["content-type"] == "text/plain"
