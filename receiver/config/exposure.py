"""Exposure: the secrets that the network could see with these settings and rules, or a reader of
the file.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from receiver.config.problems import Place, printable
from receiver.config.rules import Rules
from receiver.config.settings import PREFIX, Settings
from receiver.config.variables import is_example
from receiver.sources.keys import MIN_SECRET

# Names that only a local network knows.
_LOCAL = (".local", ".internal", ".lan", ".home.arpa", ".test", ".localhost")
# A variable without others in it, and its default.
_VARIABLE = re.compile(r"\$\{[^{}:]*(?::-([^{}]*))?\}")
# The addresses that hold no secret, once their variables are taken out.
_HOST = r"://:?@?[\w.-]*(:\d+)?/?"
_OPEN_URL = re.compile(
    rf"|console://|[\w+-]+://[@/:]*(#[\w-]+)?|(json|form|xml)s?{_HOST}"
    r"|https?://[\w.-]+((/[a-z]{1,12})|/)*"
    rf"|mailtos?{_HOST}(\?((to|from|cc|bcc|name|mode|format)=[^&]*(&|$))*)?"
)
_COMMENT = re.compile(r"(?:^|\s)#(.*)")
_LIKE_A_SECRET = re.compile(r"whsec_|PRIVATE KEY|://[^/\s@]*:[^/\s@]+@")
_LIKE_A_TOKEN = re.compile(r"(?=[\w+/=-]*\d)(?=[\w+/=-]*[A-Za-z])[\w+/=-]{20,}")
_URL = re.compile(r"[\w+-]+://[^\s;,)\"']*")


def written_out(content: Mapping[str, Any], text: str) -> Iterator[Place | int]:
    """Yield the places of a file, or the numbers of its lines, that may hold a secret.

    `content` is as it is written: what a variable stands for is not written out.
    """
    for name, source in _members(content, "sources").items():
        yield from (("sources", name, *place) for place in _in_source(source))
    for name, destination in _members(content, "destinations").items():
        url = destination.get("url", "") if isinstance(destination, dict) else destination
        if not _OPEN_URL.fullmatch(_literal(url)):
            yield ("destinations", name)
    for number, line in enumerate(text.splitlines(), 1):
        comment = _COMMENT.search(line)
        said = _literal(comment[1]) if comment else ""
        urls = [url.rstrip(".") for url in _URL.findall(said)]
        is_open = all(_OPEN_URL.fullmatch(url) for url in urls)
        if _LIKE_A_SECRET.search(_literal(line)) or _LIKE_A_TOKEN.search(said) or not is_open:
            yield number


def _in_source(source: Mapping[str, Any]) -> Iterator[Place]:
    """Yield the places of a source's secrets that are written out. Keys of RSA are public."""
    verify = _members(source, "verify")
    keys = verify.get("keys", [])
    for key in keys if isinstance(keys, list) else [keys]:
        value = _literal(key.get("key", "") if isinstance(key, dict) else key)
        if value and verify.get("scheme") != "rsa-sha256" and not value.startswith("whpk_"):
            yield ("verify", "keys")
    if _literal(_members(verify, "secret_header").get("value", "")):
        yield ("verify", "secret_header")
    if _literal(_members(source, "api").get("key", "")):
        yield ("api", "key")


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
