"""Fitting: what stays of a message where there is little room, and how a list is divided."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.deliveries import ListedLine, Message
from receiver.destinations.fitting import SHORTENED, Room, fit, without

ID = "a2c7f3b3-cbc8-4b6a-a5f2-c5f6cb548e95"
LINK = f"https://platform.example.com/executions/{ID}"
ELSEWHERE = "https://platform.example.com/run?n=1"
TITLE = "Invoice agent asks: About to pay 4,200 EUR to Miller & Sons"
WORDS = "\n".join(f"Line {number}: " + "what the agent says " * 6 for number in range(12))


def message(link: str = LINK, key: str = ID, **more: object) -> Message:
    body = "\n".join(part for part in (WORDS, link, f"Execution: {key} · from asteroid") if part)
    return Message(TITLE, body, link=link, execution_id=key, **more)  # type: ignore[arg-type]


def room(most: int, title: int = 0, **more: object) -> Room:
    """Make a room that counts characters; with no title of its own, the title is in the text."""

    def fits(head: str, text: str) -> bool:
        if title:
            return len(head) <= title and len(text) <= most
        return len(f"{head}\n{text}") <= most

    return Room(fits, **more)  # type: ignore[arg-type]


def listed(n: int, link: bool = True) -> Message:
    """Make a list of confirmations."""
    lines = []
    for number in range(n):
        key = f"{number:03}{ID[3:]}"
        where = f"https://platform.example.com/executions/{key}" if link else key
        words = f"Pay {number} EUR to Miller & Sons for what was delivered"
        text = f"· {words} · for 28 min · {where}"
        lines.append(ListedLine(text, words, where if link else "", key, f"notice/{key}"))
    body = "\n".join(["To confirm or decline:", *(line.text for line in lines), "All: https://r/"])
    return Message(f"Invoice agent: {n} to confirm or decline", body, listed=tuple(lines))


def test_what_fits_is_left_as_it_is() -> None:
    whole = message()
    (part,) = fit(whole, room(3_000))
    assert (part.title, part.text) == (whole.title, whole.body)


@pytest.mark.parametrize("most", [1_000, 400, 250])
@pytest.mark.parametrize("title", [0, 250])
def test_link_and_id_are_whole_and_what_is_cut_is_said(most: int, title: int) -> None:
    (part,) = fit(message(), room(most, title))
    assert part.text.split("\n")[-3:] == [SHORTENED, LINK, f"Execution: {ID}"]
    assert part.title == TITLE
    assert part.text.startswith("Line 0: what the agent") or most == 250


def test_an_id_that_the_link_has_not_is_never_left_out_before_the_title_is() -> None:
    (part,) = fit(message(ELSEWHERE), room(115))
    assert part.title.startswith("Invoice agent")
    assert part.title.endswith("…")
    assert part.text.split("\n")[-2:] == [ELSEWHERE, ID]


def test_what_a_title_has_no_room_for_is_said_in_the_text() -> None:
    (part,) = fit(message(), room(600, 30))
    assert part.title == "Invoice agent asks: About to…"
    assert part.text.startswith(f"{TITLE}\nLine 0")


def test_where_nothing_else_has_room_the_id_stands_alone() -> None:
    assert fit(message(), room(40))[0].text == ID
    assert fit(message(ELSEWHERE, ""), room(40))[0].text == ELSEWHERE
    assert fit(Message("A title of some length", "Text " * 20), room(12))[0].title.endswith("…")


def test_a_cut_is_never_inside_another_link() -> None:
    other = "https://elsewhere.example.com/a/very/long/address/of/something/else?and=so&on=so"
    long = Message("T", f"{'word ' * 5}{other} {'word ' * 50}{LINK}", link=LINK, execution_id=ID)
    for most in range(180, 290, 3):
        text = fit(long, room(most))[0].text
        assert other in text or "elsewhere" not in text


def test_of_a_message_without_these_facts_they_are_found_in_its_text() -> None:
    (part,) = fit(Message(TITLE, message().body), room(300))
    assert part.text.endswith(f"{SHORTENED}\n{LINK}\nExecution: {ID}")


def test_where_there_is_room_for_few_words_there_is_no_fine_print() -> None:
    few = room(160, is_short=True)
    (part,) = fit(message(), few)
    assert (part.title, part.text) == (TITLE, LINK)
    (part,) = fit(message(ELSEWHERE), few)
    assert (part.title, part.text) == (TITLE, f"{ELSEWHERE}\n{ID}")
    (part,) = fit(message(repeat=True), few)
    assert part.title == f"Repeat? {TITLE}"
    (part,) = fit(message(), room(100, is_short=True))
    assert part.text == LINK
    assert part.title.endswith("…")
    assert fit(message(), room(80, is_short=True))[0].text == ID


def test_a_short_message_about_no_execution_keeps_its_first_words() -> None:
    (part,) = fit(Message("ops works again", WORDS), room(160, is_short=True))
    assert part.title == "ops works again"
    assert part.text.startswith("Line 0: what the agent says")
    assert part.text.endswith("…")


def test_where_two_lines_are_shown_the_second_has_link_and_id() -> None:
    def fits(head: str, text: str) -> bool:
        return len(text) <= 300 and text.count("\n") < 2

    (part,) = fit(message(), Room(fits, lines=2))
    words, where = part.text.split("\n")
    assert words.startswith("Line 0: ")
    assert where == f"{SHORTENED} · {LINK} · Execution: {ID}"


@pytest.mark.parametrize("most", [200, 400, 1_000, 2_000])
@pytest.mark.parametrize("title", [0, 40, 250])
def test_a_list_becomes_messages_with_whole_lines(most: int, title: int) -> None:
    whole, space = listed(40), room(most, title)
    parts = fit(whole, space)
    assert len(parts) > 1
    for number, part in enumerate(parts, 1):
        assert space.fits(part.title, part.text)
        assert part.title.endswith(f"… ({number} of {len(parts)})") or (
            part.title == f"{whole.title} ({number} of {len(parts)})"
        )
        assert not part.text.endswith(":")
    text = "\n".join(part.text for part in parts).split("\n")
    for line in whole.listed:
        (found,) = [each for each in text if line.key in each]
        assert found == line.text or found.endswith(f"… · {line.link}")
    assert sorted(name for part in parts for name in part.names) == [x.name for x in whole.listed]


def test_where_a_line_has_no_room_its_words_go_first_and_its_id_stays() -> None:
    whole = listed(3)
    parts = fit(whole, room(75))
    assert [part.text for part in parts if part.names] == [
        f"· {line.words[: len(found) - len(line.key) - 6]}… · {line.key}"
        for line, found in zip(
            whole.listed, (part.text for part in parts if part.names), strict=True
        )
    ]
    assert all(any(line.key in part.text for part in parts) for line in whole.listed)


def test_a_list_in_few_words_has_a_title_once_and_no_links() -> None:
    parts = fit(listed(10), room(160, is_short=True))
    assert parts[0].title == f"Invoice agent: 10 to confirm or decline (1 of {len(parts)})"
    assert [part.title for part in parts[1:]] == [
        f"({number} of {len(parts)})" for number in range(2, len(parts) + 1)
    ]
    assert not any("https://" in part.text for part in parts)
    assert len(parts) <= 6


def test_the_rest_of_a_list_goes_on_counting() -> None:
    whole, space = listed(10), room(500)
    parts = fit(whole, space)
    arrived = parts[0].names | parts[1].names
    rest = fit(without(whole, arrived), space, 3)
    assert frozenset().union(*(part.names for part in rest)).isdisjoint(arrived)
    assert sum(len(part.names) for part in [*parts[:2], *rest]) == 10
    assert rest[0].title == f"{whole.title} (3 of {len(rest) + 2})"
    assert without(whole, frozenset()) == whole


def test_two_lines_about_one_execution_are_two_lines() -> None:
    first, second = listed(2).listed
    again = replace(second, key=first.key, text=f"· again · {first.key}", name="reminder/1")
    whole = replace(listed(2), listed=(first, again), body=f"{first.text}\n{again.text}")
    assert without(whole, frozenset({first.name})).body == again.text


@settings(max_examples=50)
@given(
    st.integers(60, 700), st.sampled_from([0, 30, 250]), st.booleans(), st.integers(1, 15),
    st.booleans(),
)  # fmt: skip
def test_whatever_the_room_each_line_arrives_once_and_fits(
    most: int, title: int, is_short: bool, n: int, link: bool
) -> None:
    space = room(most, title, is_short=is_short and not title)
    whole = listed(n, link)
    parts = fit(whole, space)
    assert all(space.fits(part.title, part.text) for part in parts)
    text = "\n".join(part.text for part in parts)
    assert all(text.count(line.key) == 1 for line in whole.listed)


@settings(max_examples=50)
@given(st.text(max_size=200), st.text(max_size=900), st.integers(45, 900), st.booleans())
def test_whatever_the_text_the_id_stays_and_all_fits(
    title: str, body: str, most: int, is_short: bool
) -> None:
    space = room(most, is_short=is_short)
    (part,) = fit(Message(title, f"{body}\nExecution: {ID} · x", execution_id=ID), space)
    assert space.fits(part.title, part.text)
    assert ID in part.text


TAKE = "Take it: https://hooks.example.org/take/1vrDo0nuAO6sXMlxy1bsDPDrs7fnLS4v0CQIyBCIbK"


def takeable(**more: object) -> Message:
    body = "\n".join((WORDS, LINK, TAKE, f"Execution: {ID} · from asteroid"))
    given = {"link": LINK, "take": TAKE, "execution_id": ID, **more}
    return Message(TITLE, body, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("most", [1_000, 450, 350])
def test_where_to_take_it_outlives_the_words(most: int) -> None:
    (part,) = fit(takeable(), room(most))
    assert part.text.split("\n")[-4:] == [SHORTENED, LINK, TAKE, f"Execution: {ID}"]


def test_where_to_take_it_goes_before_the_link_and_the_id() -> None:
    (part,) = fit(takeable(), room(250, 60))
    assert part.text.split("\n")[-4:] == [SHORTENED, LINK, TAKE, f"Execution: {ID}"]
    (part,) = fit(takeable(), room(150, 60))
    assert part.text.split("\n")[-3:] == [SHORTENED, LINK, f"Execution: {ID}"]
    assert TAKE not in part.text


def test_a_short_message_has_it_only_beside_a_whole_title_and_link() -> None:
    (part,) = fit(takeable(), room(300, is_short=True))
    assert (part.title, part.text.split("\n")) == (TITLE, [LINK, TAKE])
    (part,) = fit(takeable(), room(160, is_short=True))
    assert (part.title, part.text.split("\n")) == (TITLE, [LINK])


def test_it_is_never_taken_for_the_link_to_the_execution() -> None:
    whole = takeable(link="", execution_id="x-1")
    alone = replace(whole, body=f"{WORDS}\n{TAKE}\nExecution: x-1 · from asteroid")
    for most in (1_000, 200, 120, 80):
        (part,) = fit(alone, room(most))
        lines = part.text.split("\n")
        assert TAKE in lines or "/take/" not in part.text
        assert lines[-1].endswith("x-1")
