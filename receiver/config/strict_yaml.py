"""Strict YAML, with the line of every value. Only this file knows the YAML library.

A value without quotes keeps its text: its key decides what it means, so `on`, `22:30` and `1.10`
stay as they are written. Repeated keys, anchors, tags and several documents are errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from receiver.config.problems import Place, shown
from receiver.routing.conditions import CONDITIONS

MAX_SIZE = 2**20
MAX_DEPTH = 20
# Not every build of the library has the faster loader in C. This one is enough: files are small.
_LOADER = yaml.SafeLoader
_NULLS = ("", "~", "null", "Null", "NULL")
_TRUE = ("true", "True", "TRUE")
_FALSE = ("false", "False", "FALSE")
_TAG = "while scanning a tag"
_QUOTES = "put the whole text in quotes"

# The line and the column of a mistake, both counted from 0.
Mark = tuple[int, int]


class YamlError(Exception):
    """A mistake in the file, and its line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


class Plain(str):
    """A value without quotes, as it is written."""

    __slots__ = ()

    def typed(self) -> Any:
        """Return what YAML means by it: null, true, false, a number, else the text."""
        text = str(self)
        if text in _NULLS:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text, re.ASCII):
            return int(text)
        if re.fullmatch(r"-?[0-9]{1,18}\.[0-9]{1,18}", text, re.ASCII):
            return float(text)
        return text


@dataclass
class Document:
    """The content, and the line of each value by its path."""

    content: Any = None
    lines: dict[Place, int] = field(default_factory=dict)

    def line(self, path: Place) -> int:
        """Return the line of a value, or of the nearest thing around it."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)


def read(raw: bytes) -> Document:
    """Read the one document of a file; YamlError if it breaks the rules above."""
    if len(raw) > MAX_SIZE:
        raise YamlError(1, "the file has more than 1 MiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlError(
            raw[: error.start].count(b"\n") + 1, "not UTF-8: save it as UTF-8"
        ) from None
    try:
        _check_events(text)
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        marks = [
            (m.line, m.column) if m else None for m in (error.context_mark, error.problem_mark)
        ]
        line, message = _describe(text, error.context, error.problem, *marks)
        raise YamlError(line, message) from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise YamlError(
            line, f"a control character (U+{ord(text[error.position]):04X}): remove it"
        ) from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise YamlError(1, "not YAML: too deep, or with characters it cannot hold") from None
    document = Document()
    document.content = _build(node, (), document.lines) if node is not None else None
    return document


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each token of a file that can be read; comments are between them."""
    for token in yaml.scan(text, Loader=_LOADER):
        if not isinstance(token, yaml.DirectiveToken):
            yield token.start_mark.index, token.end_mark.index


