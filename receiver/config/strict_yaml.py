"""Strict YAML, with the line of every value. Only this file knows the YAML library.

Plain scalars are text unless they are null, true, false or a number, so `on` and `22:30` stay text.
Repeated keys, anchors, tags and several documents are errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from receiver.config.problems import Place

MAX_SIZE = 2**20
MAX_DEPTH = 20
# Not every build of the library has the faster loader in C. This one is enough: files are small.
_LOADER = yaml.SafeLoader


class YamlError(Exception):
    """A mistake in the file, and its line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


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
        _no_aliases(text)
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(mark.line + 1 if mark else 1, f"not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise YamlError(1, f"not YAML: {error}".splitlines()[0]) from None
    except (RecursionError, ValueError):
        raise YamlError(1, "not YAML: too deep, or with characters it cannot hold") from None
    document = Document()
    document.content = _build(node, (), document.lines) if node is not None else None
    return document


def _no_aliases(text: str) -> None:
    """Refuse anchors, aliases and deep nesting before anything is built of them."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise YamlError(line, "anchors and aliases (& and *) are not read: write it out")
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
        if depth > MAX_DEPTH:
            raise YamlError(line, f"more than {MAX_DEPTH} levels")


def _build(node: yaml.Node, path: Place, lines: dict[Place, int]) -> Any:
    """Build the content of a node, and add the line of each value to `lines`."""
    line = node.start_mark.line + 1 if node.start_mark else 1
    lines.setdefault(path, line)
    if not node.tag.startswith("tag:yaml.org,2002:"):
        text = f'"{node.tag}{node.value}"' if isinstance(node, yaml.ScalarNode) else node.tag
        raise YamlError(line, f"a tag: put it in quotes, like {text}")
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, n), lines) for n, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        content: dict[str, Any] = {}
        for key, value in node.value:
            name = key.value
            key_line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise YamlError(key_line, "a key must be a word")
            if name in content:
                raise YamlError(key_line, f"{name!r} stands here a second time: remove one")
            lines[(*path, name)] = key_line
            content[name] = _build(value, (*path, name), lines)
        return content
    is_plain = isinstance(node, yaml.ScalarNode) and node.style is None
    return _scalar(node.value) if is_plain else node.value


def _scalar(text: str) -> Any:
    """Return the value of a plain scalar: null, true, false, a number, else text."""
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?[0-9]{1,18}\.[0-9]{1,18}", text) else text
