"""Application: the HTTP routes, and the threads that start and stop with them."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from receiver.audit import Act, Actor, Door, Entry
from receiver.config.live_rules import LiveRules
from receiver.config.rules import Rules
from receiver.config.settings import Settings
from receiver.destinations import sending as here
from receiver.destinations.sending import Sending
from receiver.dispatch.alarms import MISSED_IN
from receiver.dispatch.dispatcher import Dispatcher
from receiver.dispatch.operators import link_key, list_silences, orphans, write_down
from receiver.dispatch.presence import Missed
from receiver.dispatch.trial import Trials
from receiver.errors import StorageUnavailable
from receiver.intake.expiry import ExpiryTimer
from receiver.intake.receive import Intake
from receiver.intake.reconcile.timer import ReconcileTimer
from receiver.links import Links
from receiver.metrics import Counters
from receiver.store.contract import Store
from receiver.store.opening import SpoolFile
from receiver.store.pruning import PruneTimer
from receiver.web import api, health, metrics, openapi, standings
from receiver.web.guard import Guard
from receiver.web.pages import site
from receiver.web.pages.rendering import Renderer
from receiver.web.problem import problem, try_later
from receiver.web.server.starting import LateKeys, Start
from receiver.web.standings import StandingApi
from receiver.web.webhooks.addresses import WEBHOOKS, Addresses
from receiver.web.webhooks.endpoint import WebhookEndpoint
from receiver.web.webhooks.refusals import Refusals
from receiver.web.webhooks.spool import Spooling

log = logging.getLogger("receiver")


class Application(Starlette):
    """Starlette, with a shorter way for webhooks: they go straight to their endpoint.

    Starlette's middleware and router would cost a tenth of a webhook's time, and the endpoint
    handles every case itself. All other requests go through them.
    """

    def __init__(self, endpoint: WebhookEndpoint, routes: Iterable[Route], **options: Any) -> None:
        super().__init__(routes=[Route(f"{WEBHOOKS}{{source}}", endpoint), *routes], **options)
        # A 307 would lead to the address in the request's Host.
        self.router.redirect_slashes = False
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._endpoint.draining:
            send = _closing(send)
        if scope["type"] == "http" and scope["path"].startswith(WEBHOOKS):
            source = scope["path"][len(WEBHOOKS) :]
            if source and "/" not in source:
                scope["path_params"] = {"source": source}
                await self._endpoint(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def _closing(send: Send) -> Send:
    """Return a `send` that asks the client not to use the connection again.

    While the server ends, a request on an old connection could meet its close and be lost.
    """

    async def send_last(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", []), (b"connection", b"close")]
            message = {**message, "headers": headers}
        await send(message)

    return send_last


def build(
    settings: Settings, rules: Rules, store: Store, *, dispatch: bool = True, receive: bool = True,
    read: Callable[[], Rules] | None = None, spool: SpoolFile | None = None,
    sending: Sending = here,
) -> Starlette:  # fmt: skip
    """Build the application. It owns the store from here on, and closes it at its end.

    `dispatch`: this process sends messages; `receive`: it takes webhooks. `read` reads routes.yaml
    anew at each reload. `spool` is the file for webhooks while the database is away, `sending` the
    way of sending: by default in this process.
    """
    counters = Counters(rules.sources)
    in_force, keys = _live_rules(rules, read, counters), _link_keys(settings, store)
    links = Links(settings.public_url or "", keys)
    reconciling = ReconcileTimer(store, in_force, counters)
    parts = (settings, store, in_force, counters, links, reconciling, sending)
    gaps = ExpiryTimer(store, in_force, list_silences)
    pruning = PruneTimer(store, settings.retention)
    refusals = Refusals(counters, addresses=_addresses(settings, in_force))
    spooling = Spooling(store, in_force, counters, spool) if spool and receive else None
    endpoint = WebhookEndpoint(
        store, in_force,
        max_body=settings.max_body, rate=settings.rate, counters=counters, refusals=refusals,
        is_open=receive, spooling=spooling,
    )  # fmt: skip
    dispatcher = _dispatcher(*parts, endpoint.batcher.is_busy) if dispatch else None
    guard, trials, senders = Guard(settings), Trials(sending.send), sending.state
    endpoints = api.Api(store, in_force, guard, spooling, trials)
    in_force.on_change(lambda rules: _follow(rules, store, sending))
    store.announce(in_force.digest)
    # What became due during a stop is settled before anything is sent.
    sends = [dispatcher.start, reconciling.start] if dispatcher is not None else []
    ends = [pruning.start, lambda: _log_orphans(in_force.rules, store)]
    start = Start([store.check_writable, keys.read, gaps.start, *sends, *ends], spooling)

    def drain() -> None:
        _drain(endpoint, dispatcher, 0 if app.state.failure else settings.drain)

    ready = health.Readiness(store, dispatcher, gaps, endpoint, in_force, spooling, start, senders)
    stops = [drain, refusals.flush, gaps.stop, reconciling.stop, pruning.stop, store.close]
    renderer = Renderer(settings.zone)
    app = Application(
        endpoint,
        [
            *health.routes(ready),
            metrics.route(counters, guard, endpoints.skews, store, spooling, in_force, senders),
            *_guarded_routes(endpoints, guard, StandingApi(store, in_force, counters)),
            *site.routes(settings, store, in_force, counters, guard, links, trials, renderer),
        ],
        lifespan=_lifespan(start, stops, spooling),
        exception_handlers=_ANSWERS,
    )
    app.state.endpoint, app.state.drain = endpoint, drain
    app.state.renderer = renderer
    app.state.in_force, app.state.refusals = in_force, refusals
    app.state.reloaded = lambda result: _note_reload(store, result)
    _end_on_storage_failure(store, app)
    return app


def _live_rules(
    rules: Rules, read: Callable[[], Rules] | None, counters: Counters
) -> LiveRules[Intake]:
    counters.loaded("done", time.time())

    def count(result: str) -> None:
        counters.reloaded(result, time.time())

    return LiveRules(rules, Intake.by, read or (lambda: rules), count)


def _drain(endpoint: WebhookEndpoint, dispatcher: Dispatcher | None, seconds: float) -> None:
    """Refuse new webhooks and finish the calls in progress; other requests are answered."""
    endpoint.draining = True
    if dispatcher is not None and not dispatcher.stop(seconds):
        log.warning("drain.incomplete: what is still being sent will be sent again")


def _dispatcher(
    settings: Settings, store: Store, in_force: LiveRules[Intake], counters: Counters,
    links: Links, reconciling: ReconcileTimer, sending: Sending, is_busy: Callable[[], bool],
) -> Dispatcher:  # fmt: skip
    def missed(now: int) -> Mapping[str, Missed]:
        """Return the sources whose webhooks did not come lately."""
        found = reconciling.missed(now, MISSED_IN)
        return {name: Missed(*values) for name, values in found.items()}

    return Dispatcher(store, in_force, settings.lease, links, settings.zone, counters, missed,
                      sending.send, is_busy)  # fmt: skip


def _link_keys(settings: Settings, store: Store) -> LateKeys:
    """Return the keys of this installation's links; the first start makes one and keeps it."""

    def kept() -> tuple[bytes, ...]:
        return (store.write_now(link_key, (secrets.token_bytes(32), time.time_ns())),)

    return LateKeys(lambda: settings.link_keys or kept())


