"""HTTP sessions: a thread keeps its connections from one attempt to the next.

A request of its own costs more in making and closing what carries it than in the message itself.
So a thread that makes attempts has one session, which remembers no cookie, and keeps its connection
while it is busy: when a second has passed without an attempt, the connection is closed.

A server may close a kept connection in the very moment in which the next message is written to it.
Nobody can tell then whether it was read. Its connections are not kept any more, so that
this happens to a destination once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from receiver.destinations.apprise.recorder import current_recorder

IDLE = 1.0
_sessions = threading.local()


class ThreadSession:
    """The session of a thread; `keeps` is false once its destination has cut a kept connection."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.keeps = True
        self.used_at = 0.0
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


def with_session(request: Callable[..., Any], new_session: Callable[[], Any]) -> Callable[..., Any]:
    """Make of `requests.request` one that uses the thread's session during attempts."""

    def request_in_session(method: str, url: str, **named: Any) -> Any:
        if current_recorder() is None:
            return request(method, url, **named)
        if (own := _thread_session()) is None:
            own = _sessions.session = ThreadSession(new_session())
        # As if it were new: nothing of an earlier answer goes into this request.
        own.session.cookies.clear()
        try:
            return own.session.request(method=method, url=url, **named)
        finally:
            own.used_at = time.monotonic()
            if not own.keeps:
                own.close()

    return request_in_session


def distrust() -> None:
    """Keep no connection of this thread from here on: a kept one was cut."""
    if (own := _thread_session()) is not None:
        own.keeps = False


def rest() -> None:
    """Close what this thread keeps, if it did not use it for a second."""
    if (own := _thread_session()) is not None and time.monotonic() - own.used_at >= IDLE:
        own.close()


def _thread_session() -> ThreadSession | None:
    session: ThreadSession | None = getattr(_sessions, "session", None)
    return session
