"""Short way: a request through the parts of `requests`, without what it does for nobody here.

`Session.request` prepares a request in two steps, merges it with a session that has no settings of
its own, and looks for redirects and cookies to keep. That takes as long as to send it. And for each
request it finds out how an address is written and which connections lead there: that is kept here.
The request itself is made and sent by the library's own parts, so it is the same on the wire: with
its cookies, login, files, proxies and settings of TLS.

Only who has imported Apprise imports this module: `requests` comes with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from requests.utils import default_headers

from receiver.destinations.apprise.connection import PlainPool, TlsPool

# What the short way knows. For the rest of what `requests` takes there is its own way.
_TAKEN = frozenset({
    "params", "data", "headers", "files", "auth", "timeout", "allow_redirects", "verify", "cert",
    "json",
})  # fmt: skip
# A longer address may hold a message, which nobody needs again.
_LONGEST_URL = 500
_MOST_PLACES = 16
_OF_SESSIONS = {name.lower(): (name, value) for name, value in default_headers().items()}


def is_possible(url: Any, named: Mapping[str, Any]) -> bool:
    """Return whether a request can go the short way."""
    return isinstance(url, str) and named.keys() <= _TAKEN


def request(session: Any, method: str, url: str, **named: Any) -> Any:
    """Make a request as `session.request` would; no redirect is followed, and no cookie kept."""
    sessions: Any = requests.sessions
    prepared = KeptRequest()
    prepared.prepare(
        method=method.upper(),
        url=url,
        headers=_headers(named.get("headers")),
        files=named.get("files"),
        data=named.get("data") or {},
        params=named.get("params") or {},
        auth=named.get("auth"),
        json=named.get("json"),
    )
    settings = {
        "stream": False,
        "timeout": named.get("timeout"),
        "verify": verified_by(session, named.get("verify")),
        "cert": session.cert if named.get("cert") is None else named["cert"],
        "proxies": dict(sessions.get_environ_proxies(prepared.url, no_proxy=None)),
    }
    response = session.get_adapter(url=prepared.url).send(prepared, **settings)
    if prepared.hooks["response"]:
        # A login in two steps (Digest) asks once more from here.
        response = requests.hooks.dispatch_hook("response", prepared.hooks, response, **settings)
    return response


def _headers(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the headers of each session with those of the request; None leaves one out."""
    merged = dict(_OF_SESSIONS)
    for name, value in dict(headers or {}).items():
        if value is None:
            merged.pop(name.lower(), None)
        else:
            merged[name.lower()] = (name, value)
    return dict(merged.values())


def verified_by(session: Any, verify: Any) -> Any:
    """Return whose certificates are trusted; the environment counts as it does for `requests`."""
    if verify is True or verify is None:
        own = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        return own or (session.verify if verify is None else verify)
    return verify


class KeptRequest(requests.PreparedRequest):
    """Request whose address is prepared once."""

    def prepare_url(self, url: Any, params: Any) -> None:
        """Write the address as the library does."""
        if params or type(url) is not str or len(url) > _LONGEST_URL:
            super().prepare_url(url, params)
        else:
            self.url = _written(url)

    def prepare_cookies(self, cookies: Any) -> None:
        """Leave out the header, if there are no cookies."""
        if cookies:
            super().prepare_cookies(cookies)
        else:
            self._cookies = RequestsCookieJar()

    def prepare_auth(self, auth: Any, url: Any = "") -> None:
        """Log in, if a login is given or stands in the address."""
        if auth is not None or "@" in (self.url or ""):
            super().prepare_auth(auth, url)


@lru_cache(maxsize=256)
def _written(url: str) -> Any:
    request = requests.PreparedRequest()
    request.prepare_url(url, None)
    return request.url


class KeptAdapter(HTTPAdapter):
    """Adapter that looks up the connections to a place once, if no proxy stands before it."""

    def __init__(self) -> None:
        self._places: dict[tuple[Any, ...], Any] = {}
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        """Prepare for connections of our own."""
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}

    def get_connection_with_tls_context(
        self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the connections that lead where the request goes."""
        if proxies or cert:
            return super().get_connection_with_tls_context(request, verify, proxies, cert)
        place = (*request.url.split("/", 3)[:3], verify)
        if (known := self._places.get(place)) is None:
            known = super().get_connection_with_tls_context(request, verify, proxies, cert)
            if len(self._places) == _MOST_PLACES:
                self._places.clear()
            self._places[place] = known
        return known

    def request_url(self, request: Any, proxies: Any) -> Any:
        """Return the address as it stands in the first line."""
        return super().request_url(request, proxies) if proxies else request.path_url

    def close(self) -> None:
        """Forget all connections."""
        self._places.clear()
        super().close()


def with_set_cookies(extract: Callable[..., None]) -> Callable[..., None]:
    """Wrap how cookies are taken from an answer: most have none."""

    def extract_cookies(jar: Any, request: Any, response: Any) -> None:
        if "Set-Cookie" in response.headers or "Set-Cookie2" in response.headers:
            extract(jar, request, response)

    return extract_cookies


def session() -> requests.Session:
    """Make a session with such adapters."""
    made = requests.Session()
    for prefix in ("https://", "http://"):
        made.mount(prefix, KeptAdapter())
    return made