def _note_reload(store: Store, result: str) -> None:
    """Write down that a signal asked for a reload."""
    by = Actor("", Door.SIGNAL)
    write_down(store, Entry(time.time_ns(), Act.RELOAD, by, result=result))


def _addresses(settings: Settings, in_force: LiveRules[Intake]) -> Addresses:
    token = settings.api_token.get_secret_value() if settings.api_token else ""
    return Addresses(lambda: in_force.rules.sources, token)


def _guarded_routes(endpoints: api.Api, guard: Guard, standing: StandingApi) -> list[Route]:
    others = standings.routes(standing, guard)
    return [openapi.route(guard), *api.routes(endpoints, guard), *others]


def _lifespan(
    start: Start, stops: Iterable[Callable[[], None]], spooling: Spooling | None
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Build a lifespan with this start, that calls functions in order, each in a thread."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await start.begin()
        if spooling is not None:
            spooling.start()
        try:
            yield
        finally:
            await start.stop()
            if spooling is not None:
                await spooling.stop()
            for stop in stops:
                await anyio.to_thread.run_sync(stop)

    return lifespan


def _follow(rules: Rules, store: Store, sending: Sending) -> None:
    sending.follow(rules.destinations.values())
    store.announce(rules.digest())
    _log_orphans(rules, store)


def _log_orphans(rules: Rules, store: Store) -> None:
    """Log the names that the store has and the rules have not."""
    try:
        for orphan in orphans(rules, store):
            log.warning("config.orphan %s", orphan.text())
    except StorageUnavailable as error:
        log.warning("config.orphan error=%s", error)


def _end_on_storage_failure(store: Store, app: Starlette) -> None:
    """Refuse webhooks after a failure of the storage; the server sees the failure and ends."""

    def stop(reason: str) -> None:
        log.critical("storage.failed: %s; ending, and the next start checks the file", reason)
        app.state.endpoint.draining = True
        app.state.failure = reason

    app.state.failure = ""
    store.on_failure(stop)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    """Answer a request to no address of ours, and note it if a sender may have made it.

    It is a coroutine because Starlette would run a function in a thread.
    """
    assert isinstance(error, HTTPException)
    if request.method in ("POST", "PUT", "PATCH"):
        refusals: Refusals = request.app.state.refusals
        if error.status_code == 404:
            refusals.nowhere(request.scope["path"])
        else:
            refusals.request("method", request.scope["path"])
    details = {404: "There is nothing at this address.", 405: "This address knows other methods."}
    headers = dict(error.headers or {})
    if error.status_code == 404 and site.is_by_a_person(request):
        return await site.answer_lost(request)
    return problem(
        error.status_code, details.get(error.status_code, "See `receiver help http`."), headers
    )


async def _answer_unavailable(request: Request, error: Exception) -> Response:
    """Answer 503 while the storage fails; the log gets a line, and no traceback for each."""
    log.error("storage.unavailable method=%s error=%s", request.method, error)
    return try_later("The storage does not answer. See the log.")


def _answer_failure(request: Request, error: Exception) -> Response:
    """Answer 503 to any error: the one broad handler of the API.

    Starlette logs the error by raising it again.
    """
    return try_later("An error of ours. It is in the log.")


_ANSWERS = {
    HTTPException: _answer_http_error,
    StorageUnavailable: _answer_unavailable,
    Exception: _answer_failure,
}
