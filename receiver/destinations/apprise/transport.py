"""Transport: parts of `requests` that find out once what is the same for all messages to a place.

How an address is written, which connections lead there, that a request has no cookies: the library
finds it out for each request, and that takes as long as to send it. What it found is kept here; it
is found by the library itself, so that nothing else goes over the network.

Only who has imported Apprise imports this module: `requests` comes with it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar

# A longer address may hold a message, which nobody needs again.
_LONGEST = 500
_MOST_PLACES = 16


class KeptRequest(requests.PreparedRequest):
    """Request whose address is prepared once."""

    def prepare_url(self, url: Any, params: Any) -> None:
        """Write the address as the library does."""
        if params or type(url) is not str or len(url) > _LONGEST:
            super().prepare_url(url, params)
        else:
            self.url = _written(url)

    def prepare_cookies(self, cookies: Any) -> None:
        """Leave out the header, if there are no cookies."""
        if cookies:
            super().prepare_cookies(cookies)
        else:
            self._cookies = RequestsCookieJar()


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


def session() -> requests.Session:
    """Make a session with such adapters."""
    made = requests.Session()
    for prefix in ("https://", "http://"):
        made.mount(prefix, KeptAdapter())
    return made
