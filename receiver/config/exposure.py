"""Exposure: the secrets that the network could see with these settings and rules, or a reader of
the file.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from receiver.config import strict_yaml
from receiver.config.problems import Place, printable
from receiver.config.rules import Rules
from receiver.config.settings import PREFIX, Settings
from receiver.config.variables import is_example
from receiver.sources.keys import MIN_SECRET

# Names that only a local network knows.
_LOCAL = (".local", ".internal", ".lan", ".home.arpa", ".test", ".localhost")
# A variable without others in it, and its default. `$${` begins none.
_VARIABLE = re.compile(r"(?<!\$)\$\{[A-Za-z_]\w*(?::-([^{}]*))?\}", re.ASCII)
# The addresses that hold no secret, once their variables are taken out and if all else is words.
_HOST = r"://:?@?[\w.-]*(:\d+)?/?"
_WEB = re.compile(r"https?://[\w.-]+(:\d+)?(/(services|webhooks?|hooks|api|v\d)|/)*")
_OPEN_URL = re.compile(
    rf"|{_WEB.pattern}|console://|[\w+-]+://[@/:]*(#[\w-]+)?|(json|form|xml)s?{_HOST}"
    rf"|mailtos?{_HOST}(\?((to|from|cc|bcc|name|mode|format)=[^&]*(&|$))*)?"
)
_PUBLIC_KEY = {
    "rsa-sha256": r"MI[\w+/=\s]+"
    r"|\s*-----BEGIN (RSA )?PUBLIC KEY-----[\w+/=\s\\]+-----END (RSA )?PUBLIC KEY-----[\s\\nr]*",
    "standard-webhooks": r"whpk_[\w+/=]+",
}
# What stands before a signature or a token; more could be a part of the token.
_PREFIX = re.compile(r"((sha|md|v)\d{0,3}|hmac|bearer|basic|token|signature)?[=:]?", re.IGNORECASE)
_UUID = re.compile(r"!?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# Words that people write: what is longer or more mixed may be a secret.
_HUMPS = re.compile(r"[A-Z]?[a-z]{2,}([A-Z][a-z]{2,})*([A-Z]{2,3})?")
_MIXED = re.compile(r"[a-z0-9]{2,4}|[A-Z0-9]{2,4}|(?i:(sha|md)\d{1,3}|ed25519|base64|office365)")
_LONGEST_WORD, _LONGEST_NUMBER, _MOST_DIGITS, _MOST_MIXED, _LONGEST_SIGNS = 16, 6, 12, 2, 5
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|auth|credential", re.IGNORECASE)
# A name with its value, a value in an address, or a name and a password before a host.
_GIVEN = re.compile(
    rf"({_SECRET_NAME.pattern})\w{{0,20}}\W{{0,3}}[:=]\W{{0,9}}\w|[?&;][\w.-]+=\w|://[^/\s]*@", re.I
)
_LINE_COMMENT = re.compile("(?<=[\n\r])[ \t]*#[^\n\r\x85\u2028\u2029]*(\r\n|\n|\r)")
_COMMENT = re.compile("(?<![ \t])[ \t]*#[^\n\r\x85\u2028\u2029]*")
_AFTER_BLOCK_SIGN = re.compile("(?<=^[|>])([-+0-9]*)[^\n\r\x85\u2028\u2029]*")


def without_comments(text: str) -> str:
    """Return a file that can be read as it is written, without comments and lines of nothing else.

    What YAML takes for a token stays, and the white space between: nobody can know a comment.
    """
    pieces, end = list[str](), 0
    for begin, after in strict_yaml.spans(text):
        # Whether a line begins here shows the sign before.
        between = _LINE_COMMENT.sub("", text[max(0, end - 1) : begin])[min(1, end) :]
        white = "".join(filter(str.isspace, _COMMENT.sub("", between)))
        # Without the comment that ended it, a text of | or > would take blank lines along.
        is_behind_block = bool(pieces) and pieces[-1].startswith(("|", ">"))
        pieces.append(re.split(r"[\n\r]", white)[-1] if is_behind_block else white)
        # The line on which such a text begins may end with a comment.
        pieces.append(_AFTER_BLOCK_SIGN.sub(r"\1", text[begin:after], count=1))
        end = after
    return "".join(pieces).lstrip("\r\n")


def written_out(content: Mapping[str, Any]) -> Iterator[Place]:
    """Yield the places of a file's content that are not known to hold no secret.

    `content` is as it is written: what a variable stands for is not written out.
    """
    for place, value in _leaves(content, ()):
        if not (_is_open(content, place, _literal(value)) and all(map(_is_word_like, place))):
            # A name that may be a secret is not a place to name.
            yield tuple(itertools.takewhile(_is_word_like, place))


def _leaves(value: object, place: Place) -> Iterator[tuple[Place, object]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, (*place, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(item, (*place, number))
    yield place, "" if isinstance(value, (dict, list)) else value


def _is_word_like(step: str | int) -> bool:
    return isinstance(step, int) or _is_words(step)


def _is_open(content: Mapping[str, Any], place: Place, text: str) -> bool:
    """Return whether a text of the file holds no secret at its place, as far as that is known."""
    match place:
        case ("sources", str(name), "verify", "keys", *inner) if inner[-1:] != ["label"]:
            verify = _members(_members(content, "sources")[name], "verify")
            form = _PUBLIC_KEY.get(str(verify.get("scheme")), "")
            return not text or re.fullmatch(form, text, re.ASCII) is not None
        case ("sources", _, "verify", "secret_header", "value") | ("sources", _, "api", "key"):
            return not text
        case ("sources", _, "verify", "prefix"):
            return _PREFIX.fullmatch(text) is not None
        case ("sources", _, "api", "base_url"):
            return not text or (_WEB.fullmatch(text) is not None and _has_words(text))
        case ("destinations", _) | ("destinations", _, "url"):
            return _OPEN_URL.fullmatch(text) is not None and _has_words(text)
        case ("sources", _, "agents", *_) | ("routes", _, "match", "agent", *_):
            return _UUID.fullmatch(text) is not None or _is_words(text)
        case ("routes", _, "match", "metadata", str(name), *_) if _SECRET_NAME.search(name):
            return not text.strip("*?!")
    return _is_words(text)


def _is_words(text: str) -> bool:
    """Return whether a text is words and addresses as people write them in rules and messages."""
    is_longer = any(
        len(signs) > _LONGEST_SIGNS and len(set(signs)) > 1
        for signs in re.findall(r"[^\w\s]+", text)
    )
    return not is_longer and not _GIVEN.search(text) and _has_words(text)


def _has_words(text: str) -> bool:
    """Return whether the letters and digits of a text are words, with a few short numbers."""
    pieces = re.findall(r"[^\W_]+", text)
    numbers = [piece for piece in pieces if piece.isdigit()]
    mixed = [piece for piece in pieces if not piece.isdigit() and not _is_word(piece)]
    return (
        all(len(number) <= _LONGEST_NUMBER for number in numbers)
        and sum(map(len, numbers)) <= _MOST_DIGITS
        and len(mixed) <= _MOST_MIXED
        and all(map(_MIXED.fullmatch, mixed))
    )


def _is_word(piece: str) -> bool:
    if not (piece.isalpha() and piece.isascii()):
        return piece.isalpha()
    is_short = len(piece) <= _LONGEST_WORD
    return is_short and (piece.islower() or piece.isupper() or bool(_HUMPS.fullmatch(piece)))


def _members(content: object, name: str) -> Mapping[str, Any]:
    """Return what stands below a name; nothing where that is left empty."""
    inner = content.get(name) if isinstance(content, dict) else None
    return inner if isinstance(inner, dict) else {}


def _literal(value: object) -> str:
    """Return a text without its variables, with the defaults that are written out."""
    text, before = "" if value is None else str(value), ""
    while text != before:
        before, text = text, _VARIABLE.sub(lambda found: found[1] or "", text)
    return text.strip()


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a bind address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def problems(settings: Settings, rules: Rules) -> Iterator[str]:
    """Yield reasons not to serve: a token that others on the way can read is no proof."""
    for source in rules.sources.values():
        is_token = source.verification.scheme == "token" and source.verification.keys
        if is_token and _is_in_the_clear(settings):
            yield (
                f"{rules.path}:{source.line}: source {source.name}: its token would come over plain"
                f" HTTP. Set {PREFIX}HOST to 127.0.0.1 behind a TLS proxy, or {PREFIX}PUBLIC_URL"
                " to the https address of the proxy in front."
            )


def warnings(settings: Settings, rules: Rules) -> Iterator[str]:
    """Yield warnings about settings that work but may surprise."""
    for source in rules.sources.values():
        if source.verification.secret_header and _is_in_the_clear(settings):
            yield (
                f"{rules.path}:{source.line}: warning: source {source.name}: its secret_header"
                f" would come over plain HTTP: set {PREFIX}PUBLIC_URL to the https address in front"
            )
    token = settings.api_token
    if token and len(token.get_secret_value().encode()) < MIN_SECRET:
        yield f"warning: {PREFIX}API_TOKEN has fewer than {MIN_SECRET} bytes: take a longer one"
    if token and is_example(token.get_secret_value()):
        yield f"warning: {PREFIX}API_TOKEN is an example of the documentation: set it to your own"
    if _is_public_and_plain(settings.public_url or ""):
        yield (
            f"warning: {PREFIX}PUBLIC_URL is plain HTTP: others on the way can read the links in"
            " messages, and take what waits. Give it the https address of a proxy in front"
        )
    if address := _closed_address(settings):
        yield (
            f"warning: nobody can use the pages or the API at {address} until {PREFIX}API_TOKEN is"
            " set; without it they answer this machine alone"
        )


def hints(settings: Settings, rules: Rules) -> Iterator[str]:
    """Yield what these settings leave out."""
    nagging = [route for route in rules.routes if route.remind or route.escalate]
    if nagging and not settings.public_url:
        yield (
            f"{rules.path}:{nagging[0].line}: hint: route {nagging[0].name!r} reminds or escalates:"
            f" with {PREFIX}PUBLIC_URL, the address at which people reach this server, its messages"
            " have a link by which they take it"
        )


def _closed_address(settings: Settings) -> str:
    """Return the public address, if all but links and webhooks is closed there; else nothing."""
    parts = urlsplit(settings.public_url or "")
    if not parts.netloc or is_loopback(parts.hostname or ""):
        return ""
    is_open = settings.api_token is not None or settings.user_header is not None
    # Without what could be a password before the host.
    host = printable(parts.netloc.rpartition("@")[2])
    return "" if is_open else f"{parts.scheme}://{host}"


def _is_public_and_plain(url: str) -> bool:
    """Return whether an address is plain HTTP at a host that is not only of a local network."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if parts.scheme.lower() != "http" or is_loopback(host):
        return False
    try:
        return not ipaddress.ip_address(host).is_private
    except ValueError:
        return "." in host and not host.endswith(_LOCAL)


def _is_in_the_clear(settings: Settings) -> bool:
    is_https = (settings.public_url or "").lower().startswith("https://")
    return not is_loopback(settings.host) and not is_https
