"""Health: `GET /healthz` shows that the process lives, `GET /readyz` that it can do its work."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver.config.live_rules import LiveRules
from receiver.dispatch.dispatcher import Dispatcher
from receiver.errors import StorageUnavailable
from receiver.intake.expiry import ExpiryTimer
from receiver.intake.receive import Intake
from receiver.metrics import SendersState
from receiver.store.contract import Store
from receiver.store.spooling import SpoolState
from receiver.times import format_time
from receiver.web.problem import try_later
from receiver.web.server.starting import Start
from receiver.web.webhooks.endpoint import WebhookEndpoint
from receiver.web.webhooks.spool import Spooling

log = logging.getLogger("receiver")

# The lifetime of an answer of /readyz (seconds): frequent requests must not cause frequent writes.
READY_FOR = 1.0
# The time for which an unstored webhook counts (seconds). It proves more than a probe, because a
# probe may succeed even on a full disk.
NOT_READY_FOR = 3.0


class Readiness:
    """The answer of /readyz: whether this process can store webhooks and send messages.

    `dispatch` is None in a process that only takes webhooks. `senders` says how the processes that
    send are.
    """

    def __init__(
        self,
        store: Store,
        dispatch: Dispatcher | None,
        gaps: ExpiryTimer,
        endpoint: WebhookEndpoint,
        in_force: LiveRules[Intake],
        spooling: Spooling | None,
        start: Start,
        senders: Callable[[], SendersState | None],
    ) -> None:
        self._store = store
        self._dispatch = dispatch
        self._gaps = gaps
        self._endpoint = endpoint
        self._in_force = in_force
        self._spooling = spooling
        self._start = start
        self._senders = senders
        self._probed_at = float("-inf")  # monotonic seconds
        self._storage_error = ""
        self._alarms: list[dict[str, str]] = []

    def answer(self, request: Request) -> Response:
        """Answer 200 with the open alarms, or 503 with the first reason found."""
        if self._endpoint.draining:
            return try_later("Shutting down.")
        if not self._start.is_alive():
            return try_later("The start has failed. See the log, and restart the process.")
        is_started = self._start.is_over()
        if is_started and not self._gaps.is_alive():
            return try_later("Held events are not given up any more. Restart the process.")
        if self._spooling is not None and not self._spooling.is_alive():
            return try_later("The spool is not emptied any more. Restart the process.")
        if (problem := self._problem()) and not self._is_spooled():
            return try_later(problem)
        # Without a store dispatch ends, too.
        if is_started and self._dispatch is not None and not self._dispatch.is_alive():
            return try_later("Dispatch has stopped. Restart the process.")
        senders = self._senders()
        if self._dispatch is not None and senders is not None and senders.problem:
            return try_later("A process that sends does not stay. See the log.")
        spooled = self._spooled()
        is_spooling = problem or (spooled is not None and spooled["waiting"])
        status = "spooling" if is_spooling else "ready"
        rules, alarms = self._in_force.digest, self._alarms
        ready = {"status": status, "rules": rules, "alarms": alarms, "spool": spooled}
        if senders is not None:
            ready["senders"] = {"running": senders.running, "wanted": senders.wanted}
        return JSONResponse(ready)

    def _problem(self) -> str:
        """Return why webhooks cannot be stored; empty if they can."""
        if not self._start.is_over():
            return "The database was away at the start, and still is. See the log."
        if self._spooling is not None and self._spooling.comes_first():
            return "Webhooks wait in the spool. See the log."  # to ask the database may take long
        if time.monotonic() - self._endpoint.not_stored_at < NOT_READY_FOR:
            return "Webhooks could not be stored just now. See the log."
        # A server that was away is asked anew: the answer is known at once, also that it is back.
        is_old = time.monotonic() - self._probed_at > READY_FOR
        is_old = is_old or self._endpoint.lost_at > self._probed_at
        if not self._store.is_in_place() or is_old:
            self._storage_error = self._probe()
            self._probed_at = time.monotonic()
        return "The storage cannot be written. See the log." if self._storage_error else ""

    def _is_spooled(self) -> bool:
        """Return whether webhooks are taken without the database: then no balancer may leave."""
        return self._spooling is not None and self._spooling.is_enough()

    def _spooled(self) -> dict[str, Any] | None:
        """Return what waits in the spool; None without one."""
        error, state = None, None
        try:
            state = None if self._spooling is None else self._spooling.state()
        except StorageUnavailable as failure:
            error, state = str(failure), SpoolState(0, 0, 0)
        if state is None:
            return None
        since = None if state.oldest is None else format_time(state.oldest)
        return {
            "waiting": state.waiting, "bytes": state.size, "most": state.most, "since": since,
            "error": error,
        }  # fmt: skip

    def _probe(self) -> str:
        """Write to the store and read its alarms; return the error, or "" after a success."""
        now = time.time_ns()
        try:
            self._store.check_writable()
            self._alarms = [
                {"alarm": str(a.kind), "about": a.about, "since": format_time(a.began_at)}
                for a in self._store.watched(now, now).alarms
            ]
        except StorageUnavailable as error:
            log.error("ready.storage error=%s", error)
            return str(error)
        return ""


def routes(readiness: Readiness) -> list[Route]:
    """Return the routes of both, open to everybody."""
    return [
        Route("/healthz", _answer_alive, methods=["GET"]),
        Route("/readyz", readiness.answer, methods=["GET"]),
    ]


def _answer_alive(request: Request) -> Response:
    return JSONResponse({"status": "alive"})
