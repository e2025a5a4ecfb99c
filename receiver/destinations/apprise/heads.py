"""Heads: that of an answer is read without the parser for mails, which takes as long as to send."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable
from typing import Any

# A line of a head that needs no reading as in a mail: it is whole, and no part of a line before.
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*)\r?\n")
_MOST_READ, _MOST_LINES = 65_536, 90
_ENDS = (b"\r\n", b"\n")
# Of these the library says whether it is one.
_IN_PARTS = re.compile(rb"content-type:\s*(?:multipart|message)", re.IGNORECASE)


def with_plain_lines(parse: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `http.client.parse_headers`: only what is not plain lines is left to it."""

    def parse_headers(file: Any, kind: Any = http.client.HTTPMessage, **named: Any) -> Any:
        head = kind()
        lines: list[bytes] = []
        while (line := file.readline(_MOST_READ + 1)) not in _ENDS:
            lines.append(line)
            found = _LINE.fullmatch(line)
            if found is None or len(lines) > _MOST_LINES or _IN_PARTS.match(line):
                return parse(_Lines(lines, file), kind, **named)
            head.set_raw(found[1].decode("ascii"), found[2].decode("iso-8859-1"))
        head.set_payload("")
        return head

    return parse_headers


class _Lines:
    """Lines that were read, and those that follow in the file."""

    def __init__(self, read: list[bytes], file: Any) -> None:
        self._read = read
        self._file = file

    def readline(self, size: int) -> Any:
        return self._read.pop(0) if self._read else self._file.readline(size)
