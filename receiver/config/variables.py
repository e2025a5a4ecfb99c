"""Variables: values from the environment and from files, filled in strictly.

`${NAME}` and `${NAME:-default}` work as in a shell, also inside a default. Blanks, line ends and
byte-order marks around a value go: they come from files and editors. A text that still looks like a
variable is an error, because it would become the secret itself.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from receiver.config.problems import Place, is_slip, printable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_NESTING = 10
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_BEGIN = re.compile(r"\$(\$?)\{")
_BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\ufeff\u200b\0"
# Forms of variables that others fill in: a shell, Compose, Kubernetes, Helm, Windows.
_UNFILLED_ANYWHERE = re.compile(
    r"\$\{[^}]{0,200}\}|\{\{.{0,200}?\}\}|\$\(\w[^()]{0,200}\)", re.DOTALL
)
_UNFILLED_WHOLE = re.compile(r"\$(env:)?[A-Za-z_]\w*|%[A-Za-z_]\w*%|\$\(.*\)", re.DOTALL)
# In an address, `$` is written %24 where it is meant.
_UNFILLED_IN_URL = re.compile(r"[/:@=&]\$[A-Z_][A-Z0-9_]{2,}(?=[/:@?&]|\Z)", re.ASCII)
# As a part of a secret it may be meant.
_UNFILLED_PART = re.compile(
    r"\$[A-Z_][A-Z0-9_]{2,}(?![A-Za-z0-9_$])|%[A-Z_][A-Z0-9_]{2,}%", re.ASCII
)
# What the documentation writes where everybody has a value of their own.
_EXAMPLES = ("a-long-random-text", "USER:PASSWORD@", "T00000000/")
_PLACEHOLDER = re.compile(r"<[^<>]*>|([\"']).*\1", re.DOTALL)
# They are set everywhere, so they are no misspelt ones of ours.
_OF_EVERY_SHELL = frozenset({
    "_", "DISPLAY", "EDITOR", "HOME", "HOSTNAME", "LANG", "LOGNAME", "MAIL", "OLDPWD", "PAGER",
    "PATH", "PWD", "SHELL", "SHLVL", "TERM", "TMPDIR", "TZ", "USER", "USERNAME",
})  # fmt: skip

# Names and values of the variables that Kubernetes sets in each pod for a Service called receiver
# or receiver-…; RECEIVER_PORT is among them.
_SERVICE_LINKS = (
    (r"RECEIVER(_\w+)?_SERVICE_HOST", r"\S*"),
    (r"RECEIVER(_\w+)?_SERVICE_PORT(_\w+)?", r"[0-9]*"),
    (r"RECEIVER(_\w+)?_PORT", r"(tcp|udp|sctp)://\S*"),
    (r"RECEIVER(_\w+)?_PORT_[0-9]+_(TCP|UDP|SCTP)", r"(tcp|udp|sctp)://\S*"),
    (r"RECEIVER(_\w+)?_PORT_[0-9]+_(TCP|UDP|SCTP)_(ADDR|PORT|PROTO)", r"\S*"),
)


def is_service_link(variable: str, environ: Mapping[str, str]) -> bool:
    """Return whether Kubernetes sets a variable by itself, for a Service called receiver…"""
    value = tidy(environ[variable])
    return any(
        re.fullmatch(name, variable) and re.fullmatch(form, value) for name, form in _SERVICE_LINKS
    )


class _Unfilled(Mapping[str, str]):
    """An environment that has every variable, and each of them empty."""

    def __getitem__(self, name: str) -> str:
        return ""

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


# For rules that only somebody looks at: no secret and no file is read for them.
UNFILLED: Mapping[str, str] = _Unfilled()


def tidy(value: str) -> str:
    """Return a value without blanks, line ends and byte-order marks around it."""
    return value.strip(_BLANKS)


def read_file(path: str) -> str:
    """Return the value in a file; OSError or ValueError if it cannot be read."""
    return tidy(Path(tidy(path)).read_text("utf-8"))


def is_unfilled(value: str) -> bool:
    """Return whether a value looks like a variable that somebody else should have filled in."""
    if _UNFILLED_ANYWHERE.search(value) or _UNFILLED_WHOLE.fullmatch(value):
        return True
    return "://" in value and _UNFILLED_IN_URL.search(value) is not None


def may_be_unfilled(value: str) -> bool:
    """Return whether a part of a value looks like a variable, which may be meant as it stands."""
    return _UNFILLED_PART.search(value) is not None


def is_placeholder(value: str) -> bool:
    """Return whether a value is a `<placeholder>`, or still in its quotes."""
    return len(value) > 1 and _PLACEHOLDER.fullmatch(value) is not None


def is_example(value: str) -> bool:
    """Return whether a value is one of the documentation, or has a part of one in it."""
    return any(example in value for example in _EXAMPLES)


def slip_for(name: str, environ: Mapping[str, str], meant: set[str]) -> str:
    """Return a hint if a set variable is a slip for an unset one, else an empty text.

    `meant` are the names that something asks for: none of them is a slip.
    """
    for variable in sorted(environ.keys() - meant - _OF_EVERY_SHELL):
        for wanted in (name, f"{name}_FILE"):
            if is_slip(variable, wanted) and tidy(environ[variable]):
                return f"{printable(variable)} is set; did you mean {wanted}?"
    return ""


class Variables:
    """The variables of a file, filled in from an environment.

    `text` is the whole file, `problem` takes each mistake with its place. `absent` are the
    variables whose default was taken, by place; `examples` are the places of what is still as the
    documentation writes it, with the names of the variables ("" for none).
    """

    def __init__(
        self, environ: Mapping[str, str], text: str, problem: Callable[[Place, str], None]
    ) -> None:
        self._environ = environ
        self._problem = problem
        names = re.findall(rf"\$\{{\s*({_NAME.pattern})", text)
        self._meant = {*names, *(f"{name}_FILE" for name in names)}
        # Values from the environment, each with its variable's name: no error may show a value.
        self._given: dict[str, str] = {}
        self.absent: dict[Place, list[str]] = {}
        self.examples: dict[Place, str] = {}

    def fill(self, text: str, place: Place) -> str:
        """Return a text of the file with its variables filled in."""
        is_template = place[:1] == ("routes",) and place[2:] in (("title",), ("body",))
        is_secret = place[:1] in (("sources",), ("destinations",))
        if not is_template:
            rest = text.replace("${", "")
            name = next((step for step in reversed(place) if isinstance(step, str)), "it")
            if is_unfilled(rest):
                self._problem(
                    place,
                    f"{name}: looks like a variable that nothing fills in: write ${{NAME}} or"
                    " ${NAME:-default}, or the value itself",
                )
            elif is_secret and is_placeholder(rest):
                self._problem(
                    place,
                    f"{name}: looks like a placeholder or has quotes in quotes: write the value"
                    " itself, or ${NAME}",
                )
            elif is_secret and is_example(rest):
                self.examples[place] = ""
        return self._expand(text, place, is_template, is_secret, 0)

    def absence(self, name: str) -> str:
        """Say that a variable is not set, and which misspelt one is."""
        state = "is empty" if name in self._environ else "is not set"
        slip = slip_for(name, self._environ, self._meant)
        return f"{name} {state} ({slip})" if slip else f"{name} {state}"

    def slips(self) -> Iterator[tuple[Place, str, str]]:
        """Yield place, name and absence of each variable that seems to be set under a slip."""
        for place, names in self.absent.items():
            for name in names:
                if slip_for(name, self._environ, self._meant):
                    yield place, name, self.absence(name)

    def redact(self, text: str) -> str:
        """Return a text with the names of variables in place of their values."""
        for piece in sorted(self._given, key=len, reverse=True):
            text = text.replace(piece, f"${{{self._given[piece]}}}")
        return text

    def _expand(
        self, text: str, place: Place, is_template: bool, is_secret: bool, depth: int
    ) -> str:
        pieces = []
        end = 0
        while (begin := _BEGIN.search(text, end)) is not None:
            pieces.append(text[end : begin.start()])
            inner = begin.end()
            if begin[1] or (is_template and text[inner : inner + 1] == "{"):
                pieces.append(begin[0].removeprefix(begin[1]))  # as it stands
                end = inner
                continue
            close = _closing(text, inner)
            if close is None or depth >= MAX_NESTING:
                self._problem(place, "a ${ is not closed: write ${NAME} or ${NAME:-default}")
                return "".join(pieces)
            name, _, default = text[inner:close].partition(":-")
            has_default = len(name) < close - inner
            if not _NAME.fullmatch(name):
                self._problem(place, _other_form(name))
            elif (value := self._value(name, place, is_template, is_secret)) is not None:
                pieces.append(value)
            elif has_default:
                self.absent.setdefault(place, []).append(name)
                pieces.append(self._expand(default, place, is_template, is_secret, depth + 1))
            elif self._environ is UNFILLED and place[:1] == ("routes",):
                self._problem(place, "variables are not filled in here: write the value itself")
            elif name not in self._environ:
                self._problem(place, f"{self.absence(name)}: set it, or write ${{{name}:-default}}")
            end = close + 1
        return "".join([*pieces, text[end:]])

    def _value(self, name: str, place: Place, is_template: bool, is_secret: bool) -> str | None:
        """Return the value of a variable; None if there is none."""
        value = tidy(self._environ.get(name, ""))
        if not value:
            file = self._environ.get(f"{name}_FILE", "")
            if not tidy(file):
                return None
            try:
                value = read_file(file)
            except (OSError, ValueError):
                self._problem(
                    place,
                    f"the file that {name}_FILE names cannot be read: check its path and"
                    " permissions",
                )
        if (
            value
            and not is_template
            and (is_unfilled(value) or (is_secret and is_placeholder(value)))
        ):
            self._problem(
                place,
                f"the value of {name} looks like a variable, a placeholder or a text in quotes, and"
                f" nothing fills it in there: set {name} to the value itself",
            )
        elif is_secret and is_example(value):
            self.examples[place] = name
        self._hide(value, name)
        return value  # an empty file is an empty value, not a missing one

    def _hide(self, value: str, name: str) -> None:
        """Remember a value and its words, because an error may quote a part of it."""
        for piece in (value, *re.findall(r"\w{6,}", value)):
            if len(piece) >= 4:
                self._given[piece] = name


def _closing(text: str, begin: int) -> int | None:
    """Return where the brace that was opened before `begin` is closed; None if it is not."""
    depth = 1
    for each in re.finditer(r"\$\{|\}", text[begin:]):
        depth += -1 if each[0] == "}" else 1
        if depth == 0:
            return begin + each.start()
    return None


def _other_form(written: str) -> str:
    """Say what to write instead of a form that only others read."""
    name = _NAME.search(written)
    meant = name[0] if name else "NAME"
    return f"only ${{{meant}}} and ${{{meant}:-default}} are read: write one of them"


def networks_of(text: str | None) -> tuple[Network, ...]:
    """Read addresses and networks with commas between; ValueError says what is wrong with one."""
    names = [name.strip() for name in (text or "").split(",")]
    try:
        return tuple(ipaddress.ip_network(name, strict=False) for name in names if name)
    except ValueError:
        raise ValueError("must be addresses or networks, like 127.0.0.1,10.0.0.0/8") from None
