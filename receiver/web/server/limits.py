"""Limits of a connection before there is a request: time, size, number.

By itself, uvicorn waits for a head or a body as long as the client likes, and also for a client
that does not read its answers. Here each of these has a deadline. If there are too many, a new
connection replaces the one that has delayed its head longest or is idle longest, or gets 503 at
once if all are in the middle of a request. Both parsers share these limits.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice
from typing import Any

from receiver.web.problem import MEDIA_TYPE, problem
from receiver.web.server.transport import CoalescingTransport

MAX_HEAD = 16_384  # bytes of request line and headers together
MAX_FIELDS = 100
MAX_PIPELINED = 64  # requests read ahead of the one in progress (httptools)
# The age (seconds) at which a late head makes room for a new connection; the most looked at for it.
GRACE, LOOKED_AT = 0.1, 64
# The seconds in which input is dropped after a refusal (closing at once would lose the answer), and
# the most connections in this state.
LINGER, MAX_LINGERING = 1.0, 100
READ_AT_ONCE = 65_536
# The seconds in which, at the end, a request that has arrived on an idle connection is still read.
LAST_LOOK = 0.05
# The seconds from its beginning in which, at the end, a new connection may still send its request.
FIRST_LOOK = 2.0

_PROBLEM_DETAILS = {
    400: "This is not HTTP as this server reads it.",
    408: "The request came too slowly. Send it again.",
    431: f"The headers may have {MAX_HEAD} bytes and {MAX_FIELDS} fields.",
    503: "Too many connections. Send it again.",
}
_CAUSES = {400: "malformed", 408: "slow", 431: "headers", 503: "connections"}


class BadHead(Exception):
    """A head that the parser accepts and this server refuses."""

    def __init__(self, status: int) -> None:
        super().__init__(_PROBLEM_DETAILS[status])
        self.status = status


@dataclass(slots=True)
class Bounds:
    """The shared limits of a server's connections, and the connections that count for them.

    `head` and `body` are the seconds in which each has to arrive, `limit` is the most connections.
    `refused` gets the cause of each refusal (malformed, slow, headers, connections) and the path
    that was asked for, if it is known.
    """

    head: float
    body: float
    limit: int
    refused: Callable[[str, str], None]
    # The connections without a whole head, and since when (the loop's time); the oldest first.
    heads: dict[Bounded, float] = field(default_factory=dict)
    # The connections between two requests, and since when; the one that is idle longest first.
    idle: dict[Bounded, float] = field(default_factory=dict)
    lingering: int = 0

    def make_room(self, now: float) -> bool:
        """End the connection that delays its head longest, if for GRACE, or that is idle longest.

        Return whether one was ended. One in the middle of a request never is.
        """
        slow = (each for each, since in self.heads.items() if now - since >= GRACE)
        if (spared := _without_news(slow)) is not None:
            spared.end("slow")
        elif (spared := _without_news(self.idle)) is not None:
            spared.timeout_keep_alive_handler()
        return spared is not None


def _without_news(connections: Iterable[Bounded]) -> Bounded | None:
    """Return the first connection of which the system has nothing to read yet."""
    return next((each for each in islice(connections, LOOKED_AT) if not each.has_news()), None)


def check_head(version: str, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise BadHead for a head that is too large, gives the body's length twice or asks a proxy.

    (The target of a request to a proxy would have to count more than its Host.)
    """
    size = len(target)
    fields = 0
    lengths = 0
    for name, value in headers:
        size += len(name) + len(value) + 4
        fields += 1
        if name == b"transfer-encoding":
            lengths += 1
            if value.lower() != b"chunked":
                raise BadHead(400)
        elif name == b"content-length":
            lengths += 1
    if size > MAX_HEAD or fields > MAX_FIELDS:
        raise BadHead(431)
    if lengths > 1 or version not in ("1.0", "1.1"):
        raise BadHead(400)
    if not target.startswith((b"/", b"*")) or b"#" in target:
        raise BadHead(400)


_UvicornProtocol: Any = object  # at run time, Bounded is mixed into one of uvicorn's protocols


