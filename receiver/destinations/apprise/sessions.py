"""HTTP connections that a thread keeps from one attempt to the next.

A request of its own costs more in making and closing what carries it than in the message itself.
So a thread that makes attempts has one session, which remembers no cookie, and keeps its connection
while it is busy: when a second has passed without an attempt, the connection is closed.

A server may close a kept connection in the very moment in which the next message is written to it.
Nobody can tell then whether it was read. That destination's connections are not kept any more, so
it happens to it once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from receiver.destinations.apprise.recorder import current

IDLE = 1.0
_mine = threading.local()


class ThreadSession:
    """The session of a thread; `keeps` is false once its destination has cut a kept connection."""

    def __init__(self, session: Any) -> None:
        self.session, self.keeps, self.used_at = session, True, 0.0
        # It has nothing of its own to add to a request: none of it is merged.
        session.params = session.proxies = None

    def close(self) -> None:
        """Close its connections. It may be used again, and makes new ones."""
        for adapter in self.session.adapters.values():
            for pools in (adapter.poolmanager, *adapter.proxy_manager.values()):
                # To forget a pool is not to close it: an old error may still know it.
                for key in pools.pools.keys():  # noqa: SIM118 (it cannot be iterated)
                    pools.pools[key].close()
        self.session.close()


def keeping(request: Callable[..., Any], session: Callable[[], Any]) -> Callable[..., Any]:
    """`requests.request` that takes this thread's session, in threads that are heard."""

    def kept_request(method: str, url: str, **named: Any) -> Any:
        if current() is None:
            return request(method, url, **named)
        if (mine := _here()) is None:
            mine = _mine.kept = ThreadSession(session())
        # As if it were new: nothing of an earlier answer goes into this request.
        mine.session.cookies.clear()
        try:
            return mine.session.request(method=method, url=url, **named)
        finally:
            mine.used_at = time.monotonic()
            if not mine.keeps:
                mine.close()

    return kept_request


def distrust() -> None:
    """A kept connection of this thread was cut: keep none from here on."""
    if (mine := _here()) is not None:
        mine.keeps = False


def rest() -> None:
    """Close what this thread keeps, if it did not use it for a second."""
    if (mine := _here()) is not None and time.monotonic() - mine.used_at >= IDLE:
        mine.close()


def _here() -> ThreadSession | None:
    found: ThreadSession | None = getattr(_mine, "kept", None)
    return found
