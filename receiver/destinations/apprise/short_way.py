"""Short way: a request through the parts of `requests`, without what it does for nobody here.

`Session.request` prepares a request in two steps, merges it with a session that has no settings of
its own, and looks for redirects and cookies to keep. That takes as long as to send it. The request
itself is made and sent by the library's own parts, so it is the same on the wire: with its cookies,
login, files, proxies and settings of TLS.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

# What the short way knows. For the rest of what `requests` takes there is its own way.
_TAKEN = frozenset({
    "params", "data", "headers", "files", "auth", "timeout", "allow_redirects", "verify", "cert",
    "json",
})  # fmt: skip


def is_possible(url: Any, named: Mapping[str, Any]) -> bool:
    """Return whether a request can go the short way."""
    return isinstance(url, str) and named.keys() <= _TAKEN


def request(transport: Any, session: Any, method: str, url: str, **named: Any) -> Any:
    """Make a request as `session.request` would; no redirect is followed, and no cookie kept."""
    requests = transport.requests
    prepared = transport.KeptRequest()
    prepared.prepare(
        method=method.upper(),
        url=url,
        headers=_headers(session, named.get("headers")),
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
        "proxies": dict(requests.sessions.get_environ_proxies(prepared.url, no_proxy=None)),
    }
    response = session.get_adapter(url=prepared.url).send(prepared, **settings)
    if prepared.hooks["response"]:
        # A login in two steps (Digest) asks once more from here.
        response = requests.hooks.dispatch_hook("response", prepared.hooks, response, **settings)
    return response


def _headers(session: Any, headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the session's headers with those of the request; one that is None is left out."""
    merged = {name.lower(): (name, value) for name, value in session.headers.items()}
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
