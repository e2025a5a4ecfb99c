"""The bounds of a connection, which hold before there is a request: time, size, number.

uvicorn waits for a head or a body as long as the client likes, and for a client that does not read
its answers too. Here each has a deadline; a connection too many is answered 503 at once, or takes
the place of the one that has been waited for longest. `connections_fast` is the same for the other
parser.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from receiver.web.problem import MEDIA_TYPE, problem
from receiver.web.server.transport import CoalescingTransport

MAX_HEAD = 16_384  # bytes of request line and headers together
MAX_FIELDS = 100
MAX_PIPELINED = 64  # requests read ahead of the one that is answered (httptools)
# A connection this old without a whole head may be ended in favour of a new one (seconds).
GRACE = 1.0
# How long input is read and dropped after a refusal: closing at once would lose the answer.
LINGER, MAX_LINGERING = 1.0, 100
READ_AT_ONCE = 65_536

_SAID = {
    400: "This is not HTTP as this server reads it.",
    408: "The request came too slowly. Send it again.",
    431: f"The headers may have {MAX_HEAD} bytes and {MAX_FIELDS} fields.",
    503: "Too many connections. Send it again.",
}
_CAUSES = {400: "malformed", 408: "slow", 431: "headers", 503: "connections"}


class BadHead(Exception):
    """A head that the parser takes and we do not."""

    def __init__(self, status: int) -> None:
        super().__init__(_SAID[status])
        self.status = status


@dataclass(slots=True)
class Bounds:
    """What all connections of a server share.

    `head` and `body` are seconds in which either has to come, `limit` is how many connections.

    `refused` is told the cause of each refusal: malformed, slow, headers, connections.
    """

    head: float
    body: float
    limit: int
    refused: Callable[[str], None]
    # Who is waited for, and since when (the loop's time): the oldest first.
    waiting: dict[Bounded, float] = field(default_factory=dict)
    lingering: int = 0

    def makes_room(self, now: float) -> bool:
        """End the connection that has kept its head back longest, if any has for long."""
        oldest, since = next(iter(self.waiting.items()), (None, now))
        if oldest is None or now - since < GRACE:
            return False
        oldest.end("slow")
        return True


def check_head(version: str, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """BadHead for a head that is too large, or that says twice how long its body is.

    Also for one that is addressed to a proxy: what it names would have to count above its Host.
    """
    size, fields, lengths = len(target), 0, 0
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


_Uvicorn: Any = object  # what it is mixed into: one of uvicorn's protocols


class Bounded(_Uvicorn):  # type: ignore[misc]
    """Mixed into uvicorn's protocol: its deadline, its refusals."""

    def __init__(self, *, bounds: Bounds, **given: Any) -> None:
        super().__init__(**given)
        self.bounds = bounds
        self._deadline: asyncio.TimerHandle | None = None
        self._awaited: Any = None  # the request whose body is waited for
        self._heard = False
        self._is_refused = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(CoalescingTransport(transport))
        if hasattr(transport, "max_size"):  # asyncio's own loop would read 256 KiB at once
            transport.max_size = READ_AT_ONCE
        is_full = len(self.connections) > self.bounds.limit
        if is_full and not self.bounds.makes_room(self.loop.time()):
            self.connections.discard(self)
            self.refuse(503)
        else:
            self._wait(self.bounds.head)

    def connection_lost(self, error: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._heard = True
        super().data_received(data)
        if self._is_refused:
            return
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            if self._deadline is None:
                self._wait(self.bounds.head)
        elif cycle is not self._awaited:
            # Its head is here; nothing is waited for if its body is, as it is nearly always.
            self._stop_waiting()
            if cycle.more_body:
                self._awaited = cycle
                self._wait(self.bounds.body)
        elif not cycle.more_body and self._deadline is not None:
            self._stop_waiting()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._deadline is None:
            self._wait(self.bounds.body)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_waiting()

    def refuse(self, status: int) -> None:
        """Answer with a problem instead of the application, and end the connection."""
        self._is_refused = True
        self._stop_waiting()
        self._unset_keepalive_if_required()
        self.bounds.refused(_CAUSES[status])
        if self.transport.is_closing():
            return
        self.transport.write_whole(_answer(status))
        if self.bounds.lingering >= MAX_LINGERING or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.bounds.lingering += 1
        with suppress(OSError):  # who was refused may be gone already
            self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER, self._linger_no_more)

    def malformed(self, status: int) -> None:
        """What follows from bytes that are no HTTP, depending on what is being answered."""
        cycle = self.in_progress()
        if cycle is None:
            # In the rest of a body whose request was answered, no other answer is due.
            return self.end("malformed") if self.is_in_rest() else self.refuse(status)
        if cycle.response_started or not cycle.more_body:
            # The fault is behind the request that is being answered: its answer is the last.
            self.bounds.refused(_CAUSES[status])
            self._is_refused = True
            cycle.keep_alive = False
            return None
        self._disconnect(cycle)
        return self.refuse(status)

    def end(self, cause: str) -> None:
        """End the connection without an answer."""
        self._is_refused = True
        self.bounds.refused(cause)
        self._stop_waiting()
        self.transport.abort()

    def in_progress(self) -> Any:
        """The request that is being answered, or None."""
        cycle = self.cycle
        return None if cycle is None or cycle.response_complete else cycle

    def is_in_rest(self) -> bool:
        """Whether the body of a request that was answered already is still coming."""
        raise NotImplementedError

    def _wait(self, seconds: float) -> None:
        self._deadline = self.loop.call_later(seconds, self._too_slow)
        self.bounds.waiting[self] = self.loop.time()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            self.bounds.waiting.pop(self, None)

    def _too_slow(self) -> None:
        cycle = self.in_progress()
        if cycle is not None and cycle.more_body and not cycle.response_started:
            self._disconnect(cycle)
            self.refuse(408)
        elif cycle is None and self._heard and not self.is_in_rest():
            self.refuse(408)
        else:  # who sent nothing, does not read, or was answered already, is not told anything
            self.end("slow")

    def _disconnect(self, cycle: Any) -> None:
        """Tell the application, which waits for the body, that there will be no more of it."""
        cycle.disconnected = True
        cycle.message_event.set()

    def _linger_no_more(self) -> None:
        self.bounds.lingering -= 1
        self.transport.abort()


def _answer(status: int) -> bytes:
    body = bytes(problem(status, _SAID[status]).body)
    again = "retry-after: 5\r\n" if status == 503 else ""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\ncache-control: no-store\r\n{again}"
        "connection: close\r\n\r\n"
    )
    return head.encode() + body


class H11Connection(Bounded, H11Protocol):
    """A connection read by h11."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._status = 400

    def _should_upgrade(self) -> bool:
        """Where uvicorn decides what becomes of a head: True takes it away from the application.

        There is nothing to upgrade to: a client that offers h2c is answered as if it had not.
        """
        scope = self.scope
        target = scope["raw_path"] + b"?" + scope["query_string"]
        try:
            check_head(scope["http_version"], target, self.headers)
        except BadHead as error:
            self._status = error.status
            return True
        return False

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self.malformed(self._status)

    def send_400_response(self, msg: str) -> None:
        fault = sys.exception()  # uvicorn calls this while it handles what h11 raised
        self.malformed(431 if getattr(fault, "error_status_hint", 0) == 431 else 400)

    def is_in_rest(self) -> bool:
        return self.conn.our_state in (h11.DONE, h11.MUST_CLOSE)
