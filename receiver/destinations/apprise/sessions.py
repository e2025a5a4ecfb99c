"""HTTP sessions: a thread keeps its connections from one attempt to the next.

To open and close a connection for each message costs more than the message itself. So a thread
that makes attempts has one session. The session stores no cookies, and keeps its connection until a
second has passed without an attempt.

A server may close a kept connection at the very moment in which the next message is written. Then
it is uncertain whether the server read the message. From then on the thread keeps no connections to
this destination, so that this happens only once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from receiver.destinations.apprise.recorder import close_copies, current_recorder

IDLE = 1.0
_NOT_LATIN = (
    "its login or a header holds a letter that HTTP cannot carry: write it without letters beyond"
    " Latin-1"
)
_sessions = threading.local()


class ThreadSession:
    """The session of a thread; `keeps` is false after its destination has cut a kept connection."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.keeps = True
        self.used_at = 0.0
        # The session adds nothing of its own to a request, so there is nothing to merge.
        session.params = session.proxies = None

    def close(self) -> None:
        """Close its connections. The session may be used again, with new ones."""
        for adapter in self.session.adapters.values():
            for pools in (adapter.poolmanager, *adapter.proxy_manager.values()):
                # Each pool is closed, not only dropped: an old error may still refer to it.
                for key in pools.pools.keys():  # noqa: SIM118 (it cannot be iterated)
                    pools.pools[key].close()
        self.session.close()
        close_copies()


def with_session(request: Callable[..., Any], short_way: Any) -> Callable[..., Any]:
    """Wrap `requests.request`, so that attempts use the session of their thread.

    `short_way` is the module of that name.
    """

    def request_in_session(method: str, url: str, **named: Any) -> Any:
        recorder = current_recorder()
        if recorder is None:
            return request(method, url, **named)
        if (own := thread_session()) is None:
            own = _sessions.session = ThreadSession(short_way.session())
        # No cookie of an earlier answer goes into this request.
        own.session.cookies.clear()
        if (change := getattr(_sessions, "change", None)) is not None:
            change(named)
        try:
            if short_way.is_possible(url, named):
                return short_way.request(own.session, method, url, **named)
            return own.session.request(method=method, url=url, **named)
        except UnicodeEncodeError:
            recorder.record.unsendable = _NOT_LATIN
            raise
        finally:
            own.used_at = time.monotonic()
            if not own.keeps:
                own.close()

    return request_in_session


def change_requests(change: Callable[[dict[str, Any]], None] | None) -> None:
    """Let `change` alter the arguments of each request of this thread from now on."""
    _sessions.change = change


def distrust() -> None:
    """Keep no connection of this thread any more: a kept one was cut, or said more than asked."""
    if (own := thread_session()) is not None:
        own.keeps = False


def rest() -> None:
    """Close the connections of this thread, if it has not used them for a second."""
    if (own := thread_session()) is not None and time.monotonic() - own.used_at >= IDLE:
        own.close()


def thread_session() -> ThreadSession | None:
    """Return the session of this thread; None if it has made no attempt."""
    session: ThreadSession | None = getattr(_sessions, "session", None)
    return session