class Bounded(_UvicornProtocol):  # type: ignore[misc]
    """A mixin for uvicorn's protocols: it adds the deadlines and the refusals."""

    def __init__(self, *, bounds: Bounds, **options: Any) -> None:
        super().__init__(**options)
        self.bounds = bounds
        self._deadline: asyncio.TimerHandle | None = None
        self._awaited: Any = None  # the request whose body has yet to arrive
        self._has_received = False
        self._is_refused = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(CoalescingTransport(transport))
        if hasattr(transport, "max_size"):  # asyncio's own loop would read 256 KiB at once
            transport.max_size = READ_AT_ONCE
        is_full = len(self.connections) > self.bounds.limit
        if is_full and not self.bounds.make_room(self.loop.time()):
            self.connections.discard(self)
            self.refuse(503)
        else:
            self._await_head()

    def connection_lost(self, error: Exception | None) -> None:
        self._cancel_deadline()
        self.bounds.idle.pop(self, None)
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._has_received = True
        self.bounds.idle.pop(self, None)
        super().data_received(data)
        if self._is_refused:
            return
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            if self._deadline is None:
                self._await_head()
        elif cycle is not self._awaited:
            # The head is complete. Nearly always the body has come too, and needs no deadline.
            self._cancel_deadline()
            if cycle.more_body:
                self._awaited = cycle
                self._start_deadline(self.bounds.body)
        elif not cycle.more_body and self._deadline is not None:
            self._cancel_deadline()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.timeout_keep_alive_task is None or self.is_in_rest():
            return
        if not self.is_in_head():
            self.bounds.idle[self] = self.loop.time()
        elif self._deadline is None:
            self._await_head()

    def shutdown(self) -> None:
        """Close the connection at the end of the server, after the answers that are due."""
        if self.in_progress() is None:
            begun = self.bounds.heads.get(self, 0.0)
            left = 0.0 if self._has_received else begun + FIRST_LOOK - self.loop.time()
            self.loop.call_later(max(left, LAST_LOOK), self._end_idle)
        else:
            super().shutdown()

    def _end_idle(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._deadline is None:
            self._start_deadline(self.bounds.body)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_deadline()

    def refuse(self, status: int, path: str = "") -> None:
        """Answer with a problem instead of the application, and end the connection."""
        self._is_refused = True
        self._cancel_deadline()
        self._unset_keepalive_if_required()
        self.bounds.refused(_CAUSES[status], path)
        if self.transport.is_closing():
            return
        self.transport.write_whole(_refusal(status))
        if self.bounds.lingering >= MAX_LINGERING or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.bounds.lingering += 1
        with suppress(OSError):  # the client may be gone already
            self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER, self._end_lingering)

    def malformed(self, status: int) -> None:
        """End the connection after bytes that are not HTTP, with the answer that is still due."""
        cycle = self.in_progress()
        if cycle is None:
            # Inside the body of an answered request, no other answer is due.
            return self.end("malformed") if self.is_in_rest() else self.refuse(status)
        if cycle.response_started or not cycle.more_body:
            # The fault comes after the request in progress: the answer to that request is the last.
            self.bounds.refused(_CAUSES[status], "")
            self._is_refused = True
            cycle.keep_alive = False
            return None
        self._disconnect(cycle)
        return self.refuse(status)

    def end(self, cause: str) -> None:
        """End the connection without an answer."""
        self._is_refused = True
        self.bounds.refused(cause, "")
        self._cancel_deadline()
        self.transport.abort()

    def in_progress(self) -> Any:
        """Return the request in progress, or None."""
        cycle = self.cycle
        return None if cycle is None or cycle.response_complete else cycle

    def has_news(self) -> bool:
        """Return whether bytes (or the end) have come that nobody has read yet."""
        look = select.poll()
        look.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(look.poll(0))

    def is_in_head(self) -> bool:
        """Return whether a part of the next head has been read."""
        raise NotImplementedError

    def is_in_rest(self) -> bool:
        """Return whether the body of an answered request is still arriving."""
        raise NotImplementedError

    def _start_deadline(self, seconds: float) -> None:
        self._deadline = self.loop.call_later(seconds, self._end_slow)

    def _await_head(self) -> None:
        self._start_deadline(self.bounds.head)
        if not self.is_in_rest():
            self.bounds.heads[self] = self.loop.time()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            self.bounds.heads.pop(self, None)

    def _end_slow(self) -> None:
        cycle = self.in_progress()
        if cycle is not None and cycle.more_body and not cycle.response_started:
            self._disconnect(cycle)
            self.refuse(408, cycle.scope["path"])
        elif cycle is None and self._has_received and not self.is_in_rest():
            self.refuse(408)
        else:  # no answer: the client sent nothing, does not read, or has its answer
            self.end("slow")

    def _disconnect(self, cycle: Any) -> None:
        """Tell the waiting application that the body will not be completed."""
        cycle.disconnected = True
        cycle.message_event.set()

    def _end_lingering(self) -> None:
        self.bounds.lingering -= 1
        self.transport.abort()


def _refusal(status: int) -> bytes:
    """Return a whole HTTP response with the problem of this status."""
    body = bytes(problem(status, _PROBLEM_DETAILS[status]).body)
    retry_after = "retry-after: 5\r\n" if status == 503 else ""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\ncache-control: no-store\r\n{retry_after}"
        "connection: close\r\n\r\n"
    )
    return head.encode() + body
