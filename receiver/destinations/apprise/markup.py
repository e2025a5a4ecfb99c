"""Markup: a plain text in the language in which a service reads it.

The text arrives as it is: what would format it is taken for text, a link can be opened, and a line
stays a line. Apprise does so for most services. It escapes every sign of punctuation for those that
read Markdown, also within a link, which is then no link, and leaves line breaks that they do not
show. For these the text is written here, whatever the URL's `format=` says: that is what Apprise
would convert to, not what the service reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from receiver.destinations.apprise.vendors import name_of

_LINK = re.compile(r"https?://[^\s<>|\"'`]+")
_AFTER_LINKS = ".,;:!?)]}…"
# What formats a text in Markdown, and what does so at the beginning of a line.
_ACTIVE = re.compile(r"[\\`*\[\]<>~]|(?<!\w)_|_(?!\w)|&(?=#?\w+;)")
# Of these the parser of Mattermost lets a backslash escape each. References are harmless by then.
_ACTIVE_FOR_MARKED = re.compile(r"[\\`*\[\]~]|(?<!\w)_|_(?!\w)")
_BEGINS_BLOCK = re.compile(r"^(\s*)(?=[#>+=|-]|\d+[.)]\s)(\d*)", re.MULTILINE)

_Write = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Markup:
    """Language of a service. `source` is the page of its documentation.

    `words` writes text between links, `link` a link, `begin` what begins a line; `line` ends one.
    `title` is how a title is written that stands in the text.
    """

    source: str
    words: _Write = str
    link: _Write = str
    line: str = "\n"
    title: str = "{title}"
    begin: _Write = str

    def text(self, plain: str) -> str:
        """Write a text of several lines."""
        return self.line.join(self._line(line) for line in plain.split("\n"))

    def joined(self, title: str, plain: str) -> str:
        """Write a title and a text as one text."""
        head = self.title.replace("{title}", self._line(title)) if title else ""
        return self.line.join(part for part in (head, self.text(plain) if plain else "") if part)

    def _line(self, plain: str) -> str:
        written, end = [], 0
        for found in _LINK.finditer(plain):
            link = found[0].rstrip(_AFTER_LINKS)
            written.append(self.words(plain[end : found.start()]))
            written.append(self.link(link))
            end = found.start() + len(link)
        written.append(self.words(plain[end:]))
        return self.begin("".join(written))


def _escaped(text: str) -> str:
    return _ACTIVE.sub(r"\\\g<0>", text)


def _escaped_for_marked(text: str) -> str:
    """Escape what formats a text where no other sign can be escaped."""
    return _ACTIVE_FOR_MARKED.sub(r"\\\g<0>", text)


def _as_text(line: str) -> str:
    """Escape the beginning of a line that would make it a heading, a quotation or a list."""
    return _BEGINS_BLOCK.sub(lambda found: f"{found[1]}{found[2]}\\", line)


def _markdown(
    source: str, words: _Write = _escaped, link: _Write = str, line: str = "  \n"
) -> Markup:
    return Markup(source, words, link, line, "**{title}**", _as_text)


def _as_both(link: str) -> str:
    """Write a link as its own words."""
    link = link.replace("(", "%28").replace(")", "%29")
    return f"[{link}]({link})"


def _without_references(text: str) -> str:
    """Keep #12 from being a reference to an issue, which would show it there."""
    return _escaped(re.sub(r"#(?=\d)", "＃", text))


def _without_users(text: str) -> str:
    """Keep u/name from telling a user of it."""
    return re.sub(r"(?<!\w)u/(?=\w)", "u∕", _escaped(text))


# Of a service of which no more is known. A bare link is one for all who follow GitHub.
_MARKDOWN = _markdown("github.github.com/gfm: autolinks (extension), hard line breaks")
_INCIDENTS = _markdown("its plugin: the field of the text is Markdown")
# The module of the plugin → how its service reads a text, whatever the URL's `format=` says.
MARKUPS: Mapping[str, Markup] = {
    "github": _markdown(_MARKDOWN.source, _without_references),
    "goalert": _INCIDENTS,
    # Markup of Chat itself: no escapes, a line break is one.
    "google_chat": Markup("developers.google.com/workspace/chat/format-messages"),
    "ilert": _INCIDENTS,
    "incidentio": _INCIDENTS,
    "kook": _markdown(
        "developer.kookapp.cn/doc/kmarkdown: a link is [words](link)", link=_as_both,
        line="\n",
    ),
    "mattermost": Markup(
        "github.com/mattermost/marked, and commonmark.js on phones: backslash escapes",
        _escaped_for_marked, begin=_as_text,
    ),
    "reddit": _markdown("reddit.com/wiki/markdown: two spaces end a line", _without_users),
    "revolt": _MARKDOWN,
    # Its parser knows no escapes, and takes the signs of a link as they are.
    "rocketchat": Markup(
        "github.com/RocketChat/Rocket.Chat, packages/message-parser", line="  \n"
    ),
    "serverchan": _markdown("sct.ftqq.com/sendkey: desp is Markdown", line="\n\n"),
    "squadcast": _INCIDENTS,
    "twist": _MARKDOWN,
    "webexteams": _markdown(
        "developer.webex.com/docs/basics: formatting messages with Markdown"
    ),
    # Neither a bare link nor a single line break is one in a TextBlock.
    "workflows": _markdown(
        "learn.microsoft.com, Format cards in Teams: Markdown in Adaptive Cards",
        link=_as_both, line="\n\n",
    ),
}  # fmt: skip
# These say with the text whether it is Markdown or plain.
_SAYS_FORMAT = ("kook", "webexteams")
_PLAIN = Markup("as it is")


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_HTML = Markup(
    "html.spec.whatwg.org: br; Apprise would make every space one that ends no line",
    _html, _html, line="<br/>", title="<b>{title}</b>",
)  # fmt: skip


# Mails of these have a text and a page; Apprise would make the page, without a space in it.
_WITH_PAGE = ("brevo", "groundmail", "mailersend")


def form_of(plugin: Any, formats: Any) -> Any:
    """Return in which of Apprise's formats the plugin gets its text."""
    name = name_of(type(plugin))
    if name == "flock":
        # So its plugin knows that the text is FlockML already, where br ends a line.
        plugin.notify_format = formats.HTML
    return plugin.resolve_format(formats.HTML if name in _WITH_PAGE else formats.TEXT)


def markup_of(plugin: Any, form: str) -> Markup | None:
    """Return how to write for the plugin; None if Apprise does it right by itself.

    `form` is the format of Apprise that the plugin wants: text, markdown or html.
    """
    name = name_of(type(plugin))
    if name in MARKUPS:
        is_plain = name in _SAYS_FORMAT and form != "markdown"
        return _PLAIN if is_plain else MARKUPS[name]
    if _has_dialect(plugin):
        return None
    return {"markdown": _MARKDOWN, "html": _HTML}.get(form)


def _has_dialect(plugin: Any) -> bool:
    """Return whether the plugin's own class adapts what Apprise converts."""
    adapting = next(kind for kind in type(plugin).__mro__ if "dialect_convert" in vars(kind))
    return name_of(adapting) != "base"
