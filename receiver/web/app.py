"""The Starlette application: webhooks, health, API; what starts and stops with it."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.config.settings import Settings
from receiver.dispatch.dispatcher import Dispatcher
from receiver.errors import StorageUnavailable
from receiver.intake.expiry import ExpiryTimer
from receiver.metrics import Counters
from receiver.store.contract import Store
from receiver.store.pruning import PruneTimer
from receiver.web import api, metrics, openapi
from receiver.web.problem import problem, try_later
from receiver.web.webhooks.endpoint import WebhookEndpoint
from receiver.web.webhooks.refusals import Refusals

log = logging.getLogger("receiver")

# How long one answer of /readyz holds (seconds): who asks often must not make us write often.
READY_FOR = 1.0
# A webhook that could not be stored says more than a probe, which a full disk may still let pass.
NOT_READY_FOR = 10.0
WEBHOOKS = "/webhooks/"


class Readiness:
    """Whether this process can do its work: store a webhook and send what is owed."""

    def __init__(
        self,
        store: Store,
        dispatch: Dispatcher | None,
        gaps: ExpiryTimer,
        endpoint: WebhookEndpoint,
    ) -> None:
        self._store, self._dispatch, self._gaps, self._endpoint = store, dispatch, gaps, endpoint
        self._probed_at, self._storage_error = float("-inf"), ""

    def answer(self, request: Request) -> Response:
        if self._endpoint.draining:
            return try_later("Shutting down.")
        if self._dispatch is not None and not self._dispatch.is_alive():
            return try_later("Dispatch has stopped. Restart the process.")
        if not self._gaps.is_alive():
            return try_later("Held events are not given up any more. Restart the process.")
        if time.monotonic() - self._endpoint.not_stored_at < NOT_READY_FOR:
            return try_later("Webhooks could not be stored just now. See the log.")
        if time.monotonic() - self._probed_at > READY_FOR:
            self._storage_error = self._probe()
            self._probed_at = time.monotonic()
        if self._storage_error:
            return try_later("The storage cannot be written. See the log.")
        return JSONResponse({"status": "ready"})

    def _probe(self) -> str:
        try:
            self._store.check_writable()
        except StorageUnavailable as error:
            log.error("ready.storage error=%s", error)
            return str(error)
        return ""


class Application(Starlette):
    """Starlette, but webhooks go straight to their endpoint.

    Its middleware and its router cost a tenth of a webhook's time, and the endpoint answers for
    itself in every case; everything else takes the usual way.
    """

    def __init__(self, endpoint: WebhookEndpoint, **named: Any) -> None:
        super().__init__(routes=[Route(f"{WEBHOOKS}{{source}}", endpoint), *named.pop("routes")],
                         **named)  # fmt: skip
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(WEBHOOKS):
            source = scope["path"][len(WEBHOOKS) :]
            if source and "/" not in source:
                scope["path_params"] = {"source": source}
                await self._endpoint(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def build(
    settings: Settings,
    rules: Rules,
    store: Store,
    *,
    dispatch: bool = True,
    read: Callable[[], Rules] | None = None,
) -> Starlette:
    """The application. It owns the store from here on: it closes it when it ends.

    `read` gives the rules of routes.yaml anew when a reload is asked for.
    """
    counters = Counters(rules.sources)
    in_force = LiveRules(rules, read or (lambda: rules), counters.reloaded)
    public_url = settings.public_url or ""
    lanes = Dispatcher(store, in_force, settings.lease, public_url) if dispatch else None

    wake = lanes.wake if lanes is not None else _nobody
    gaps, pruning = ExpiryTimer(store, in_force, wake), PruneTimer(store, settings.retention)
    refusals = Refusals(counters)
    endpoint = WebhookEndpoint(
        store, in_force, wake,
        max_body=settings.max_body, rate=settings.rate, counters=counters, refusals=refusals,
    )  # fmt: skip
    ready = Readiness(store, lanes, gaps, endpoint)

    def drain() -> None:
        """Take no more, and finish what is being sent: answers to others go on meanwhile."""
        endpoint.draining = True
        if lanes is not None and not lanes.stop(0 if app.state.failure else settings.drain):
            log.warning("drain.incomplete: what is still being sent will be sent again")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if lanes is not None:
            await anyio.to_thread.run_sync(lanes.start)
        gaps.start()
        pruning.start()
        try:
            yield
        finally:
            for end in (drain, gaps.stop, pruning.stop, store.close):
                await anyio.to_thread.run_sync(end)

    app = Application(
        endpoint,
        routes=[
            Route("/healthz", _healthz, methods=["GET"]),
            Route("/readyz", ready.answer, methods=["GET"]),
            *_guarded(counters, api.Api(store, in_force, wake), api.Guard(settings)),
        ],
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_problem, Exception: _failure},
    )
    # A 307 would go wherever the request's Host says.
    app.router.redirect_slashes = False
    app.state.endpoint, app.state.drain = endpoint, drain
    app.state.in_force, app.state.refusals = in_force, refusals
    _heed(store, app)
    return app


def _guarded(counters: Counters, of: api.Api, guard: api.Guard) -> list[Route]:
    """What only people and tools of ours may ask."""
    return [metrics.route(counters, guard), openapi.route(guard), *api.routes(of, guard)]


def _nobody(destinations: Iterable[str]) -> None:
    """Who dispatches is elsewhere, and looks by itself."""


def _heed(store: Store, app: Starlette) -> None:
    """When the storage can no longer be believed, take no more; the server sees it and ends."""

    def stop(reason: str) -> None:
        log.critical("storage.failed: %s; ending, and the next start checks the file", reason)
        app.state.endpoint.draining, app.state.failure = True, reason

    app.state.failure = ""
    store.on_failure(stop)


def _healthz(request: Request) -> Response:
    return JSONResponse({"status": "alive"})


def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = {404: "There is nothing at this address.", 405: "This address knows other methods."}
    headers = dict(error.headers or {})
    return problem(error.status_code, said.get(error.status_code, "See the README."), headers)


def _failure(request: Request, error: Exception) -> Response:
    """The one broad except at the door. Starlette logs the error by raising it again."""
    if isinstance(error, StorageUnavailable):
        return try_later("The storage does not answer. See the log.")
    return try_later("An error of ours. It is in the log.")
