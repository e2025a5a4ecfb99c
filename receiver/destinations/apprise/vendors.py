"""Vendors: the form of what is known of a service, and the transports that have no answers.

The table of the services is `catalogue`. One without an entry is read as most speak: see `answers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Values = Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Vendor:
    """Meaning of a service's answers. `source` is the page of its documentation.

    A path is names with dots in between, `*` for each item of a list. An answer of 2xx is a no if a
    path of `yes` holds another value, if one of `no` holds such a value, if one of `needs` holds
    nothing, or if a text matches `no_text`. Else it is read as for any service, and so is one
    that has none of these paths. `always`: it has one of the paths of `yes` in every answer (or a
    text, with `no_text`), so that one without any is nobody's yes.

    `words` are the paths to its words for people, `codes` those to its code. A code in `lasting`
    can be mended by no repeat, one in `passing` by a repeat, whatever the status is, and one in
    `ended` by a new login.

    Of the statuses, one in `early` has no objection to the message, one in `partial` came after a
    part of it may have arrived, and one in `nothing` is a no for good; its words say what to do.

    `own` says which addresses take the message itself, where its words cannot be seen in it.
    `pages`: a yes may be a web page. Of any other service, a page is the answer of something that
    stands before it: a login, a proxy, the portal of a network. `own_pages` is a pattern of how the
    pages begin that the service makes itself.
    """

    source: str
    yes: Values = field(default_factory=dict)
    no: Values = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    no_text: str = ""
    words: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    lasting: frozenset[str] = frozenset()
    passing: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()
    early: frozenset[int] = frozenset()
    partial: frozenset[int] = frozenset()
    nothing: Mapping[int, str] = field(default_factory=dict)
    own: str = ""
    pages: bool = False
    own_pages: str = ""
    always: bool = False


def these(words: str) -> frozenset[str]:
    """Return the words of a text, as a set of codes."""
    return frozenset(words.split())


UNKNOWN = Vendor("as most services speak")

# Transports of which an attempt knows only what Apprise says, and why.
WITHOUT_REQUESTS: Mapping[str, str] = {
    "amqp": "a broker confirms on the connection of its own library",
    "aprs": "APRS-IS takes a line and answers nothing",
    "growl": "its library speaks the Growl protocol by itself",
    "irc": "a server answers only what it refuses",
    "mqtt": "a broker confirms on the connection of its own library",
    "nostr": "relays confirm on web sockets",
    "rsyslog": "syslog answers nothing",
    "smpp": "a centre confirms on the connection of its own library",
    "xmpp": "a server answers only what it refuses",
}


def name_of(kind: type) -> str:
    """Return the name under which a plugin's class stands here: that of its module in Apprise."""
    return kind.__module__.removeprefix("apprise.plugins.").partition(".")[0]


def find(answer: Any, path: str) -> Iterator[Any]:
    """Yield what stands at a path: names with dots between, `*` for each item of a list."""
    name, _, rest = path.partition(".")
    if name == "*":
        items = answer if isinstance(answer, list) else []
    elif isinstance(answer, Mapping) and name in answer:
        items = [answer[name]]
    else:
        items = []
    for item in items:
        yield from find(item, rest) if rest else [item]
