"""Tokens of links: what they open, for how long, and what no change of a letter opens."""

from __future__ import annotations

import random

import pytest

from receiver.links import (
    LASTS,
    Fault,
    Links,
    Ticket,
    form_token,
    mark_of,
    read,
    sign,
)
from receiver.times import SECOND

NOW = 1_800_000_000 * SECOND
KEY, OLD, OTHER = b"a-key-of-the-links-01", b"an-old-key-of-links-02", b"another-key-of-links"
MARK = mark_of("s", "x", 3, "approvers")
LINKS = Links("https://hooks.example.org/", (KEY, OLD))


def token(delivery: int = 7, now: int = NOW, links: Links = LINKS) -> str:
    return links.to(delivery, MARK, now).rpartition("/")[2]


def test_a_link_says_which_message_it_is_of_for_seven_days() -> None:
    ends = (NOW + LASTS) // SECOND
    for delivery in (1, 7, 2**40 - 1):
        assert read(token(delivery), (KEY,), NOW) == Ticket(delivery, MARK, ends)
    assert read(token(), (KEY,), NOW + LASTS - 1) == Ticket(7, MARK, ends)
    assert read(token(), (KEY,), NOW + LASTS) is Fault.EXPIRED


def test_a_link_is_short_and_of_letters_and_digits_whatever_it_holds() -> None:
    found = {LINKS.to(n, MARK, NOW + n * SECOND) for n in range(500)}
    assert len(found) == 500
    for link in found:
        begin, _, end = link.rpartition("/")
        assert begin == "https://hooks.example.org/take"
        assert end.isascii()
        assert end.isalnum()
        assert len(end) == 42


def test_every_change_of_a_letter_makes_it_worthless() -> None:
    whole = token()
    for place in range(len(whole)):
        for letter in "0Az":
            if letter != whole[place]:
                changed = whole[:place] + letter + whole[place + 1 :]
                assert read(changed, (KEY, OLD), NOW) in (Fault.FORGED, Fault.OTHER_KEY)


@pytest.mark.parametrize(
    "text",
    ["", "0", "0" * 41, "0" * 43, "z" * 42, "é" * 42, "-" * 42, "٣" * 42, " " * 42, "\0" * 42],
    ids=lambda text: f"{len(text)}-{text[:1]!a}",
)
def test_what_is_no_token_is_forged(text: str) -> None:
    assert read(text, (KEY,), NOW) in (Fault.FORGED, Fault.OTHER_KEY)


def test_noise_opens_nothing() -> None:
    noise, letters = random.Random(7), token()
    for _ in range(2_000):
        text = "".join(noise.choices(letters, k=42))
        assert not isinstance(read(text, (KEY, OLD), NOW), Ticket)


def test_several_keys_read_and_the_first_signs() -> None:
    by_old = sign(OLD, Ticket(7, MARK, (NOW + LASTS) // SECOND))
    assert isinstance(read(by_old, (KEY, OLD), NOW), Ticket)
    assert read(by_old, (KEY,), NOW) is Fault.OTHER_KEY
    assert isinstance(read(token(), (KEY,), NOW), Ticket)
    assert read(token(), (OTHER,), NOW) is Fault.OTHER_KEY
    assert read(token(), (), NOW) is Fault.OTHER_KEY


def test_a_mark_is_of_one_episode_and_one_destination() -> None:
    others = {
        mark_of("t", "x", 3, "approvers"), mark_of("s", "y", 3, "approvers"),
        mark_of("s", "x", 4, "approvers"), mark_of("s", "x", 3, "ops"),
        mark_of("s", "x\0", 3, "approvers"), mark_of("s", "\ud800", 3, "approvers"),
    }  # fmt: skip
    assert len(others | {MARK}) == 7


def test_without_an_address_there_is_no_link_and_without_a_key_only_its_form() -> None:
    assert Links().to(7, MARK, NOW) == ""
    assert Links("https://h.example/a/").to(7, MARK, NOW) == "https://h.example/a/take/…"
    assert "key" not in repr(LINKS)


def test_a_form_is_of_one_page_and_one_browser() -> None:
    proofs = {form_token(k, t, b) for k in (KEY, OLD) for t in ("t", "u") for b in ("b", "c")}
    assert len(proofs) == 8
    assert form_token(KEY, "t", "\ud800")
