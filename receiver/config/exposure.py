"""Exposure: the secrets that the network could see with these settings and rules."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from receiver.config.problems import printable
from receiver.config.rules import Rules
from receiver.config.settings import PREFIX, Settings
from receiver.config.variables import is_example
from receiver.sources.keys import MIN_SECRET

# Names that only a local network knows.
_LOCAL = (".local", ".internal", ".lan", ".home.arpa", ".test", ".localhost")


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
