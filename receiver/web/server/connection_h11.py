"""Connections read by h11, the parser that is always installed."""

from __future__ import annotations

import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from receiver.web.server.limits import BadHead, Bounded, check_head


class H11Connection(Bounded, H11Protocol):
    """A connection read by h11."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._status = 400

    def _should_upgrade(self) -> bool:
        """Check the head; return True for a refused one, so that the application does not run.

        uvicorn calls this for every head before the application runs. There is no upgrade: a client
        that offers h2c gets an ordinary answer.
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

    def is_in_head(self) -> bool:
        return bool(self.conn.trailing_data[0])

    def is_in_rest(self) -> bool:
        return self.conn.our_state in (h11.DONE, h11.MUST_CLOSE)
