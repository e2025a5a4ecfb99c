"""Fitting: a message in the room that a service gives it. Pure.

What is cut is said, and the link and the id of the execution are the last to go; the line that says
where to take it goes before them. A list becomes as
many messages as it needs, each with whole lines. Where there is room for a few words only, as in an
SMS, they say what happened and where: no fine print.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from receiver.deliveries import ListedLine, Message

SHORTENED = "… shortened"
# A title that is cut shorter says nothing any more, nor do fewer words of a line.
_SHORTEST, _SHORTEST_WORDS = 12, 8
# The words of a line where there is room for a few words only.
_FEW_WORDS = 28
# Room for the number of a message and of all: " (12 of 15)".
_COUNTER = " (99 of 99)"
_LINK = re.compile(r"https?://[^\s<>|\"'`]+")
_Line = str | ListedLine
_ID = re.compile(r"^Execution: (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Room:
    """Room of a message. `fits` tells whether a title and a text fit, as they will be written.

    `lines` is the largest number of lines, 0 for any. `is_short`: there is room for a few words.
    """

    fits: Callable[[str, str], bool]
    lines: int = 0
    is_short: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a message: one of the messages that it becomes. `names` are those of its lines."""

    title: str
    text: str
    names: frozenset[str] = frozenset()


def fit(message: Message, room: Room, first: int = 1) -> list[Part]:
    """Return the messages that a message becomes in this room; mostly it is one, as it stands.

    If there are several, `first` is the number of the first one.
    """
    if first == 1 and room.fits(message.title, message.body):
        names = frozenset(line.name for line in message.listed)
        return [Part(message.title, message.body, names)]
    if message.listed:
        return _spread(message, room, first)
    return [_shortened(message, room)]


def without(message: Message, names: frozenset[str]) -> Message:
    """Return a list without the lines that have these names."""
    left = tuple(line for line in message.listed if line.name not in names)
    gone = {line.text for line in message.listed} - {line.text for line in left}
    lines = [line for line in message.body.split("\n") if line not in gone]
    return replace(message, body="\n".join(lines), listed=left)


def _shortened(message: Message, room: Room) -> Part:
    """Shorten a message: its words first, then its title, then its link."""
    link = message.link or ("" if message.take else _found(_LINK, message.body))
    key = message.execution_id or _found(_ID, message.body)
    title, words = _begin(message, room, link, key)
    for tail in _tails(message.take, link, key, room):
        end = _joined("", tail, room)
        if room.fits(title, end):
            return Part(title, _with_words(words, title, tail, room))
        if (
            SHORTENED not in tail
            and message.take not in tail
            and len(cut := _longest(title, _before(end, room))) >= _SHORTEST
        ):
            return Part(cut, end)
    return _least(message.title, [key, link], room)


def _least(title: str, essentials: Sequence[str], room: Room) -> Part:
    """Return what is left where nothing but the id, or a part of the title, has room."""
    for text in essentials:
        if text and room.fits("", text):
            return Part("", text)
    return Part(_longest(title, _before("", room)) or title, "")


def _begin(message: Message, room: Room, link: str, key: str) -> tuple[str, str]:
    """Return the title, and the words that may be cut: without the link and the id."""
    lines = [
        line
        for line in message.body.split("\n")
        if not _is_essential(line, link, key) and line != message.take
    ]
    words = "\n".join(lines)
    if room.is_short and (link or key or message.take):
        return f"Repeat? {message.title}" if message.repeat else message.title, ""
    title = _longest(message.title, _before("", room)) or message.title
    # What a title has no room for is said in the text.
    return title, words if title == message.title else f"{message.title}\n{words}"


def _is_essential(line: str, link: str, key: str) -> bool:
    return bool(link and line == link) or bool(key and line.startswith(f"Execution: {key}"))


def _tails(take: str, link: str, key: str, room: Room) -> Iterator[list[str]]:
    """Yield the ends that a shortened message may have, the best first."""
    rest = "" if key in link else key
    if not room.is_short:
        whole = f"Execution: {key}" if key else ""
        yield from _first_with([SHORTENED, link, take, whole], take)
        yield from _first_with([SHORTENED, link, take, rest], take)
    yield from _first_with([link, take, rest], take)
    yield _filled([key or link])


def _first_with(lines: list[str], take: str) -> Iterator[list[str]]:
    """Yield an end with where to take it, if there is such a line, then without it."""
    if take:
        yield _filled(lines)
    yield _filled([line for line in lines if line != take])


def _filled(lines: list[str]) -> list[str]:
    return [line for line in lines if line]


def _with_words(words: str, title: str, tail: Sequence[str], room: Room) -> str:
    """Put as many words before the end as there is room for."""
    uncut = [line for line in tail if line != SHORTENED]
    if room.fits(title, whole := _joined(words, uncut, room)):
        return whole
    begin = _longest(words, lambda part: room.fits(title, _joined(part, tail, room)))
    return _joined(begin, tail, room)