def _check_events(text: str) -> None:
    """Refuse anchors, aliases, tags and deep nesting before anything is built of them."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise YamlError(
                line,
                "anchors and aliases (& and *) are not read: put a text that begins so in quotes,"
                ' like "*bot"',
            )
        if getattr(event, "tag", None) and event.start_mark:
            mark = (event.start_mark.line, event.start_mark.column)
            raise YamlError(*_describe(text, _TAG, "", mark, mark))
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
        if depth > MAX_DEPTH:
            raise YamlError(line, f"more than {MAX_DEPTH} levels")


def _build(node: yaml.Node, path: Place, lines: dict[Place, int]) -> Any:
    """Build the content of a node, and add the line of each value to `lines`."""
    lines.setdefault(path, node.start_mark.line + 1 if node.start_mark else 1)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, n), lines) for n, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        content: dict[str, Any] = {}
        for key, value in node.value:
            name = _key(key)
            key_line = key.start_mark.line + 1
            if name in content:
                raise YamlError(key_line, f"{shown(name)} stands here a second time: remove one")
            lines[(*path, name)] = key_line
            content[name] = _build(value, (*path, name), lines)
        return content
    is_plain = isinstance(node, yaml.ScalarNode) and node.style is None
    if is_plain:
        # Nothing at all is no text; a written null may be one.
        return Plain(node.value) if node.value else None
    return node.value


def _key(node: yaml.Node) -> str:
    """Return the name of a key; YamlError if it is none."""
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.ScalarNode):
        raise YamlError(
            line,
            "a key must be a word: put a text that begins with { or [ in quotes, like"
            ' "{{ agent_name }}"',
        )
    name = str(node.value)
    if name != name.strip().strip("\ufeff\u200b"):
        raise YamlError(
            line,
            f"{shown(name.strip())}: a character that only looks like a blank stands beside it:"
            " type it again",
        )
    return name


def with_types(content: Any, model: type[BaseModel]) -> Any:
    """Return the content for a model, with values without quotes of the types that it wants."""
    if not isinstance(content, dict):
        return content
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    return {
        name: _typed(value, name in fields and _is_typed(fields[name].annotation))
        for name, value in content.items()
    }


def as_written(content: Any) -> Any:
    """Return a content with all values without quotes as texts, `null` too."""
    if isinstance(content, dict):
        return {name: as_written(value) for name, value in content.items()}
    if isinstance(content, list):
        return [as_written(item) for item in content]
    return str(content) if isinstance(content, Plain) else content


def _is_typed(annotation: Any) -> bool:
    """Return whether a field takes true, false or a whole number, and no text."""
    if annotation in (bool, int) or type(annotation) in (bool, int):
        return True
    return any(_is_typed(inner) for inner in get_args(annotation))


def _typed(value: Any, is_typed: bool) -> Any:
    if isinstance(value, list):
        return [_typed(item, is_typed) for item in value]
    if not isinstance(value, Plain):
        return value
    typed = value.typed()
    return typed if is_typed or typed is None else str(value)


def _describe(
    text: str, context: str | None, problem: str | None, began: Mark | None, found: Mark | None
) -> tuple[int, str]:
    """Return the line (from 1) and the words for a mistake in `text`.

    `began` is the begin of the part that cannot be read, and `found` the place where reading ended.
    """
    context = context or ""
    problem = problem or ""
    lines = text.splitlines() or [""]
    place = found or began or (0, 0)
    line = lines[place[0]] if place[0] < len(lines) else ""
    start = began or place
    if "tag" in context or "tag" in problem:
        return start[0] + 1, _about_tag(text, lines, start)
    if "alias" in context or "anchor" in context or "alias" in problem:
        return start[0] + 1, 'a text that begins with * or & needs quotes, like "*bot"'
    if "quoted scalar" in context:
        return _about_quotes(problem, start, place)
    if "simple key" in context:
        return start[0] + 1, "a line without `key: value`, or a wrong indentation"
    if "flow" in context:
        return _about_brackets(line, start, place)
    return place[0] + 1, _about_line(context, problem, line, place[1])


def _about_tag(text: str, lines: list[str], start: Mark) -> str:
    """Say how to write a text that begins with `!`. Others than patterns may be secret."""
    before = "\n".join([*lines[max(0, start[0] - 3) : start[0]], lines[start[0]][: start[1]]])
    keys = re.findall(r"(\w+)\s*:", before)
    word = re.match(r"!\s*([\w*?. -]{1,60})", lines[start[0]][start[1] :])
    example = word[1].strip() if word and keys and keys[-1] in CONDITIONS else "word"
    return f'a text that begins with ! needs quotes, like "!{example}"'


def _about_quotes(problem: str, start: Mark, place: Mark) -> tuple[int, str]:
    if "escape" in problem or "hexadecimal" in problem:
        return place[0] + 1, "in \"…\" a backslash is special: write \\\\ for it, or use '…'"
    return start[0] + 1, "a quote begins here and is not closed"


def _about_brackets(line: str, start: Mark, place: Mark) -> tuple[int, str]:
    if line[: place[1]].endswith("$"):
        return place[0] + 1, 'in brackets, ${…} needs quotes, like "${NAME}"'
    where = "" if start[0] == place[0] else f" that begins in line {start[0] + 1}"
    return place[0] + 1, (
        f"a bracket{where} is not closed, or a comma is missing in it; a text with one of [ ] {{ }}"
        " , : needs quotes"
    )


def _about_line(context: str, problem: str, line: str, column: int) -> str:
    character = re.search(r"found character '(.)", problem)
    if character and character[1] != "\\":
        return f"a text cannot begin with {character[1]}: put it in quotes"
    if character:
        return "a tab: indent and separate with blanks"
    if "block scalar" in context:
        return f"after | or > comes a new line: if it belongs to a text, {_QUOTES}"
    if "mapping values" in problem:
        return _about_colon(line, column)
    if "sequence entries" in problem:
        return "a list begins on a line of its own, or is written [a, b]"
    if "<block end>" in problem:
        if line[:column].strip(" -"):
            return f"a text goes on after a quote or a bracket: {_QUOTES}"
        return (
            "the indentation does not fit the lines above: what belongs together begins in one"
            " column"
        )
    if "document" in context or "document" in problem:
        return "a file has one part: remove `---`, `...` and lines that begin with %"
    if "node content" in problem:
        return "a value is missing, or there is a bracket too many"
    return f"not YAML: if it is meant as a text, {_QUOTES}"


def _about_colon(line: str, column: int) -> str:
    key = re.match(r"[\s-]*[^:]*:\s", line)
    if key and key.end() <= column:
        return f"a text with `: ` in it needs quotes: {_QUOTES}"
    return (
        "the indentation is wrong: the line above has its value already, or no blank after its `:`"
    )
