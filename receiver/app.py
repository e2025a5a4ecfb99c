"""The Starlette application: webhooks, health, API; what starts and stops with it."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver.dispatch import Dispatch
from receiver.errors import StorageUnavailable
from receiver.gaps import GapClock
from receiver.in_force import InForce
from receiver.rules import Rules
from receiver.settings import Settings
from receiver.store import Store
from receiver.web import api
from receiver.web.problem import problem, try_later
from receiver.web.webhook import WebhookEndpoint

log = logging.getLogger("receiver")

# How long one answer of /readyz holds (seconds): who asks often must not make us write often.
READY_FOR = 1.0


class Readiness:
    """Whether this process can do its work: store a webhook and send what is owed."""

    def __init__(
        self, store: Store, dispatch: Dispatch | None, gaps: GapClock, endpoint: WebhookEndpoint
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
        if time.monotonic() - self._probed_at > READY_FOR:
            self._storage_error = self._probe()
            self._probed_at = time.monotonic()
        if self._storage_error:
            return try_later("The storage cannot be written. See the log.")
        return JSONResponse({"status": "ready"})

    def _probe(self) -> str:
        try:
            self._store.probe()
        except StorageUnavailable as error:
            log.error("ready.storage error=%s", error)
            return str(error)
        return ""


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
    in_force = InForce(rules, read or (lambda: rules))
    lanes = Dispatch(store, in_force, settings.lease) if dispatch else None

    def wake(destinations: Iterable[str]) -> None:
        if lanes is not None:
            lanes.wake(destinations)

    gaps = GapClock(store, in_force, wake)
    endpoint = WebhookEndpoint(
        store, in_force, wake, max_body=settings.max_body, body_timeout=settings.body_timeout
    )
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
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(drain)
            await anyio.to_thread.run_sync(gaps.stop)
            await anyio.to_thread.run_sync(store.close)

    app = Starlette(
        routes=[
            # First: it is what nearly every request is for.
            Route("/webhooks/{source}", endpoint),
            Route("/healthz", _healthz, methods=["GET"]),
            Route("/readyz", ready.answer, methods=["GET"]),
            *api.routes(api.Api(store, in_force, wake), api.Guard(settings)),
        ],
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_problem, Exception: _failure},
    )
    # A 307 would go wherever the request's Host says.
    app.router.redirect_slashes = False
    app.state.endpoint, app.state.drain, app.state.in_force = endpoint, drain, in_force
    _heed(store, app)
    return app


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