def _joined(words: str, tail: Sequence[str], room: Room) -> str:
    if not room.lines:
        return "\n".join(_filled([words, *tail]))
    return "\n".join(_filled([" · ".join(words.split("\n")), " · ".join(tail)]))


def _spread(message: Message, room: Room, first: int) -> list[Part]:
    """Divide a list into messages with whole lines."""
    pages: list[list[_Line]] = [[]]
    first_head, next_head = (
        _name(message, room, _COUNTER, is_first=is_first) for is_first in (True, False)
    )
    for line in _lines(message, room):
        head = first_head if len(pages) == 1 else next_head
        if pages[-1] and not room.fits(head, _text([*pages[-1], line])):
            _begin_page(pages)
            head = first_head if len(pages) == 1 else next_head
        page = pages[-1]
        is_whole = room.fits(head, _text([*page, line]))
        page.append(line if is_whole else _brief(line, _after(head, page, room), room))
    last = first - 1 + len(pages)
    parts = []
    for number, page in enumerate(pages, first):
        counter = f" ({number} of {last})" if last > 1 else ""
        head = _name(message, room, counter, is_first=number == 1)
        names = frozenset(line.name for line in page if isinstance(line, ListedLine))
        parts.append(Part(head, _text(page), names))
    return parts


def _begin_page(pages: list[list[_Line]]) -> None:
    """Begin a page. A heading at the end of the last one is carried over, or left out if alone."""
    page = pages[-1]
    is_heading = isinstance(page[-1], str) and page[-1].endswith(":")
    carried = [page.pop()] if is_heading else []
    if page:
        pages.append(carried)


def _lines(message: Message, room: Room) -> list[_Line]:
    """Return the lines of a list; in a short room with few words each, and none around them."""
    listed = {line.text: line for line in message.listed}
    lines = [listed.get(text, text) for text in message.body.split("\n")]
    if not room.is_short:
        return lines
    few: list[_Line] = [
        replace(line, text=_row(_cut(line.words, _FEW_WORDS), line.key))
        for line in lines
        if isinstance(line, ListedLine)
    ]
    return few


def _name(message: Message, room: Room, counter: str, *, is_first: bool) -> str:
    """Return the title of one of several messages; in a short room the first alone has words."""
    if room.is_short and not is_first:
        return counter.strip()
    title = f"Repeat? {message.title}" if room.is_short and message.repeat else message.title
    line = max((_row("x" * _SHORTEST_WORDS, each.key) for each in message.listed), key=len)
    return _longest(title, lambda begin: room.fits(begin + _COUNTER, line)) + counter


def _text(page: Sequence[_Line]) -> str:
    return "\n".join(line if isinstance(line, str) else line.text for line in page)


def _brief(line: _Line, is_right: Callable[[str], bool], room: Room) -> _Line:
    """Shorten a line that has no room by itself: its words first, then its link, never its id."""
    if isinstance(line, str):
        return _longest(line, is_right)
    both = line.link if line.key in line.link else f"{line.link} · {line.key}"
    for where in [both, line.key] if line.link and not room.is_short else [line.key]:
        words = _longest(line.words, _in_row(where, is_right))
        if words == line.words or len(words) >= _SHORTEST_WORDS:
            return replace(line, text=_row(words, where))
    return replace(line, text=_row("", line.key))


def _before(text: str, room: Room) -> Callable[[str], bool]:
    """Return whether a title has room before a text."""
    return lambda title: room.fits(title, text)


def _after(title: str, page: Sequence[_Line], room: Room) -> Callable[[str], bool]:
    """Return whether a line has room after the lines of a page."""
    return lambda line: room.fits(title, _text([*page, line]))


def _in_row(where: str, is_right: Callable[[str], bool]) -> Callable[[str], bool]:
    """Return whether a line is right with these words."""
    return lambda words: is_right(_row(words, where))


def _row(words: str, where: str) -> str:
    return f"· {' · '.join(_filled([words, where]))}"


def _longest(text: str, is_right: Callable[[str], bool]) -> str:
    """Return the text, or as much of it as is right with a sign that it is cut, or nothing."""
    if is_right(text):
        return text
    low, high = 0, len(text)
    while high - low > 1:
        middle = (low + high) // 2
        if is_right(_cut(text, middle)):
            low = middle
        else:
            high = middle
    return _cut(text, low) if low > 1 else ""


def _cut(text: str, most: int) -> str:
    """Cut a text at a word, and never inside a link."""
    if len(text) <= most:
        return text
    begin = text[: max(most - 1, 0)]
    rest, _, last = begin.rpartition(" ")
    if rest and (len(last) < 20 or "://" in last):
        begin = rest
    return begin.rstrip() + "…"


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[match.lastindex or 0] if match else ""
