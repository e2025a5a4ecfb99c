"""Guard of the API: the token, the Host and the origin of each request."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Container
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from receiver.config.exposure import is_loopback
from receiver.config.settings import Settings
from receiver.web.problem import problem

FOREIGN_HOST = (
    "This Host is not ours. Set RECEIVER_PUBLIC_URL to the address, and RECEIVER_API_TOKEN; or send"
    " Authorization: Bearer and that token."
)
_HOW = "Set RECEIVER_API_TOKEN, restart the server, and send it after Authorization: Bearer."
_CLOSED = f"Without RECEIVER_API_TOKEN the API answers on loopback only. {_HOW}"
_OUTSIDE = f"Without RECEIVER_API_TOKEN the API answers nobody from outside this machine. {_HOW}"
# The headers by which a proxy says that it passes a request on; X-Forwarded-… besides.
_MARKS = frozenset({"forwarded", "via", "x-real-ip"})


class Guard:
    """The check of every request to the API, the metrics and the description.

    A request with the right API token passes, whatever its Host: another site's page cannot have
    the token, and a scrape names the address of a pod. If a token is set, every request needs it.

    Without one, only a loopback bind answers, and only to a loopback Host: otherwise another site's
    page could reach a loopback service through a name of its own that points to it. A proxy on this
    machine is a loopback client, too, but whom it speaks for may be anywhere: its requests come
    under the public Host, or marked as passed on, and are refused.
    """

    def __init__(self, settings: Settings) -> None:
        token = settings.api_token
        self._token = token.get_secret_value().encode() if token else None
        self._is_loopback = is_loopback(settings.host)
        self._proxies = settings.proxies
        self._local_hosts = {settings.host.lower(), "localhost"}
        public = (urlsplit(settings.public_url or "").hostname or "localhost").lower()
        if is_loopback(public):
            self._local_hosts.add(public)
        self._hosts = {*self._local_hosts, public}

    def refuse(self, request: Request) -> Response | None:
        """Return the refusal of a request, or None if it may pass."""
        if self.is_closed:
            return problem(403, _CLOSED)
        if not self.is_own_host(request):
            return problem(421, FOREIGN_HOST)
        if self.is_from_outside(request):
            return problem(403, _OUTSIDE)
        if self.is_change_from_elsewhere(request):
            return problem(403, "A page elsewhere may not change anything here.")
        if self._token is None or self.has_token(request):
            return None
        return problem(
            401, "Send Authorization: Bearer and the API token.", {"WWW-Authenticate": "Bearer"}
        )

    @property
    def is_closed(self) -> bool:
        """Whether anybody could get in: there is no token, and other machines can reach it."""
        return self._token is None and not self._is_loopback

    @property
    def needs_token(self) -> bool:
        """Whether a token is set."""
        return self._token is not None

    def is_own_host(self, request: Request) -> bool:
        """Return whether a request names a Host of ours, or brings the token."""
        return host_name(request) in self._hosts or self.has_token(request)

    def is_from_outside(self, request: Request) -> bool:
        """Return whether no token is set, and a request may come from outside this machine."""
        is_local = host_name(request) in self._local_hosts and not is_passed_on(request)
        return self._token is None and not is_local

    def is_change_from_elsewhere(self, request: Request) -> bool:
        """Return whether another site's page asks for a change."""
        hosts = {*self._hosts, host_name(request)}
        return request.method not in ("GET", "HEAD") and self._is_cross_site(request, hosts)

    def is_token(self, text: str) -> bool:
        """Return whether a token is set and the text is it."""
        given = text.strip().encode("utf-8", "replace")
        return self._token is not None and hmac.compare_digest(given, self._token)

    def has_token(self, request: Request) -> bool:
        """Return whether a token is set and the request brings it."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip().encode("latin-1", "replace")
        return (
            self._token is not None
            and scheme.lower() == "bearer"
            and hmac.compare_digest(given, self._token)
        )

    def address(self, request: Request) -> str:
        """Return the address of a visitor: that before the last trusted proxy."""
        if self.is_from_proxy(request):
            forwarded = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
            if forwarded:
                return forwarded[:45]
        return request.client.host if request.client else ""

    def is_from_proxy(self, request: Request) -> bool:
        """Return whether a trusted proxy passed a request on."""
        try:
            peer = ipaddress.ip_address(request.client.host if request.client else "")
        except ValueError:
            return False
        return any(peer in network for network in self._proxies)

    def _is_cross_site(self, request: Request, hosts: Container[str | None]) -> bool:
        """Return whether a browser marks this request as sent by another site's page.

        Such a page can post without a preflight request. On a loopback bind without a token, that
        would be enough to get in. Other programs send neither header.
        """
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return True
        origin = request.headers.get("origin")
        if origin is None:
            return False
        try:
            return urlsplit(origin).hostname not in hosts
        except ValueError:
            return True


def is_passed_on(request: Request) -> bool:
    """Return whether a request shows that a proxy passes it on for somebody else.

    As nginx comes, it names nobody, and its Host is the loopback address: but it speaks HTTP/1.0.
    """
    names = request.headers.keys()
    is_marked = any(name in _MARKS or name.startswith("x-forwarded-") for name in names)
    return is_marked or request.scope.get("http_version") == "1.0"


def host_name(request: Request) -> str:
    """Return the name in the Host header without its port, an IPv6 address without brackets."""
    host = request.headers.get("host", "")
    name, _, port = host.lower().rpartition(":")
    if not name or not port.isdigit():
        name = host.lower()
    return name.removeprefix("[").removesuffix("]")
